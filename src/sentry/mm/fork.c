/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork: the child's areas and entries.
 *
 * Private frames become shared: both entries lose PTE_OWN, and one protect order for each stretch
 * takes the right to write from the parent's space, before the platform duplicates it.  The child's
 * entries say what its space will hold, because it inherits the parent's mappings.  What it must
 * not inherit is unmapped by mm_bind_space.
 *
 * Locks: parent->lock write, from mm_fork_begin to mm_fork_end.  The child's areas go on the
 * inodes' lists right behind the parent's and before the entries are copied: a truncate then finds
 * a page in both or in neither.
 */
#include "mm/callsite.h"
#include "mm/internal.h"

#include <linux/errno.h>

struct fork_copy {
    struct mm *child;
    struct vma *v; /* the parent's */
    struct protect_batch protects;
    int64_t pages;
};

static int visit_child(struct pt_span *span, void *arg) {
    const uint64_t *from = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        if (from[i] != 0) {
            span->pte[i] = from[i];
            span->live_delta++;
        }
    }
    return 0;
}

/* One more reference for each of the entries' frames, run by run; how many there are. */
static int64_t reference_entries(const struct pt_span *span) {
    uint64_t pfn = 0, run = 0;
    int64_t present = 0;
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t pte = span->pte[i];
        if (pte == 0) {
            continue;
        }
        present++;
        if (run == 0 || pfn + run != pte_pfn(pte)) {
            frame_get_run(pfn, run);
            pfn = pte_pfn(pte);
            run = 0;
        }
        run++;
    }
    frame_get_run(pfn, run);
    return present;
}

/* Takes the right to write from private entries. */
static void share_entries(struct pt_span *span, struct fork_copy *f) {
    bool writable = (f->v->flags & VMA_WRITE) != 0;
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t old = span->pte[i];
        if (old == 0) {
            continue;
        }
        uint64_t pte = old & ~(PTE_OWN | PTE_WRITE);
        span->pte[i] = pte;
        if ((pte & PTE_HOST) != 0 && writable) {
            protect_batch_add(&f->protects, span->va + i * PAGE_SIZE, pte_prot(old), pte_prot(pte));
        }
    }
}

static void unshare_entries(const struct pt_span *span) {
    for (uint32_t i = 0; i < span->count; i++) {
        if (span->pte[i] != 0) {
            frame_put(pte_pfn(span->pte[i]));
        }
    }
}

static int visit_parent(struct pt_span *span, void *arg) {
    struct fork_copy *f = arg;
    int64_t present = reference_entries(span);
    if (present == 0) {
        return 0;
    }
    if (vma_is_private(f->v)) {
        share_entries(span, f);
    }
    uint64_t end = span->va + span->count * PAGE_SIZE;
    int err = pt_walk(f->child->pt, span->va, end, true, visit_child, span->pte);
    if (err != 0) {
        unshare_entries(span);
        return err;
    }
    f->pages += present;
    return 0;
}

/* Precondition: both pt_locks. */
static int copy_entries(struct mm *parent, struct mm *child) {
    struct fork_copy f = {.child = child};
    int err = 0;
    protect_batch_init(&f.protects, parent);
    for (struct rb_node *n = rb_first(&parent->vmas); n != NULL && err == 0; n = rb_next(n)) {
        f.v = rb_entry(n, struct vma, node);
        if ((f.v->flags & VMA_SPECIAL) != 0) {
            continue;
        }
        if ((f.v->flags & (VMA_DONTFORK | VMA_WIPEONFORK)) != 0) {
            order_unmap(child, f.v->start, vma_len(f.v) >> PAGE_SHIFT);
            continue;
        }
        err = pt_walk(parent->pt, f.v->start, f.v->end, false, visit_parent, &f);
    }
    protect_batch_flush(&f.protects);
    rss_add(child, f.pages);
    child->cow_faults = 0;
    parent->cow_faults = 0;
    return err != 0 ? err : f.protects.error;
}

static int copy_areas(struct mm *parent, struct mm *child) {
    for (struct rb_node *n = rb_first(&parent->vmas); n != NULL; n = rb_next(n)) {
        struct vma *v = rb_entry(n, struct vma, node);
        if ((v->flags & VMA_DONTFORK) != 0) {
            continue;
        }
        struct vma *copy =
            vma_alloc(child, v->start, v->end, v->flags & ~(uint32_t)VMA_LOCKED, v->file, v->pgoff);
        if (copy == NULL) {
            return -ENOMEM;
        }
        copy->name = v->name;
        vma_insert_behind(child, copy, v);
    }
    return 0;
}

void mm_fork_begin(struct mm *parent) {
    rw_write_lock(&parent->lock);
}

void mm_fork_end(struct mm *parent) {
    rw_write_unlock(&parent->lock);
}

int mm_fork(struct mm *parent, struct mm **out_child) {
    /* A broken mm's space is not what its entries say: nothing may be copied from it. */
    struct mm *child = parent->broken ? NULL : mm_alloc_like(parent);
    if (child == NULL) {
        return -ENOMEM;
    }
    child->forked = true;
    int err = callsite_fork_prepare(parent, child);
    err = err != 0 ? err : copy_areas(parent, child);
    if (err == 0) {
        spin_lock(&parent->pt_lock);
        spin_lock_nested(&child->pt_lock);
        err = parent->reaped ? -ENOMEM : copy_entries(parent, child); /* not what it was */
        callsite_fork(parent, child);
        if (child->broken) {
            err = -ENOMEM;
        }
        spin_unlock(&child->pt_lock);
        spin_unlock(&parent->pt_lock);
    }
    if (err != 0) {
        mm_leave(child);
        return err;
    }
    *out_child = child;
    return 0;
}
