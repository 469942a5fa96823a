/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that outlive the command which made them: monitors of containers and of execs. */
#ifndef MOAT_SANDBOX_BACKGROUND_H
#define MOAT_SANDBOX_BACKGROUND_H

#include "host/err.h"

#include <sys/types.h>

struct background {
    int link;  /* SOCK_SEQPACKET to the other side */
    pid_t pid; /* the monitor; 0 in the monitor itself */
};

/*
 * Forks.  In the child (pid 0) it leaves the session and the working directory and closes every
 * descriptor above 2 but those of `keep` (entries of -1 are skipped) and the first `preserve` of
 * them.
 */
must_check int background_fork(const int *keep, size_t keep_count, uint32_t preserve,
                               struct background *out, struct err *err);
/* By the monitor: lets go of the streams that it was started with, so that their readers see the
 * end when the container closes them. */
void background_null_stdio(void);
/* By the monitor: tells that a step is done, with its value.  -EPIPE when the command is gone. */
must_check int background_tell(const struct background *b, int value);
/* By the monitor: its last word is the failure; does not return. */
noreturn_fn void background_fail(const struct background *b, const struct err *err);
/* By the monitor: waits until the command says that it may go on. */
must_check int background_wait_go(const struct background *b);
/* By the command: waits for a step; *out_value may be NULL.  The monitor's failure becomes *err. */
must_check int background_await(const struct background *b, int *out_value, struct err *err);
must_check int background_go(const struct background *b, struct err *err);
/* By the command: closes the link, upon which a monitor that is not done ends, and reaps it. */
void background_end(const struct background *b);

#endif
