/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking memory away from processes that are being killed for want of it (kernel/oom.c).
 *
 * Only what the host holds is given back, the frames stay the mm's until it ends: nobody else gets
 * them meanwhile, and what its threads still do with them harms nobody.  Frames with another
 * reference (a fork's, a pin) stay as they are.
 *
 * Locks: pt_lock, for a slice of the address space at a time.
 */
#include "mm/internal.h"

#define SLICE (64 * MIB)

struct reap {
    uint64_t pfn, count; /* run of frames to punch */
};

static void reap_flush(struct reap *r) {
    if (r->count > 0) {
        hal_memory_punch(r->pfn, r->count);
        r->count = 0;
    }
}

static int visit_reap(struct pt_span *span, void *arg) {
    struct reap *r = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t pfn = pte_pfn(span->pte[i]);
        if ((span->pte[i] & PTE_ANON) == 0 || frame_refs(pfn) != 1) {
            continue;
        }
        if (r->pfn + r->count != pfn) {
            reap_flush(r);
            r->pfn = pfn;
        }
        r->count++;
    }
    return 0;
}

void mm_reap(struct mm *mm) {
    uint64_t va = g_user_start;
    spin_lock(&mm->pt_lock);
    mm->reaped = true;
    while (mm->pt != NULL && va < g_user_end) {
        struct reap r = {.count = 0};
        va = pt_next_present(mm->pt, va, g_user_end);
        uint64_t end = MIN(ALIGN_DOWN(va, SLICE) + SLICE, g_user_end);
        (void)pt_walk(mm->pt, va, end, false, visit_reap, &r); /* the visitor never fails */
        reap_flush(&r);
        va = end;
        spin_unlock(&mm->pt_lock);
        spin_lock(&mm->pt_lock);
    }
    spin_unlock(&mm->pt_lock);
}

const void *mm_frame_at(struct mm *mm, uint64_t addr) {
    const void *at = NULL;
    if (!user_range_ok(addr, 1)) {
        return NULL;
    }
    spin_lock(&mm->pt_lock);
    const uint64_t *pte = pt_lookup(mm->pt, addr);
    if (pte != NULL && *pte != 0 && !frame_is_window(pte_pfn(*pte))) {
        at = (const char *)frame_ptr(pte_pfn(*pte)) + (addr & PAGE_MASK);
    }
    spin_unlock(&mm->pt_lock);
    return at;
}

bool mm_is_broken(struct mm *mm) {
    spin_lock(&mm->pt_lock);
    bool broken = mm->broken;
    spin_unlock(&mm->pt_lock);
    return broken;
}
