/* SPDX-License-Identifier: Apache-2.0 */
/* The calling process starts a sandbox for one container and is its monitor until the end. */
#ifndef MOAT_SANDBOX_FOREGROUND_H
#define MOAT_SANDBOX_FOREGROUND_H

#include "oci/container.h"
#include "oci/ctlmsg.h"
#include "oci/isolation.h"
#include "sandbox/sandbox.h"

struct foreground {
    const struct sandbox_kind *kind; /* what holds the container */
    const char *state_json;          /* for hooks that run inside, or NULL */
    bool no_new_keyring;
    const int *stdio; /* three descriptors; with a terminal the first is one, and raw meanwhile */
    int log_fd;       /* -1: no log of the sandbox */
    bool debug, log_json;
    bool pod, network_entered;   /* as in struct sandbox_options */
    bool background;             /* all signals go to the container */
    bool wait_start;             /* the process starts when a client of listen_fd says so */
    uint32_t preserve_fds;       /* descriptors 3 ... of the caller go along */
    const struct cgroup *cgroup; /* that the caller sits in, or NULL */
    int listen_fd;               /* listening control socket (client.h) to serve, or -1; consumed */
    /* Each may be NULL.  The sandbox's processes exist, the container in it does not: */
    int (*on_sandbox)(void *arg, struct err *err);
    /* its process exists (wait_start: not yet started); a failure of either ends the run; */
    int (*on_created)(void *arg, struct err *err);
    /* it is gone, and clients are not told yet. */
    void (*on_exit)(void *arg, int wait_status);
    void *arg;
};

/* A record for a Sentry, CREATE with the container's seccomp profile compiled; *out is the caller's
 * to free. */
must_check int create_record(const struct ctlmsg_create *in, void **out, size_t *out_len,
                             struct err *err);
/* 0 with *out_wait_status, or -errno with *err and nothing left behind. */
must_check int foreground_run(const struct container *c, const struct foreground *run,
                              int *out_wait_status, struct err *err);

#endif
