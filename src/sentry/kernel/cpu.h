/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Per-vCPU state, reached through a segment register, so that it is right after a task moved.
 */
#ifndef MOAT_SENTRY_CPU_H
#define MOAT_SENTRY_CPU_H

#include "base/list.h"
#include "base/rbtree.h"
#include "base/types.h"
#include "kernel/lock.h"
#include "platform.h"

#define MAX_VCPUS 64u

struct task;
struct timer;

struct cpu {
    struct cpu *self; /* must be first: read as gs:0 */
    struct task
        *running; /* the task whose kernel code runs here, NULL in the vCPU loop; read as gs:8 */
    uint32_t id;
    uint32_t held_count; /* debug: spinlocks held */
    uint8_t held_ranks[16];
    struct spinlock runq_lock;
    struct list runq;  /* guarded by runq_lock; tasks by run_link */
    uint32_t runq_len; /* guarded by runq_lock */
    uint32_t idle; /* atomic: waits in platform_wait with nothing to run; a hand-over claims it */
    bool in_wait;  /* own: inside platform_wait, where host events run */
    void *loop_sp; /* own: saved stack pointer of the vCPU loop while a task runs */
    struct spinlock *unlock_after; /* own: lock of the task that just left, released by the loop */
    struct task *exited;           /* own: a task that just ended, put by the loop */
    struct task *to_requeue;       /* own: a task that yielded */
    struct resume resume;          /* own: the context to let run next */
    uint32_t traps, runs;          /* own: count for the periodic checks */
    int64_t running_count; /* own: tasks that began to run here less those that stopped here; only
                              the sum over all vCPUs means something */
    uint64_t switches;     /* own: times a task gave a vCPU up before it went to user mode */
    struct spinlock timer_lock;
    struct rb_tree timers;  /* guarded by timer_lock */
    uint64_t next_deadline; /* atomic: earliest deadline of `timers`; written under timer_lock */
    struct timer *timer_running; /* atomic: whose callback runs now */
    uint32_t timer_seq;          /* atomic: callbacks finished; timer_cancel parks on it */
    uint32_t timer_cancellers;   /* atomic */
};

static inline struct cpu *this_cpu(void) {
    struct cpu *c;
    __asm__ volatile("mov %%gs:0, %0" : "=r"(c));
    return c;
}

static inline struct task *current_task(void) {
    struct task *t;
    __asm__ volatile("mov %%gs:8, %0" : "=r"(t));
    return t;
}

#define current current_task()

struct cpu *cpu_get(uint32_t id);
uint32_t cpu_count(void);

#endif
