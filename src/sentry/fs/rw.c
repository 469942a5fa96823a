/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read, write, pread64, pwrite64, lseek; the vectored ones are in rwv.c.
 *
 * The position of a regular file or directory is locked only when somebody else could use it at the
 * same time: the file is shared by another descriptor, a thread, or a forked process.
 */
#include "fs/rw.h"

static inline bool has_position(const struct file *f) {
    return (f->mode & FMODE_STREAM) == 0 && (S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode));
}

int64_t file_sync_if_asked(struct file *f, int64_t written) {
    if (unlikely((f->flags & O_DSYNC) != 0) && written > 0) {
        int err = vfs_fsync(f, (f->flags & O_SYNC) != O_SYNC);
        return err != 0 && err != -EINVAL ? err : written;
    }
    return written;
}

/* Devices and streams bring their own order; their position, if any, is not locked. */
static int64_t rw_unlocked(struct file *f, struct iov_iter *it, bool write) {
    uint64_t pos = atomic_load_relaxed(&f->pos);
    int64_t n = write ? vfs_write(f, it, &pos) : vfs_read(f, it, &pos);
    if ((f->mode & FMODE_STREAM) == 0) {
        atomic_store_relaxed(&f->pos, pos);
    }
    return n;
}

int64_t file_rw(struct file *f, struct iov_iter *it, bool write) {
    if (!has_position(f)) {
        return rw_unlocked(f, it, write);
    }
    bool shared = file_pos_shared(f);
    if (shared) {
        mutex_lock(&f->pos_lock);
    }
    int64_t n = write ? vfs_write(f, it, &f->pos) : vfs_read(f, it, &f->pos);
    if (shared) {
        mutex_unlock(&f->pos_lock);
    }
    return write ? file_sync_if_asked(f, n) : n;
}

int64_t file_rw_at(struct file *f, struct iov_iter *it, int64_t pos, bool write) {
    if (pos < 0) {
        return -EINVAL;
    }
    if ((f->mode & FMODE_STREAM) != 0) {
        return -ESPIPE;
    }
    uint64_t at = (uint64_t)pos;
    return write ? file_sync_if_asked(f, vfs_write(f, it, &at)) : vfs_read(f, it, &at);
}

static int64_t rw_single(const struct sysargs *args, bool write, bool positional) {
    struct iov_iter it;
    struct file *f = fd_get((int)args->a[0], false);
    if (unlikely(f == NULL)) {
        return -EBADF;
    }
    int64_t n;
    if (unlikely((int64_t)args->a[2] < 0)) {
        n = -EINVAL;
    } else {
        iter_init_user(&it, uaddr_of(args->a[1]), MIN(args->a[2], RW_MAX));
        n = positional ? file_rw_at(f, &it, (int64_t)args->a[3], write) : file_rw(f, &it, write);
        rw_count(n, write);
    }
    file_put(f);
    return n;
}

int64_t sys_read(struct task *t, const struct sysargs *args) {
    return rw_single(args, false, false);
}

int64_t sys_write(struct task *t, const struct sysargs *args) {
    return rw_single(args, true, false);
}

int64_t sys_pread64(struct task *t, const struct sysargs *args) {
    return rw_single(args, false, true);
}

int64_t sys_pwrite64(struct task *t, const struct sysargs *args) {
    return rw_single(args, true, true);
}

static int64_t file_seek(struct file *f, int64_t off, int whence) {
    if (whence < 0 || whence > 4) { /* SEEK_SET .. SEEK_HOLE */
        return -EINVAL;
    }
    if ((f->mode & FMODE_STREAM) != 0) {
        return -ESPIPE;
    }
    if (f->ops->llseek != NULL) {
        return f->ops->llseek(f, off, whence);
    }
    return has_position(f) ? generic_llseek(f, off, whence) : -ESPIPE;
}

int64_t sys_lseek(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    bool shared = has_position(f) && file_pos_shared(f);
    if (shared) {
        mutex_lock(&f->pos_lock);
    }
    int64_t r = file_seek(f, (int64_t)args->a[1], (int)args->a[2]);
    if (shared) {
        mutex_unlock(&f->pos_lock);
    }
    file_put(f);
    return r;
}
