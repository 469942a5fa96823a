/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy on write.
 *
 * A private page without PTE_OWN may be shared: with another mm after a fork, or with the page
 * cache.  Before it is written, it is made the mm's own: a frame with no other reference is simply
 * kept, and so are its neighbours, as that costs one protect order for all; otherwise a cluster of
 * pages around it is copied into one run of frames.  The cluster grows with the number of such
 * faults since the fork, as most children write to a few pages only before they exec or exit.
 *
 * The copy is made without pt_lock: the originals cannot change, since nobody may write a frame
 * that has two references (the copier holds one).
 */
#include "mm/internal.h"

#include <linux/errno.h>

#define CLUSTER_USUAL 16u
#define CLUSTER_MAX                                                                                \
    64u /* where there are very many, larger ones: a space has only so many host areas */
#define MANY_FAULTS 512u

struct cluster {
    uint64_t va;
    uint32_t count;
    uint64_t pte[CLUSTER_MAX]; /* as they were */
    uint64_t pfn;              /* of the copies */
};

static bool may_own(uint64_t pte) {
    return (pte & (PTE_ANON | PTE_OWN)) == PTE_ANON && frame_refs(pte_pfn(pte)) == 1;
}

static bool must_copy(uint64_t pte) {
    return pte != 0 && (pte & PTE_OWN) == 0 && !may_own(pte);
}

/* Makes the frames of a stretch around addr, which nobody else refers to, the area's own.
 * Precondition: pt_lock. */
static void own_around(struct vma *v, uint64_t addr) {
    uint64_t low = MAX(ALIGN_DOWN(addr, 2 * MIB), v->start);
    uint64_t high = MIN(ALIGN_DOWN(addr, 2 * MIB) + 2 * MIB, v->end);
    uint64_t *pte = pt_lookup(v->mm->pt, addr); /* one leaf table covers the 2 MiB */
    uint64_t before = 0, after = 1;
    while (addr - before * PAGE_SIZE > low && may_own(pte[-(int64_t)before - 1])) {
        before++;
    }
    while (addr + after * PAGE_SIZE < high && may_own(pte[after])) {
        after++;
    }
    struct protect_batch b;
    protect_batch_init(&b, v->mm);
    for (int64_t i = -(int64_t)before; i < (int64_t)after; i++) {
        uint64_t old = pte[i];
        pte[i] = vma_pte(v, pte_pfn(old), PTE_OWN | PTE_ANON | (old & PTE_HOST));
        if ((old & PTE_HOST) != 0) {
            protect_batch_add(&b, addr + (uint64_t)(i * (int64_t)PAGE_SIZE), pte_prot(old),
                              pte_prot(pte[i]));
        }
    }
    protect_batch_flush(&b);
}

/* Chooses the pages to copy and takes a reference on each.  Precondition: pt_lock. */
static void cluster_choose(struct vma *v, uint64_t addr, struct cluster *c) {
    uint32_t size = MIN(2u << MIN(v->mm->cow_faults / 4, 8u), CLUSTER_USUAL);
    size = v->mm->cow_faults > MANY_FAULTS ? CLUSTER_MAX : size;
    v->mm->cow_faults++;
    uint64_t low = MAX(ALIGN_DOWN(addr, size * PAGE_SIZE), v->start);
    uint64_t high = MIN(ALIGN_DOWN(addr, size * PAGE_SIZE) + size * PAGE_SIZE, v->end);
    const uint64_t *pte = pt_lookup(v->mm->pt, addr);
    uint64_t first = addr, end = addr + PAGE_SIZE;
    while (first > low && must_copy(pte[-(int64_t)((addr - first) >> PAGE_SHIFT) - 1])) {
        first -= PAGE_SIZE;
    }
    while (end < high && must_copy(pte[(end - addr) >> PAGE_SHIFT])) {
        end += PAGE_SIZE;
    }
    c->va = first;
    c->count = (uint32_t)((end - first) >> PAGE_SHIFT);
    pte -= (addr - first) >> PAGE_SHIFT;
    for (uint32_t i = 0; i < c->count; i++) {
        c->pte[i] = pte[i];
        frame_get(pte_pfn(pte[i]));
    }
}

/* Gets frames and copies; with little memory or a neighbour that cannot be read, the page of addr
 * alone. */
static int cluster_copy(struct cluster *c, uint64_t addr) {
    uint32_t wanted = (uint32_t)((addr - c->va) >> PAGE_SHIFT);
    if (frame_alloc_run_raw(c->count, &c->pfn) == 0) {
        uint32_t i = 0;
        while (i < c->count &&
               hal_copy(frame_ptr(c->pfn + i), frame_ptr(pte_pfn(c->pte[i])), PAGE_SIZE) == 0) {
            i++;
        }
        if (i == c->count) {
            return 0;
        }
        frame_put_run(c->pfn, c->count);
    }
    for (uint32_t i = 0; i < c->count; i++) {
        if (i != wanted) {
            frame_put(pte_pfn(c->pte[i]));
        }
    }
    c->pte[0] = c->pte[wanted];
    c->va = addr;
    c->count = 1;
    if (frame_alloc_run_raw(1, &c->pfn) != 0) {
        return -ENOMEM;
    }
    if (hal_copy(frame_ptr(c->pfn), frame_ptr(pte_pfn(c->pte[0])), PAGE_SIZE) != 0) {
        frame_put(c->pfn);
        return -EIO;
    }
    return 0;
}

/* Enters the copies where the entries are still what was copied.  Precondition: pt_lock. */
static void cluster_enter(struct vma *v, struct cluster *c) {
    struct mm *mm = v->mm;
    struct map_batch b;
    map_batch_init(&b, mm);
    for (uint32_t i = 0; i < c->count; i++) {
        uint64_t va = c->va + i * PAGE_SIZE;
        uint64_t *pte = pt_lookup(mm->pt, va);
        if (pte == NULL || *pte != c->pte[i]) {
            frame_put(c->pfn + i);
            continue;
        }
        uint64_t entry = vma_pte(v, c->pfn + i, PTE_OWN | PTE_ANON);
        gather_entry(mm, c->pte[i]);
        if ((c->pte[i] & PTE_HOST) != 0) {
            *pte = entry | PTE_HOST;
            map_batch_add(&b, va, entry, PROT_BIT_REPLACE | PROT_BIT_POPULATE);
        } else {
            *pte = entry;
        }
    }
    map_batch_flush(&b);
}

int cow_break(struct vma *v, uint64_t addr) {
    struct mm *mm = v->mm;
    struct cluster c;
    addr = ALIGN_DOWN(addr, PAGE_SIZE);
    spin_lock(&mm->pt_lock);
    const uint64_t *pte = pt_lookup(mm->pt, addr);
    if (pte == NULL || *pte == 0 || (*pte & PTE_OWN) != 0) {
        spin_unlock(&mm->pt_lock);
        return 0;
    }
    if (may_own(*pte)) {
        own_around(v, addr);
        spin_unlock(&mm->pt_lock);
        return 0;
    }
    cluster_choose(v, addr, &c);
    spin_unlock(&mm->pt_lock);

    int err = cluster_copy(&c, addr);
    if (err == 0) {
        spin_lock(&mm->pt_lock);
        cluster_enter(v, &c);
        spin_unlock(&mm->pt_lock);
    }
    for (uint32_t i = 0; i < c.count; i++) {
        frame_put(pte_pfn(c.pte[i]));
    }
    return err;
}
