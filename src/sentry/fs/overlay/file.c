/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files of the overlay: each stands on an open file of a layer, which does the work.
 *
 * A file that was opened for reading before its inode was copied up reads the copy from then on (a
 * second layer file is opened for that); what it has mapped stays the lower file's, as in Linux's
 * overlayfs.
 */
#include "fs/overlay/overlay.h"
#include "kernel/kmalloc.h"
#include "mm/mm.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/falloc.h>

struct ovl_file { /* file->private */
    struct file *real;
    struct file
        *copy; /* atomic: of the upper layer, once needed because real is of the lower one */
};

#define NOT_FOR_LAYERS (O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC)

static int open_real(struct inode *inode, uint32_t flags, struct file **out) {
    struct ovl_sb *os = ovl_sb_of(inode->sb);
    struct dentry *upper = ovl_upper(inode);
    struct path p = {upper != NULL ? os->upper : os->lower,
                     upper != NULL ? upper : ovl_of(inode)->lower};
    return vfs_open_path(&p, flags & ~(uint32_t)NOT_FOR_LAYERS, out);
}

static int ovl_open(struct inode *inode, struct file *file) {
    struct ovl_file *of = kzalloc(sizeof(*of));
    int err = of == NULL ? -ENOMEM : 0;
    if (err == 0 && ((file->mode & FMODE_WRITE) != 0 || (file->flags & O_TRUNC) != 0)) {
        err = ovl_copy_up(file->path.dentry, (file->flags & O_TRUNC) != 0);
    }
    if (err == 0) {
        err = open_real(inode, file->flags, &of->real);
    }
    if (err == -ESTALE) {
        dentry_drop(file->path.dentry); /* as the lower layer did */
    }
    if (err != 0) {
        kfree(of);
        return err;
    }
    file->private = of;
    return 0;
}

static void ovl_release(struct file *file) {
    struct ovl_file *of = file->private;
    file_put(of->real);
    file_put(of->copy);
    kfree(of);
}

/* The layer file that has the content now. */
static int real_now(struct file *file, struct file **out) {
    struct ovl_file *of = file->private;
    struct file *copy = atomic_load(&of->copy), *expected = NULL;
    struct dentry *upper = ovl_upper(file->inode);
    *out = copy != NULL ? copy : of->real;
    if (likely(upper == NULL || (*out)->inode == upper->inode)) {
        return 0;
    }
    int err = open_real(file->inode, file->flags, &copy);
    if (err != 0) {
        return err;
    }
    if (!atomic_cas(&of->copy, &expected, copy)) {
        file_put(copy);
        copy = expected;
    }
    *out = copy;
    return 0;
}

static int64_t ovl_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct file *real;
    int err = real_now(file, &real);
    if (err != 0) {
        return err;
    }
    int64_t n = real->ops->read(real, to, pos);
    if (ovl_upper(file->inode) != NULL) {
        file_accessed(file);
    }
    return n;
}

static int64_t ovl_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    struct file *real;
    int err = real_now(file, &real);
    if (err != 0) {
        return err;
    }
    uint32_t append = atomic_load_relaxed(&file->flags) & O_APPEND;
    if (unlikely((real->flags & O_APPEND) != append)) { /* F_SETFL */
        atomic_store_relaxed(&real->flags, (real->flags & ~(uint32_t)O_APPEND) | append);
    }
    int64_t n = real->ops->write(real, from, pos);
    ovl_attr_pull(file->inode);
    return n;
}

static int64_t ovl_llseek(struct file *file, int64_t off, int whence) {
    struct file *real;
    int err = real_now(file, &real);
    if (err != 0) {
        return err;
    }
    if (whence < 3 || real->ops->llseek == NULL) { /* SEEK_DATA, SEEK_HOLE */
        return generic_llseek(file, off, whence);
    }
    int64_t at = real->ops->llseek(real, off, whence);
    if (at >= 0) {
        file->pos = (uint64_t)at;
    }
    return at;
}

static int ovl_fsync(struct file *file, bool data_only) {
    return 0; /* what was changed is memory */
}

static int ovl_fallocate(struct file *file, uint32_t mode, uint64_t off, uint64_t len) {
    struct file *real;
    int err = real_now(file, &real);
    if (err == 0) {
        err =
            real->ops->fallocate == NULL ? -EOPNOTSUPP : real->ops->fallocate(real, mode, off, len);
        ovl_attr_pull(file->inode);
    }
    if (err == 0 &&
        (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_COLLAPSE_RANGE)) != 0) {
        uint64_t first = off >> PAGE_SHIFT;
        mm_unmap_inode(file->inode, first, ((off + len + PAGE_MASK) >> PAGE_SHIFT) - first);
    }
    return err;
}

static int ovl_mmap(struct file *file, struct vma *vma) {
    struct file *real;
    int err = real_now(file, &real);
    return err != 0 ? err : real->ops->mmap == NULL ? -ENODEV : real->ops->mmap(real, vma);
}

static int ovl_map_pages(struct file *file, uint64_t pgoff, uint64_t want, bool write,
                         uint64_t *out_pfn, uint64_t *out_count) {
    struct ovl_file *of = file->private;
    return of->real->ops->map_pages(of->real, pgoff, want, write, out_pfn, out_count);
}

const struct inode_ops g_ovl_file_iops = {
    .open = ovl_open,
    .setattr = ovl_setattr,
    .getxattr = ovl_getxattr,
    .setxattr = ovl_setxattr,
    .listxattr = ovl_listxattr,
    .removexattr = ovl_removexattr,
};

const struct file_ops g_ovl_file_fops = {
    .release = ovl_release,
    .read = ovl_read,
    .write = ovl_write,
    .llseek = ovl_llseek,
    .fsync = ovl_fsync,
    .fallocate = ovl_fallocate,
    .mmap = ovl_mmap,
    .map_pages = ovl_map_pages,
};
