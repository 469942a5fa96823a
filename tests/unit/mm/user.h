/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's side of the tests: processes with a space of the skeleton, and accesses that go
 * through what the space maps and fault like a program's.
 */
#ifndef MOAT_TESTS_MM_USER_H
#define MOAT_TESTS_MM_USER_H

#include "fakes.h"

struct proc {
    struct mm *mm;
    struct platform_space *space;
    struct platform_thread *thread;
};

void proc_new(struct proc *p);
/* 0 or what fork returned. */
int proc_fork(struct proc *p, struct proc *child);
void proc_exit(struct proc *p);
/* Carries out the orders and lets the mm release. */
void proc_apply(struct proc *p);
/* One byte, as user code: 0, or what mm_fault said. */
int user_get(struct proc *p, uint64_t va, uint8_t *out);
int user_put(struct proc *p, uint64_t va, uint8_t value);
/* What the space maps is what the entries say, and every frame it maps is referenced. */
void proc_verify(struct proc *p);

#endif
