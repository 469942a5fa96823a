/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time as the kernel's layers share it: conversions of user space's structures, and what a dying
 * task or process has to let go of in kernel/{futex,itimer,posix_timer}.c.
 */
#ifndef MOAT_SENTRY_TIME_H
#define MOAT_SENTRY_TIME_H

#include "base/types.h"
#include "hal.h"

struct task;
struct process;

struct ktimespec { /* struct __kernel_timespec */
    int64_t sec;
    int64_t nsec;
};

struct ktimeval { /* struct timeval of x86-64 */
    int64_t sec;
    int64_t usec;
};

/* Now, CLOCK_MONOTONIC. */
static inline uint64_t clock_now_ns(void) {
    return hal_clock_ns(HAL_CLOCK_MONOTONIC);
}

/* Nanoseconds of a relative or absolute time, saturating at INT64_MAX; -EINVAL when it is not a
 * valid one. */
must_check int timespec_to_ns(const struct ktimespec *ts, uint64_t *out_ns);
must_check int timeval_to_ns(const struct ktimeval *tv, uint64_t *out_ns);
struct ktimespec ns_to_timespec(uint64_t ns);
struct ktimeval ns_to_timeval(uint64_t ns);
/* Copies in a user timespec: 0, -EFAULT, -EINVAL. */
must_check int copyin_timespec(struct uaddr src, uint64_t *out_ns);
/* As above, made into a monotonic deadline from now: the timeouts of poll, select, futex and the
 * like.  A NULL address is NO_DEADLINE. */
must_check int copyin_timeout(struct uaddr src, uint64_t *out_deadline_ns);
/* now + ns without wrapping round. */
uint64_t deadline_after(uint64_t ns);

/* Reads a clock by its CLOCK_* number for current: 0 or -EINVAL. */
must_check int clock_read(int32_t clock, uint64_t *out_ns);
/* CPU time of a task (takes task->lock), of a process with all its threads (takes sig_lock), in
 * nanoseconds. */
void task_cpu_times(struct task *t, uint64_t *out_user_ns, uint64_t *out_sys_ns);
void process_cpu_times(struct process *p, uint64_t *out_user_ns, uint64_t *out_sys_ns);

void futex_init(void);
/* A task is going: wakes the waiters of its robust list (bounded walk) and of clear_child_tid.  In
 * the task itself, while its mm is still there; execve calls it too, when the old mm goes. */
void futex_exit(struct task *t);
/* Wakes up to `count` waiters on a word of current's memory. */
int64_t futex_wake_user(struct uaddr addr, uint32_t count, bool shared);
/* A new process: prepares p->itimer_real and the like (all off). */
void process_timers_init(struct process *p);
/* execve: POSIX timers go, interval timers stay. */
void process_timers_exec(struct process *p);
/* The last thread is going: all timers off and freed. */
void process_timers_exit(struct process *p);
/* After RLIMIT_CPU was set or inherited.  May sleep. */
void process_cpu_limit_apply(struct process *p);

#endif
