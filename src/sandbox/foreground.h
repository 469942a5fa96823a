/* SPDX-License-Identifier: Apache-2.0 */
/* A container whose monitor is the calling process itself: `moat do` and `moat run`. */
#ifndef MOAT_SANDBOX_FOREGROUND_H
#define MOAT_SANDBOX_FOREGROUND_H

#include "host/err.h"
#include "oci/container.h"
#include "sandbox/sandbox.h"

/*
 * Starts a sandbox for `c`, runs its process on `stdio` (three descriptors; with c->process.terminal the first must be a
 * terminal, which is in raw mode meanwhile), and waits for its end.  listen_fd: control socket to serve, or -1 (consumed).
 * on_start (may be NULL) is told once the container runs.  *out_wait_status is the process's; 0 or -errno with *err.
 */
struct foreground {
    const int *stdio;
    int listen_fd;
    int (*on_start)(void *arg, const struct sandbox *s, struct err *err);
    void (*on_exit)(void *arg, int wait_status);
    void *arg;
};
must_check int foreground_run(const struct container *c, const struct sandbox_options *options,
                              const struct foreground *fg, int *out_wait_status, struct err *err);

#endif
