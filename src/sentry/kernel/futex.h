/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What futex.c, futex_pi.c and robust.c share.
 *
 * Locks: bucket->lock is a sleeping lock, because the futex word is read and changed under it and
 * user memory may have to be faulted in.  Two buckets are locked by ascending address.
 */
#ifndef MOAT_SENTRY_FUTEX_H
#define MOAT_SENTRY_FUTEX_H

#include "base/atomic.h"
#include "base/list.h"
#include "kernel/lock.h"
#include "mm/mm.h"

struct task;

struct futex_bucket {
    struct mutex lock;
    struct list waiters; /* struct futex_waiter, first come first; guarded by lock */
};

/* Lives on the waiter's kernel stack.  All fields are guarded by the bucket's lock; `bucket` may be
 * read without it and is NULL once woken, the last thing a waker touches. */
struct futex_waiter {
    struct list link;
    struct futex_key key;
    struct futex_bucket *bucket; /* atomic */
    struct task *task;
    uint32_t bitset;
    bool pi; /* waits for ownership (FUTEX_LOCK_PI); never woken by FUTEX_WAKE */
};

/* The bucket of a user word: 0, -EINVAL (unaligned), -EFAULT. */
must_check int futex_locate(struct uaddr addr, bool shared, struct futex_key *out_key,
                            struct futex_bucket **out_bucket);
bool futex_key_equal(const struct futex_key *a, const struct futex_key *b);
/* Bucket lock held. */
void futex_enqueue(struct futex_bucket *b, struct futex_waiter *w);
void futex_wake_waiter(struct futex_waiter *w);
/* Off the queue: true when nobody had woken it (then it was taken off now). */
must_check bool futex_unqueue(struct futex_waiter *w);
/* First waiter for ownership of `key` after `after` (NULL: from the start); bucket lock held. */
struct futex_waiter *futex_pi_waiter(struct futex_bucket *b, const struct futex_key *key,
                                     const struct futex_waiter *after);

/* FUTEX_LOCK_PI and friends (futex_pi.c). */
int64_t futex_lock_pi(struct task *t, struct uaddr addr, bool shared, uint64_t deadline_ns,
                      bool try_only);
int64_t futex_unlock_pi(struct task *t, struct uaddr addr, bool shared);
/* The owner of a PI futex died: gives it to the next waiter, marked FUTEX_OWNER_DIED. */
void futex_pi_owner_died(struct task *t, struct uaddr addr, bool shared);

#endif
