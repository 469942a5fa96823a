/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command that stays in the foreground while its process runs: forwards signals, passes a
 * terminal's bytes and size on, and takes the exit status.
 */
#ifndef MOAT_HOST_ATTEND_H
#define MOAT_HOST_ATTEND_H

#include "host/err.h"

#include <sys/types.h>

struct attend {
    int signals;    /* signalfd */
    int console[2]; /* terminal: console[1] is for isolation_setup.console_socket; else -1 */
};

/* Before the process is made: blocks the signals that will be forwarded, so that none is lost. */
must_check int attend_begin(struct attend *a, bool terminal, struct err *err);
/* Until `pid`, a child, has ended: its wait status.  With a terminal standard input is raw
 * meanwhile. */
must_check int attend_run(struct attend *a, pid_t pid, int *out_wait_status, struct err *err);
void attend_end(struct attend *a);

#endif
