/* SPDX-License-Identifier: Apache-2.0 */
/* The frame a signal handler finds on its stack (x86-64). */
#ifndef MOAT_SENTRY_SIGFRAME_H
#define MOAT_SENTRY_SIGFRAME_H

#include "kernel/signal.h"

struct task;

/* Writes the frame and points t->regs at the handler; `mask` is what sigreturn restores.  0 or
 * -EFAULT. */
must_check int sigframe_setup(struct task *t, int signo, const struct sigaction64 *sa,
                              const struct ksiginfo *info, sigset64 mask);
/* Bytes of stack a frame can take at most: AT_MINSIGSTKSZ (getauxval(3)). */
size_t sigframe_max_size(void);

#endif
