/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp(2) inside a container: each task's mode and chain of filters, which fork, clone and
 * execve hand on.
 *
 * A chain is immutable and shared; its head remembers of which calls it is known to allow them
 * whatever their arguments, so that a profile of hundreds of rules costs such a call one bit.
 *
 * Locks: task->seccomp and task->seccomp_mode are written under the process's sig_lock, by the task
 * itself or (SECCOMP_FILTER_FLAG_TSYNC) by another thread of its process; the task reads them
 * without: a chain that replaces another one holds it.
 *
 * A platform that answers calls without the kernel must not do so for tasks with a mode: see
 * seccomp_allows().
 */
#ifndef MOAT_SENTRY_SECCOMP_H
#define MOAT_SENTRY_SECCOMP_H

#include "base/types.h"
#include "kernel/task.h"

struct sock_filter;
struct seccomp_filter;
struct sysargs;

/* A chain of one filter, referenced; -EINVAL for a program that is none, -ENOMEM. */
must_check int seccomp_filter_create(const struct sock_filter *code, uint32_t count, bool log,
                                     struct seccomp_filter **out);
void seccomp_filter_put(struct seccomp_filter *f); /* NULL allowed */
/* A new task gets `f` (may be NULL); nobody else knows the task yet, or sig_lock is held. */
void seccomp_set(struct task *t, struct seccomp_filter *f);
/* The child begins with the parent's; the parent's sig_lock held. */
void seccomp_fork(struct task *t, struct task *child);
/* A task that ends gives up its chain, so that a listener hears of it before the task is reaped. */
void seccomp_exit(struct task *t);
/* Number of filters in the task's chain; takes sig_lock. */
uint32_t seccomp_filter_count(struct task *t);

/* May the call be made?  False: *out_result is its result, signals may be pending, or it does not
 * return at all.  Only for tasks with a mode. */
must_check bool seccomp_enter(struct task *t, uint64_t nr, const struct sysargs *args,
                              int64_t *out_result);
/* Is call `nr` of task t allowed whatever its arguments? */
bool seccomp_allows(struct task *t, uint64_t nr);

/* prctl(2)'s two requests. */
int64_t seccomp_prctl_set(struct task *t, uint64_t mode, uint64_t program);
int64_t seccomp_prctl_get(struct task *t);

#endif
