/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the scheduler (cpu.c, sched.c, block.c, timer.c) and boot/ share among
 * themselves. */
#ifndef MOAT_SENTRY_SCHED_H
#define MOAT_SENTRY_SCHED_H

#include "base/types.h"
#include "kernel/cpu.h"

struct task;

/* Prepares the table of vCPUs; then hal_cpu_set may be given one of them. */
void cpu_table_init(uint32_t count);
/* Runs what is due on this vCPU. */
void timers_run(struct cpu *c);
/* Makes a task that is not on a queue runnable: task->lock held. */
void sched_enqueue(struct task *t);
/* Leaves the CPU to the vCPU loop; the current task's lock is held and is released there. */
void sched_switch_out(struct task *t);
/* First C function on a new kernel stack. */
noreturn_fn void sched_task_main(void);

#endif
