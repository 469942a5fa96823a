/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing areas in place: mprotect(2) and the flags that madvise(2) and mlock(2) set.
 */
#include "mm/internal.h"

#include <linux/errno.h>

struct protect_walk {
    struct vma *v;
    struct protect_batch batch;
};

static int visit_protect(struct pt_span *span, void *arg) {
    struct protect_walk *w = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t old = span->pte[i];
        if (old == 0) {
            continue;
        }
        uint64_t pte = vma_pte(w->v, pte_pfn(old), old & (PTE_OWN | PTE_ANON | PTE_HOST));
        span->pte[i] = pte;
        if ((pte & PTE_HOST) != 0) {
            protect_batch_add(&w->batch, span->va + i * PAGE_SIZE, pte_prot(old), pte_prot(pte));
        }
    }
    return 0;
}

/* Brings entries and space in line with the area's new flags. */
static int protect_entries(struct vma *v, uint64_t start, uint64_t end) {
    struct protect_walk w = {.v = v};
    protect_batch_init(&w.batch, v->mm);
    spin_lock(&v->mm->pt_lock);
    (void)pt_walk(v->mm->pt, start, end, false, visit_protect, &w); /* the visitor never fails */
    protect_batch_flush(&w.batch);
    spin_unlock(&v->mm->pt_lock);
    return w.batch.error;
}

/* Cuts [start, end) out of v and gives it new flags; the area that has it then in *out_area. */
static int change_area(struct vma *v, uint64_t start, uint64_t end, uint32_t flags,
                       struct list *gone, struct vma **out_area) {
    if (v->start < start) {
        int err = vma_split(v, start, &v);
        if (err != 0) {
            return err;
        }
    }
    if (v->end > end) {
        struct vma *upper;
        int err = vma_split(v, end, &upper);
        if (err != 0) {
            return err;
        }
    }
    vma_set_flags(v, flags);
    *out_area = vma_merge(v, gone);
    return 0;
}

static int protect_area(struct vma *v, uint64_t start, uint64_t end, uint32_t prot,
                        struct list *gone) {
    uint32_t flags = (v->flags & ~(uint32_t)VMA_PROT) | prot;
    uint32_t may = (v->flags & VMA_MAY) >> 4; /* VMA_MAY_x is VMA_x << 4 */
    if ((v->flags & VMA_SPECIAL) != 0 || (prot & ~may) != 0) {
        return -EACCES;
    }
    if (flags == v->flags) {
        return 0;
    }
    bool more_data = (prot & VMA_WRITE) != 0 && (v->flags & (VMA_WRITE | VMA_SHARED)) == 0;
    if (more_data && !mm_may_write_more(v->mm, (end - start) >> PAGE_SHIFT, flags)) {
        return -ENOMEM;
    }
    int err = change_area(v, start, end, flags, gone, &v);
    if (err == 0) {
        err = protect_entries(v, start, end);
    }
    if (err == 0 && more_data) {
        mm_fill_eager(v, start, end);
    }
    return err;
}

int mm_protect(struct mm *mm, uint64_t addr, uint64_t len, uint32_t prot) {
    struct list gone;
    list_init(&gone);
    len = ALIGN_UP(len, PAGE_SIZE);
    if (!IS_ALIGNED(addr, PAGE_SIZE)) {
        return -EINVAL;
    }
    if (len == 0) {
        return 0;
    }
    if (!user_range_ok(addr, len)) {
        return -ENOMEM;
    }
    uint64_t end = addr + len;
    int err = 0;
    rw_write_lock(&mm->lock);
    for (uint64_t va = addr; va < end && err == 0;) {
        struct vma *v = vma_at(mm, va);
        if (v == NULL) {
            err = -ENOMEM;
            break;
        }
        uint64_t stop = MIN(v->end, end);
        err = protect_area(v, va, stop, prot & VMA_PROT, &gone);
        va = stop;
    }
    rw_write_unlock(&mm->lock);
    vma_free_list(&gone);
    return err;
}

int mm_change_flags(struct mm *mm, uint64_t start, uint64_t end, uint32_t set, uint32_t clear) {
    struct list gone;
    list_init(&gone);
    int err = 0;
    rw_write_lock(&mm->lock);
    for (uint64_t va = start; va < end;) {
        struct vma *v = vma_find(mm, va);
        if (v == NULL || v->start >= end) {
            err = -ENOMEM;
            break;
        }
        if (v->start > va) {
            err = -ENOMEM; /* a hole: reported, but the rest is done */
            va = v->start;
        }
        uint64_t stop = MIN(v->end, end);
        uint32_t flags = (v->flags | set) & ~clear;
        if (flags != v->flags && (v->flags & VMA_SPECIAL) == 0) {
            int failed = change_area(v, va, stop, flags, &gone, &v);
            if (failed != 0) {
                err = failed;
                break;
            }
        }
        va = stop;
    }
    rw_write_unlock(&mm->lock);
    vma_free_list(&gone);
    return err;
}
