/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interval timers (setitimer(2), getitimer(2), alarm(2)) and the life of a process's timers.
 * Lock: g_create_lock (sleeping) keeps two threads from making the timers of one process twice, and
 * one who sets a limit for another process from its end.
 */
#include "kernel/process_timers.h"

#include "base/atomic.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>
#include <asm-generic/resource.h>
#include <asm/signal.h>
#include <linux/time.h>

static struct mutex g_create_lock = {.guard = SPINLOCK_INIT(RANK_MUTEX),
                                     .waiters = {&g_create_lock.waiters, &g_create_lock.waiters}};

static void fire_signal(struct clock_timer *ct, int signo) {
    (void)signal_send_process(ct->process, signo,
                              NULL); /* classic signals need no memory that could lack */
}

static void fire_real(struct clock_timer *ct, uint64_t count) {
    (void)count;
    fire_signal(ct, SIGALRM);
}

static void fire_virtual(struct clock_timer *ct, uint64_t count) {
    (void)count;
    fire_signal(ct, SIGVTALRM);
}

static void fire_prof(struct clock_timer *ct, uint64_t count) {
    (void)count;
    fire_signal(ct, SIGPROF);
}

/* setrlimit(2): SIGXCPU at the soft limit and each second after it, SIGKILL at the hard one. */
static void fire_cpu_limit(struct clock_timer *ct, uint64_t count) {
    uint64_t user_ns, sys_ns;
    (void)count;
    process_cpu_times(ct->process, &user_ns, &sys_ns);
    uint64_t hard = atomic_load_relaxed(&ct->process->rlimits[RLIMIT_CPU].max);
    fire_signal(ct, (user_ns + sys_ns) / NSEC_PER_SEC >= hard ? SIGKILL : SIGXCPU);
}

static struct posix_timers *timers_create(struct process *p) {
    struct posix_timers *pt = kzalloc(sizeof(*pt));
    if (pt == NULL) {
        return NULL;
    }
    clock_timer_init(&pt->interval[ITIMER_REAL], CLOCK_KIND_MONOTONIC, fire_real);
    clock_timer_init(&pt->interval[ITIMER_VIRTUAL], CLOCK_KIND_PROCESS_USER, fire_virtual);
    clock_timer_init(&pt->interval[ITIMER_PROF], CLOCK_KIND_PROCESS_CPU, fire_prof);
    clock_timer_init(&pt->cpu_limit, CLOCK_KIND_PROCESS_CPU, fire_cpu_limit);
    pt->cpu_limit.process = p;
    for (int i = 0; i < 3; i++) {
        pt->interval[i].process = p;
    }
    mutex_init(&pt->lock);
    return pt;
}

/* g_create_lock held. */
static struct posix_timers *timers_locked(struct process *p) {
    if (p->posix_timers == NULL && !atomic_load(&p->timers_gone)) {
        atomic_store(&p->posix_timers, timers_create(p));
    }
    return p->posix_timers;
}

struct posix_timers *process_timers_get(struct process *p, bool create) {
    struct posix_timers *pt = atomic_load(&p->posix_timers);
    if (pt != NULL || !create) {
        return pt;
    }
    mutex_lock(&g_create_lock);
    pt = timers_locked(p);
    mutex_unlock(&g_create_lock);
    return pt;
}

void process_cpu_limit_apply(struct process *p) {
    spin_lock(&p->sig_lock);
    uint64_t soft = p->rlimits[RLIMIT_CPU].cur;
    spin_unlock(&p->sig_lock);
    bool limited = soft < UINT64_MAX / NSEC_PER_SEC;
    const struct clock_setting setting = {limited ? MAX(soft, 1u) * NSEC_PER_SEC : 0,
                                          limited ? NSEC_PER_SEC : 0};
    if (!limited && atomic_load(&p->posix_timers) == NULL) {
        return;
    }
    /* Counted before timers_gone is looked at, and the end looks the other way round: no lock for
     * the many processes that end without timers. */
    (void)atomic_fetch_add(&p->limit_setters, 1u);
    if (!atomic_load(&p->timers_gone)) {
        mutex_lock(&g_create_lock);
        struct posix_timers *pt = timers_locked(p);
        if (pt != NULL) { /* without memory, or at its end, it goes without */
            clock_timer_set(&pt->cpu_limit, &setting, true, NULL);
        }
        mutex_unlock(&g_create_lock);
    }
    (void)atomic_fetch_sub(&p->limit_setters, 1u);
}

void process_timers_init(struct process *p) {
    p->posix_timers = NULL;
    p->timers_gone = false;
    p->limit_setters = 0;
}

void process_timers_exec(struct process *p) {
    struct posix_timers *pt = p->posix_timers;
    if (pt != NULL) {
        posix_timers_clear(pt);
    }
}

void process_timers_exit(struct process *p) {
    atomic_store(&p->timers_gone, true);
    if (atomic_load(&p->posix_timers) == NULL && atomic_load(&p->limit_setters) == 0) {
        return;
    }
    mutex_lock(&g_create_lock);
    struct posix_timers *pt = p->posix_timers;
    atomic_store(&p->posix_timers, NULL);
    mutex_unlock(&g_create_lock);
    if (pt == NULL) {
        return;
    }
    clock_timer_stop(&pt->cpu_limit);
    for (int i = 0; i < 3; i++) {
        clock_timer_stop(&pt->interval[i]);
    }
    posix_timers_clear(pt);
    kfree(pt);
}

/* ---- system calls ---- */

struct itimerval_user { /* struct itimerval of x86-64 */
    struct ktimeval interval, value;
};

static int copyout_itimerval(struct uaddr dst, const struct clock_setting *s) {
    /* A microsecond is the least that can be shown of an armed timer. */
    uint64_t value = s->value_ns != 0 ? MAX(s->value_ns, NSEC_PER_USEC) : 0;
    struct itimerval_user it = {ns_to_timeval(s->interval_ns), ns_to_timeval(value)};
    return copyout(dst, &it, sizeof(it));
}

int64_t sys_getitimer(struct task *t, const struct sysargs *args) {
    struct clock_setting now = {0, 0};
    if (args->a[0] > ITIMER_PROF) {
        return -EINVAL;
    }
    struct posix_timers *pt = process_timers_get(t->process, false);
    if (pt != NULL) {
        clock_timer_get(&pt->interval[args->a[0]], &now);
    }
    return copyout_itimerval(uaddr_of(args->a[1]), &now);
}

int64_t sys_setitimer(struct task *t, const struct sysargs *args) {
    struct itimerval_user it = {{0, 0}, {0, 0}};
    struct clock_setting setting, old;
    if (args->a[0] > ITIMER_PROF) {
        return -EINVAL;
    }
    if (args->a[1] != 0 && copyin(&it, uaddr_of(args->a[1]), sizeof(it)) != 0) {
        return -EFAULT;
    }
    if (timeval_to_ns(&it.value, &setting.value_ns) != 0 ||
        timeval_to_ns(&it.interval, &setting.interval_ns) != 0) {
        return -EINVAL;
    }
    struct posix_timers *pt = process_timers_get(t->process, true);
    if (pt == NULL) {
        return -ENOMEM;
    }
    clock_timer_set(&pt->interval[args->a[0]], &setting, false, &old);
    return args->a[2] != 0 ? copyout_itimerval(uaddr_of(args->a[2]), &old) : 0;
}

int64_t sys_alarm(struct task *t, const struct sysargs *args) {
    struct clock_setting setting = {(args->a[0] & UINT32_MAX) * NSEC_PER_SEC, 0}, old;
    struct posix_timers *pt = process_timers_get(t->process, setting.value_ns != 0);
    if (pt == NULL) {
        return setting.value_ns != 0 ? -ENOMEM : 0;
    }
    clock_timer_set(&pt->interval[ITIMER_REAL], &setting, false, &old);
    /* Rounded to seconds, but an armed timer never shows as 0. */
    uint64_t left = (old.value_ns + NSEC_PER_SEC / 2) / NSEC_PER_SEC;
    return (int64_t)(old.value_ns != 0 && left == 0 ? 1 : left);
}
