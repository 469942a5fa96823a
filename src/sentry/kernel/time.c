/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks and sleeping: clock_gettime(2), clock_nanosleep(2), gettimeofday(2), time(2), times(2),
 * and the conversions declared in time.h.  The vDSO answers most clock reads before they come here.
 */
#include "kernel/time.h"

#include "base/atomic.h"
#include "kernel/cpu.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "kernel/wait.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>
#include <linux/time.h>

#define USER_HZ           100u
#define CLOCK_TICK_NS     (NSEC_PER_SEC / USER_HZ)
#define COARSE_RESOLUTION (4 * NSEC_PER_MSEC)

/* Encoding of CPU clocks of other tasks: ~id << 3 | thread << 2 | kind (clock_getcpuclockid(3)
 * makes them). */
#define CPUCLOCK_THREAD    4
#define CPUCLOCK_KIND_MASK 3
enum { CPUCLOCK_PROF = 0, CPUCLOCK_VIRT = 1, CPUCLOCK_SCHED = 2, CPUCLOCK_FD = 3 };

/* ---- conversions ---- */

int timespec_to_ns(const struct ktimespec *ts, uint64_t *out_ns) {
    if (ts->sec < 0 || ts->nsec < 0 || ts->nsec >= (int64_t)NSEC_PER_SEC) {
        return -EINVAL;
    }
    bool large = ts->sec >= (int64_t)(INT64_MAX / NSEC_PER_SEC);
    *out_ns = large ? INT64_MAX : (uint64_t)ts->sec * NSEC_PER_SEC + (uint64_t)ts->nsec;
    return 0;
}

int timeval_to_ns(const struct ktimeval *tv, uint64_t *out_ns) {
    if (tv->usec < 0 || tv->usec >= 1000000) {
        return -EINVAL;
    }
    struct ktimespec ts = {tv->sec, tv->usec * (int64_t)NSEC_PER_USEC};
    return timespec_to_ns(&ts, out_ns);
}

struct ktimespec ns_to_timespec(uint64_t ns) {
    return (struct ktimespec){(int64_t)(ns / NSEC_PER_SEC), (int64_t)(ns % NSEC_PER_SEC)};
}

struct ktimeval ns_to_timeval(uint64_t ns) {
    return (struct ktimeval){(int64_t)(ns / NSEC_PER_SEC),
                             (int64_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};
}

uint64_t deadline_after(uint64_t ns) {
    uint64_t deadline;
    return ckd_add(&deadline, clock_now_ns(), ns) ? NO_DEADLINE : deadline;
}

int copyin_timespec(struct uaddr src, uint64_t *out_ns) {
    struct ktimespec ts;
    int err = copyin(&ts, src, sizeof(ts));
    return err != 0 ? err : timespec_to_ns(&ts, out_ns);
}

int copyin_timeout(struct uaddr src, uint64_t *out_deadline_ns) {
    uint64_t ns;
    if (src.v == 0) {
        *out_deadline_ns = NO_DEADLINE;
        return 0;
    }
    int err = copyin_timespec(src, &ns);
    if (err == 0) {
        *out_deadline_ns = deadline_after(ns);
    }
    return err;
}

static int copyout_timespec(struct uaddr dst, uint64_t ns) {
    struct ktimespec ts = ns_to_timespec(ns);
    return copyout(dst, &ts, sizeof(ts));
}

/* ---- clocks ---- */

/* The context may be replaced by execve or destroyed at exit, under task->lock. */
static uint64_t user_time(struct task *t) {
    spin_lock(&t->lock);
    uint64_t ns = t->exec_user_ns;
    if (t->pthread != NULL) {
        ns += platform_thread_cpu_ns(t->pthread);
    }
    spin_unlock(&t->lock);
    return ns;
}

void task_cpu_times(struct task *t, uint64_t *out_user_ns, uint64_t *out_sys_ns) {
    *out_user_ns = user_time(t);
    *out_sys_ns = atomic_load_relaxed(&t->sys_ns);
}

void process_cpu_times(struct process *p, uint64_t *out_user_ns, uint64_t *out_sys_ns) {
    struct task *t;
    spin_lock(&p->sig_lock);
    uint64_t user_ns = p->dead_cpu_user_ns, sys_ns = p->dead_cpu_sys_ns;
    list_for_each_entry (t, &p->threads, thread_link) {
        user_ns += user_time(t);
        sys_ns += atomic_load_relaxed(&t->sys_ns);
    }
    spin_unlock(&p->sig_lock);
    *out_user_ns = user_ns;
    *out_sys_ns = sys_ns;
}

static uint64_t cpu_clock_value(int kind, uint64_t user_ns, uint64_t sys_ns) {
    return kind == CPUCLOCK_VIRT ? user_ns : user_ns + sys_ns;
}

/* CPU clock of any thread or process of the container. */
static int cpu_clock_read(int32_t clock, uint64_t *out_ns) {
    int32_t id = ~(clock >> 3);
    int kind = clock & CPUCLOCK_KIND_MASK;
    uint64_t user_ns, sys_ns;
    if (kind == CPUCLOCK_FD) {
        return -EINVAL;
    }
    struct task *t = id == 0 ? current : task_find(id);
    if (t == NULL) {
        return -EINVAL;
    }
    if ((clock & CPUCLOCK_THREAD) != 0) {
        task_cpu_times(t, &user_ns, &sys_ns);
    } else {
        process_cpu_times(t->process, &user_ns, &sys_ns);
    }
    if (id != 0) {
        task_put(t);
    }
    *out_ns = cpu_clock_value(kind, user_ns, sys_ns);
    return 0;
}

int clock_read(int32_t clock, uint64_t *out_ns) {
    uint64_t user_ns, sys_ns;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *out_ns = hal_clock_ns(HAL_CLOCK_REALTIME);
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
        *out_ns = hal_clock_ns(HAL_CLOCK_MONOTONIC);
        return 0;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *out_ns = hal_clock_ns(HAL_CLOCK_BOOTTIME);
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        process_cpu_times(current->process, &user_ns, &sys_ns);
        *out_ns = user_ns + sys_ns;
        return 0;
    case CLOCK_THREAD_CPUTIME_ID:
        task_cpu_times(current, &user_ns, &sys_ns);
        *out_ns = user_ns + sys_ns;
        return 0;
    default:
        return clock < 0 ? cpu_clock_read(clock, out_ns) : -EINVAL;
    }
}

int64_t sys_clock_gettime(struct task *t, const struct sysargs *args) {
    uint64_t ns;
    int err = clock_read((int32_t)args->a[0], &ns);
    return err != 0 ? err : copyout_timespec(uaddr_of(args->a[1]), ns);
}

int64_t sys_clock_getres(struct task *t, const struct sysargs *args) {
    uint64_t ns;
    int32_t clock = (int32_t)args->a[0];
    int err = clock_read(clock, &ns);
    if (err != 0 || args->a[1] == 0) {
        return err;
    }
    bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
    return copyout_timespec(uaddr_of(args->a[1]), coarse ? COARSE_RESOLUTION : 1);
}

int64_t sys_gettimeofday(struct task *t, const struct sysargs *args) {
    int err = 0;
    if (args->a[0] != 0) {
        struct ktimeval tv = ns_to_timeval(hal_clock_ns(HAL_CLOCK_REALTIME));
        err = copyout(uaddr_of(args->a[0]), &tv, sizeof(tv));
    }
    if (err == 0 && args->a[1] != 0) {
        int32_t zone[2] = {0, 0};
        err = copyout(uaddr_of(args->a[1]), zone, sizeof(zone));
    }
    return err;
}

int64_t sys_time(struct task *t, const struct sysargs *args) {
    int64_t now = (int64_t)(hal_clock_ns(HAL_CLOCK_REALTIME) / NSEC_PER_SEC);
    if (args->a[0] != 0 && copyout(uaddr_of(args->a[0]), &now, sizeof(now)) != 0) {
        return -EFAULT;
    }
    return now;
}

int64_t sys_times(struct task *t, const struct sysargs *args) {
    uint64_t tms[4]; /* user, system, and those of waited-for children, in clock ticks */
    if (args->a[0] != 0) {
        process_cpu_times(t->process, &tms[0], &tms[1]);
        tms[2] = t->process->child_cpu_user_ns;
        tms[3] = t->process->child_cpu_sys_ns;
        for (int i = 0; i < 4; i++) {
            tms[i] /= CLOCK_TICK_NS;
        }
        if (copyout(uaddr_of(args->a[0]), tms, sizeof(tms)) != 0) {
            return -EFAULT;
        }
    }
    return (int64_t)(hal_clock_ns(HAL_CLOCK_BOOTTIME) / CLOCK_TICK_NS);
}

/* ---- sleeping ---- */

/* Sleeps until the monotonic deadline: 0 or -EINTR. */
static int sleep_until(uint64_t deadline_ns) {
    int err;
    do {
        err = task_block(deadline_ns, BLOCK_INTERRUPTIBLE);
    } while (err == 0);
    return err == -ETIMEDOUT ? 0 : err;
}

/* A relative sleep that a signal may interrupt and restart_syscall(2) go on with. */
static int64_t sleep_relative(struct task *t, uint64_t deadline_ns, struct uaddr rem);

static int64_t sleep_restart(struct task *t) {
    return sleep_relative(t, t->restart.args[0], uaddr_of(t->restart.args[1]));
}

static int64_t sleep_relative(struct task *t, uint64_t deadline_ns, struct uaddr rem) {
    int err = sleep_until(deadline_ns);
    if (err == 0) {
        return 0;
    }
    uint64_t now = clock_now_ns();
    if (now >= deadline_ns) {
        return 0;
    }
    if (rem.v != 0 && copyout_timespec(rem, deadline_ns - now) != 0) {
        return -EFAULT;
    }
    t->restart = (struct restart_block){.fn = sleep_restart, .args = {deadline_ns, rem.v}};
    return -ERESTART_RESTARTBLOCK;
}

int64_t sys_nanosleep(struct task *t, const struct sysargs *args) {
    uint64_t ns;
    int err = copyin_timespec(uaddr_of(args->a[0]), &ns);
    return err != 0 ? err : sleep_relative(t, deadline_after(ns), uaddr_of(args->a[1]));
}

/* Sleeps on a CPU clock: it runs at most as fast as all vCPUs together, so look again after that
 * share. */
static int sleep_cpu_clock(int32_t clock, uint64_t until_ns) {
    for (;;) {
        uint64_t now;
        int err = clock_read(clock, &now);
        if (err != 0 || now >= until_ns) {
            return err;
        }
        uint64_t share = MAX((until_ns - now) / cpu_count(), NSEC_PER_MSEC);
        err = sleep_until(deadline_after(share));
        if (err != 0) {
            return err;
        }
    }
}

static bool is_cpu_clock(int32_t clock) {
    return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID;
}

int64_t sys_clock_nanosleep(struct task *t, const struct sysargs *args) {
    int32_t clock = (int32_t)args->a[0];
    bool absolute = (args->a[1] & TIMER_ABSTIME) != 0;
    uint64_t ns, now;
    int err = copyin_timespec(uaddr_of(args->a[2]), &ns);
    if (err != 0) {
        return err;
    }
    if (clock == CLOCK_THREAD_CPUTIME_ID || clock_read(clock, &now) != 0) {
        return -EINVAL;
    }
    if (is_cpu_clock(clock)) {
        err = sleep_cpu_clock(clock, absolute ? ns : now + ns);
        return err == -EINTR && absolute ? -ERESTARTNOHAND : err;
    }
    if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
        clock == CLOCK_MONOTONIC_COARSE) {
        return -EOPNOTSUPP;
    }
    if (!absolute) {
        return sleep_relative(t, deadline_after(ns), uaddr_of(args->a[3]));
    }
    err = ns > now ? sleep_until(deadline_after(ns - now)) : 0;
    return err == -EINTR ? -ERESTARTNOHAND : err;
}

int64_t sys_restart_syscall(struct task *t, const struct sysargs *args) {
    int64_t (*fn)(struct task * task) = t->restart.fn;
    t->restart.fn = NULL;
    return fn != NULL ? fn(t) : -EINTR;
}
