/* SPDX-License-Identifier: Apache-2.0 */
/* What fork.c does for the calls of forksys.c. */
#ifndef MOAT_SENTRY_FORK_H
#define MOAT_SENTRY_FORK_H

#include "base/types.h"

struct task;

/* What to make, as clone(2) and clone3(2) say it together. */
struct kclone {
    uint64_t flags;
    uint64_t exit_signal;
    struct uaddr pidfd, parent_tid, child_tid;
    uint64_t stack; /* new stack pointer, 0: the parent's */
    uint64_t tls;
};

/* The child's id, or -errno. */
int64_t do_clone(struct task *t, const struct kclone *a);

#endif
