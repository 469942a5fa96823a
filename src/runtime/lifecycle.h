/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life cycle of containers (OCI runtime specification, runtime.md) over struct isolation_ops.
 *
 * Whatever step a command was killed at, `delete --force` clears up behind it, and each step of a
 * delete may be done twice.
 */
#ifndef MOAT_RUNTIME_LIFECYCLE_H
#define MOAT_RUNTIME_LIFECYCLE_H

#include "oci/isolation.h"
#include "runtime/state.h"

/* What all commands share. */
struct runtime {
    const char *root;                              /* state folder */
    const char *default_root;                      /* what root is when nobody names one */
    const struct isolation_ops *const *isolations; /* ends with NULL */
    bool systemd_cgroup, rootless;
    int log_fd; /* of the sandbox, -1: none */
    bool debug, log_json;
    void (*warn)(void *arg, const char *message);
    void *arg;
};

struct lifecycle_create {
    const char *bundle, *id;
    const char *config; /* the text of the bundle's config.json that the container was read from */
    size_t config_len;
    const struct isolation_ops *isolation;
    const char *pid_file;       /* NULL: none */
    const char *console_socket; /* NULL: none; unix socket that gets a terminal's master */
    int console_fd;             /* the same, connected already, or -1 */
    const char *pidfd_socket;   /* NULL: none; unix socket that gets a pidfd of the process */
    uint32_t preserve_fds;
    bool no_pivot, no_new_keyring;
    const struct isolation_image *image; /* restore: where the process comes from; else NULL */
};

/* Makes the container; its process waits for lifecycle_start, or runs on where `how->image` was
 * written.  *out_pid is a child of the caller. */
must_check int lifecycle_create(const struct runtime *rt, struct container *c,
                                const struct lifecycle_create *how, pid_t *out_pid,
                                struct err *err);
must_check int lifecycle_start(const struct runtime *rt, const char *id, struct err *err);
must_check int lifecycle_kill(const struct runtime *rt, const char *id, int signo, bool all,
                              struct err *err);
/* -EBUSY for one that runs, unless `force`; with it what does not exist is no failure. */
must_check int lifecycle_delete(const struct runtime *rt, const char *id, bool force,
                                struct err *err);
/* Keeps the wait status of the container's process, which the caller got, for lifecycle_wait. */
void lifecycle_note_exit(const struct runtime *rt, const char *id, int wait_status);
/* Waits for the end of the container's process. */
must_check int lifecycle_wait(const struct runtime *rt, const char *id, int *out_wait_status,
                              struct err *err);

/* Writes the state of a running container to a folder.  Unless it is to go on, it is deleted. */
must_check int lifecycle_checkpoint(const struct runtime *rt, const char *id,
                                    const struct isolation_image *image, struct err *err);

struct lifecycle_exec {
    const char *id;
    const char *pid_file, *console_socket, *pidfd_socket; /* as in lifecycle_create */
    int console_fd;
    uint32_t preserve_fds;
    bool ignore_paused;
};

/* ---- one container, opened by a command (handle.c) ---- */

struct handle {
    int dir, lock;   /* lock -1: not held */
    pid_t scope_pid; /* > 0: a child that holds systemd's scope open during create */
    char path[4096];
    struct container_state state;
    struct container c;
    const struct isolation_ops *ops;
    struct isolation_target target;
};

#define HANDLE_LOCK   1u /* holds the folder's lock */
#define HANDLE_CONFIG 2u /* loads c from the saved config.json; otherwise only c.id is set */

/* *out must not move afterwards.  The caller closes it, after an error too. */
must_check int handle_open(const struct runtime *rt, const char *id, uint32_t flags,
                           struct handle *out, struct err *err);
/* What HANDLE_CONFIG does. */
must_check int handle_load_config(struct handle *h, struct err *err);
void handle_close(struct handle *h);
/* The process to run in it, by default what HANDLE_CONFIG loaded; *out_pid is a child of the
 * caller. */
must_check int lifecycle_exec(const struct runtime *rt, struct handle *h,
                              struct container_process *process, const struct lifecycle_exec *how,
                              pid_t *out_pid, struct err *err);
/* How create, exec and restore set up a process: the parts that come from the runtime. */
struct isolation_setup lifecycle_setup(const struct runtime *rt, const char *bundle);

/* ---- steps that commands share (steps.c) ---- */

/* What limits of the container mean for its processes on the host; a shallow copy of r. */
struct cgroup_resources lifecycle_host_limits(const struct handle *h,
                                              const struct cgroup_resources *r);
/* Makes the groups that linux.cgroupsPath and linux.resources ask for and saves them. */
must_check int lifecycle_cgroup(const struct runtime *rt, struct handle *h, struct err *err);
/* Runs the hooks of one stage in the caller's namespaces with the present state. */
must_check int lifecycle_hooks(const struct handle *h, enum hook_stage stage, struct err *err);
/* A failing poststop hook is a warning, and the others run nevertheless. */
void lifecycle_poststop(const struct runtime *rt, const struct handle *h);
/* Kills what lives and removes all but the state folder; may be repeated. */
must_check int lifecycle_clear(const struct runtime *rt, struct handle *h, struct err *err);

#endif
