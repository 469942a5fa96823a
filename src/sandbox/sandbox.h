/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a sandbox (design section 1): starting the Gofer and the Sentry with what each
 * may hold, and nothing more.
 */
#ifndef MOAT_SANDBOX_SANDBOX_H
#define MOAT_SANDBOX_SANDBOX_H

#include "host/err.h"
#include "oci/container.h"

#include <sys/types.h>

struct sandbox_options {
    int log_fd; /* -1: no log of the Sentry */
    bool debug;
    bool log_json;
    bool pod;             /* containers may join it */
    bool network_entered; /* the caller is in the container's network namespace, which the Sentry
                             shares; else it gets one of its own */
};

struct sandbox {
    pid_t sentry_pid; /* init of the sandbox's pid namespace */
    pid_t gofer_pid;
    int control_fd; /* SOCK_SEQPACKET to the Sentry: moat/control.h */
    int admin_fd;   /* SOCK_SEQPACKET to the Gofer: struct moat_gofer_change; -1: nobody may join */
    uint32_t export_count; /* that it began with */
};

/*
 * Starts Gofer and Sentry for `c`; nothing runs in it yet.  Both die with the calling process.  On
 * an error nothing is left behind.
 */
must_check int sandbox_start(const struct container *c, const struct sandbox_options *options,
                             struct sandbox *out_sandbox, struct err *err);
/* The same for what stands in a Sentry's place. */
typedef int sandbox_start_fn(const struct container *c, const struct sandbox_options *options,
                             struct sandbox *out_sandbox, struct err *err);
/* Ends both processes, whatever they do, and reaps them. */
void sandbox_kill(struct sandbox *s);
/* Opens a program of moat that lies beside the running one (or in ../libexec/moat): descriptor or
 * -errno. */
must_check int sandbox_open_program(const char *name, struct err *err);

#endif
