/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Periodic timers on any clock: what interval timers, POSIX timers and timerfd are made of.
 *
 * A wall clock's timer rides on a struct timer.  A CPU clock is not watched tick by tick: it can
 * advance at most as fast as all vCPUs together, so the timer looks again after that share of what
 * is missing.
 *
 * Locks: `set_lock` (sleeping) keeps two settings apart; `lock` (RANK_FILE) guards expiry and
 * interval against the callback.
 */
#ifndef MOAT_SENTRY_CLOCK_TIMER_H
#define MOAT_SENTRY_CLOCK_TIMER_H

#include "base/types.h"
#include "kernel/lock.h"
#include "kernel/wait.h"

struct process;
struct task;

enum clock_kind {
    CLOCK_KIND_REALTIME,
    CLOCK_KIND_MONOTONIC,
    CLOCK_KIND_BOOTTIME,
    CLOCK_KIND_PROCESS_CPU,  /* user and system time of `process` */
    CLOCK_KIND_PROCESS_USER, /* its user time alone */
    CLOCK_KIND_THREAD_CPU,   /* of `task` */
};

struct clock_timer {
    struct mutex set_lock;
    struct spinlock lock;
    uint64_t expiry_ns;      /* on the timer's clock, 0: not armed; guarded by lock */
    uint64_t interval_ns;    /* 0: one shot; guarded by lock */
    enum clock_kind kind;    /* constant, as the rest */
    struct process *process; /* not referenced: the owner ends the timer first */
    struct task *task;       /* likewise */
    /* `count` expirations since the last call.  In the vCPU loop, no lock held; must not block. */
    void (*fire)(struct clock_timer *ct, uint64_t count);
    struct timer timer;
};

struct clock_setting {
    uint64_t value_ns; /* until (or, for get, left until) the next expiration; 0: not armed */
    uint64_t interval_ns;
};

void clock_timer_init(struct clock_timer *ct, enum clock_kind kind,
                      void (*fire)(struct clock_timer *ct, uint64_t count));
/* Arms or disarms; `absolute`: value_ns is a time on the clock.  *out_old (may be NULL) is what was
 * set.  May sleep. */
void clock_timer_set(struct clock_timer *ct, const struct clock_setting *setting, bool absolute,
                     struct clock_setting *out_old);
void clock_timer_get(struct clock_timer *ct, struct clock_setting *out);
/* Disarms for good: the callback does not run any more.  Does not sleep long; no lock that `fire`
 * takes may be held. */
void clock_timer_stop(struct clock_timer *ct);

/* struct itimerspec of user space: 0, -EFAULT, -EINVAL. */
must_check int copyin_itimerspec(struct uaddr src, struct clock_setting *out);
must_check int copyout_itimerspec(struct uaddr dst, const struct clock_setting *setting);

#endif
