/* SPDX-License-Identifier: Apache-2.0 */
/* One log line a system call, for `moat do --strace`. */
#ifndef MOAT_SENTRY_STRACE_H
#define MOAT_SENTRY_STRACE_H

#include "syscall/syscall.h"

/* Makes the call and logs it: arguments are read before, as execve and unmapping take them away. */
int64_t strace_call(struct task *t, syscall_fn *fn, const char *name, const char *format,
                    const struct sysargs *args);
/* Logs one that has no handler. */
void strace_unknown(struct task *t, uint64_t nr, const struct sysargs *args, int64_t result);

#endif
