/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a sandbox (design section 1): starting the Gofer and the Sentry with what each
 * may hold, and nothing more.
 */
#ifndef MOAT_SANDBOX_SANDBOX_H
#define MOAT_SANDBOX_SANDBOX_H

#include "host/err.h"
#include "oci/container.h"
#include "oci/ctlmsg.h"

#include <sys/types.h>

struct sandbox_options {
    int log_fd; /* -1: no log of the Sentry */
    bool debug;
    bool log_json;
    bool pod;             /* containers may join it */
    bool network_entered; /* the caller is in the container's network namespace, which the Sentry
                             shares; else it gets one of its own */
};

struct sandbox;

/* What joins a sandbox to a network that is there only after the runtime's hooks. */
struct sandbox_network {
    /*
     * Called once in the container's network namespace, when it is as the container is to have it,
     * and before anything is asked of the sandbox.  *out_request: id of a request that it sent,
     * whose reply comes before those of later ones, or 0.  `log_fd`: for warnings, or -1.
     */
    int (*attach)(struct sandbox *s, int log_fd, uint32_t *out_request, struct err *err);
    /* Called when network_watch is readable, and before a container starts: tells the sandbox what
     * has changed since. */
    void (*refresh)(struct sandbox *s);
    /* The sandbox is gone, attached or not. */
    void (*detach)(struct sandbox *s);
};

struct sandbox {
    pid_t sentry_pid; /* init of the sandbox's pid namespace */
    pid_t gofer_pid;
    int control_fd; /* SOCK_SEQPACKET to the Sentry: moat/control.h */
    int admin_fd;   /* SOCK_SEQPACKET to what serves its files: struct moat_gofer_change; -1: nobody
                       may join */
    bool admin_answers;                    /* each MOAT_GOFER_ADD with an int32_t: 0 or -errno */
    int memory_fs;                         /* sizes the guest's memory (guest_memory.h), or -1 */
    uint32_t export_count;                 /* that it began with */
    const struct sandbox_network *network; /* NULL: nothing to do */
    void *network_state;                   /* of `network` alone, as the descriptor */
    int network_fd;
    int network_watch; /* readable when the network has changed; with `network` alone, or -1 */
};

/*
 * Starts Gofer and Sentry for `c`; nothing runs in it yet.  Both die with the calling process.  On
 * an error nothing is left behind.
 */
must_check int sandbox_start(const struct container *c, const struct sandbox_options *options,
                             struct sandbox *out_sandbox, struct err *err);

/* What holds containers: a Sentry, or what stands in its place. */
struct sandbox_kind {
    const char *isolation; /* its name; containers of one isolation alone share a sandbox */
    const char *noun;      /* for messages: "the Sentry" */
    /* sandbox_start, or the same for what it is. */
    int (*start)(const struct container *c, const struct sandbox_options *options,
                 struct sandbox *out_sandbox, struct err *err);
    ctlmsg_record_fn *record; /* of CREATE and EXEC */
    bool has_stubs;           /* programs run in processes of the host (victim.h) */
    bool root_alone;          /* a root is shown without what is mounted below it */
};

extern const struct sandbox_kind g_sandbox_sentry;
/* Ends both processes, whatever they do, and reaps them. */
void sandbox_kill(struct sandbox *s);
/* Opens a program of moat that lies beside the running one (or in ../libexec/moat): descriptor or
 * -errno. */
must_check int sandbox_open_program(const char *name, struct err *err);

#endif
