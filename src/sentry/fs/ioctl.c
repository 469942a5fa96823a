/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioctl: the requests every file understands, then the file's own.
 */
#include "fs/internal.h"

#include <asm/ioctls.h>
#include <linux/fs.h>

static int64_t set_flag(struct file *f, uint32_t flag, struct uaddr arg) {
    int32_t on;
    if (copyin(&on, arg, sizeof(on)) != 0) {
        return -EFAULT;
    }
    uint32_t flags = atomic_load(&f->flags);
    flags = on != 0 ? flags | flag : flags & ~flag;
    int err = f->ops->set_flags != NULL ? f->ops->set_flags(f, flags) : 0;
    if (err == 0) {
        atomic_store(&f->flags, flags);
    }
    return err;
}

static int64_t regular_ioctl(struct file *f, uint32_t request, struct uaddr arg) {
    int32_t n;
    switch (request) {
    case FIONREAD:
        n = (int32_t)(atomic_load_relaxed(&f->inode->size) - f->pos);
        return copyout(arg, &n, sizeof(n));
    case FICLONE:
    case FICLONERANGE:
    case FIDEDUPERANGE:
        return -EOPNOTSUPP;
    default:
        return -ENOTTY;
    }
}

static int64_t file_ioctl(struct file *f, int fd, uint32_t request, struct uaddr arg) {
    int32_t n;
    switch (request) {
    case FIOCLEX:
        return fd_cloexec_set(fd, true);
    case FIONCLEX:
        return fd_cloexec_set(fd, false);
    case FIONBIO:
        return set_flag(f, O_NONBLOCK, arg);
    case FIOASYNC:
        return set_flag(f, FASYNC, arg);
    case FIGETBSZ:
        n = (int32_t)f->inode->sb->blksize;
        return copyout(arg, &n, sizeof(n));
    default:
        break;
    }
    int64_t r = f->ops->ioctl != NULL ? f->ops->ioctl(f, request, arg) : -ENOTTY;
    if (r == -ENOTTY && S_ISREG(f->inode->mode)) {
        r = regular_ioctl(f, request, arg);
    }
    return r;
}

int64_t sys_ioctl(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    int64_t r = file_ioctl(f, (int)args->a[0], (uint32_t)args->a[1], uaddr_of(args->a[2]));
    file_put(f);
    return r;
}
