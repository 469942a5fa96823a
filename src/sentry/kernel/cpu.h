/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Per-vCPU state, reached through a segment register, so that it is right after a task moved.
 */
#ifndef MOAT_SENTRY_CPU_H
#define MOAT_SENTRY_CPU_H

#include "base/list.h"
#include "base/types.h"
#include "kernel/lock.h"

#define MAX_VCPUS 64u

struct task;

struct cpu {
    struct cpu *self; /* must be first: read as gs:0 */
    struct task *current; /* the task whose kernel code runs here, NULL in the vCPU loop */
    uint32_t id;
    uint32_t held_count; /* debug: spinlocks held */
    uint8_t held_ranks[16];
    struct spinlock runq_lock;
    struct list runq; /* guarded by runq_lock; tasks by run_link */
    uint32_t runq_len; /* guarded by runq_lock */
    bool idle; /* atomic: sleeps in platform_wait */
    void *loop_sp; /* saved stack pointer of the vCPU loop while a task runs */
    struct spinlock timer_lock;
    struct timer_heap *timers; /* guarded by timer_lock */
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
