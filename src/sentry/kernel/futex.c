/* SPDX-License-Identifier: Apache-2.0 */
/*
 * futex(2): waiting on words of user memory.
 *
 * Waiters hang in hashed buckets, keyed by what the word is (mm.h) and not where it is mapped.  The
 * word is compared under the bucket's lock, so a waker that changed it before either is seen or
 * finds the waiter.
 */
#include "kernel/futex.h"

#include "base/hash.h"
#include "kernel/cpu.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "kernel/wait.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>
#include <linux/futex.h>

#define BUCKET_COUNT 256u /* a power of two */

static struct futex_bucket g_buckets[BUCKET_COUNT];

struct futex_args {
    struct uaddr addr, addr2;
    bool shared;
    uint32_t val, val2, val3;
    uint64_t deadline_ns;
};

void futex_init(void) {
    for (uint32_t i = 0; i < BUCKET_COUNT; i++) {
        mutex_init(&g_buckets[i].lock);
        list_init(&g_buckets[i].waiters);
    }
}

/* ---- keys and queues ---- */

bool futex_key_equal(const struct futex_key *a, const struct futex_key *b) {
    return a->a == b->a && a->b == b->b;
}

int futex_locate(struct uaddr addr, bool shared, struct futex_key *out_key,
                 struct futex_bucket **out_bucket) {
    if ((addr.v & 3) != 0) {
        return -EINVAL;
    }
    int err = mm_futex_key(addr, shared, out_key);
    if (err == 0) {
        uint64_t hash = hash_u64(out_key->a ^ hash_u64(out_key->b));
        *out_bucket = &g_buckets[hash & (BUCKET_COUNT - 1)];
    }
    return err;
}

void futex_enqueue(struct futex_bucket *b, struct futex_waiter *w) {
    atomic_store(&w->bucket, b);
    list_push_back(&b->waiters, &w->link);
}

void futex_wake_waiter(struct futex_waiter *w) {
    struct task *t = w->task;
    task_get(t); /* the waiter, and its task, may be gone once bucket is NULL */
    list_del_init(&w->link);
    atomic_store(&w->bucket, NULL);
    task_wake(t);
    task_put(t);
}

bool futex_unqueue(struct futex_waiter *w) {
    for (;;) {
        struct futex_bucket *b = atomic_load(&w->bucket);
        if (b == NULL) {
            return false;
        }
        mutex_lock(&b->lock);
        bool here = w->bucket == b; /* it may have been requeued meanwhile */
        if (here) {
            list_del_init(&w->link);
            atomic_store(&w->bucket, NULL);
        }
        mutex_unlock(&b->lock);
        if (here) {
            return true;
        }
    }
}

struct futex_waiter *futex_pi_waiter(struct futex_bucket *b, const struct futex_key *key,
                                     const struct futex_waiter *after) {
    struct futex_waiter *w;
    bool passed = after == NULL;
    list_for_each_entry (w, &b->waiters, link) {
        if (passed && w->pi && futex_key_equal(&w->key, key)) {
            return w;
        }
        passed = passed || w == after;
    }
    return NULL;
}

/* For operations that do not look at the word themselves: a shared one must be there all the same,
 * a private one need not. */
static int locate_unread(struct uaddr addr, bool shared, struct futex_key *out_key,
                         struct futex_bucket **out_bucket) {
    uint32_t seen;
    int err = futex_locate(addr, shared, out_key, out_bucket);
    return err == 0 && shared ? user_load_u32(addr, &seen) : err;
}

/* Ascending address; the same bucket only once. */
static void lock_two(struct futex_bucket *a, struct futex_bucket *b) {
    mutex_lock(MIN(&a->lock, &b->lock));
    if (a != b) {
        mutex_lock(MAX(&a->lock, &b->lock));
    }
}

static void unlock_two(struct futex_bucket *a, struct futex_bucket *b) {
    mutex_unlock(&a->lock);
    if (a != b) {
        mutex_unlock(&b->lock);
    }
}

/* Wakes up to `count` waiters (at least one) whose bitset meets `bitset`; bucket lock held. */
static int64_t wake_locked(struct futex_bucket *b, const struct futex_key *key, uint32_t count,
                           uint32_t bitset) {
    struct futex_waiter *w, *next;
    int64_t woken = 0;
    list_for_each_entry_safe (w, next, &b->waiters, link) {
        if (w->pi || (w->bitset & bitset) == 0 || !futex_key_equal(&w->key, key)) {
            continue;
        }
        futex_wake_waiter(w);
        if (++woken >= (int64_t)count) {
            break;
        }
    }
    return woken;
}

/* ---- operations ---- */

static int64_t futex_wait(struct task *t, const struct futex_args *a,
                          int64_t (*restart)(struct task *)) {
    struct futex_waiter w = {.task = t, .bitset = a->val3};
    struct futex_bucket *b;
    uint32_t seen = 0;
    if (a->val3 == 0) {
        return -EINVAL;
    }
    int err = futex_locate(a->addr, a->shared, &w.key, &b);
    if (err != 0) {
        return err;
    }
    mutex_lock(&b->lock);
    err = user_load_u32(a->addr, &seen);
    if (err == 0 && seen != a->val) {
        err = -EAGAIN;
    }
    if (err != 0) {
        mutex_unlock(&b->lock);
        return err;
    }
    futex_enqueue(b, &w);
    mutex_unlock(&b->lock);
    do {
        err = task_block(a->deadline_ns, BLOCK_INTERRUPTIBLE);
    } while (err == 0 && atomic_load(&w.bucket) != NULL);
    if (!futex_unqueue(&w)) {
        return 0;
    }
    if (err != -EINTR) {
        return err;
    }
    if (a->deadline_ns == NO_DEADLINE || restart == NULL) {
        return -ERESTARTSYS;
    }
    t->restart = (struct restart_block){.fn = restart,
                                        .args = {a->addr.v, a->shared, a->val, a->deadline_ns}};
    return -ERESTART_RESTARTBLOCK;
}

/* FUTEX_WAIT has a relative timeout: a restarted one keeps the deadline. */
static int64_t futex_wait_restart(struct task *t) {
    struct futex_args a = {
        .addr = uaddr_of(t->restart.args[0]),
        .shared = t->restart.args[1] != 0,
        .val = (uint32_t)t->restart.args[2],
        .val3 = FUTEX_BITSET_MATCH_ANY,
        .deadline_ns = t->restart.args[3],
    };
    return futex_wait(t, &a, futex_wait_restart);
}

static int64_t futex_wake(const struct futex_args *a, uint32_t bitset) {
    struct futex_key key;
    struct futex_bucket *b;
    if (bitset == 0) {
        return -EINVAL;
    }
    int err = locate_unread(a->addr, a->shared, &key, &b);
    if (err != 0) {
        return err;
    }
    mutex_lock(&b->lock);
    int64_t woken = wake_locked(b, &key, a->val, bitset);
    mutex_unlock(&b->lock);
    return woken;
}

int64_t futex_wake_user(struct uaddr addr, uint32_t count, bool shared) {
    struct futex_args a = {.addr = addr, .shared = shared, .val = count};
    return futex_wake(&a, FUTEX_BITSET_MATCH_ANY);
}

/* Wakes a->val waiters and moves up to a->val2 more to the second word's queue; both locks held. */
static int64_t requeue_locked(const struct futex_args *a, struct futex_bucket *from,
                              const struct futex_key *key, struct futex_bucket *to,
                              const struct futex_key *key2) {
    struct futex_waiter *w, *next;
    int64_t woken = 0, moved = 0;
    struct list taken;
    list_init(&taken);
    list_for_each_entry_safe (w, next, &from->waiters, link) {
        if (w->pi || !futex_key_equal(&w->key, key)) {
            continue;
        }
        if (woken < (int32_t)a->val) {
            futex_wake_waiter(w);
            woken++;
        } else if (moved < (int32_t)a->val2) {
            list_del_init(&w->link);
            list_push_back(&taken, &w->link);
            moved++;
        } else {
            break;
        }
    }
    list_for_each_entry_safe (w, next, &taken, link) {
        list_del_init(&w->link);
        w->key = *key2;
        futex_enqueue(to, w);
    }
    return woken + moved;
}

static int64_t futex_requeue(const struct futex_args *a, bool compare) {
    struct futex_key key, key2;
    struct futex_bucket *b, *b2;
    uint32_t seen = 0;
    if ((int32_t)a->val < 0 || (int32_t)a->val2 < 0) {
        return -EINVAL;
    }
    int64_t ret = compare ? futex_locate(a->addr, a->shared, &key, &b)
                          : locate_unread(a->addr, a->shared, &key, &b);
    if (ret == 0) {
        ret = locate_unread(a->addr2, a->shared, &key2, &b2);
    }
    if (ret != 0) {
        return ret;
    }
    lock_two(b, b2);
    if (compare) {
        ret = user_load_u32(a->addr, &seen);
        if (ret == 0 && seen != a->val3) {
            ret = -EAGAIN;
        }
    }
    if (ret == 0) {
        ret = requeue_locked(a, b, &key, b2, &key2);
    }
    unlock_two(b, b2);
    return ret;
}

static int32_t sign_extend12(uint32_t v) {
    return (int32_t)(v << 20) >> 20;
}

/* The operation encoded in FUTEX_WAKE_OP's val3 (futex(2)): changes *addr2, tells whether its old
 * value met the test. */
static int wake_op_apply(struct uaddr addr2, uint32_t code, bool *out_met) {
    uint32_t op = (code >> 28) & 7, cmp = (code >> 24) & 15;
    int32_t op_arg = sign_extend12((code >> 12) & 0xfff), cmp_arg = sign_extend12(code & 0xfff);
    uint32_t old, seen;
    if ((code >> 31) != 0) { /* FUTEX_OP_OPARG_SHIFT */
        op_arg = (int32_t)(1u << (op_arg & 31));
    }
    int err = user_load_u32(addr2, &old);
    while (err == 0) {
        uint32_t arg = (uint32_t)op_arg;
        uint32_t values[] = {arg, old + arg, old | arg, old & ~arg, old ^ arg};
        if (op >= ARRAY_COUNT(values)) {
            return -ENOSYS;
        }
        err = user_cas_u32(addr2, old, values[op], &seen);
        if (err == 0 && seen == old) {
            break;
        }
        old = seen;
    }
    if (err != 0) {
        return err;
    }
    int32_t v = (int32_t)old;
    bool tests[] = {v == cmp_arg, v != cmp_arg, v<cmp_arg, v <= cmp_arg, v> cmp_arg, v >= cmp_arg};
    if (cmp >= ARRAY_COUNT(tests)) {
        return -ENOSYS;
    }
    *out_met = tests[cmp];
    return 0;
}

static int64_t futex_wake_op(const struct futex_args *a) {
    struct futex_key key, key2;
    struct futex_bucket *b, *b2;
    bool met = false;
    int64_t ret = locate_unread(a->addr, a->shared, &key, &b);
    if (ret == 0) {
        ret = futex_locate(a->addr2, a->shared, &key2, &b2);
    }
    if (ret != 0) {
        return ret;
    }
    lock_two(b, b2);
    ret = wake_op_apply(a->addr2, a->val3, &met);
    if (ret == 0) {
        ret = wake_locked(b, &key, a->val, FUTEX_BITSET_MATCH_ANY);
        if (met) {
            ret += wake_locked(b2, &key2, a->val2, FUTEX_BITSET_MATCH_ANY);
        }
    }
    unlock_two(b, b2);
    return ret;
}

/* ---- the system call ---- */

/* The fourth argument as a deadline, for the commands that have one. */
static int read_timeout(uint64_t arg, int cmd, bool realtime, uint64_t *out_deadline_ns) {
    uint64_t ns, now = 0;
    *out_deadline_ns = NO_DEADLINE;
    if (arg == 0) {
        return 0;
    }
    int err = copyin_timespec(uaddr_of(arg), &ns);
    if (err != 0) {
        return err;
    }
    if (cmd != FUTEX_WAIT) { /* absolute */
        now = hal_clock_ns(realtime ? HAL_CLOCK_REALTIME : HAL_CLOCK_MONOTONIC);
    }
    *out_deadline_ns = ns > now ? deadline_after(ns - now) : 0;
    return 0;
}

static bool has_timeout(int cmd) {
    return cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_LOCK_PI ||
           cmd == FUTEX_LOCK_PI2;
}

int64_t sys_futex(struct task *t, const struct sysargs *args) {
    uint32_t op = (uint32_t)args->a[1];
    int cmd = (int)(op & (uint32_t)FUTEX_CMD_MASK);
    bool realtime = (op & FUTEX_CLOCK_REALTIME) != 0 || cmd == FUTEX_LOCK_PI;
    struct futex_args a = {
        .addr = uaddr_of(args->a[0]),
        .addr2 = uaddr_of(args->a[4]),
        .shared = (op & FUTEX_PRIVATE_FLAG) == 0,
        .val = (uint32_t)args->a[2],
        .val2 = (uint32_t)args->a[3],
        .val3 = (uint32_t)args->a[5],
        .deadline_ns = NO_DEADLINE,
    };
    if (has_timeout(cmd)) {
        int err = read_timeout(args->a[3], cmd, realtime, &a.deadline_ns);
        if (err != 0) {
            return err;
        }
    } else if ((op & FUTEX_CLOCK_REALTIME) != 0) {
        return -ENOSYS;
    }
    switch (cmd) {
    case FUTEX_WAIT:
        a.val3 = FUTEX_BITSET_MATCH_ANY;
        return futex_wait(t, &a, futex_wait_restart);
    case FUTEX_WAIT_BITSET:
        return futex_wait(t, &a, NULL);
    case FUTEX_WAKE:
        return futex_wake(&a, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return futex_wake(&a, a.val3);
    case FUTEX_REQUEUE:
        return futex_requeue(&a, false);
    case FUTEX_CMP_REQUEUE:
        return futex_requeue(&a, true);
    case FUTEX_WAKE_OP:
        return futex_wake_op(&a);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi(t, a.addr, a.shared, a.deadline_ns, false);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(t, a.addr, a.shared, NO_DEADLINE, true);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(t, a.addr, a.shared);
    default:
        return -ENOSYS;
    }
}
