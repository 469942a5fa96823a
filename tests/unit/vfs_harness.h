/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VFS and tmpfs over the kernel's core on threads as vCPUs: memory of the "guest" is the test's
 * own, frames are pages of a private mapping, credentials are set by the test.
 */
#ifndef MOAT_TEST_VFS_HARNESS_H
#define MOAT_TEST_VFS_HARNESS_H

#include "kernel_harness.h"

#include "fs/vfs.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>
#include <string.h>

#undef current
#define current current_task()

/* Runs `tests` in a kernel thread over a fresh tmpfs as root, as root with all capabilities. */
noreturn_fn void vfs_harness_main(void (*tests)(void *arg));
/* Gives the running kernel thread descriptors, root, credentials: its own (share NULL) or another
 * task's. */
void vfs_harness_join(struct task *share);
void vfs_harness_leave(void);
/* Who the running task is from now on, with all capabilities or none. */
void vfs_harness_become(uint32_t uid, uint32_t gid, bool privileged);
/* A system call of the running task. */
int64_t call(syscall_fn *fn, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
             uint64_t f);
#define P(x)              ((uint64_t)(uintptr_t)(x))
#define CALL1(n, a)       call(sys_##n, (uint64_t)(a), 0, 0, 0, 0, 0)
#define CALL2(n, a, b)    call(sys_##n, (uint64_t)(a), (uint64_t)(b), 0, 0, 0, 0)
#define CALL3(n, a, b, c) call(sys_##n, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), 0, 0, 0)
#define CALL4(n, a, b, c, d)                                                                       \
    call(sys_##n, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), 0, 0)
#define CALL5(n, a, b, c, d, e)                                                                    \
    call(sys_##n, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), 0)
#define CALL6(n, a, b, c, d, e, f)                                                                 \
    call(sys_##n, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e),       \
         (uint64_t)(f))
/* Frames that somebody holds, signals sent to the running task so far. */
uint64_t vfs_harness_frames(void);
extern int g_last_signal;

#endif
