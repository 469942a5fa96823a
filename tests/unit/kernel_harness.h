/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host for the kernel's scheduler, locks, heap and timers: vCPUs are pthreads, the platform runs
 * "user programs" that consist of making system calls at once.  Tests start kernel threads and user
 * tasks and wait for all of them to end.
 */
#ifndef MOAT_TEST_KERNEL_HARNESS_H
#define MOAT_TEST_KERNEL_HARNESS_H

#include "check.h"

#include "kernel/cpu.h"
#include "kernel/task.h"
#include "kernel/wait.h"

#define TEST_VCPUS 3

/* Prepares memory and vCPUs, runs `tests` as the first kernel thread, and ends the program with
 * status 0 after it. */
noreturn_fn void harness_main(void (*tests)(void *arg));
/* Runs `fn` as a kernel thread of its own and returns when it and every task it started have ended.
 * In a kernel thread. */
void harness_run(void (*fn)(void *arg), void *arg);
/* A kernel thread. */
void harness_thread(void (*fn)(void *arg), void *arg);
/* A task whose user side makes `calls` system calls; `on_call` handles each on its kernel stack. */
void harness_user(uint64_t calls, void (*on_call)(struct task *t));
/* Makes `t` look signalled, as signal_send would. */
void harness_signal(struct task *t);
uint64_t harness_now_ns(void);

#endif
