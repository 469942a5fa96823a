/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX timers: timer_create(2) to timer_delete(2).
 *
 * A timer whose signal is still queued does not queue another one; it counts an overrun in the
 * queued siginfo instead. Lock order: posix_timers->lock (sleeping) > clock_timer->set_lock; the
 * callback takes sig_lock alone.
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
#include <asm-generic/siginfo.h>
#include <asm/signal.h>
#include <linux/time.h>

#define TIMERS_MAX 4096u /* a process */

/* clockid_t of a CPU clock: see clock_getcpuclockid(3) and time.c. */
#define CPUCLOCK_THREAD    4
#define CPUCLOCK_KIND_MASK 3

struct posix_timer {
    struct clock_timer ct;
    int32_t id;
    int notify; /* SIGEV_NONE, SIGEV_SIGNAL or SIGEV_THREAD_ID */
    int signo;
    uint64_t value;                /* sigev_value */
    struct task *target;           /* SIGEV_THREAD_ID: referenced */
    struct task *clock_task;       /* referenced; of a thread's CPU clock */
    struct process *clock_process; /* referenced; of another process's CPU clock */
    int32_t overrun;               /* atomic: of the last signal sent */
};

struct sigevent_user { /* struct sigevent of x86-64, 64 bytes */
    uint64_t value;
    int32_t signo;
    int32_t notify;
    int32_t tid;
    int32_t pad[11];
};
_Static_assert(sizeof(struct sigevent_user) == 64, "struct sigevent");

/* ---- expiration ---- */

/* Adds to the overrun of this timer's signal if it is still queued; sig_lock held. */
static bool merge_pending(struct sig_queue *q, const struct posix_timer *pt, uint64_t count) {
    struct sig_entry *e;
    list_for_each_entry (e, &q->infos, link) {
        if (e->info.code == SI_TIMER && e->info.u.timer.timerid == pt->id &&
            e->info.signo == pt->signo) {
            int64_t sum = e->info.u.timer.overrun + (int64_t)MIN(count, (uint64_t)INT32_MAX);
            e->info.u.timer.overrun = (int32_t)MIN(sum, (int64_t)INT32_MAX);
            return true;
        }
    }
    return false;
}

static void posix_timer_fire(struct clock_timer *ct, uint64_t count) {
    struct posix_timer *pt = container_of(ct, struct posix_timer, ct);
    struct process *p = ct->process;
    if (pt->notify == SIGEV_NONE) {
        return;
    }
    spin_lock(&p->sig_lock);
    bool merged = merge_pending(pt->target != NULL ? &pt->target->pending : &p->pending, pt, count);
    spin_unlock(&p->sig_lock);
    int32_t overrun = (int32_t)MIN(count - 1, (uint64_t)INT32_MAX);
    if (merged) {
        int64_t sum = (int64_t)atomic_load(&pt->overrun) + overrun + 1;
        atomic_store(&pt->overrun, (int32_t)MIN(sum, (int64_t)INT32_MAX));
        return;
    }
    struct ksiginfo info = {.signo = pt->signo, .code = SI_TIMER};
    info.u.timer.timerid = pt->id;
    info.u.timer.overrun = overrun;
    info.u.timer.value = pt->value;
    atomic_store(&pt->overrun, overrun);
    if (pt->target != NULL) {
        (void)signal_send_task(pt->target, pt->signo,
                               &info); /* a full queue loses it, as it does in Linux */
    } else {
        (void)signal_send_process(p, pt->signo, &info); /* likewise */
    }
}

/* ---- life ---- */

static void posix_timer_free(struct posix_timer *pt) {
    clock_timer_stop(&pt->ct);
    if (pt->target != NULL) {
        task_put(pt->target);
    }
    if (pt->clock_task != NULL) {
        task_put(pt->clock_task);
    }
    if (pt->clock_process != NULL) {
        process_put(pt->clock_process);
    }
    kfree(pt);
}

void posix_timers_clear(struct posix_timers *pts) {
    uint64_t key = 0, value;
    mutex_lock(&pts->lock);
    for (; radix_next(&pts->by_id, &key, &value); key++) {
        posix_timer_free((struct posix_timer *)(uintptr_t)value);
    }
    radix_clear(&pts->by_id, &kradix_alloc);
    pts->next_id = 0;
    mutex_unlock(&pts->lock);
}

/* Looks up a timer of current and locks the table; NULL (unlocked) when there is none. */
static struct posix_timer *timer_lock(struct task *t, uint64_t id,
                                      struct posix_timers **out_timers) {
    struct posix_timers *pts = process_timers_get(t->process, false);
    if (pts == NULL || id > INT32_MAX) {
        return NULL;
    }
    mutex_lock(&pts->lock);
    struct posix_timer *pt = (struct posix_timer *)(uintptr_t)radix_get(&pts->by_id, id + 1);
    if (pt == NULL) {
        mutex_unlock(&pts->lock);
        return NULL;
    }
    *out_timers = pts;
    return pt;
}

/* ---- creation ---- */

/* CPU clock of any thread or process of the container, by its encoded number. */
static int resolve_cpu_clock(struct task *t, int32_t clock, struct posix_timer *pt,
                             enum clock_kind *out_kind) {
    int32_t id = ~(clock >> 3);
    int kind = clock & CPUCLOCK_KIND_MASK;
    if (kind == CPUCLOCK_KIND_MASK) {
        return -EINVAL;
    }
    struct task *target = id == 0 ? t : task_find(id);
    if (target == NULL) {
        return -EINVAL;
    }
    if ((clock & CPUCLOCK_THREAD) != 0) {
        *out_kind = CLOCK_KIND_THREAD_CPU;
        pt->clock_task = target;
        if (id == 0) {
            task_get(target);
        }
        return 0;
    }
    *out_kind = kind == 1 ? CLOCK_KIND_PROCESS_USER : CLOCK_KIND_PROCESS_CPU;
    bool other = target->process != t->process;
    if (id != 0) {
        task_put(target);
    }
    return other ? -EPERM : 0; /* the signal goes to the timer's own process, whose clock it is */
}

static int resolve_clock(struct task *t, int32_t clock, struct posix_timer *pt,
                         enum clock_kind *out_kind) {
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_TAI:
    case CLOCK_REALTIME_ALARM:
        *out_kind = CLOCK_KIND_REALTIME;
        return 0;
    case CLOCK_MONOTONIC:
        *out_kind = CLOCK_KIND_MONOTONIC;
        return 0;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *out_kind = CLOCK_KIND_BOOTTIME;
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        *out_kind = CLOCK_KIND_PROCESS_CPU;
        return 0;
    case CLOCK_THREAD_CPUTIME_ID:
        *out_kind = CLOCK_KIND_THREAD_CPU;
        pt->clock_task = t;
        task_get(t);
        return 0;
    default:
        return clock < 0 ? resolve_cpu_clock(t, clock, pt, out_kind) : -EINVAL;
    }
}

static int resolve_event(struct task *t, struct uaddr addr, struct posix_timer *pt,
                         bool *out_value_is_id) {
    struct sigevent_user ev = {.notify = SIGEV_SIGNAL, .signo = SIGALRM};
    *out_value_is_id = addr.v == 0;
    if (addr.v != 0 && copyin(&ev, addr, sizeof(ev)) != 0) {
        return -EFAULT;
    }
    pt->notify = ev.notify;
    pt->signo = ev.signo;
    pt->value = ev.value;
    if (ev.notify != SIGEV_NONE && (ev.signo <= 0 || ev.signo > NSIG_MAX)) {
        return -EINVAL;
    }
    switch (ev.notify) {
    case SIGEV_NONE:
    case SIGEV_SIGNAL:
    case SIGEV_THREAD: /* libc's business: for the kernel a signal */
        return 0;
    case SIGEV_THREAD_ID:
        pt->target = task_find(ev.tid);
        return pt->target != NULL && pt->target->process == t->process ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

static int timer_insert(struct posix_timers *pts, struct posix_timer *pt) {
    int err = -EAGAIN;
    mutex_lock(&pts->lock);
    if (pts->by_id.count < TIMERS_MAX) {
        do { /* at most TIMERS_MAX numbers are taken */
            pt->id = pts->next_id;
            pts->next_id = pts->next_id == INT32_MAX ? 0 : pts->next_id + 1;
        } while (radix_get(&pts->by_id, (uint64_t)pt->id + 1) != 0);
        err = radix_set(&pts->by_id, &kradix_alloc, (uint64_t)pt->id + 1, (uintptr_t)pt);
    }
    mutex_unlock(&pts->lock);
    return err;
}

int64_t sys_timer_create(struct task *t, const struct sysargs *args) {
    enum clock_kind kind;
    bool value_is_id = false;
    struct posix_timers *pts = process_timers_get(t->process, true);
    struct posix_timer *pt = pts != NULL ? kzalloc(sizeof(*pt)) : NULL;
    if (pt == NULL) {
        return -EAGAIN;
    }
    clock_timer_init(&pt->ct, CLOCK_KIND_MONOTONIC, posix_timer_fire);
    int err = resolve_clock(t, (int32_t)args->a[0], pt, &kind);
    if (err == 0) {
        err = resolve_event(t, uaddr_of(args->a[1]), pt, &value_is_id);
    }
    if (err != 0) {
        posix_timer_free(pt);
        return err;
    }
    pt->ct.kind = kind;
    pt->ct.process = t->process;
    pt->ct.task = pt->clock_task;
    err = timer_insert(pts, pt);
    if (err != 0) {
        posix_timer_free(pt);
        return err;
    }
    int32_t id = pt->id;
    if (value_is_id) {
        pt->value = (uint64_t)id;
    }
    if (copyout(uaddr_of(args->a[2]), &id, sizeof(id)) != 0) {
        struct sysargs undo = {.a = {(uint64_t)id}};
        (void)sys_timer_delete(t, &undo); /* another thread may have been faster */
        return -EFAULT;
    }
    return 0;
}

/* ---- use ---- */

int64_t sys_timer_settime(struct task *t, const struct sysargs *args) {
    struct clock_setting setting, old;
    struct posix_timers *pts;
    int err = args->a[2] == 0 ? -EINVAL : copyin_itimerspec(uaddr_of(args->a[2]), &setting);
    if (err != 0) {
        return err;
    }
    struct posix_timer *pt = timer_lock(t, args->a[0], &pts);
    if (pt == NULL) {
        return -EINVAL;
    }
    atomic_store(&pt->overrun, 0);
    clock_timer_set(&pt->ct, &setting, (args->a[1] & TIMER_ABSTIME) != 0, &old);
    mutex_unlock(&pts->lock);
    return args->a[3] != 0 ? copyout_itimerspec(uaddr_of(args->a[3]), &old) : 0;
}

int64_t sys_timer_gettime(struct task *t, const struct sysargs *args) {
    struct clock_setting now;
    struct posix_timers *pts;
    struct posix_timer *pt = timer_lock(t, args->a[0], &pts);
    if (pt == NULL) {
        return -EINVAL;
    }
    clock_timer_get(&pt->ct, &now);
    mutex_unlock(&pts->lock);
    return copyout_itimerspec(uaddr_of(args->a[1]), &now);
}

int64_t sys_timer_getoverrun(struct task *t, const struct sysargs *args) {
    struct posix_timers *pts;
    struct posix_timer *pt = timer_lock(t, args->a[0], &pts);
    if (pt == NULL) {
        return -EINVAL;
    }
    int32_t overrun = atomic_load(&pt->overrun);
    mutex_unlock(&pts->lock);
    return overrun;
}

int64_t sys_timer_delete(struct task *t, const struct sysargs *args) {
    struct posix_timers *pts;
    struct posix_timer *pt = timer_lock(t, args->a[0], &pts);
    if (pt == NULL) {
        return -EINVAL;
    }
    (void)radix_del(&pts->by_id, &kradix_alloc, (uint64_t)pt->id + 1); /* it was found there */
    posix_timer_free(pt);
    mutex_unlock(&pts->lock);
    return 0;
}
