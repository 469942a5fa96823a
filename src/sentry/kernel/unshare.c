/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unshare(2): what a thread shares with others and may have for itself.  Namespaces are not made
 * inside a sandbox: EPERM, as for one who lacks the capability.
 */
#include "fs/vfs.h"
#include "kernel/task.h"
#include "syscall/syscall.h"

#include <linux/errno.h>
#include <linux/sched.h>

#define UNSHARE_NAMESPACES                                                                         \
    ((uint64_t)(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID |          \
                CLONE_NEWUSER | CLONE_NEWCGROUP | CLONE_NEWTIME))
#define UNSHARE_KNOWN                                                                              \
    (UNSHARE_NAMESPACES | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND |  \
     CLONE_VM)
#define UNSHARE_ALONE (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) /* only for a single thread */

static int fs_unshare(struct task *t) {
    struct fs_context *own = fs_context_copy(t->fs);
    if (own == NULL) {
        return -ENOMEM;
    }
    spin_lock(&t->lock);
    struct fs_context *old = t->fs;
    t->fs = own;
    spin_unlock(&t->lock);
    fs_context_put(old);
    return 0;
}

int64_t sys_unshare(struct task *t, const struct sysargs *args) {
    uint64_t flags = args->a[0];
    if ((flags & ~(uint64_t)UNSHARE_KNOWN) != 0) {
        return -EINVAL;
    }
    if ((flags & UNSHARE_NAMESPACES) != 0) {
        return -EPERM;
    }
    if ((flags & UNSHARE_ALONE) != 0 && atomic_load(&t->process->thread_count) != 1) {
        return -EINVAL;
    }
    int err = (flags & CLONE_FS) != 0 ? fs_unshare(t) : 0;
    return err == 0 && (flags & CLONE_FILES) != 0 ? files_unshare(t) : err;
}
