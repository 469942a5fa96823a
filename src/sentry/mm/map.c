/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping and unmapping: mmap(2), munmap(2), brk(2) as functions on an mm.
 *
 * Locks: all take mm->lock for writing.  Areas taken out drop their file only after it is released,
 * since the last reference of a file may take locks that come before it.
 */
#include "mm/internal.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/resource.h>

#include "kernel/task.h"

#define LOW_2G 0x80000000ull

struct map_request {
    uint64_t addr, len;
    uint32_t prot, map_flags, vma_flags;
    struct file *file; /* borrowed, or NULL */
    uint64_t pgoff;
};

/* ---- limits ---- */

static bool counts_as_data(uint32_t flags) {
    return (flags & (VMA_WRITE | VMA_SHARED | VMA_GROWSDOWN)) == VMA_WRITE;
}

static uint64_t data_pages(struct mm *mm) {
    uint64_t pages = 0;
    for (struct rb_node *n = rb_first(&mm->vmas); n != NULL; n = rb_next(n)) {
        const struct vma *v = rb_entry(n, struct vma, node);
        pages += counts_as_data(v->flags) ? vma_len(v) >> PAGE_SHIFT : 0;
    }
    return pages;
}

bool mm_may_write_more(struct mm *mm, uint64_t pages, uint32_t vma_flags) {
    uint64_t limit = rlimit_get(RLIMIT_DATA);
    return limit == UINT64_MAX || !counts_as_data(vma_flags) ||
           data_pages(mm) + pages <= limit >> PAGE_SHIFT;
}

bool mm_may_grow(struct mm *mm, uint64_t pages, uint32_t vma_flags) {
    uint64_t limit = rlimit_get(RLIMIT_AS);
    if (limit != UINT64_MAX && mm->total_pages + pages > limit >> PAGE_SHIFT) {
        return false;
    }
    return mm_may_write_more(mm, pages, vma_flags);
}

/* mmap(2): -EAGAIN when locked memory would pass RLIMIT_MEMLOCK. */
static int check_locked(struct mm *mm, uint64_t pages) {
    uint64_t limit = rlimit_get(RLIMIT_MEMLOCK);
    if (limit == UINT64_MAX || mm->locked_pages + pages <= limit >> PAGE_SHIFT ||
        capable(CAP_IPC_LOCK)) {
        return 0;
    }
    return -EAGAIN;
}

/* ---- unmapping ---- */

int mm_unmap_locked(struct mm *mm, uint64_t start, uint64_t end, struct list *gone) {
    struct vma *v;
    int err = vma_isolate(mm, start, end, &v);
    if (err != 0 || v == NULL) {
        return err;
    }
    while (v != NULL && v->start < end) {
        struct vma *next = vma_next(v);
        vma_remove(mm, v);
        list_push_back(gone, &v->inode_link);
        v = next;
    }
    mm_zap(mm, start, end, 0);
    return 0;
}

int mm_unmap(struct mm *mm, uint64_t addr, uint64_t len) {
    struct list gone;
    len = ALIGN_UP(len, PAGE_SIZE);
    if (!IS_ALIGNED(addr, PAGE_SIZE) || len == 0 || !user_range_ok(addr, len)) {
        return -EINVAL;
    }
    list_init(&gone);
    rw_write_lock(&mm->lock);
    int err = mm_unmap_locked(mm, addr, addr + len, &gone);
    rw_write_unlock(&mm->lock);
    vma_free_list(&gone);
    return err;
}

/* ---- checks of mmap ---- */

static uint32_t prot_to_vma(uint32_t prot) {
    return ((prot & PROT_READ) != 0 ? VMA_READ : 0) | ((prot & PROT_WRITE) != 0 ? VMA_WRITE : 0) |
           ((prot & PROT_EXEC) != 0 ? VMA_EXEC : 0);
}

static int check_file(struct map_request *r) {
    struct file *f = r->file;
    if ((f->mode & FMODE_READ) == 0) {
        return -EACCES;
    }
    if ((r->vma_flags & VMA_SHARED) != 0 && (f->mode & FMODE_WRITE) == 0) {
        if ((r->prot & PROT_WRITE) != 0) {
            return -EACCES;
        }
        r->vma_flags &= ~(uint32_t)VMA_MAY_WRITE;
    }
    if (f->path.mount != NULL && (f->path.mount->flags & MS_NOEXEC) != 0) {
        if ((r->prot & PROT_EXEC) != 0) {
            return -EPERM;
        }
        r->vma_flags &= ~(uint32_t)VMA_MAY_EXEC;
    }
    return f->ops->mmap != NULL ? 0 : -ENODEV;
}

/* mmap(2): arguments to area flags. */
static int check_request(struct map_request *r) {
    uint32_t type = r->map_flags & MAP_TYPE;
    uint64_t last_page;
    if (r->len == 0 || (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)) {
        return -EINVAL;
    }
    if (r->len > g_user_end) {
        return -ENOMEM;
    }
    r->len = ALIGN_UP(r->len, PAGE_SIZE);
    if (ckd_add(&last_page, r->pgoff, r->len >> PAGE_SHIFT)) {
        return -EOVERFLOW;
    }
    if (type == MAP_SHARED_VALIDATE && (r->map_flags & MAP_SYNC) != 0) {
        return -EOPNOTSUPP;
    }
    if ((r->map_flags & MAP_HUGETLB) != 0) {
        return -ENOMEM; /* no pool of huge pages */
    }
    r->vma_flags |= prot_to_vma(r->prot) | VMA_MAY;
    r->vma_flags |= type != MAP_PRIVATE ? VMA_SHARED : 0;
    r->vma_flags |= (r->map_flags & MAP_GROWSDOWN) != 0 ? VMA_GROWSDOWN : 0;
    r->vma_flags |= (r->map_flags & MAP_NORESERVE) != 0 ? VMA_NORESERVE : 0;
    r->vma_flags |= (r->map_flags & MAP_LOCKED) != 0 ? VMA_LOCKED : 0;
    r->vma_flags |= (r->map_flags & MAP_STACK) != 0 ? VMA_LAZY : 0;
    if ((r->vma_flags & VMA_GROWSDOWN) != 0 && (r->file != NULL || type != MAP_PRIVATE)) {
        return -EINVAL;
    }
    return r->file != NULL ? check_file(r) : 0;
}

/* ---- choosing the address ---- */

static int choose_fixed(struct mm *mm, const struct map_request *r, struct list *gone) {
    if (!IS_ALIGNED(r->addr, PAGE_SIZE)) {
        return -EINVAL;
    }
    if (r->addr < g_user_start) {
        return -EPERM;
    }
    if (!user_range_ok(r->addr, r->len)) {
        return -ENOMEM;
    }
    if ((r->map_flags & MAP_FIXED_NOREPLACE) != 0) {
        const struct vma *v = vma_find(mm, r->addr);
        return v != NULL && v->start < r->addr + r->len ? -EEXIST : 0;
    }
    return mm_unmap_locked(mm, r->addr, r->addr + r->len, gone);
}

/* Settles r->addr.  Precondition: mm->lock write. */
static int choose_address(struct mm *mm, struct map_request *r, struct list *gone) {
    if ((r->map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0) {
        return choose_fixed(mm, r, gone);
    }
    uint64_t hint = ALIGN_UP(r->addr, PAGE_SIZE);
    bool low = (r->map_flags & MAP_32BIT) != 0;
    uint64_t top = low ? MIN(LOW_2G, g_user_end) : g_user_end;
    if (hint >= g_user_start && hint < top && r->len <= top - hint &&
        vma_range_free(mm, hint, hint + r->len)) {
        r->addr = hint;
        return 0;
    }
    r->addr = low ? vma_gap(mm, r->len, g_user_start, top) : vma_gap_top_down(mm, r->len);
    return r->addr != 0 ? 0 : -ENOMEM;
}

/* ---- mapping ---- */

static int ask_file_mmap(struct vma *v) {
    struct file *file = v->file;
    if (file == NULL) {
        return 0;
    }
    int err = file->ops->mmap(file, v);
    if (v->file != file) {
        file_put(file); /* became anonymous, or another file's; the caller's reference remains */
    }
    return err;
}

/* Precondition: mm->lock write. */
static int map_locked(struct mm *mm, struct map_request *r, struct list *gone) {
    uint64_t pages = r->len >> PAGE_SHIFT;
    r->vma_flags |= mm->future_flags;
    int err = (r->vma_flags & VMA_LOCKED) != 0 ? check_locked(mm, pages) : 0;
    if (err == 0) {
        err = choose_address(mm, r, gone);
    }
    if (err != 0) {
        return err;
    }
    if (mm->vma_count >= MM_AREAS_MAX || !mm_may_grow(mm, pages, r->vma_flags)) {
        return -ENOMEM;
    }
    struct vma *v = vma_alloc(mm, r->addr, r->addr + r->len, r->vma_flags, r->file, r->pgoff);
    if (v == NULL) {
        return -ENOMEM;
    }
    err = ask_file_mmap(v);
    if (err != 0) {
        list_push_back(gone, &v->inode_link);
        return err;
    }
    if ((v->flags & VMA_GROWSDOWN) != 0 && v->end == mm->stack_top) {
        v->flags |= VMA_STACK;
        v->name = "[stack]";
    }
    vma_insert(mm, v);
    v = vma_merge(v, gone);
    if (v->file == NULL) {
        mm_fill_eager(v, r->addr, r->addr + r->len);
    }
    return 0;
}

static void fill_new_file_area(struct mm *mm, uint64_t start, uint64_t end) {
    rw_read_lock(&mm->lock);
    struct vma *v = vma_at(mm, start);
    if (v != NULL && v->end >= end) {
        mm_fill_eager_file(v, start, end);
    }
    rw_read_unlock(&mm->lock);
}

static int64_t map_checked(struct mm *mm, struct map_request *r) {
    struct list gone;
    list_init(&gone);
    rw_write_lock(&mm->lock);
    int err = map_locked(mm, r, &gone);
    rw_write_unlock(&mm->lock);
    vma_free_list(&gone);
    if (err != 0) {
        return err;
    }
    uint64_t end = r->addr + r->len;
    if (r->file != NULL) {
        fill_new_file_area(mm, r->addr, end);
    }
    bool populate = (r->map_flags & MAP_POPULATE) != 0 && (r->map_flags & MAP_NONBLOCK) == 0;
    if ((populate || (r->vma_flags & VMA_LOCKED) != 0) &&
        mm_populate(mm, r->addr, end, (r->vma_flags & VMA_WRITE) != 0) != 0) {
        return (int64_t)r->addr; /* the mapping stands all the same (mmap(2)) */
    }
    return (int64_t)r->addr;
}

int64_t mm_map(struct mm *mm, uint64_t addr, uint64_t len, uint32_t prot, uint32_t map_flags,
               struct file *file, uint64_t off) {
    struct map_request r = {.addr = addr,
                            .len = len,
                            .prot = prot,
                            .map_flags = map_flags,
                            .file = file,
                            .pgoff = off >> PAGE_SHIFT};
    if (!IS_ALIGNED(off, PAGE_SIZE)) {
        return -EINVAL;
    }
    int err = check_request(&r);
    if (err != 0) {
        return err;
    }
    if (file != NULL || (map_flags & MAP_TYPE) == MAP_PRIVATE) {
        return map_checked(mm, &r);
    }
    err = mm_shared_file(r.len, "/dev/zero", &r.file);
    if (err != 0) {
        return err;
    }
    r.pgoff = 0;
    int64_t result = map_checked(mm, &r);
    file_put(r.file);
    return result;
}

/* ---- brk ---- */

static int brk_grow(struct mm *mm, uint64_t from, uint64_t to, struct list *gone) {
    const uint32_t flags = VMA_READ | VMA_WRITE | VMA_MAY | VMA_HEAP | mm->future_flags;
    uint64_t pages = (to - from) >> PAGE_SHIFT;
    /* A page of distance to whatever comes next, as Linux keeps. */
    if (!vma_range_free(mm, from, to + PAGE_SIZE) || !mm_may_grow(mm, pages, flags)) {
        return -ENOMEM;
    }
    struct vma *v = from > mm->brk_start ? vma_at(mm, from - 1) : NULL;
    if (v != NULL && v->end == from && v->flags == flags) {
        vma_resize(v, v->start, to);
    } else {
        v = mm->vma_count < MM_AREAS_MAX ? vma_alloc(mm, from, to, flags, NULL, 0) : NULL;
        if (v == NULL) {
            return -ENOMEM;
        }
        v->name = "[heap]";
        vma_insert(mm, v);
        v = vma_merge(v, gone);
    }
    mm_fill_eager(v, from, to);
    return 0;
}

uint64_t mm_brk(struct mm *mm, uint64_t brk) {
    struct list gone;
    list_init(&gone);
    rw_write_lock(&mm->lock);
    uint64_t limit = rlimit_get(RLIMIT_DATA);
    bool valid = brk >= mm->brk_start && brk <= g_user_end - 2 * PAGE_SIZE &&
                 (limit == UINT64_MAX || brk - mm->brk_start <= limit);
    if (valid) {
        uint64_t from = ALIGN_UP(mm->brk, PAGE_SIZE), to = ALIGN_UP(brk, PAGE_SIZE);
        int err = 0;
        if (to > from) {
            err = brk_grow(mm, from, to, &gone);
        } else if (to < from) {
            err = mm_unmap_locked(mm, to, from, &gone);
        }
        mm->brk = err == 0 ? brk : mm->brk;
    }
    uint64_t result = mm->brk;
    rw_write_unlock(&mm->lock);
    vma_free_list(&gone);
    return result;
}
