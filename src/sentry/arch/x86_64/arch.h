/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel needs of the machine beyond C: the switch between kernel stacks, a cycle counter,
 * a pause for spinning.
 */
#ifndef MOAT_SENTRY_ARCH_H
#define MOAT_SENTRY_ARCH_H

#include "base/types.h"

/* Saves the callee-saved registers and the stack pointer to *save_sp, goes on with the ones saved
 * at load_sp. */
void arch_switch_stack(void **save_sp, void *load_sp);
/* Where a new stack starts: calls sched_task_main. */
void arch_task_start(void);

/* The stack pointer of a new task, such that switching to it enters arch_task_start. */
static inline void *arch_stack_prepare(void *stack, size_t size) {
    uint64_t *sp = (uint64_t *)((char *)stack + size);
    *--sp = 0; /* keeps the call below aligned as the ABI wants it */
    *--sp = (uintptr_t)arch_task_start;
    for (int i = 0; i < 6; i++) { /* rbp rbx r12 r13 r14 r15 */
        *--sp = 0;
    }
    return sp;
}

static inline uint64_t arch_cycles(void) {
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return ((uint64_t)hi << 32) | lo;
}

static inline void arch_pause(void) {
    __asm__ volatile("pause" ::: "memory");
}

#endif
