/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files: life, and reading and writing through them.
 *
 * A file holds its path (mount and dentry, and through it the inode) and the opener's credentials.
 */
#include "fs/fsnotify.h"
#include "fs/async.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"

#include <asm/signal.h>
#include <linux/resource.h>

/* A file over `path` (takes its own references); nothing opened yet. */
struct file *file_alloc(const struct path *path, const struct file_ops *ops, uint32_t flags) {
    struct file *f = kzalloc(sizeof(*f));
    if (f == NULL) {
        return NULL;
    }
    ref_init(&f->ref);
    path_get(path);
    f->path = *path;
    f->inode = path->dentry->inode;
    f->ops = ops;
    f->flags = flags;
    if ((flags & O_PATH) != 0) {
        f->mode = FMODE_PATH;
    } else {
        uint32_t acc = flags & O_ACCMODE;
        f->mode = (acc != O_WRONLY ? FMODE_READ : 0) |
                  (acc == O_WRONLY || acc == O_RDWR ? FMODE_WRITE : 0);
    }
    mutex_init(&f->pos_lock);
    f->cred = cred_get(current->cred);
    list_init(&f->epoll_links);
    return f;
}

void file_put(struct file *f) {
    if (f == NULL || likely(!ref_put(&f->ref))) {
        return;
    }
    if ((f->mode & FMODE_PATH) == 0) {
        epoll_file_released(f);
        file_async_release(f);
        if (unlikely(f->inode->locks != NULL)) {
            locks_release_file(f);
        }
        fsnotify_dentry(f->path.dentry,
                        (f->mode & FMODE_WRITE) != 0 ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
        if (f->ops->release != NULL) {
            f->ops->release(f);
        }
        if ((f->mode & FMODE_WRITER) != 0) {
            (void)atomic_fetch_sub(&f->inode->write_count, 1); /* the old count is of no use */
        }
        file_allow_write(f);
    }
    path_put(&f->path);
    cred_put(f->cred);
    kfree(f);
}

/* ---- reading and writing ---- */

int64_t vfs_read(struct file *f, struct iov_iter *to, uint64_t *pos) {
    if (unlikely((f->mode & FMODE_READ) == 0)) {
        return -EBADF;
    }
    if (unlikely(f->ops->read == NULL)) {
        return S_ISDIR(f->inode->mode) ? -EISDIR : -EINVAL;
    }
    int64_t n = f->ops->read(f, to, pos);
    if (n > 0) {
        fsnotify_dentry(f->path.dentry, IN_ACCESS);
    }
    return n;
}

/* RLIMIT_FSIZE (setrlimit(2)): how many of `want` bytes at `pos` may be written; SIGXFSZ and -EFBIG
 * when none. */
static int64_t limit_file_size(struct file *f, uint64_t pos, uint64_t want) {
    uint64_t limit = rlimit_get(RLIMIT_FSIZE);
    if (likely(limit == UINT64_MAX)) {
        return (int64_t)want;
    }
    if ((f->flags & O_APPEND) != 0) {
        pos = atomic_load_relaxed(&f->inode->size);
    }
    if (pos >= limit) {
        (void)signal_send_task(current, SIGXFSZ, NULL); /* the error says the same */
        return -EFBIG;
    }
    return (int64_t)MIN(want, limit - pos);
}

int64_t vfs_write(struct file *f, struct iov_iter *from, uint64_t *pos) {
    if (unlikely((f->mode & FMODE_WRITE) == 0)) {
        return -EBADF;
    }
    if (unlikely(f->ops->write == NULL)) {
        return -EINVAL;
    }
    size_t held_back = 0;
    if (S_ISREG(f->inode->mode)) {
        int64_t allowed = limit_file_size(f, *pos, from->left);
        if (unlikely(allowed < 0)) {
            return from->left == 0 ? 0 : allowed;
        }
        int err = file_remove_privs(f);
        if (unlikely(err != 0)) {
            return err;
        }
        held_back = from->left - (size_t)allowed;
        from->left = (size_t)allowed;
    }
    int64_t n = f->ops->write(f, from, pos);
    from->left += held_back;
    if (n > 0) {
        fsnotify_dentry(f->path.dentry, IN_MODIFY);
    }
    return n;
}

int64_t kernel_read(struct file *f, void *buf, size_t len, uint64_t pos) {
    struct iov_iter it;
    iter_init_kernel(&it, buf, len);
    return vfs_read(f, &it, &pos);
}

int64_t kernel_write(struct file *f, const void *buf, size_t len, uint64_t pos) {
    struct iov_iter it;
    iter_init_kernel(&it, (void *)(uintptr_t)buf, len);
    return vfs_write(f, &it, &pos);
}

uint32_t vfs_poll(struct file *f, struct poll_table *table) {
    if (f->ops->poll == NULL) {
        return 0x0001u | 0x0004u | 0x0040u |
               0x0100u; /* POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM */
    }
    return f->ops->poll(f, table);
}

int vfs_fsync(struct file *f, bool data_only) {
    if (f->ops->fsync != NULL) {
        return f->ops->fsync(f, data_only);
    }
    return S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode) || S_ISBLK(f->inode->mode) ? 0
                                                                                         : -EINVAL;
}

/* ---- position ---- */

static int64_t set_pos(struct file *f, int64_t pos) {
    if (pos < 0) {
        return -EINVAL;
    }
    atomic_store_relaxed(&f->pos, (uint64_t)pos);
    return pos;
}

enum { WHENCE_SET, WHENCE_CUR, WHENCE_END, WHENCE_DATA, WHENCE_HOLE }; /* lseek(2) */

int64_t generic_llseek(struct file *f, int64_t off, int whence) {
    int64_t size = (int64_t)atomic_load_relaxed(&f->inode->size);
    int64_t pos;
    switch (whence) {
    case WHENCE_SET:
        return set_pos(f, off);
    case WHENCE_CUR:
        return ckd_add(&pos, (int64_t)f->pos, off) ? -EOVERFLOW : set_pos(f, pos);
    case WHENCE_END:
        return ckd_add(&pos, size, off) ? -EOVERFLOW : set_pos(f, pos);
    case WHENCE_DATA:
        return off < 0 || off >= size ? -ENXIO : set_pos(f, off);
    case WHENCE_HOLE:
        return off < 0 || off >= size ? -ENXIO : set_pos(f, size);
    default:
        return -EINVAL;
    }
}
