/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork(2), vfork(2), clone(2), clone3(2): their arguments.
 */
#include "base/string.h"
#include "kernel/fork.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/signal.h>

int64_t sys_fork(struct task *t, const struct sysargs *args) {
    struct kclone a = {.exit_signal = SIGCHLD};

    return do_clone(t, &a);
}

int64_t sys_vfork(struct task *t, const struct sysargs *args) {
    struct kclone a = {.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD};

    return do_clone(t, &a);
}

/* Argument order of x86-64 (clone(2)): flags, stack, parent_tid, child_tid, tls. */
int64_t sys_clone(struct task *t, const struct sysargs *args) {
    uint64_t flags = args->a[0] & UINT32_MAX;
    struct kclone a = {
        .flags = flags & ~(uint64_t)(CSIGNAL | CLONE_DETACHED),
        .exit_signal = flags & CSIGNAL,
        .stack = args->a[1],
        .pidfd = uaddr_of(args->a[2]),
        .parent_tid = uaddr_of(args->a[2]),
        .child_tid = uaddr_of(args->a[3]),
        .tls = args->a[4],
    };

    if ((flags & CLONE_PIDFD) != 0 && (flags & (CLONE_PARENT_SETTID | CLONE_DETACHED)) != 0) {
        return -EINVAL;
    }
    if (a.exit_signal > NSIG_MAX) {
        return -EINVAL;
    }
    return do_clone(t, &a);
}

/* Copies struct clone_args of whatever size (clone3(2)): what we do not know must be zero. */
static int copyin_clone_args(struct uaddr addr, uint64_t size, struct clone_args *out) {
    char rest[64];

    memset(out, 0, sizeof(*out));
    if (size < CLONE_ARGS_SIZE_VER0) {
        return -EINVAL;
    }
    if (size > PAGE_SIZE) {
        return -E2BIG;
    }
    if (copyin(out, addr, MIN(size, sizeof(*out))) != 0) {
        return -EFAULT;
    }
    for (uint64_t off = sizeof(*out); off < size; off += sizeof(rest)) {
        size_t len = MIN(sizeof(rest), size - off);
        if (copyin(rest, uaddr_add(addr, off), len) != 0) {
            return -EFAULT;
        }
        for (size_t i = 0; i < len; i++) {
            if (rest[i] != 0) {
                return -E2BIG;
            }
        }
    }
    return 0;
}

int64_t sys_clone3(struct task *t, const struct sysargs *args) {
    struct clone_args in;
    uint64_t sp = 0;
    int err = copyin_clone_args(uaddr_of(args->a[0]), args->a[1], &in);

    if (err != 0) {
        return err;
    }
    if ((in.flags & (CSIGNAL | CLONE_DETACHED | CLONE_INTO_CGROUP)) != 0 || (in.flags >> 34) != 0 ||
        in.exit_signal > NSIG_MAX || (in.stack == 0) != (in.stack_size == 0) ||
        ((in.flags & (CLONE_THREAD | CLONE_PARENT)) != 0 && in.exit_signal != 0)) {
        return -EINVAL;
    }
    if (in.set_tid != 0 || in.set_tid_size != 0) {
        return -EPERM;
    }
    if (in.stack != 0 &&
        (ckd_add(&sp, in.stack, in.stack_size) || sp > platform_info()->user_end)) {
        return -EINVAL;
    }
    struct kclone a = {
        .flags = in.flags,
        .exit_signal = in.exit_signal,
        .stack = sp,
        .pidfd = uaddr_of(in.pidfd),
        .parent_tid = uaddr_of(in.parent_tid),
        .child_tid = uaddr_of(in.child_tid),
        .tls = in.tls,
    };
    return do_clone(t, &a);
}
