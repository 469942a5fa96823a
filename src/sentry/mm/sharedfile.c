/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared anonymous memory: a file without a name whose pages are zeroed frames, made when they are
 * first mapped.
 *
 * MAP_SHARED | MAP_ANONYMOUS and System V segments are areas over such a file, so fork, mremap and
 * reverse mapping need no case of their own.  Frames are kept in extents, because most of this
 * memory is mapped eagerly in long runs.
 *
 * Locks: shared_mem.lock (a mutex, after mm->lock) guards the extents.  The object lives as long as
 * its file.
 */
#include "mm/internal.h"

#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/stat.h>

#include "kernel/kmalloc.h"

struct extent {
    struct rb_node node; /* in shared_mem.extents by page */
    uint64_t page, pfn, count;
};

struct shared_mem {
    struct mutex lock;
    struct rb_tree extents; /* guarded by lock */
    uint64_t page_count;
};

/* The extent that holds `page`, or the first one after it; NULL. */
static struct extent *extent_find(struct shared_mem *m, uint64_t page) {
    struct extent *best = NULL;
    for (struct rb_node *n = m->extents.root; n != NULL;) {
        struct extent *x = rb_entry(n, struct extent, node);
        if (page < x->page + x->count) {
            best = x;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

static void extent_insert(struct shared_mem *m, struct extent *fresh) {
    struct rb_node *parent = NULL, **slot = &m->extents.root;
    while (*slot != NULL) {
        parent = *slot;
        slot = fresh->page < rb_entry(parent, struct extent, node)->page ? &parent->left
                                                                         : &parent->right;
    }
    rb_insert(&m->extents, parent, slot, &fresh->node);
}

/* New frames for [page, page + count). */
static int extent_make(struct shared_mem *m, uint64_t page, uint64_t count,
                       struct extent **out_extent) {
    struct extent *x = kzalloc(sizeof(*x));
    if (x == NULL) {
        return -ENOMEM;
    }
    for (count = MIN(count, FRAME_RUN_MAX); count > 0; count /= 2) {
        if (frame_alloc_run(count, &x->pfn) == 0) {
            x->page = page;
            x->count = count;
            extent_insert(m, x);
            *out_extent = x;
            return 0;
        }
    }
    kfree(x);
    return -ENOMEM;
}

static int shared_map_pages(struct file *file, uint64_t pgoff, uint64_t want, bool write,
                            uint64_t *out_pfn, uint64_t *out_count) {
    struct shared_mem *m = file->private;
    if (pgoff >= m->page_count) {
        return -EFAULT;
    }
    want = MIN(want, m->page_count - pgoff);
    mutex_lock(&m->lock);
    struct extent *x = extent_find(m, pgoff);
    int err = 0;
    if (x == NULL || x->page > pgoff) {
        err = extent_make(m, pgoff, x != NULL ? MIN(want, x->page - pgoff) : want, &x);
    }
    if (err == 0) {
        uint64_t skip = pgoff - x->page;
        *out_pfn = x->pfn + skip;
        *out_count = MIN(want, x->count - skip);
        frame_get_run(*out_pfn, *out_count);
    }
    mutex_unlock(&m->lock);
    return err;
}

/* Cuts x so that [page, page + count) within it is no more; its frames are put. */
static int extent_cut(struct shared_mem *m, struct extent *x, uint64_t page, uint64_t count) {
    uint64_t before = page - x->page, after = x->count - before - count;
    uint64_t pfn = x->pfn + before;
    if (before > 0 && after > 0) {
        struct extent *upper = kzalloc(sizeof(*upper));
        if (upper == NULL) {
            return -ENOMEM;
        }
        upper->page = page + count;
        upper->pfn = pfn + count;
        upper->count = after;
        x->count = before;
        extent_insert(m, upper);
    } else if (before > 0) {
        x->count = before;
    } else if (after > 0) {
        x->page = page + count;
        x->pfn = pfn + count;
        x->count = after;
    } else {
        rb_erase(&m->extents, &x->node);
        kfree(x);
    }
    frame_put_run(pfn, count);
    return 0;
}

/* fallocate(2) with FALLOC_FL_PUNCH_HOLE: what madvise(MADV_REMOVE) asks for. */
static int shared_fallocate(struct file *file, uint32_t mode, uint64_t off, uint64_t len) {
    struct shared_mem *m = file->private;
    if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
        return -EOPNOTSUPP;
    }
    uint64_t page = off >> PAGE_SHIFT, end = MIN((off + len) >> PAGE_SHIFT, m->page_count),
             first = page;
    int err = 0;
    mutex_lock(&m->lock);
    while (page < end && err == 0) {
        struct extent *x = extent_find(m, page);
        if (x == NULL || x->page >= end) {
            break;
        }
        uint64_t from = MAX(page, x->page), to = MIN(end, x->page + x->count);
        err = extent_cut(m, x, from, to - from);
        page = to;
    }
    mutex_unlock(&m->lock);
    if (first < end) {
        mm_unmap_inode(file->inode, first, end - first);
    }
    return err;
}

static int shared_mmap(struct file *file, struct vma *vma) {
    return 0;
}

static void shared_free(struct shared_mem *m) {
    while (m->extents.root != NULL) {
        struct extent *x = rb_entry(m->extents.root, struct extent, node);
        rb_erase(&m->extents, &x->node);
        frame_put_run(x->pfn, x->count);
        kfree(x);
    }
    kfree(m);
}

static void shared_release(struct file *file) {
    shared_free(file->private);
}

static const struct file_ops g_shared_ops = {
    .release = shared_release,
    .mmap = shared_mmap,
    .map_pages = shared_map_pages,
    .fallocate = shared_fallocate,
};

bool vma_is_shared_memory(const struct vma *v) {
    return v->file != NULL && v->file->ops == &g_shared_ops && !vma_is_private(v);
}

int mm_shared_file(uint64_t len, const char *label, struct file **out_file) {
    struct shared_mem *m = kzalloc(sizeof(*m));
    if (m == NULL) {
        return -ENOMEM;
    }
    mutex_init(&m->lock);
    m->page_count = ALIGN_UP(len, PAGE_SIZE) >> PAGE_SHIFT;
    struct inode *inode = inode_alloc(anon_super(), S_IFREG | 0600, NULL, &g_shared_ops);
    if (inode == NULL) {
        kfree(m);
        return -ENOMEM;
    }
    inode->size = len;
    int err = file_from_inode(inode, label, &g_shared_ops, 02 /* O_RDWR */, out_file);
    inode_put(inode); /* the file has its own */
    if (err != 0) {
        kfree(m);
        return err;
    }
    (*out_file)->private = m;
    return 0;
}
