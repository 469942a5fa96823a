/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: PID 1 of a virtual machine.  It mounts what a machine needs, runs containers as the
 * host asks (moat/agent.h), reaps, and powers the machine off when the host is gone.
 *
 * Trust: the host is obeyed, its records are checked all the same (sentry/kernel/control_msg.h,
 * oci/carry.h).  Containers are hostile: the agent takes nothing from them but their output, and
 * enters none of their namespaces itself, only processes that become theirs do (starter.h).
 */
#ifndef MOAT_AGENT_AGENT_H
#define MOAT_AGENT_AGENT_H

#include "agent/box.h"
#include "host/err.h"
#include "host/mux.h"
#include "sentry/kernel/control_msg.h"

#include <sys/types.h>

#define AGENT_PROCESSES (MOAT_AGENT_STREAMS / 3u)
#define AGENT_EXPORTS   MOAT_AGENT_EXPORT_DIR
#define AGENT_CGROUPS   "/sys/fs/cgroup"

/* A process made by CREATE or EXEC. */
struct process {
    bool used, is_init, started, terminal;
    pid_t pid;
    int pidfd, master;    /* of its terminal, or -1 */
    int link;             /* to its starter until that has ended, or -1 */
    uint32_t stream;      /* the first of its three */
    uint32_t request;     /* id of the request that waits for the link, 0: none */
    uint32_t early_start; /* id of a START that came while CREATE was under way */
    uint32_t destroy;     /* id of a DESTROY that waits for the end */
    char container[128], exec_id[128];
    struct box *box; /* init: its container; owned */
};

struct agent {
    struct mux mux;
    struct process processes[AGENT_PROCESSES];
    int signals;
    uint32_t export_count;
    uint32_t disk; /* MOAT_AGENT_DISK_* */
    bool welcomed;
};

/* boot.c: the mounts and modules of the machine; the connection to the host or -errno. */
void boot_machine(void);
int boot_connect(void);
/* A line for the kernel's log, of a level of syslog(3). */
void boot_log(int level, const char *text);
/* Loads what devices of that kind (linux/virtio_ids.h) need, unless it is there. */
void boot_load_driver(uint32_t kind);
/* Mounts the host's files on AGENT_EXPORTS; 0 or -errno with *err. */
must_check int boot_files(struct err *err);
/* balloon.c: how long poll(2) may wait, and what is to be done then. */
int balloon_wait_ms(const struct agent *a);
void balloon_turn(const struct agent *a);
/* plug.c: a new life for a machine that may be the copy of another. */
void plug_welcome(const struct moat_agent_welcome *w, bool first);
/* disk.c: mounts the root's disk, of that kind, where the root's folder would be. */
must_check int disk_mount(uint32_t kind, struct err *err);
noreturn_fn void boot_off(const char *why);

/* requests.c: one frame of the host. */
int agent_frame(void *arg, const struct moat_agent_frame *frame, const void *payload);
/* Says HELLO: ready since now, after work that began at `begun_ns` of CLOCK_BOOTTIME. */
must_check int agent_hello(struct agent *a, uint64_t begun_ns);
void agent_reply(struct agent *a, uint32_t id, int error, const char *message, int pid,
                 const void *data, size_t size);

/* net.c: the machine's network, from a NETWORK record; 0 or -errno with *err. */
must_check int agent_network(const void *record, size_t size, struct err *err);

/* process.c */
struct process *process_find(struct agent *a, const char *container, const char *exec_id);
/* Makes the process of a CREATE or EXEC record; its reply follows when the link speaks. */
must_check int process_create(struct agent *a, const void *record, size_t size, uint32_t stream,
                              struct err *err);
must_check int process_start(struct agent *a, struct process *p, uint32_t request);
/* The link has something to say. */
void process_link(struct agent *a, struct process *p);
/* Tells the host when the kernel killed in the container of an init process for want of memory. */
void process_tell_kills(struct agent *a, struct process *p);
/* Reaps all that have ended and reports them. */
void process_reap(struct agent *a);
void process_forget(struct agent *a, struct process *p);

#endif
