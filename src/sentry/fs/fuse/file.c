/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open regular files: bytes go to and from the donated host file, without a message.
 *
 * file->private is the struct fuse_data that was right at open, referenced.
 */
#include "fs/fuse/fuse.h"
#include "mm/mm.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/falloc.h>

#define SMALL_READ  (16u * KIB)
#define SMALL_READS 2u          /* after so many the file gets a window */
#define WINDOW_MAX  (64u * MIB) /* of a file that is read in small pieces */
#define PIN_SEGS    16u
#define PIN_BYTES   (1u * MIB) /* at a time */

static int fuse_open(struct inode *inode, struct file *file) {
    struct fuse_data *d;
    bool write = (file->mode & FMODE_WRITE) != 0;
    int err = fuse_data_get(inode, write, &d);
    if (err == -ESTALE && fuse_renew(file->path.dentry) == 0) {
        err = fuse_data_get(inode, write, &d);
    }
    if (err == -ESTALE) {
        dentry_drop(file->path.dentry); /* the name means another file now: look it up anew */
    }
    if (err == 0) {
        file->private = d;
    }
    return err;
}

static void fuse_release(struct file *file) {
    fuse_data_put(file->private);
}

static bool can_grow(const struct inode *inode) {
    return !fuse_conn_of(inode->sb)->exclusive;
}

/* The size to believe now: on a shared connection the host's. */
static uint64_t size_now(struct inode *inode, const struct fuse_data *d) {
    struct hal_stat st;
    if (can_grow(inode) && hal_file_stat(d->hfd, &st) == 0) {
        spin_lock(&inode->lock);
        atomic_store_relaxed(&inode->size, MIN(st.size, FUSE_SIZE_MAX));
        spin_unlock(&inode->lock);
    }
    return atomic_load_relaxed(&inode->size);
}

/* ---- reading ---- */

/* Where the bytes are in a window, if the file is worth one: then small reads are copies, not host
 * calls.  Or NULL. */
static const char *read_window(struct inode *inode, struct fuse_data *d, uint64_t at, size_t want) {
    const struct fuse_window *w;
    uint64_t size = atomic_load_relaxed(&inode->size);
    if (can_grow(inode) || want > SMALL_READ || size > WINDOW_MAX ||
        ++d->small_reads <= SMALL_READS) {
        return NULL;
    }
    if (fuse_data_window(inode, d, (at + want - 1) >> PAGE_SHIFT, size, &w) != 0) {
        return NULL;
    }
    return (const char *)frame_ptr(w->pfn) + at;
}

static int64_t read_pinned(struct fuse_data *d, struct iov_iter *to, uint64_t at, size_t want) {
    struct hal_seg segs[PIN_SEGS];
    size_t covered;
    int64_t count = iter_pin(to, MIN(want, (size_t)PIN_BYTES), true, segs, PIN_SEGS, &covered);
    if (count <= 0) {
        return count;
    }
    int64_t got = hal_file_pread(d->hfd, segs, (size_t)count, at);
    iter_unpin(to, segs, (size_t)count);
    if (got > 0) {
        iter_advance(to, (size_t)got);
    }
    return got;
}

static int64_t fuse_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct inode *inode = file->inode;
    struct fuse_data *d = file->private;
    int64_t done = 0;
    while (iter_left(to) > 0 && *pos < FUSE_SIZE_MAX) {
        uint64_t room = FUSE_SIZE_MAX;
        if (!can_grow(inode)) {
            room = atomic_load_relaxed(&inode->size);
        }
        if (*pos >= room) {
            break;
        }
        size_t want = MIN(iter_left(to), room - *pos);
        const char *bytes = read_window(inode, d, *pos, want);
        int64_t n = bytes != NULL ? iter_copy_to(to, bytes, want) : read_pinned(d, to, *pos, want);
        if (n <= 0) {
            done = done > 0 ? done : n;
            break;
        }
        *pos += (uint64_t)n;
        done += n;
    }
    file_accessed(file);
    return done;
}

/* ---- writing ---- */

/* Bytes are in the file up to `end` now. */
static void wrote(struct inode *inode, uint64_t end) {
    struct ktime now = ktime_now();
    spin_lock(&inode->lock);
    if (end > inode->size) {
        atomic_store_relaxed(&inode->size, end);
    }
    inode->mtime = inode->ctime = now;
    spin_unlock(&inode->lock);
    fuse_attr_stale(inode); /* blocks, and the host's own idea of the times */
}

static int64_t write_pinned(struct fuse_data *d, struct iov_iter *from, uint64_t at) {
    struct hal_seg segs[PIN_SEGS];
    size_t covered;
    int64_t count =
        iter_pin(from, MIN(iter_left(from), (size_t)PIN_BYTES), false, segs, PIN_SEGS, &covered);
    if (count <= 0) {
        return count;
    }
    int64_t put = hal_file_pwrite(d->hfd, segs, (size_t)count, at);
    iter_unpin(from, segs, (size_t)count);
    if (put > 0) {
        iter_advance(from, (size_t)put);
    }
    return put;
}

static int64_t fuse_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    struct inode *inode = file->inode;
    struct fuse_data *d = file->private;
    int64_t done = 0;
    rw_write_lock(&inode->rw);
    if ((file->flags & O_APPEND) != 0) {
        *pos = size_now(inode, d);
    }
    while (iter_left(from) > 0) {
        if (*pos >= FUSE_SIZE_MAX || iter_left(from) > FUSE_SIZE_MAX - *pos) {
            done = done > 0 ? done : -EFBIG;
            break;
        }
        int64_t n = write_pinned(d, from, *pos);
        if (n <= 0) {
            done = done > 0 ? done : n;
            break;
        }
        *pos += (uint64_t)n;
        done += n;
        wrote(inode, *pos);
    }
    rw_write_unlock(&inode->rw);
    return done;
}

static int fuse_fsync(struct file *file, bool data_only) {
    struct fuse_data *d = file->private;
    return hal_file_sync(d->hfd, data_only);
}

static int fuse_fallocate(struct file *file, uint32_t mode, uint64_t off, uint64_t len) {
    struct inode *inode = file->inode;
    struct fuse_data *d = file->private;
    uint64_t end;
    if (ckd_add(&end, off, len) || end > FUSE_SIZE_MAX) {
        return -EFBIG;
    }
    rw_write_lock(&inode->rw);
    int err = hal_file_allocate(d->hfd, mode, off, len);
    if (err == 0) {
        wrote(inode, (mode & FALLOC_FL_KEEP_SIZE) != 0 ? 0 : end);
    }
    rw_write_unlock(&inode->rw);
    return err;
}

static int64_t fuse_llseek(struct file *file, int64_t off, int whence) {
    if (whence >= 2) { /* SEEK_END, SEEK_DATA, SEEK_HOLE */
        (void)size_now(file->inode, file->private);
    }
    return generic_llseek(file, off, whence);
}

/* ---- mapping ---- */

static int fuse_mmap(struct file *file, struct vma *vma) {
    return 0; /* a shared writable mapping needs a file open for writing, which mmap checked */
}

static int fuse_map_pages(struct file *file, uint64_t pgoff, uint64_t want, bool write,
                          uint64_t *out_pfn, uint64_t *out_count) {
    struct inode *inode = file->inode;
    struct fuse_data *d = file->private;
    uint64_t size = atomic_load_relaxed(&inode->size);
    uint64_t pages = (size + PAGE_MASK) >> PAGE_SHIFT;
    if (pgoff >= pages) {
        size = size_now(inode, d);
        pages = (size + PAGE_MASK) >> PAGE_SHIFT;
    }
    if (pgoff >= pages) {
        return -EFAULT;
    }
    if (write && !d->writable) {
        return -EIO;
    }
    const struct fuse_window *w;
    int err = fuse_data_window(inode, d, pgoff, size, &w);
    if (err != 0) {
        return err;
    }
    if (write) {
        fuse_attr_stale(inode);
    }
    *out_pfn = w->pfn + pgoff;
    *out_count = MIN(want, MIN(pages, w->pages) - pgoff);
    return 0;
}

const struct inode_ops g_fuse_file_iops = {
    .open = fuse_open,
    .getattr = fuse_getattr,
    .setattr = fuse_setattr,
    .getxattr = fuse_getxattr,
    .setxattr = fuse_setxattr,
    .listxattr = fuse_listxattr,
    .removexattr = fuse_removexattr,
    .revalidate = fuse_revalidate,
};

const struct file_ops g_fuse_file_fops = {
    .release = fuse_release,
    .read = fuse_read,
    .write = fuse_write,
    .llseek = fuse_llseek,
    .fsync = fuse_fsync,
    .fallocate = fuse_fallocate,
    .mmap = fuse_mmap,
    .map_pages = fuse_map_pages,
};
