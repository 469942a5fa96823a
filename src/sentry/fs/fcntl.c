/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fcntl, dup, dup2, dup3.
 */
#include "fs/async.h"
#include "fs/internal.h"

#ifndef F_CREATED_QUERY /* linux/fcntl.h since Linux 6.12 */
#define F_CREATED_QUERY (F_LINUX_SPECIFIC_BASE + 4)
#endif

#define SETFL_MASK ((uint32_t)(O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC))

/* What F_SETFL and the ioctls change; `fd` is what signals name. */
int64_t file_set_flags(struct file *f, int fd, uint32_t flags) {
    uint32_t old = atomic_load(&f->flags);
    flags = (old & ~SETFL_MASK) | (flags & SETFL_MASK);
    if ((flags & O_NOATIME) != 0 && (old & O_NOATIME) == 0 && !inode_owner_or_capable(f->inode)) {
        return -EPERM;
    }
    if (f->ops->set_flags != NULL) {
        int err = f->ops->set_flags(f, flags);
        if (err != 0) {
            return err;
        }
    }
    if (((flags ^ old) & FASYNC) != 0) {
        int err = file_set_async(f, fd, (flags & FASYNC) != 0);
        if (err != 0) {
            return err;
        }
    }
    atomic_store(&f->flags, flags);
    return 0;
}

/* F_SETOWN: a pid, or minus a process group (fcntl(2), "Managing signals"). */
int64_t file_set_owner_number(struct file *f, int32_t number) {
    if (number == INT32_MIN) {
        return -EINVAL;
    }
    const struct async_owner o = {number < 0 ? F_OWNER_PGRP : F_OWNER_PID,
                                  number < 0 ? -number : number};
    return file_set_owner(f, &o);
}

int32_t file_get_owner_number(struct file *f) {
    struct async_owner o = file_get_owner(f);
    return o.type == F_OWNER_PGRP ? -o.id : o.id;
}

static int64_t set_owner_ex(struct file *f, struct uaddr arg) {
    struct f_owner_ex o;
    if (copyin(&o, arg, sizeof(o)) != 0) {
        return -EFAULT;
    }
    return file_set_owner(f, &(struct async_owner){o.type, o.pid});
}

static int64_t get_owner_ex(struct file *f, struct uaddr arg) {
    struct async_owner owner = file_get_owner(f);
    struct f_owner_ex o = {.type = owner.type, .pid = owner.id};
    return copyout(arg, &o, sizeof(o));
}

/* What an O_PATH descriptor may be asked as well. */
static int64_t fcntl_any(struct file *f, int fd, uint32_t cmd, uint64_t arg, bool *out_done) {
    *out_done = true;
    switch (cmd) {
    case F_DUPFD:
        return (int)arg < 0 ? -EINVAL : fd_install_dup(f, false, (int)arg);
    case F_DUPFD_CLOEXEC:
        return (int)arg < 0 ? -EINVAL : fd_install_dup(f, true, (int)arg);
    case F_GETFD:
        return fd_cloexec_get(fd);
    case F_SETFD:
        return fd_cloexec_set(fd, (arg & FD_CLOEXEC) != 0);
    case F_CREATED_QUERY:
        return (f->mode & FMODE_CREATED) != 0;
    case F_GETFL:
        return (int64_t)atomic_load(&f->flags);
    default:
        *out_done = false;
        return (f->mode & FMODE_PATH) != 0 ? -EBADF : 0;
    }
}

static int64_t fcntl_file(struct file *f, int fd, uint32_t cmd, uint64_t arg) {
    switch (cmd) {
    case F_SETFL:
        return file_set_flags(f, fd, (uint32_t)arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return fcntl_lock(f, fd, cmd, uaddr_of(arg));
    case F_SETOWN:
        return file_set_owner_number(f, (int32_t)arg);
    case F_GETOWN:
        return file_get_owner_number(f);
    case F_SETOWN_EX:
        return set_owner_ex(f, uaddr_of(arg));
    case F_GETOWN_EX:
        return get_owner_ex(f, uaddr_of(arg));
    case F_SETSIG:
        return file_set_signal(f, arg);
    case F_GETSIG:
        return file_get_signal(f);
    case F_SETPIPE_SZ:
        return pipe_set_size(f, (uint32_t)arg);
    case F_GETPIPE_SZ:
        return pipe_get_size(f);
    case F_GETLEASE:
        return F_UNLCK; /* nobody can take one */
    case F_ADD_SEALS:
        return shmem_add_seals(f, (uint32_t)arg);
    case F_GET_SEALS:
        return shmem_get_seals(f);
    default:
        return -EINVAL; /* leases, directory notifications and hints among them */
    }
}

int64_t sys_fcntl(struct task *t, const struct sysargs *args) {
    int fd = (int)args->a[0];
    uint32_t cmd = (uint32_t)args->a[1];
    bool done;
    struct file *f = fd_get(fd, true);
    if (f == NULL) {
        return -EBADF;
    }
    int64_t r = fcntl_any(f, fd, cmd, args->a[2], &done);
    if (!done && r == 0) {
        r = fcntl_file(f, fd, cmd, args->a[2]);
    }
    file_put(f);
    return r;
}

/* ---- dup(2) ---- */

int64_t sys_dup(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], true);
    if (f == NULL) {
        return -EBADF;
    }
    return fd_give(f, false);
}

static int64_t dup_to(int old_fd, int new_fd, bool cloexec) {
    struct file *f = fd_get(old_fd, true);
    if (f == NULL) {
        return -EBADF;
    }
    int64_t r = fd_install_at(f, new_fd, cloexec);
    file_put(f);
    return r;
}

int64_t sys_dup2(struct task *t, const struct sysargs *args) {
    int old_fd = (int)args->a[0], new_fd = (int)args->a[1];
    if (old_fd == new_fd) {
        int flag = fd_cloexec_get(old_fd);
        return flag < 0 ? flag : new_fd;
    }
    return dup_to(old_fd, new_fd, false);
}

int64_t sys_dup3(struct task *t, const struct sysargs *args) {
    int old_fd = (int)args->a[0], new_fd = (int)args->a[1];
    if ((args->a[2] & ~(uint64_t)O_CLOEXEC) != 0 || old_fd == new_fd) {
        return -EINVAL;
    }
    return dup_to(old_fd, new_fd, (args->a[2] & O_CLOEXEC) != 0);
}
