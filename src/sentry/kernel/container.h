/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers: what a pid name space, a host name, a root and an init process belong to.
 *
 * Containers of one pod may share: `pidns`, `uts` and `ipc` name the container whose numbers, names
 * and objects count, mostly the container itself.  A process then is in the pid name space
 * process->container and a member of process->member.
 *
 * Locks: g_tasklist_lock guards the pid table and the process count; `lock` the names.
 * A container is held by its processes and by the control task's list; it is made and forgotten by
 * the control task alone.
 */
#ifndef MOAT_SENTRY_CONTAINER_H
#define MOAT_SENTRY_CONTAINER_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/radix.h"
#include "base/types.h"
#include "kernel/lock.h"
#include "kernel/wait.h"
#include "moat/control.h"

struct task;
struct process;
struct fs_context;
struct pgrp;
struct session;

#define CONTAINER_ID_MAX 128u
#define UTS_LEN          64u
#define PID_MAX_DEFAULT  32768 /* /proc/sys/kernel/pid_max */

struct container {
    struct refcount ref;
    struct list link;             /* control task's */
    char id[CONTAINER_ID_MAX];    /* constant */
    struct spinlock lock;         /* RANK_FS */
    char hostname[UTS_LEN + 1];   /* guarded by lock */
    char domainname[UTS_LEN + 1]; /* guarded by lock */

    struct container *pidns, *uts, *ipc; /* constant; itself, or another one, referenced */

    struct radix pids;      /* id -> struct pid_slot *; guarded by g_tasklist_lock */
    int32_t last_pid;       /* guarded by g_tasklist_lock */
    uint32_t process_count; /* processes not yet reaped; guarded by g_tasklist_lock */
    uint32_t thread_count;  /* members' threads not yet ended; guarded by g_tasklist_lock */
    uint64_t pids_limit;    /* most threads of members, 0: no limit; atomic, as the next three */
    uint64_t memory_limit;  /* bytes, 0: none; kept by the host, shown here */
    uint64_t cpu_quota_us, cpu_period_us; /* likewise */
    uint32_t oom_kills;                   /* atomic: of members, not told yet (oom.c) */
    struct process
        *init;         /* NULL before it starts and once it is reaped; guarded by g_tasklist_lock */
    bool init_dying;   /* no more forks; guarded by g_tasklist_lock */
    struct waitq gone; /* woken when a process is reaped, or the last member's last thread ends */
    uint64_t forks;    /* since start, for /proc/stat; guarded by g_tasklist_lock */

    struct fs_context *fs; /* root and "/" of its mount name space: where exec processes start */
    struct seccomp_filter *seccomp; /* what its processes begin with, referenced, or NULL; constant
                                       once created */
    uint32_t personality;           /* likewise; constant once created */
    bool paused;                    /* atomic */
    uint32_t state;                 /* CONTAINER_*; control task's */
};
enum { CONTAINER_CREATED = 1, CONTAINER_RUNNING, CONTAINER_STOPPED };

/* What one number names.  Freed when nothing is left. */
struct pid_slot {
    struct task *task;       /* referenced by its own life: removed before it ends */
    struct process *process; /* referenced */
    struct pgrp *pgrp;       /* not referenced: removes itself */
    struct session *session; /* likewise */
};

static inline void container_get(struct container *c) {
    ref_get(&c->ref);
}
void container_put(struct container *c);
/* A new container without processes; NULL without memory. */
must_check struct container *container_alloc(const char *id);
/* It gets what the MOAT_SHARE_* flags name from `other` (before it has processes). */
void container_share(struct container *c, struct container *other, uint32_t share_flags);
/* Of the current task; NULL for kernel threads that belong to none. */
struct container *container_current(void);

/* ---- pid table (kernel/pid.c); all need g_tasklist_lock ---- */
/* A free number (> 0), -EAGAIN or -ENOMEM; its slot exists and is empty afterwards. */
must_check int32_t pid_reserve(struct container *c);
struct pid_slot *pid_slot_get(struct container *c, int32_t id); /* NULL: nothing has it */
/* Frees the slot if nothing uses it any more. */
void pid_slot_release(struct container *c, int32_t id);

/* Holds all its programs where they are / lets them go on (kernel/container.c). */
void container_pause(struct container *c);
void container_resume(struct container *c);

/* ---- the root file system (kernel/container_root.c) ---- */
/* Mounts everything a CREATE message asks for and sets c->fs.  0 or -errno with a text for people
 * in message[196]. */
struct container_mount {
    uint32_t kind, flags, export_index;
    bool copy_up;                                   /* begins with a copy of what it hides */
    const char *target, *fstype, *source, *options; /* kernel strings */
};
struct container_root {
    uint32_t overlay, gofer_chan, root_export;
    bool read_only;
    const struct container_mount *mounts;
    uint32_t mount_count;
};
/* Makes a path inside the container current is in, directories on the way as needed; mode: type and
 * permissions of the last component.  0 also when it is there already. */
must_check int container_make_path(const char *target, uint32_t mode);
/* Exchanges the fs context of the current kernel thread: the old one. */
struct fs_context *container_enter(struct fs_context *fs);
must_check int container_root_setup(struct container *c, const struct container_root *root,
                                    char message[196]);
/* Then devices, sysctls, masked and read-only paths (kernel/container_paths.c); likewise. */
struct ctl_create;
must_check int container_paths_setup(struct container *c, const struct ctl_create *msg,
                                     char message[196]);

/* ---- control channel (kernel/control.c) ---- */
void control_init(void);
/* sentry_host_event(HAL_COOKIE_CONTROL). */
void control_event(void);
struct control_process;
/* A process with process->control set has closed its files and is about to end: waits for its
 * console.  May sleep. */
void control_process_ending(struct control_process *cp);
/* It is gone, with this wait status. */
void control_process_exited(struct control_process *cp, int32_t status);

#endif
