/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls: one row each in arch/x86_64/syscalls.def; prototypes, dispatch, strace text and
 * `moat features` come from there.
 */
#ifndef MOAT_SENTRY_SYSCALL_H
#define MOAT_SENTRY_SYSCALL_H

#include "base/types.h"

struct task;

struct sysargs {
    uint64_t a[6];
};

/* Returns the result or -errno (or -ERESTART*, see signal.h).  Runs on t's kernel stack, t ==
 * current. */
typedef int64_t syscall_fn(struct task *t, const struct sysargs *args);

#define SYSCALL(nr, name, flags, support, format, note) syscall_fn sys_##name;
#define SYSCALL_NONE(nr, name)
#include "arch/x86_64/syscalls.def"
#undef SYSCALL
#undef SYSCALL_NONE

/* One dispatch for whatever number; logs once for unknown ones and answers -ENOSYS. */
int64_t syscall_dispatch(struct task *t, uint64_t nr, const struct sysargs *args);
const char *syscall_name(uint64_t nr);

#endif
