/* SPDX-License-Identifier: Apache-2.0 */
/* Work that takes a process of its own, as it enters namespaces that the caller stays out of. */
#ifndef MOAT_HOST_CHILD_H
#define MOAT_HOST_CHILD_H

#include "host/err.h"

/*
 * Runs `work` in a child and waits for its end: what it returned, 0 or -errno, with what it said in
 * *err, if anything.  The same when there can be no child, or it ended early (-EIO), always with
 * *err then.  For single-threaded processes; SIGCHLD must not be ignored.
 */
must_check int child_run(int (*work)(void *arg, struct err *err), void *arg, struct err *err);

#endif
