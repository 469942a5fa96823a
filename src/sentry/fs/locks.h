/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks on files: records (locks.c) and whole files (flock.c).
 */
#ifndef MOAT_SENTRY_FS_LOCKS_H
#define MOAT_SENTRY_FS_LOCKS_H

#include "fs/internal.h"

struct file_locks {
    struct list records; /* POSIX and OFD; guarded by locks.c's lock, as the count */
    uint32_t record_count;
    struct list flocks;   /* guarded by flock.c's lock */
    struct waitq changed; /* woken after each unlock */
};

/* The inode's locks, made on first use; NULL without memory. */
struct file_locks *file_locks_get(struct inode *inode);
void flock_release(struct file *f);

#endif
