/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI and FUTEX_UNLOCK_PI: locks whose word names the owner (futex(2),
 * "Priority-inheritance futexes").  The scheduler is first come, first served and knows no
 * priorities, so there is nothing to inherit; what remains is the protocol: ownership is handed to
 * the longest waiter, and errors tell of misuse.
 */
#include "kernel/futex.h"

#include "kernel/cpu.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "kernel/wait.h"

#include <asm-generic/errno.h>
#include <linux/futex.h>

/* One attempt under the bucket's lock: 0 taken; 1 enqueue and wait; -errno.  -EAGAIN: the word
 * changed, try again. */
static int lock_pi_attempt(struct task *t, struct futex_bucket *b, struct futex_waiter *w,
                           struct uaddr addr, bool try_only) {
    uint32_t old, seen, tid = (uint32_t)t->tid;
    int err = user_load_u32(addr, &old);
    if (err != 0) {
        return err;
    }
    uint32_t owner = old & FUTEX_TID_MASK;
    if (owner == tid) {
        return -EDEADLK;
    }
    uint32_t waiters = futex_pi_waiter(b, &w->key, NULL) != NULL ? FUTEX_WAITERS : 0;
    bool take = owner == 0;
    if (!take && try_only) {
        return -EWOULDBLOCK;
    }
    uint32_t next = take ? tid | (old & FUTEX_OWNER_DIED) | waiters : old | FUTEX_WAITERS;
    err = user_cas_u32(addr, old, next, &seen);
    if (err != 0) {
        return err;
    }
    if (seen != old) {
        return -EINPROGRESS;
    }
    if (take) {
        return 0;
    }
    struct task *owner_task = task_find((int32_t)owner);
    if (owner_task == NULL) {
        return -ESRCH;
    }
    task_put(owner_task);
    return 1;
}

int64_t futex_lock_pi(struct task *t, struct uaddr addr, bool shared, uint64_t deadline_ns,
                      bool try_only) {
    struct futex_waiter w = {.task = t, .pi = true};
    struct futex_bucket *b;
    int err = futex_locate(addr, shared, &w.key, &b);
    if (err != 0) {
        return err;
    }
    mutex_lock(&b->lock);
    do {
        err = lock_pi_attempt(t, b, &w, addr, try_only);
    } while (err == -EINPROGRESS);
    if (err == 1) {
        futex_enqueue(b, &w);
    }
    mutex_unlock(&b->lock);
    if (err != 1) {
        return err;
    }
    do {
        err = task_block(deadline_ns, BLOCK_INTERRUPTIBLE);
    } while (err == 0 && atomic_load(&w.bucket) != NULL);
    if (!futex_unqueue(&w)) {
        return 0; /* the lock is ours: whoever woke us wrote our number into the word */
    }
    return err == -EINTR ? -ERESTARTNOINTR : err;
}

/* Hands the lock to the first waiter, or frees it; `flags` are kept in the word.  Bucket lock held.
 */
static int hand_over(struct futex_bucket *b, const struct futex_key *key, struct uaddr addr,
                     uint32_t old, uint32_t flags) {
    struct futex_waiter *w = futex_pi_waiter(b, key, NULL);
    uint32_t next = flags, seen;
    if (w != NULL) {
        next |= (uint32_t)w->task->tid | (futex_pi_waiter(b, key, w) != NULL ? FUTEX_WAITERS : 0);
    }
    int err = user_cas_u32(addr, old, next, &seen);
    if (err == 0 && seen != old) {
        err = -EINPROGRESS;
    }
    if (err == 0 && w != NULL) {
        futex_wake_waiter(w);
    }
    return err;
}

int64_t futex_unlock_pi(struct task *t, struct uaddr addr, bool shared) {
    struct futex_key key;
    struct futex_bucket *b;
    uint32_t old;
    int err = futex_locate(addr, shared, &key, &b);
    if (err != 0) {
        return err;
    }
    mutex_lock(&b->lock);
    do {
        err = user_load_u32(addr, &old);
        if (err == 0) {
            bool mine = (old & FUTEX_TID_MASK) == (uint32_t)t->tid;
            err = mine ? hand_over(b, &key, addr, old, 0) : -EPERM;
        }
    } while (err == -EINPROGRESS);
    mutex_unlock(&b->lock);
    return err;
}

void futex_pi_owner_died(struct task *t, struct uaddr addr, bool shared) {
    struct futex_key key;
    struct futex_bucket *b;
    uint32_t old;
    if (futex_locate(addr, shared, &key, &b) != 0) {
        return;
    }
    mutex_lock(&b->lock);
    int err;
    do {
        err = user_load_u32(addr, &old);
        if (err == 0 && (old & FUTEX_TID_MASK) == (uint32_t)t->tid) {
            err = hand_over(b, &key, addr, old, FUTEX_OWNER_DIED);
        }
    } while (err == -EINPROGRESS);
    mutex_unlock(&b->lock);
}
