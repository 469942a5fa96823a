/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioctl: the requests every file understands, then the file's own.
 */
#include "fs/internal.h"

#include <asm/ioctls.h>
#include <asm/sockios.h>
#include <linux/fs.h>

static int64_t set_flag(struct file *f, int fd, uint32_t flag, struct uaddr arg) {
    int32_t on;
    if (copyin(&on, arg, sizeof(on)) != 0) {
        return -EFAULT;
    }
    uint32_t flags = atomic_load(&f->flags);
    return file_set_flags(f, fd, on != 0 ? flags | flag : flags & ~flag);
}

/* FIOSETOWN and the like: socket(7). */
static int64_t socket_owner_ioctl(struct file *f, uint32_t request, struct uaddr arg) {
    int32_t n;
    if (request == FIOGETOWN || request == SIOCGPGRP) {
        n = file_get_owner_number(f);
        return copyout(arg, &n, sizeof(n));
    }
    return copyin(&n, arg, sizeof(n)) != 0 ? -EFAULT : file_set_owner_number(f, n);
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
        return set_flag(f, fd, O_NONBLOCK, arg);
    case FIOASYNC:
        return set_flag(f, fd, FASYNC, arg);
    case FIOSETOWN:
    case FIOGETOWN:
    case SIOCSPGRP:
    case SIOCGPGRP:
        if (S_ISSOCK(f->inode->mode)) {
            return socket_owner_ioctl(f, request, arg);
        }
        break;
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
