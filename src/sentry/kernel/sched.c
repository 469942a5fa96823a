/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: per-vCPU run queues, the vCPU loop, and the passage between kernel stacks and user
 * contexts.
 *
 * A vCPU loops on its host thread's stack.  It runs runnable tasks on their kernel stacks until
 * they block, end or want to go to user mode.  The last one that wants to is kept back: when the
 * run queue is empty it is resumed by the same platform_wait that fetches the next trap, which is
 * the cheapest hand-over a platform has; otherwise it is resumed at once and runs beside the next
 * task.
 *
 * A woken task goes to the waker's vCPU, because a hand-over inside one vCPU costs nanoseconds and
 * a wake-up of another one tens of microseconds.  Only when tasks pile up here does an idle vCPU
 * get one, and it looks by itself before it sleeps: it says that it is idle, and then looks; who
 * queues a second task does so first, and then looks for an idle vCPU.
 *
 * No lost kick: a task becomes TASK_USER by an atomic exchange and looks at its flags afterwards; a
 * sender sets the flag first and then looks at the state.  platform_kick of a context that is not
 * resumed yet stays pending in the platform.
 *
 * Lock order: task->lock > runq_lock.
 */
#include "kernel/sched.h"

#include "arch/x86_64/arch.h"
#include "base/atomic.h"
#include "base/string.h"
#include "hal.h"
#include "kernel/kmalloc.h"
#include "kernel/kpages.h"
#include "kernel/loadavg.h"
#include "kernel/log.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"

#include <asm-generic/errno.h>

#define TIMER_CHECK_MASK 15u /* traps between looks at the clock while traps keep coming */
#define POLL_RUNS        16u /* tasks run in a row before traps are looked for */
#define KSTACK_STOCK     32u
#define KSTACK_CANARY    0x6d6f61742d656e64ull
#define CLOCK_SHIFT      22u

static struct spinlock g_kstack_lock = SPINLOCK_INIT(RANK_KMALLOC);
static void *g_kstacks[KSTACK_STOCK]; /* guarded by g_kstack_lock */
static uint32_t g_kstack_count;       /* guarded by g_kstack_lock */

/* ns = cycles * g_clock_mult >> CLOCK_SHIFT; a first guess until the clock has been watched for a
 * while. */
static uint64_t g_clock_mult = (1ull << CLOCK_SHIFT) / 2; /* atomic */
static uint64_t g_clock_base_ns, g_clock_base_cycles;

/* ---- cycle counter to nanoseconds ---- */

static void clock_start(void) {
    g_clock_base_ns = hal_clock_ns(HAL_CLOCK_MONOTONIC);
    g_clock_base_cycles = arch_cycles();
}

/* Sharpens the ratio during the first seconds; called when a vCPU wakes from idling. */
static void clock_calibrate(void) {
    uint64_t ns = hal_clock_ns(HAL_CLOCK_MONOTONIC) - g_clock_base_ns;
    uint64_t cycles = arch_cycles() - g_clock_base_cycles;
    if (ns > NSEC_PER_MSEC && ns < 16 * NSEC_PER_SEC && cycles != 0) {
        atomic_store_relaxed(&g_clock_mult, (ns << CLOCK_SHIFT) / cycles);
    }
}

static uint64_t cycles_to_ns(uint64_t cycles) {
    return (uint64_t)(((unsigned __int128)cycles * atomic_load_relaxed(&g_clock_mult)) >>
                      CLOCK_SHIFT);
}

void sched_init(void) {
    cpu_table_init(platform_info()->vcpu_count);
    clock_start();
}

/* ---- kernel stacks ---- */

void *kstack_alloc(void) {
    void *stack = NULL;
    spin_lock(&g_kstack_lock);
    if (g_kstack_count > 0) {
        stack = g_kstacks[--g_kstack_count];
    }
    spin_unlock(&g_kstack_lock);
    if (stack == NULL) {
        stack = kpages_take(KSTACK_PAGES, false);
    }
    if (stack != NULL) {
        *(uint64_t *)stack = KSTACK_CANARY;
    }
    return stack;
}

void kstack_free(void *stack) {
    if (stack == NULL) {
        return;
    }
    spin_lock(&g_kstack_lock);
    bool keep = g_kstack_count < KSTACK_STOCK;
    if (keep) {
        g_kstacks[g_kstack_count++] = stack;
    }
    spin_unlock(&g_kstack_lock);
    if (!keep) {
        kpages_free(stack, KSTACK_PAGES);
    }
}

/* ---- run queues ---- */

static void runq_push(struct cpu *c, struct task *t) {
    spin_lock(&c->runq_lock);
    list_push_back(&c->runq, &t->run_link);
    atomic_store_relaxed(&c->runq_len, c->runq_len + 1);
    spin_unlock(&c->runq_lock);
}

static struct task *runq_pop(struct cpu *c) {
    struct task *t = NULL;
    if (atomic_load_relaxed(&c->runq_len) == 0) {
        return NULL;
    }
    spin_lock(&c->runq_lock);
    if (!list_empty(&c->runq)) {
        t = list_first(&c->runq, struct task, run_link);
        list_del_init(&t->run_link);
        atomic_store_relaxed(&c->runq_len, c->runq_len - 1);
    }
    spin_unlock(&c->runq_lock);
    return t;
}

/* An idle vCPU other than `self`, claimed so that nobody else hands it work in the same rest; NULL
 * when there is none. */
static struct cpu *claim_idle(const struct cpu *self) {
    uint32_t count = cpu_count();
    for (uint32_t i = 1; i < count; i++) {
        struct cpu *c = cpu_get((self->id + i) % count);
        if (atomic_load_relaxed(&c->idle) != 0 && atomic_exchange(&c->idle, 0) != 0) {
            return c;
        }
    }
    return NULL;
}

/* After a push to the own queue: tasks pile up here, and a vCPU that went idle meanwhile will look.
 */
static void offer(const struct cpu *self) {
    atomic_fence();
    struct cpu *idle = atomic_load_relaxed(&self->runq_len) > 1 ? claim_idle(self) : NULL;
    if (idle != NULL) {
        platform_kick_vcpu(idle->id);
    }
}

void sched_enqueue(struct task *t) {
    struct cpu *self = this_cpu(), *target = self;
    atomic_store(&t->state, TASK_RUNNABLE);
    self->running_count++;
    if (atomic_load_relaxed(&self->runq_len) >= 1) {
        struct cpu *idle = claim_idle(self);
        target = idle != NULL ? idle : self;
    }
    runq_push(target, t);
    if (target != self || self->in_wait) {
        platform_kick_vcpu(target->id);
    } else {
        offer(self);
    }
}

/* A vCPU that has several tasks waiting, or NULL. */
static struct cpu *piled_up(const struct cpu *self) {
    uint32_t count = cpu_count();
    for (uint32_t i = 1; i < count; i++) {
        struct cpu *c = cpu_get((self->id + i) % count);
        if (atomic_load_relaxed(&c->runq_len) > 1) {
            return c;
        }
    }
    return NULL;
}

/* Before a vCPU rests: takes a task from a vCPU that has several waiting. */
static struct task *runq_steal(const struct cpu *self) {
    struct cpu *c = piled_up(self);
    return c != NULL ? runq_pop(c) : NULL;
}

/* ---- switching ---- */

void sched_switch_out(struct task *t) {
    struct cpu *c = this_cpu();
    c->running_count--;
    c->switches++;
    t->nvcsw++;
    c->unlock_after = &t->lock;
    arch_switch_stack(&t->ksp, c->loop_sp);
}

/* Runs `t` until it leaves its stack again. */
static void run_task(struct cpu *c, struct task *t) {
    uint64_t start = arch_cycles();
    atomic_store(&t->state, TASK_RUNNING);
    c->running = t;
    arch_switch_stack(&c->loop_sp, t->ksp);
    c->running = NULL;
    t->sys_ns += cycles_to_ns(arch_cycles() - start);
    if (unlikely(*(uint64_t *)t->kstack != KSTACK_CANARY)) {
        panic("kernel stack of task %d overflowed", t->tid);
    }
    /* Each of these gives the task away. */
    if (c->unlock_after != NULL) {
        struct spinlock *lock = c->unlock_after;
        c->unlock_after = NULL;
        spin_unlock(lock);
    } else if (c->to_requeue != NULL) {
        c->to_requeue = NULL;
        atomic_store(&t->state, TASK_RUNNABLE);
        runq_push(c, t);
        offer(c);
    } else if (c->exited != NULL) {
        c->exited = NULL;
        task_put(t);
    }
}

void task_yield(void) {
    struct task *t = current;
    struct cpu *c = this_cpu();
    assert_no_spinlocks();
    c->to_requeue = t;
    c->switches++;
    t->nivcsw++;
    c->runs = POLL_RUNS; /* programs whose traps wait go first too */
    arch_switch_stack(&t->ksp, c->loop_sp);
}

void sched_exit(void) {
    struct task *t = current;
    struct cpu *c = this_cpu();
    assert_no_spinlocks();
    spin_lock(&t->lock);
    atomic_store(&t->state, TASK_DEAD);
    spin_unlock(&t->lock);
    c->exited = t;
    c->running_count--;
    arch_switch_stack(&t->ksp, c->loop_sp);
    __builtin_unreachable();
}

void sched_task_main(void) {
    struct task *t = current;
    if (t->is_kthread) {
        t->kthread_fn(t->kthread_arg);
        task_exit(0);
    }
    task_user_loop(t);
    __builtin_unreachable();
}

void sched_start(struct task *t) {
    list_init(&t->run_link);
    t->ksp = arch_stack_prepare(t->kstack, KSTACK_PAGES * PAGE_SIZE);
    spin_lock(&t->lock);
    sched_enqueue(t);
    spin_unlock(&t->lock);
}

/* ---- user mode ---- */

void sched_user(struct task *t, enum resume_mode mode) {
    (void)atomic_exchange(&t->state, TASK_USER); /* a full fence: see "No lost kick" */
    if (mode == RESUME_USER && unlikely((atomic_load(&t->flags) & TASK_F_WORK) != 0)) {
        atomic_store(&t->state, TASK_RUNNING);
        t->trap.kind = TRAP_NONE;
        return;
    }
    struct cpu *c = this_cpu();
    c->resume = (struct resume){.thread = t->pthread, .mode = mode};
    arch_switch_stack(&t->ksp, c->loop_sp);
}

bool sched_sync_orders(int *out_error) {
    struct task *t = current;
    *out_error = 0;
    if (t == NULL || t->mm == NULL || t->mm->space == NULL ||
        !platform_orders_pending(t->mm->space)) {
        return true;
    }
    if (t->pthread == NULL || !t->trap.full_context) {
        return false;
    }
    struct trap saved = t->trap;
    do {
        sched_user(t, RESUME_ORDERS);
    } while (t->trap.kind != TRAP_ORDERS_DONE && t->trap.kind != TRAP_DEAD);
    if (t->trap.kind == TRAP_DEAD) {
        *out_error = -ESRCH;
        (void)atomic_fetch_or(&t->flags, TASK_F_KILLED); /* only the new state matters */
    } else {
        *out_error = t->trap.u.orders.error;
        mm_orders_done(t->mm);
    }
    t->trap = saved;
    return true;
}

/* ---- the vCPU loop ---- */

/* The task a trap belongs to, with the trap handed over; NULL when it is not waiting for one. */
static struct task *trap_accept(const struct trap *trap) {
    struct task *t = trap->task;
    if (unlikely(atomic_load(&t->state) != TASK_USER)) {
        /* Its context died while the task is in the kernel. */
        kassert(trap->kind == TRAP_DEAD);
        (void)atomic_fetch_or(&t->flags, TASK_F_KILLED); /* only the new state matters */
        task_interrupt(t, true);
        return NULL;
    }
    t->trap = *trap;
    atomic_store_relaxed(&t->trap_seq, t->trap_seq + 1);
    return t;
}

static struct task *wait_for_trap(struct cpu *c) {
    struct trap trap;
    struct resume resume = c->resume;
    uint64_t deadline =
        atomic_load_relaxed(&c->runq_len) != 0 ? 0 : atomic_load_relaxed(&c->next_deadline);
    c->resume.thread = NULL;
    c->runs = 0;
    c->in_wait = true;
    if (deadline != 0) {
        (void)atomic_exchange(&c->idle, 1u); /* a full fence: see the top of this file */
        deadline = piled_up(c) != NULL ? 0 : deadline;
    }
    platform_wait(c->id, resume.thread != NULL ? &resume : NULL, deadline, &trap);
    atomic_store_relaxed(&c->idle, 0);
    c->in_wait = false;
    if (trap.kind == TRAP_NONE) {
        loadavg_poke();
        timers_run(c);
        clock_calibrate();
        return NULL;
    }
    if ((++c->traps & TIMER_CHECK_MASK) == 0) {
        timers_run(c);
    }
    return trap_accept(&trap);
}

static struct task *next_task(struct cpu *c) {
    if (++c->runs > POLL_RUNS) {
        return wait_for_trap(c);
    }
    struct task *t = runq_pop(c);
    if (t == NULL && c->resume.thread == NULL) {
        t = runq_steal(c);
    }
    if (t == NULL) {
        return wait_for_trap(c);
    }
    if (c->resume.thread != NULL) {
        platform_resume(c->id, &c->resume);
        c->resume.thread = NULL;
    }
    return t;
}

void sentry_vcpu_main(uint32_t vcpu) {
    struct cpu *c = cpu_get(vcpu);
    kassert(vcpu < cpu_count());
    hal_cpu_set(c);
    for (;;) {
        struct task *t = next_task(c);
        if (t != NULL) {
            run_task(c, t);
        }
    }
}
