/* SPDX-License-Identifier: Apache-2.0 */
/*
 * truncate, ftruncate, fallocate, and the calls that only concern storage: fsync and its kin,
 * fadvise64, readahead.
 */
#include "fs/internal.h"
#include "kernel/signal.h"

#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/resource.h>

static int check_size_limit(uint64_t size) {
    if (size > rlimit_get(RLIMIT_FSIZE)) {
        (void)signal_send_task(current, SIGXFSZ, NULL); /* the error says the same */
        return -EFBIG;
    }
    return 0;
}

int vfs_truncate(struct file *f, struct dentry *d, uint64_t size) {
    struct inode *inode = d->inode;
    struct ktime now = ktime_now();
    struct iattr attr = {.valid = ATTR_SET_SIZE | ATTR_SET_MTIME | ATTR_SET_CTIME,
                         .size = size,
                         .mtime = now,
                         .ctime = now,
                         .file = f};
    int err = size > atomic_load_relaxed(&inode->size) ? check_size_limit(size) : 0;
    if (err != 0) {
        return err;
    }
    uint32_t mode = inode->mode;
    if ((mode & (S_ISUID | S_ISGID)) != 0 && !capable(CAP_FSETID)) {
        attr.valid |= ATTR_SET_MODE | ATTR_KILL_SUID;
        attr.mode = mode & MODE_PERM & ~(uint32_t)(S_ISUID | ((mode & S_IXGRP) != 0 ? S_ISGID : 0));
    }
    return vfs_setattr(d, &attr);
}

static int truncate_path(const struct path *p, int64_t size) {
    uint32_t mode = p->dentry->inode->mode;
    if (!S_ISREG(mode)) {
        return S_ISDIR(mode) ? -EISDIR : -EINVAL;
    }
    int err = path_permission(p, MAY_WRITE);
    if (err == 0 && atomic_load_relaxed(&p->dentry->inode->write_count) < 0) {
        err = -ETXTBSY;
    }
    return err != 0 ? err : vfs_truncate(NULL, p->dentry, (uint64_t)size);
}

int64_t sys_truncate(struct task *t, const struct sysargs *args) {
    struct path p;
    if ((int64_t)args->a[1] < 0) {
        return -EINVAL;
    }
    int64_t r = user_path(AT_FDCWD_MOAT, uaddr_of(args->a[0]), LOOKUP_FOLLOW, &p);
    if (r == 0) {
        r = truncate_path(&p, (int64_t)args->a[1]);
        path_put(&p);
    }
    return r;
}

int64_t sys_ftruncate(struct task *t, const struct sysargs *args) {
    if ((int64_t)args->a[1] < 0) {
        return -EINVAL;
    }
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    bool fit = S_ISREG(f->inode->mode) && (f->mode & FMODE_WRITE) != 0;
    int err = fit ? vfs_truncate(f, f->path.dentry, args->a[1]) : -EINVAL;
    file_put(f);
    return err;
}

int vfs_fallocate(struct file *f, uint32_t mode, uint64_t off, uint64_t len) {
    if (f->ops->fallocate == NULL) {
        return -EOPNOTSUPP;
    }
    return f->ops->fallocate(f, mode, off, len);
}

static int check_fallocate(struct file *f, uint32_t mode, int64_t off, int64_t len) {
    int64_t end;
    bool punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
    if (off < 0 || len <= 0) {
        return -EINVAL;
    }
    if ((punch && (mode & FALLOC_FL_KEEP_SIZE) == 0) ||
        (punch && (mode & FALLOC_FL_ZERO_RANGE) != 0)) {
        return -EOPNOTSUPP;
    }
    if ((f->mode & FMODE_WRITE) == 0) {
        return -EBADF;
    }
    switch (f->inode->mode & S_IFMT) {
    case S_IFREG:
        break;
    case S_IFIFO:
        return -ESPIPE;
    case S_IFDIR:
        return -EISDIR;
    default:
        return -ENODEV;
    }
    if (ckd_add(&end, off, len)) {
        return -EFBIG;
    }
    bool grows =
        (mode & FALLOC_FL_KEEP_SIZE) == 0 && (uint64_t)end > atomic_load_relaxed(&f->inode->size);
    return grows ? check_size_limit((uint64_t)end) : 0;
}

int64_t sys_fallocate(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    int err = check_fallocate(f, (uint32_t)args->a[1], (int64_t)args->a[2], (int64_t)args->a[3]);
    if (err == 0) {
        err = vfs_fallocate(f, (uint32_t)args->a[1], args->a[2], args->a[3]);
    }
    file_put(f);
    return err;
}

/* ---- storage ---- */

static int64_t fsync_fd(int fd, bool data_only) {
    struct file *f = fd_get(fd, false);
    if (f == NULL) {
        return -EBADF;
    }
    int err = vfs_fsync(f, data_only);
    file_put(f);
    return err;
}

int64_t sys_fsync(struct task *t, const struct sysargs *args) {
    return fsync_fd((int)args->a[0], false);
}

int64_t sys_fdatasync(struct task *t, const struct sysargs *args) {
    return fsync_fd((int)args->a[0], true);
}

int64_t sys_sync_file_range(struct task *t, const struct sysargs *args) {
    if ((int64_t)args->a[1] < 0 || (int64_t)args->a[2] < 0 || (args->a[3] & ~7ull) != 0) {
        return -EINVAL;
    }
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    uint32_t mode = f->inode->mode;
    int err = S_ISREG(mode)                                     ? vfs_fsync(f, true)
              : S_ISDIR(mode) || S_ISLNK(mode) || S_ISBLK(mode) ? 0
                                                                : -ESPIPE;
    file_put(f);
    return err;
}

static int super_sync(struct super_block *sb) {
    return sb->ops->sync != NULL ? sb->ops->sync(sb) : 0;
}

static bool sync_mount(struct mount *m, void *arg) {
    (void)super_sync(m->sb); /* sync(2) reports nothing */
    return true;
}

int64_t sys_sync(struct task *t, const struct sysargs *args) {
    mount_for_each(sync_mount, NULL);
    return 0;
}

int64_t sys_syncfs(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    int err = super_sync(f->path.dentry->sb);
    file_put(f);
    return err;
}

/* Advice is checked and not needed: the page caches are memory already. */
int64_t sys_fadvise64(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    int64_t r = 0;
    if (S_ISFIFO(f->inode->mode)) {
        r = -ESPIPE;
    } else if ((int64_t)args->a[2] < 0 || (int)args->a[3] < 0 ||
               (int)args->a[3] > 5) { /* POSIX_FADV_NOREUSE */
        r = -EINVAL;
    }
    file_put(f);
    return r;
}

int64_t sys_readahead(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL || (f->mode & FMODE_READ) == 0) {
        file_put(f);
        return -EBADF;
    }
    int64_t r = S_ISREG(f->inode->mode) ? 0 : -EINVAL;
    file_put(f);
    return r;
}
