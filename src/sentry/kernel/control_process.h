/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes made from outside (CREATE, EXEC): what control.c and control_spawn.c share.
 *
 * Life: one reference is the control task's list's, one the new task's until it has begun (or
 * failed), one its process's until that has ended.  State changes wake the control task.
 */
#ifndef MOAT_SENTRY_CONTROL_PROCESS_H
#define MOAT_SENTRY_CONTROL_PROCESS_H

#include "kernel/container.h"
#include "kernel/control_msg.h"
#include "kernel/process.h"

#define CTL_MESSAGE_SIZE 196u

enum control_state {
    CONTROL_STARTING, /* its task looks for the program */
    CONTROL_READY,    /* loaded, waits for `go` */
    CONTROL_FAILED,   /* `error` and `message` say why */
};

struct control_process {
    struct refcount ref;
    struct list link;            /* control task's list */
    struct container *container; /* referenced */
    char exec_id[CONTAINER_ID_MAX];
    bool is_init;
    struct process *process; /* referenced; constant once spawned */
    struct tty *tty;         /* referenced, or NULL */
    /* What the new task needs to begin; owned, freed when it has begun. */
    char *cwd;
    char **argv, **envp; /* into `strings` and `home`; room for one more in envp */
    uint32_t argc, envc;
    char *strings, *home;

    uint32_t state; /* atomic: enum control_state */
    int error;      /* valid once FAILED */
    char message[CTL_MESSAGE_SIZE];
    struct waitq changed; /* state, go, exited */
    bool go;              /* atomic: may run user code */
    bool exited;          /* atomic */
    bool reported;        /* control task's: the exit event was sent, or is not to be */
    int32_t status;       /* wait status, valid once exited */
};

/* Makes the process of a CREATE or EXEC message in container `c` and waits until its program is
 * loaded.  hfds: its three standard streams and further descriptors, owned from here on.  0 with
 * the list's reference in *out, or -errno with a text in message. */
must_check int control_spawn(struct container *c, const struct ctl_create *msg, const int *hfds,
                             uint32_t hfd_count, bool is_init, struct control_process **out,
                             char message[CTL_MESSAGE_SIZE]);
/* By the new task: adds HOME from the container's /etc/passwd where envp has none. */
must_check int control_home(struct control_process *cp);
/* Closes descriptors that came with a message. */
void close_donated(const int *hfds, uint32_t count);
void control_process_put(struct control_process *cp);
/* Wakes the control task. */
void control_wake(void);

#endif
