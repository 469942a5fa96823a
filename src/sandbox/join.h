/* SPDX-License-Identifier: Apache-2.0 */
/* A container of a pod in the sandbox of another one's. */
#ifndef MOAT_SANDBOX_JOIN_H
#define MOAT_SANDBOX_JOIN_H

#include "oci/isolation.h"
#include "sandbox/sandbox.h"

struct join {
    const struct container *c;
    const struct sandbox_kind *kind;
    int host_dir;        /* state folder of the container whose Sentry it is */
    const char *host_id; /* its id */
    uint32_t preserve_fds;
    const char *state_json; /* for hooks that run inside */
    bool no_new_keyring;
    /* As in struct foreground. */
    int (*on_sandbox)(void *arg, struct err *err);
    int (*on_created)(void *arg, struct err *err);
    void (*on_exit)(void *arg, int wait_status);
    void *arg;
};

/* The calling process is the container's monitor, with its streams on descriptors 0 to 2, until it
 * has ended: 0 with *out_wait_status, or -errno with *err and nothing left behind. */
must_check int join_run(const struct join *j, int *out_wait_status, struct err *err);

#endif
