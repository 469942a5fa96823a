/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mremap(2): shrinking, growing in place, moving with the frames.
 *
 * Moving changes no reference: the entries go to the new place, the space unmaps the old one and
 * maps the new one.
 */
#include "mm/internal.h"

#include <linux/errno.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "kernel/task.h"

struct mover {
    struct mm *mm;
    uint64_t shift; /* new - old, modulo 2^64 */
    uint64_t first_mapped, end_mapped;
    struct map_batch batch;
};

static int visit_put_copy(struct pt_span *span, void *arg) {
    const uint64_t *from = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        if (from[i] != 0 && span->pte[i] == 0) {
            span->pte[i] = from[i] & ~PTE_HOST;
            span->live_delta++;
        }
    }
    return 0;
}

static int visit_copy(struct pt_span *span, void *arg) {
    struct mover *m = arg;
    /* The new place is aligned differently: an entry at a time. */
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t to = span->va + i * PAGE_SIZE + m->shift;
        if (span->pte[i] == 0) {
            continue;
        }
        int err = pt_walk(m->mm->pt, to, to + PAGE_SIZE, true, visit_put_copy, &span->pte[i]);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int visit_clear(struct pt_span *span, void *arg) {
    struct mover *m = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        if (span->pte[i] == 0) {
            continue;
        }
        if ((span->pte[i] & PTE_HOST) != 0) {
            uint64_t va = span->va + i * PAGE_SIZE;
            m->first_mapped = m->end_mapped == 0 ? va : m->first_mapped;
            m->end_mapped = va + PAGE_SIZE;
        }
        span->pte[i] = 0;
        span->live_delta--;
    }
    return 0;
}

static int visit_map(struct pt_span *span, void *arg) {
    struct mover *m = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t pte = span->pte[i];
        if (pte != 0 && pte_prot(pte) != 0 && m->mm->space != NULL) {
            span->pte[i] |= PTE_HOST;
            map_batch_add(&m->batch, span->va + i * PAGE_SIZE, pte, 0);
        }
    }
    return 0;
}

/* Moves the entries of [old, old + len) to the empty range at `to`. */
static int move_entries(struct mm *mm, uint64_t old, uint64_t to, uint64_t len) {
    struct mover m = {.mm = mm, .shift = to - old};
    map_batch_init(&m.batch, mm);
    spin_lock(&mm->pt_lock);
    int err = pt_walk(mm->pt, old, old + len, false, visit_copy, &m);
    if (err != 0) {
        (void)pt_walk(mm->pt, to, to + len, false, visit_clear,
                      &m); /* nothing there is mapped yet */
    } else {
        (void)pt_walk(mm->pt, old, old + len, false, visit_clear, &m);
        if (m.end_mapped != 0) {
            order_unmap(mm, m.first_mapped, (m.end_mapped - m.first_mapped) >> PAGE_SHIFT);
        }
        (void)pt_walk(mm->pt, to, to + len, false, visit_map, &m);
        map_batch_flush(&m.batch);
    }
    spin_unlock(&mm->pt_lock);
    return err;
}

struct remap {
    struct mm *mm;
    uint64_t old, old_len, new_len;
    uint32_t flags;
    uint64_t new_addr;
    struct list gone;
};

/* The area that holds all of the old range. */
static int remap_check(struct remap *r, struct vma **out_vma) {
    struct vma *v = vma_at(r->mm, r->old);
    if (v == NULL) {
        return -EFAULT;
    }
    if ((v->flags & VMA_SPECIAL) != 0 || r->old_len > v->end - r->old) {
        return (v->flags & VMA_SPECIAL) != 0 ? -EINVAL : -EFAULT;
    }
    if (r->old_len == 0 && vma_is_private(v)) {
        return -EINVAL;
    }
    if ((r->flags & MREMAP_DONTUNMAP) != 0 && !vma_is_anon(v)) {
        return -EINVAL;
    }
    *out_vma = v;
    if (r->new_len <= r->old_len && (r->flags & (MREMAP_DONTUNMAP | MREMAP_FIXED)) == 0) {
        return 0;
    }
    uint64_t more = r->new_len > r->old_len ? r->new_len - r->old_len : 0;
    more = (r->flags & MREMAP_DONTUNMAP) != 0 ? r->new_len : more;
    uint64_t limit = rlimit_get(RLIMIT_MEMLOCK);
    if ((v->flags & VMA_LOCKED) != 0 && limit != UINT64_MAX &&
        r->mm->locked_pages + (more >> PAGE_SHIFT) > limit >> PAGE_SHIFT) {
        return -EAGAIN;
    }
    return mm_may_grow(r->mm, more >> PAGE_SHIFT, v->flags) ? 0 : -ENOMEM;
}

static int64_t grow_in_place(struct remap *r, struct vma *v) {
    uint64_t end = r->old + r->new_len;
    vma_resize(v, v->start, end);
    v = vma_merge(v, &r->gone);
    mm_fill_eager(v, r->old + r->old_len, end);
    return (int64_t)r->old;
}

/* Finds or clears the new place. */
static int choose_place(struct remap *r) {
    if ((r->flags & MREMAP_FIXED) != 0) {
        return mm_unmap_locked(r->mm, r->new_addr, r->new_addr + r->new_len, &r->gone);
    }
    if ((r->flags & MREMAP_DONTUNMAP) != 0 && r->new_addr != 0 &&
        vma_range_free(r->mm, r->new_addr, r->new_addr + r->new_len)) {
        return 0;
    }
    r->new_addr = vma_gap_top_down(r->mm, r->new_len);
    return r->new_addr != 0 ? 0 : -ENOMEM;
}

static int64_t move_area(struct remap *r, struct vma *v) {
    struct mm *mm = r->mm;
    if (mm->vma_count + 3 > MM_AREAS_MAX) {
        return -ENOMEM;
    }
    int err = choose_place(r);
    if (err != 0) {
        return err;
    }
    v = vma_at(mm, r->old); /* clearing the new place may have cut the area */
    struct vma *moved = vma_alloc(mm, r->new_addr, r->new_addr + r->new_len, v->flags, v->file,
                                  vma_page(v, r->old));
    if (moved == NULL) {
        return -ENOMEM;
    }
    moved->name = v->name;
    vma_insert(mm, moved);
    uint64_t carried = MIN(r->old_len, r->new_len);
    err = move_entries(mm, r->old, r->new_addr, carried);
    if (err != 0) {
        vma_remove(mm, moved);
        list_push_back(&r->gone, &moved->inode_link);
        return err;
    }
    if ((r->flags & MREMAP_DONTUNMAP) == 0 && r->old_len > 0) {
        err = mm_unmap_locked(mm, r->old, r->old + r->old_len, &r->gone);
    }
    moved = vma_merge(moved, &r->gone);
    if (r->new_len > carried) {
        mm_fill_eager(moved, r->new_addr + carried, r->new_addr + r->new_len);
    }
    return err != 0 ? err : (int64_t)r->new_addr;
}

static int64_t remap_locked(struct remap *r) {
    struct vma *v;
    int err = remap_check(r, &v);
    if (err != 0) {
        return err;
    }
    if ((r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) == 0) {
        if (r->new_len <= r->old_len) {
            uint64_t cut = r->old + r->new_len;
            err = r->new_len < r->old_len
                      ? mm_unmap_locked(r->mm, cut, r->old + r->old_len, &r->gone)
                      : 0;
            return err != 0 ? err : (int64_t)r->old;
        }
        uint64_t old_end = r->old + r->old_len, new_end = r->old + r->new_len;
        if (r->old_len > 0 && old_end == v->end && new_end <= g_user_end &&
            vma_range_free(r->mm, old_end, new_end)) {
            return grow_in_place(r, v);
        }
        if ((r->flags & MREMAP_MAYMOVE) == 0) {
            return -ENOMEM;
        }
    }
    return move_area(r, v);
}

int64_t mm_remap(struct mm *mm, uint64_t old, uint64_t old_len, uint64_t new_len, uint32_t flags,
                 uint64_t new_addr) {
    const uint32_t known = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    bool placed = (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0;
    if ((flags & ~known) != 0 || (placed && (flags & MREMAP_MAYMOVE) == 0) ||
        !IS_ALIGNED(old, PAGE_SIZE)) {
        return -EINVAL;
    }
    old_len = ALIGN_UP(old_len, PAGE_SIZE);
    new_len = ALIGN_UP(new_len, PAGE_SIZE);
    if (new_len == 0 || !user_range_ok(old, MAX(old_len, 1)) || new_len > g_user_end) {
        return -EINVAL;
    }
    if ((flags & MREMAP_DONTUNMAP) != 0 && old_len != new_len) {
        return -EINVAL;
    }
    if (placed) {
        bool fixed = (flags & MREMAP_FIXED) != 0;
        if ((fixed || new_addr != 0) &&
            (!IS_ALIGNED(new_addr, PAGE_SIZE) || new_addr < g_user_start ||
             !user_range_ok(new_addr, new_len))) {
            return -EINVAL;
        }
        if (fixed && new_addr < old + old_len && old < new_addr + new_len) {
            return -EINVAL;
        }
    }
    struct remap r = {mm, old, old_len, new_len, flags, new_addr, {NULL, NULL}};
    list_init(&r.gone);
    rw_write_lock(&mm->lock);
    int64_t result = remap_locked(&r);
    rw_write_unlock(&mm->lock);
    vma_free_list(&r.gone);
    return result;
}
