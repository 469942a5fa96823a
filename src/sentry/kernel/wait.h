/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking and waking.
 *
 * A task sleeps with task_block, which returns at once when a wake token is pending, so that a
 * wake-up between looking at a condition and sleeping is never lost.  The pattern is always the
 * same:
 *
 *     struct waiter w;
 *     waiter_init_task(&w, current);
 *     waitq_add(q, &w);
 *     for (;;) {
 *         if (condition) { err = 0; break; }
 *         err = task_block(deadline, BLOCK_INTERRUPTIBLE);
 *         if (err != 0) { break; }
 *     }
 *     waitq_remove(&w);
 *
 * A waiter may instead carry its own callback (epoll, poll): it runs under the queue's lock and
 * must not block.
 */
#ifndef MOAT_SENTRY_WAIT_H
#define MOAT_SENTRY_WAIT_H

#include "base/list.h"
#include "base/rbtree.h"
#include "base/types.h"
#include "kernel/lock.h"

struct task;
struct waiter;

struct waitq {
    struct spinlock lock; /* RANK_WAITQ */
    struct list waiters;  /* guarded by lock */
};

/* True when somebody who sleeps was woken by it: that uses up a wake-up for one. */
typedef bool waiter_fn(struct waiter *w, uint32_t events);

struct waiter {
    struct list link;    /* guarded by queue->lock */
    struct waitq *queue; /* NULL while on none */
    struct task *task;   /* whom waiter_wake_task wakes */
    uint32_t mask;       /* POLL* events of interest; all by default */
    bool exclusive;      /* one of these is enough for an event */
    waiter_fn *fn;
    void *arg; /* for fn */
};

void waitq_init(struct waitq *q);
/* All events, wakes `task`. */
void waiter_init_task(struct waiter *w, struct task *task);
void waiter_init_fn(struct waiter *w, waiter_fn *fn, void *arg, uint32_t mask);
void waitq_add(struct waitq *q, struct waiter *w);
/* Safe when already removed.  After it returns fn does not run any more. */
void waitq_remove(struct waiter *w);
/* Calls the waiters whose mask meets `events`: all that are not exclusive, and of the exclusive
 * ones until one woke somebody; all of them when the queue ends (UINT32_MAX, or with POLLHUP or
 * POLLERR). */
void waitq_wake(struct waitq *q, uint32_t events);
bool waitq_empty(struct waitq *q);

enum block_mode {
    BLOCK_INTERRUPTIBLE,   /* any deliverable signal ends it */
    BLOCK_KILLABLE,        /* only a fatal signal does */
    BLOCK_UNINTERRUPTIBLE, /* nothing but a wake-up or the deadline; for short kernel-internal waits
                            */
};

#define NO_DEADLINE UINT64_MAX

/* Sleeps until task_wake (0), CLOCK_MONOTONIC >= deadline_ns (-ETIMEDOUT), or a signal (-EINTR; the
 * caller turns it into -ERESTARTSYS and the like).  Consumes the wake token.  No spinlock may be
 * held. */
must_check int task_block(uint64_t deadline_ns, enum block_mode mode);
/* Gives `task` its wake token and makes it runnable on this vCPU if it sleeps.  Any vCPU, under
 * spinlocks. */
void task_wake(struct task *task);
/* What a sender of a signal does after it made it pending and set TASK_F_SIGPENDING: ends an
 * interruptible sleep of `task` (with `fatal` a killable one too), or makes user code it runs trap.
 * Any vCPU, under spinlocks < RANK_TASK. */
void task_interrupt(struct task *task, bool fatal);
/* Lets other runnable tasks of this vCPU go first. */
void task_yield(void);
/* Waits with the pattern above until cond(arg) holds: 0, -EINTR, -ETIMEDOUT. */
must_check int waitq_wait(struct waitq *q, bool (*cond)(void *arg), void *arg, uint64_t deadline_ns,
                          enum block_mode mode);

/* ---- timers: one shot, callback on a vCPU, in the vCPU loop, must not block
 * -------------------------------- */

struct timer {
    struct rb_node node;  /* in the cpu's tree; guarded by the cpu's timer_lock, as the next two */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    bool armed;
    uint32_t cpu; /* atomic: whose tree it is or was in */
    void (*fn)(struct timer *t);
    void *arg;
};

void timer_init(struct timer *t, void (*fn)(struct timer *t), void *arg);
/* (Re)arms on this vCPU; needs no memory.  Also from the callback itself (periodic timers).  The
 * owner of the timer keeps two arms or an arm and a cancel of it from running at the same time. */
void timer_arm(struct timer *t, uint64_t deadline_ns);
/* True when armed and not yet fired; *out_deadline_ns (may be NULL) is when it will. */
bool timer_pending(struct timer *t, uint64_t *out_deadline_ns);
/* Disarms; when it returns the callback is not running and will not run (so: not from the callback
 * itself, and not under a lock that the callback takes). */
void timer_cancel(struct timer *t);

#endif
