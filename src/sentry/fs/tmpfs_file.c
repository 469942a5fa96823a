/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs regular files: read, write, truncate, fallocate, mappings.
 *
 * Reading takes no lock but the radix's for a moment: a page is referenced while it is copied.
 * Writing and truncating hold inode->rw.  User memory is copied straight from and to the frames.
 */
#include "base/string.h"
#include "fs/tmpfs_page.h"

#include <linux/falloc.h>
#include <linux/memfd.h>

#define OFF_MAX ((uint64_t)INT64_MAX)

static uint64_t size_of(const struct inode *inode) {
    return atomic_load_relaxed(&inode->size);
}

static int64_t tmpfs_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct inode *inode = file->inode;
    int64_t done = 0;
    while (iter_left(to) > 0) {
        uint64_t size = size_of(inode);
        uint64_t at = *pos, pfn;
        if (at >= size) {
            break;
        }
        size_t off = at & PAGE_MASK;
        uint64_t want = MIN(iter_left(to), size - at);
        uint64_t pages = (off + want + PAGE_MASK) >> PAGE_SHIFT;
        uint64_t count = tmpfs_pages_get(inode, at >> PAGE_SHIFT, pages, &pfn);
        int64_t n;
        if (count > 0) {
            n = iter_copy_to(to, (char *)frame_ptr(pfn) + off, MIN(want, count * PAGE_SIZE - off));
            tmpfs_pages_put(pfn, count);
        } else {
            n = iter_zero(to, MIN(want, PAGE_SIZE - off));
        }
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

/* Copies into pages that are there.  Bytes, or 0 when the first one is missing. */
static int64_t write_present(struct inode *inode, struct iov_iter *from, uint64_t at) {
    uint64_t pfn;
    size_t off = at & PAGE_MASK;
    uint64_t pages = (off + iter_left(from) + PAGE_MASK) >> PAGE_SHIFT;
    uint64_t count = tmpfs_pages_get(inode, at >> PAGE_SHIFT, pages, &pfn);
    if (count == 0) {
        return 0;
    }
    int64_t n = iter_copy_from(from, (char *)frame_ptr(pfn) + off,
                               MIN(iter_left(from), count * PAGE_SIZE - off));
    tmpfs_pages_put(pfn, count);
    return n == 0 ? -EFAULT : n;
}

/* Page `i` of a filled run enters the file; somebody's fault may have put one there meanwhile. */
static int insert_filled(struct inode *inode, uint64_t index, uint64_t pfn, size_t off,
                         size_t len) {
    uint64_t other;
    frame_get(pfn); /* insertion consumes a reference, the copy below still needs the bytes */
    int err = tmpfs_page_insert(inode, index, pfn, &other);
    if (err == -EEXIST) {
        err = hal_copy((char *)frame_ptr(other) + off, (char *)frame_ptr(pfn) + off, len);
        frame_put(other);
    }
    frame_put(pfn);
    return err;
}

/* Fills new frames and then makes them pages of the file, so that nobody sees them half filled. */
static int64_t write_missing(struct inode *inode, struct iov_iter *from, uint64_t at) {
    size_t off = at & PAGE_MASK;
    uint64_t index = at >> PAGE_SHIFT, pfn, count;
    uint64_t pages = (off + iter_left(from) + PAGE_MASK) >> PAGE_SHIFT;
    pages = tmpfs_pages_missing(inode, index, pages);
    int err = tmpfs_pages_alloc(inode, MAX(pages, 1ull), true, &pfn, &count);
    if (err != 0) {
        return err;
    }
    char *mem = frame_ptr(pfn);
    size_t room = count * PAGE_SIZE - off;
    int64_t n = hal_zero(mem, off);
    if (n == 0) {
        n = iter_copy_from(from, mem + off, MIN(iter_left(from), room));
    }
    size_t end = off + (n > 0 ? (size_t)n : 0);
    uint64_t used = n > 0 ? (end + PAGE_MASK) >> PAGE_SHIFT : 0;
    if (n > 0 && hal_zero(mem + end, used * PAGE_SIZE - end) != 0) {
        n = -EFAULT;
        used = 0;
    }
    for (uint64_t i = 0; i < used && err == 0; i++) {
        size_t from_off = i == 0 ? off : 0;
        size_t to_off = MIN(end - i * PAGE_SIZE, PAGE_SIZE);
        err = insert_filled(inode, index + i, pfn + i, from_off, to_off - from_off);
        if (err != 0) {
            used = i + 1; /* the rest goes back below; what came before is in the file */
            n = i == 0 ? err : (int64_t)(i * PAGE_SIZE - off);
        }
    }
    tmpfs_pages_put(pfn + used, count - used);
    tmpfs_uncharge(inode->sb, count - used);
    return n == 0 ? -EFAULT : n;
}

static void size_grow(struct inode *inode, uint64_t end) {
    spin_lock(&inode->lock);
    if (end > inode->size) {
        atomic_store_relaxed(&inode->size, end);
    }
    spin_unlock(&inode->lock);
}

/* Bytes past the end that a mapping may have written must not show when the file grows over them.
 */
static int zero_tail(struct inode *inode, uint64_t size) {
    size_t off = size & PAGE_MASK;
    return off == 0 ? 0 : tmpfs_zero_range(inode, size >> PAGE_SHIFT, off, PAGE_SIZE - off);
}

static int check_seals(struct inode *inode, uint64_t end) {
    uint32_t seals = atomic_load_relaxed(&tmpfs_of(inode)->seals);
    if (likely((seals & ~(uint32_t)F_SEAL_SEAL) == 0)) {
        return 0;
    }
    if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
        return -EPERM;
    }
    return (seals & F_SEAL_GROW) != 0 && end > size_of(inode) ? -EPERM : 0;
}

static int64_t write_locked(struct inode *inode, struct iov_iter *from, uint64_t *pos) {
    int64_t done = 0;
    uint64_t end;
    if (ckd_add(&end, *pos, iter_left(from)) || end > OFF_MAX) {
        return -EFBIG;
    }
    int err = check_seals(inode, end);
    if (err == 0 && *pos > size_of(inode)) {
        err = zero_tail(inode, size_of(inode));
    }
    if (err != 0) {
        return err;
    }
    while (iter_left(from) > 0) {
        int64_t n = write_present(inode, from, *pos);
        if (n == 0) {
            n = write_missing(inode, from, *pos);
        }
        if (n < 0) {
            return done > 0 ? done : n;
        }
        *pos += (uint64_t)n;
        done += n;
        size_grow(inode, *pos);
    }
    return done;
}

static int64_t tmpfs_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    struct inode *inode = file->inode;
    if (iter_left(from) == 0) {
        return 0;
    }
    rw_write_lock(&inode->rw);
    if ((file->flags & O_APPEND) != 0) {
        *pos = size_of(inode);
    }
    int64_t n = write_locked(inode, from, pos);
    if (n > 0) {
        inode_touch(inode, ATTR_SET_MTIME | ATTR_SET_CTIME);
    }
    rw_write_unlock(&inode->rw);
    return n;
}

/* ---- size ---- */

static int set_size(struct inode *inode, uint64_t size) {
    uint64_t old = size_of(inode);
    uint32_t seals = tmpfs_of(inode)->seals;
    if (size > OFF_MAX) {
        return -EFBIG;
    }
    if ((size < old && (seals & F_SEAL_SHRINK) != 0) ||
        (size > old && (seals & F_SEAL_GROW) != 0)) {
        return -EPERM;
    }
    int err = size > old ? zero_tail(inode, old) : 0;
    if (err != 0) {
        return err;
    }
    spin_lock(&inode->lock);
    atomic_store_relaxed(&inode->size, size);
    spin_unlock(&inode->lock);
    if (size < old) {
        tmpfs_drop_pages(inode, (size + PAGE_MASK) >> PAGE_SHIFT, UINT64_MAX);
        err = zero_tail(inode, size);
    }
    return err;
}

int tmpfs_setattr(struct dentry *dentry, struct iattr *attr) {
    struct inode *inode = dentry->inode;
    if ((attr->valid & ATTR_SET_SIZE) != 0 && S_ISREG(inode->mode)) {
        int err = set_size(inode, attr->size);
        if (err != 0) {
            return err;
        }
    }
    inode_apply_attr(inode, attr);
    return 0;
}

/* ---- fallocate(2) ---- */

static int punch(struct inode *inode, uint64_t off, uint64_t end) {
    uint64_t first = (off + PAGE_MASK) >> PAGE_SHIFT, last = end >> PAGE_SHIFT;
    if ((tmpfs_of(inode)->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
        return -EPERM;
    }
    if (first > last) { /* inside one page */
        return tmpfs_zero_range(inode, last, off & PAGE_MASK, end - off);
    }
    int err = (off & PAGE_MASK) != 0 ? tmpfs_zero_range(inode, off >> PAGE_SHIFT, off & PAGE_MASK,
                                                        PAGE_SIZE - (off & PAGE_MASK))
                                     : 0;
    if (err == 0 && (end & PAGE_MASK) != 0) {
        err = tmpfs_zero_range(inode, last, 0, end & PAGE_MASK);
    }
    if (err == 0 && first < last) {
        tmpfs_drop_pages(inode, first, last);
    }
    return err;
}

static int preallocate(struct inode *inode, uint64_t off, uint64_t end) {
    uint64_t index = off >> PAGE_SHIFT, last = (end + PAGE_MASK) >> PAGE_SHIFT;
    while (index < last) {
        uint64_t pfn, count, other;
        uint64_t missing = tmpfs_pages_missing(inode, index, last - index);
        if (missing == 0) {
            index++;
            continue;
        }
        if (signal_pending(current)) {
            return -EINTR;
        }
        int err = tmpfs_pages_alloc(inode, missing, false, &pfn, &count);
        for (uint64_t i = 0; i < count && err == 0; i++) {
            err = tmpfs_page_insert(inode, index + i, pfn + i, &other);
            if (err == -EEXIST) {
                frame_put(other);
                err = 0;
            } else if (err != 0) {
                tmpfs_pages_put(pfn + i + 1, count - i - 1);
                tmpfs_uncharge(inode->sb, count - i - 1);
            }
        }
        if (err != 0) {
            return err;
        }
        index += count;
    }
    return 0;
}

static int tmpfs_fallocate(struct file *file, uint32_t mode, uint64_t off, uint64_t len) {
    struct inode *inode = file->inode;
    uint64_t end = off + len; /* the caller checked */
    int err = 0;
    bool keep = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    if ((mode & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) !=
        0) {
        return -EOPNOTSUPP;
    }
    rw_write_lock(&inode->rw);
    if ((mode & FALLOC_FL_PUNCH_HOLE) == 0 && !keep && end > size_of(inode)) {
        err =
            (tmpfs_of(inode)->seals & F_SEAL_GROW) != 0 ? -EPERM : zero_tail(inode, size_of(inode));
    }
    if (err == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
        err = punch(inode, off, end);
    }
    if (err == 0 && (mode & FALLOC_FL_PUNCH_HOLE) == 0) {
        err = preallocate(inode, off, end);
        if (err == 0 && !keep) {
            size_grow(inode, end);
        }
    }
    if (err == 0) {
        inode_touch(inode, ATTR_SET_MTIME | ATTR_SET_CTIME);
    }
    rw_write_unlock(&inode->rw);
    return err;
}

/* ---- mappings ---- */

static int tmpfs_mmap(struct file *file, struct vma *vma) {
    uint32_t seals = atomic_load_relaxed(&tmpfs_of(file->inode)->seals);
    if ((vma->flags & VMA_SHARED) != 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
        if ((vma->flags & VMA_WRITE) != 0) {
            return -EPERM;
        }
        vma->flags &= ~(uint32_t)VMA_MAY_WRITE;
    }
    return 0;
}

static int tmpfs_map_pages(struct file *file, uint64_t pgoff, uint64_t want, bool write,
                           uint64_t *out_pfn, uint64_t *out_count) {
    struct inode *inode = file->inode;
    for (;;) {
        uint64_t pages = (size_of(inode) + PAGE_MASK) >> PAGE_SHIFT;
        if (pgoff >= pages) {
            return -EFAULT;
        }
        want = MIN(want, pages - pgoff);
        *out_count = tmpfs_pages_get(inode, pgoff, want, out_pfn);
        if (*out_count > 0) {
            return 0;
        }
        uint64_t pfn, count, other;
        uint64_t missing = tmpfs_pages_missing(inode, pgoff, want);
        int err = tmpfs_pages_alloc(inode, MAX(missing, 1ull), false, &pfn, &count);
        if (err != 0) {
            return err == -ENOSPC ? -EFAULT : err; /* a full tmpfs is SIGBUS, as on Linux */
        }
        for (uint64_t i = 0; i < count; i++) {
            err = tmpfs_page_insert(inode, pgoff + i, pfn + i, &other);
            if (err == -EEXIST) {
                frame_put(other);
            } else if (err != 0) {
                tmpfs_pages_put(pfn + i + 1, count - i - 1);
                tmpfs_uncharge(inode->sb, count - i - 1);
                return err;
            }
        }
        /* Once more: what is in the file now, whoever put it there. */
    }
}

/* ---- lseek(2) with SEEK_DATA and SEEK_HOLE ---- */

static int64_t tmpfs_llseek(struct file *file, int64_t off, int whence) {
    struct inode *inode = file->inode;
    int64_t size = (int64_t)size_of(inode);
    if (whence != 3 && whence != 4) { /* SEEK_DATA, SEEK_HOLE */
        return generic_llseek(file, off, whence);
    }
    if (off < 0 || off >= size) {
        return -ENXIO;
    }
    int64_t index = tmpfs_next_page(inode, (uint64_t)off >> PAGE_SHIFT, whence == 3);
    if (index < 0 || index >= (int64_t)((OFF_MAX >> PAGE_SHIFT))) {
        index = -1;
    }
    int64_t pos = index < 0 ? size : MAX(off, index << PAGE_SHIFT);
    if (whence == 3 && pos >= size) {
        return -ENXIO;
    }
    return generic_llseek(file, MIN(pos, size), 0);
}

const struct inode_ops g_tmpfs_file_iops = {
    .setattr = tmpfs_setattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
};

const struct file_ops g_tmpfs_file_ops = {
    .read = tmpfs_read,
    .write = tmpfs_write,
    .llseek = tmpfs_llseek,
    .fallocate = tmpfs_fallocate,
    .mmap = tmpfs_mmap,
    .map_pages = tmpfs_map_pages,
};
