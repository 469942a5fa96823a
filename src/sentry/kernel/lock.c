/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spinlocks, mutexes, read-write mutexes: see lock.h.
 *
 * A spinlock is a three-state word (free, held, held with sleepers), as in U. Drepper, "Futexes are
 * tricky": spinning is bounded because the host may have taken the CPU from the holder; then the
 * vCPU's thread parks. Lock order inside: mutex guard > task->lock.
 */
#include "kernel/lock.h"

#include "arch/x86_64/arch.h"
#include "base/atomic.h"
#include "hal.h"
#include "kernel/cpu.h"
#include "kernel/log.h"
#include "kernel/task.h"
#include "kernel/wait.h"

#define SPIN_BUDGET       400
#define MUTEX_SPIN_BUDGET 60
#define MUTEX_PATIENCE    4 /* failed attempts after which the lock is handed over */

enum { SPIN_FREE = 0, SPIN_HELD = 1, SPIN_PARKED = 2 };

#define MUTEX_WAITERS ((uintptr_t)1)
/* Owner while there is no task yet (initialisers at boot, one thread). */
#define MUTEX_BOOT ((uintptr_t)2)

#define RW_WRITER  (1u << 31)
#define RW_WAITERS (1u << 30)
#define RW_READERS (RW_WAITERS - 1)

struct lock_waiter {
    struct list link; /* guarded by the lock's guard */
    struct task *task;
    bool exclusive;   /* rwmutex: wants to write */
    uint32_t granted; /* atomic: the lock is the waiter's */
    bool hand_over;   /* mutex: the next unlock gives it to this waiter */
};

/* ---- rank checks ---- */

#ifdef MOAT_DEBUG_LOCKS
static void rank_acquire(const struct spinlock *lock, bool nested) {
    struct cpu *c = this_cpu();
    kassert(c->held_count < sizeof(c->held_ranks));
    for (uint32_t i = 0; i < c->held_count; i++) {
        uint8_t held = c->held_ranks[i];
        if (held > lock->rank || (held == lock->rank && !nested)) {
            panic("lock rank %u taken while %u is held", lock->rank, held);
        }
    }
    c->held_ranks[c->held_count++] = lock->rank;
}

static void rank_release(const struct spinlock *lock) {
    struct cpu *c = this_cpu();
    for (uint32_t i = c->held_count; i > 0; i--) {
        if (c->held_ranks[i - 1] == lock->rank) {
            c->held_count--;
            for (uint32_t k = i - 1; k < c->held_count; k++) {
                c->held_ranks[k] = c->held_ranks[k + 1];
            }
            return;
        }
    }
    panic("lock of rank %u released but not held", lock->rank);
}

void assert_no_spinlocks(void) {
    struct cpu *c = this_cpu();
    if (c->held_count != 0) {
        panic("lock of rank %u held where the task may sleep", c->held_ranks[0]);
    }
}
#else
static inline void rank_acquire(const struct spinlock *lock, bool nested) {
    (void)lock;
    (void)nested;
}

static inline void rank_release(const struct spinlock *lock) {
    (void)lock;
}

void assert_no_spinlocks(void) {
}
#endif

/* ---- spinlock ---- */

void spin_init(struct spinlock *lock, enum lock_rank rank) {
    *lock = (struct spinlock)SPINLOCK_INIT((uint8_t)rank);
}

static __attribute__((noinline)) void spin_lock_slow(struct spinlock *lock) {
    for (int i = 0; i < SPIN_BUDGET; i++) {
        uint32_t seen = atomic_load_relaxed(&lock->word);
        if (seen == SPIN_FREE && atomic_cas(&lock->word, &seen, SPIN_HELD)) {
            return;
        }
        if (seen == SPIN_PARKED) {
            break;
        }
        arch_pause();
    }
    while (atomic_exchange(&lock->word, SPIN_PARKED) != SPIN_FREE) {
        hal_park(&lock->word, SPIN_PARKED);
    }
}

static inline void spin_acquire(struct spinlock *lock) {
    uint32_t expected = SPIN_FREE;
    if (unlikely(!atomic_cas(&lock->word, &expected, SPIN_HELD))) {
        spin_lock_slow(lock);
    }
}

void spin_lock(struct spinlock *lock) {
    rank_acquire(lock, false);
    spin_acquire(lock);
}

void spin_lock_nested(struct spinlock *lock) {
    rank_acquire(lock, true);
    spin_acquire(lock);
}

void spin_unlock(struct spinlock *lock) {
    rank_release(lock);
    if (unlikely(atomic_exchange(&lock->word, SPIN_FREE) == SPIN_PARKED)) {
        hal_unpark(&lock->word, 1);
    }
}

/* ---- sleeping locks: common part ---- */

static void waiter_sleep(void) {
    kassert(current != NULL);
    int err = task_block(NO_DEADLINE, BLOCK_UNINTERRUPTIBLE);
    (void)err; /* only a wake-up ends it */
}

/* The lock is ours.  Whoever granted it may still be in its guarded section with our waiter in
 * hand: wait for its end. And the wake token may have been meant for the condition that the caller
 * waits for around this lock: give it back, the caller then looks once more. */
static void waiter_granted(struct spinlock *guard) {
    spin_lock(guard);
    spin_unlock(guard);
    task_wake(current);
}

/* ---- mutex ---- */

static uintptr_t mutex_me(void) {
    struct task *t = current;
    return t != NULL ? (uintptr_t)t : MUTEX_BOOT;
}

void mutex_init(struct mutex *m) {
    m->owner = 0;
    spin_init(&m->guard, RANK_MUTEX);
    list_init(&m->waiters);
}

bool mutex_trylock(struct mutex *m) {
    uintptr_t expected = 0;
    return atomic_cas(&m->owner, &expected, mutex_me());
}

/* Takes the lock if it is free, else leaves the waiters bit set.  Guard held. */
static bool mutex_take_or_mark(struct mutex *m, struct lock_waiter *self) {
    uintptr_t seen = atomic_load(&m->owner);
    for (;;) {
        if ((seen & ~MUTEX_WAITERS) == 0) {
            bool others = m->waiters.next != &self->link || m->waiters.prev != &self->link;
            uintptr_t mine = mutex_me() | (others ? MUTEX_WAITERS : 0);
            if (atomic_cas(&m->owner, &seen, mine)) {
                return true;
            }
        } else if ((seen & MUTEX_WAITERS) != 0 ||
                   atomic_cas(&m->owner, &seen, seen | MUTEX_WAITERS)) {
            return false;
        }
    }
}

static void mutex_lock_slow(struct mutex *m) {
    struct lock_waiter w = {.task = current};
    for (int i = 0; i < MUTEX_SPIN_BUDGET; i++) {
        if (atomic_load_relaxed(&m->owner) == 0 && mutex_trylock(m)) {
            return;
        }
        arch_pause();
    }
    assert_no_spinlocks();
    kassert(w.task != NULL);
    spin_lock(&m->guard);
    list_push_back(&m->waiters, &w.link);
    int attempt = 0;
    for (; !mutex_take_or_mark(m, &w); attempt++) {
        w.hand_over = attempt >= MUTEX_PATIENCE;
        spin_unlock(&m->guard);
        waiter_sleep();
        if (atomic_load(&w.granted) != 0) {
            waiter_granted(&m->guard);
            return;
        }
        spin_lock(&m->guard);
    }
    list_del_init(&w.link);
    spin_unlock(&m->guard);
    if (attempt > 0) {
        /* As in waiter_granted; but one who never slept took no token, and given one he would go
         * round his loop for ever while the waiter that he woke never comes to run on this vCPU. */
        task_wake(current);
    }
}

void mutex_lock(struct mutex *m) {
    uintptr_t expected = 0;
    if (unlikely(!atomic_cas(&m->owner, &expected, mutex_me()))) {
        mutex_lock_slow(m);
    }
}

static void mutex_unlock_slow(struct mutex *m) {
    spin_lock(&m->guard);
    if (list_empty(&m->waiters)) {
        atomic_store(&m->owner, 0);
        spin_unlock(&m->guard);
        return;
    }
    struct lock_waiter *w = list_first(&m->waiters, struct lock_waiter, link);
    struct task *t = w->task;
    if (w->hand_over) {
        list_del_init(&w->link);
        uintptr_t more = list_empty(&m->waiters) ? 0 : MUTEX_WAITERS;
        atomic_store(&m->owner, (uintptr_t)t | more);
        atomic_store(&w->granted, 1);
    } else {
        atomic_store(&m->owner, MUTEX_WAITERS);
    }
    task_wake(t);
    spin_unlock(&m->guard);
}

void mutex_unlock(struct mutex *m) {
    uintptr_t expected = mutex_me();
    if (unlikely(!atomic_cas(&m->owner, &expected, 0))) {
        kassert((expected & ~MUTEX_WAITERS) == mutex_me());
        mutex_unlock_slow(m);
    }
}

/* ---- rwmutex ---- */

void rw_init(struct rwmutex *m) {
    m->state = 0;
    spin_init(&m->guard, RANK_MUTEX);
    list_init(&m->waiters);
}

/* One attempt without waiting; `ignore_waiters` for whoever was granted its turn. */
static bool rw_try(struct rwmutex *m, bool exclusive, bool ignore_waiters) {
    uint32_t seen = atomic_load(&m->state);
    for (;;) {
        uint32_t busy = exclusive ? RW_WRITER | RW_READERS : RW_WRITER;
        if ((seen & busy) != 0 || ((seen & RW_WAITERS) != 0 && !ignore_waiters)) {
            return false;
        }
        uint32_t next = exclusive ? seen | RW_WRITER : seen + 1;
        if (atomic_cas(&m->state, &seen, next)) {
            return true;
        }
    }
}

/* Gives the lock to the waiters at the head whose turn has come: one writer or a run of readers.
 * Guard held. */
static void rw_grant(struct rwmutex *m) {
    while (!list_empty(&m->waiters)) {
        struct lock_waiter *w = list_first(&m->waiters, struct lock_waiter, link);
        if (!rw_try(m, w->exclusive, true)) {
            return;
        }
        struct task *t = w->task;
        list_del_init(&w->link);
        atomic_store(&w->granted, 1);
        task_wake(t); /* it cannot end before the guard is free: waiter_granted */
    }
    (void)atomic_fetch_and(&m->state, ~RW_WAITERS); /* the old state is of no use */
}

static void rw_lock_slow(struct rwmutex *m, bool exclusive) {
    struct lock_waiter w = {.task = current, .exclusive = exclusive};
    for (int i = 0; i < MUTEX_SPIN_BUDGET; i++) {
        if (rw_try(m, exclusive, false)) {
            return;
        }
        arch_pause();
    }
    assert_no_spinlocks();
    kassert(w.task != NULL);
    spin_lock(&m->guard);
    list_push_back(&m->waiters, &w.link);
    (void)atomic_fetch_or(&m->state, RW_WAITERS); /* from here on releases look at the list */
    rw_grant(m);
    spin_unlock(&m->guard);
    while (atomic_load(&w.granted) == 0) {
        waiter_sleep();
    }
    waiter_granted(&m->guard);
}

void rw_read_lock(struct rwmutex *m) {
    if (unlikely(!rw_try(m, false, false))) {
        rw_lock_slow(m, false);
    }
}

void rw_write_lock(struct rwmutex *m) {
    uint32_t expected = 0;
    if (unlikely(!atomic_cas(&m->state, &expected, RW_WRITER))) {
        rw_lock_slow(m, true);
    }
}

static void rw_release_slow(struct rwmutex *m, uint32_t what) {
    spin_lock(&m->guard);
    (void)atomic_fetch_sub(&m->state, what); /* the old state is of no use */
    rw_grant(m);
    spin_unlock(&m->guard);
}

void rw_read_unlock(struct rwmutex *m) {
    uint32_t seen = atomic_load(&m->state);
    do {
        kassert((seen & RW_READERS) != 0);
        if ((seen & RW_WAITERS) != 0) {
            rw_release_slow(m, 1);
            return;
        }
    } while (!atomic_cas(&m->state, &seen, seen - 1));
}

void rw_write_unlock(struct rwmutex *m) {
    uint32_t expected = RW_WRITER;
    if (unlikely(!atomic_cas(&m->state, &expected, 0))) {
        kassert((expected & RW_WRITER) != 0);
        rw_release_slow(m, RW_WRITER);
    }
}
