/* SPDX-License-Identifier: Apache-2.0 */
/* One more process in a running container. */
#ifndef MOAT_RUNTIME_EXEC_H
#define MOAT_RUNTIME_EXEC_H

#include "oci/container.h"
#include "host/err.h"

struct runtime_exec {
    const char *root, *id;
    bool detach;
    const char *pid_file; /* NULL: none; gets the pid inside */
};

/* Runs `p` on the caller's stdio and, unless detached, waits for it: *out_wait_status. */
must_check int runtime_exec(const struct runtime_exec *how, struct container_process *p,
                            int *out_wait_status, struct err *err);

#endif
