/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders to the platform, and the frames that wait for them.
 *
 * All orders of a space are queued under its pt_lock, in the order in which the entries change, so
 * the host's view follows the entries.  A frame taken from an entry that the space maps is
 * gathered, and released only when nothing is queued any more.  If a revoking order cannot even be
 * queued (no memory), the mm is broken: its frames stay gathered until the space is gone, and its
 * tasks die at their next fault.
 */
#include "mm/internal.h"

#include <linux/errno.h>

#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"

#define BLOCK_RUNS 62u
#define GATHER_MAX 4096u /* frames a process may leave waiting: 16 MiB */

struct gather_run {
    uint64_t pfn, count;
};

struct gather_block {
    struct gather_block *next;
    uint64_t count;
    struct gather_run runs[BLOCK_RUNS];
};

void mm_set_broken(struct mm *mm) {
    if (!mm->broken) {
        log_warn("mm: an order could not be queued; the process will end");
    }
    mm->broken = true;
}

static struct gather_block *gather_block_get(struct mm_gather *g) {
    struct gather_block *b = g->spare;
    g->spare = NULL;
    return b != NULL ? b : kmalloc(sizeof(*b));
}

void gather_add(struct mm *mm, uint64_t pfn, uint64_t count) {
    struct mm_gather *g = mm->gather;
    if (frame_is_window(pfn)) {
        return;
    }
    g->page_count += count;
    struct gather_block *b = g->head;
    if (b != NULL && b->count > 0) {
        struct gather_run *last = &b->runs[b->count - 1];
        if (last->pfn + last->count == pfn) {
            last->count += count;
            return;
        }
    }
    if (b == NULL || b->count == BLOCK_RUNS) {
        struct gather_block *fresh = gather_block_get(g);
        if (fresh == NULL) {
            /* Never released is safe, released too early is not. */
            log_warn("mm: no memory to remember %llu frames; they are lost",
                     (unsigned long long)count);
            return;
        }
        fresh->next = b;
        fresh->count = 0;
        g->head = b = fresh;
    }
    b->runs[b->count++] = (struct gather_run){pfn, count};
}

struct gather_block *gather_detach(struct mm *mm) {
    struct gather_block *blocks = mm->gather->head;
    mm->gather->head = NULL;
    mm->gather->page_count = 0;
    return blocks;
}

void gather_release(struct mm *mm, struct gather_block *blocks) {
    while (blocks != NULL) {
        struct gather_block *next = blocks->next;
        for (uint64_t i = 0; i < blocks->count; i++) {
            frame_put_run(blocks->runs[i].pfn, blocks->runs[i].count);
        }
        spin_lock(&mm->pt_lock);
        bool keep = mm->gather->spare == NULL;
        if (keep) {
            mm->gather->spare = blocks;
        }
        spin_unlock(&mm->pt_lock);
        if (!keep) {
            kfree(blocks);
        }
        blocks = next;
    }
}

void mm_orders_done(struct mm *mm) {
    if (atomic_load_relaxed(&mm->gather->page_count) == 0) {
        return;
    }
    spin_lock(&mm->pt_lock);
    bool wait = mm->broken || mm->forked || atomic_load(&mm->users) == 0 ||
                (mm->space != NULL && platform_orders_pending(mm->space));
    struct gather_block *blocks = wait ? NULL : gather_detach(mm);
    spin_unlock(&mm->pt_lock);
    gather_release(mm, blocks);
}

bool mm_must_wait(const struct mm *mm) {
    return unlikely(atomic_load_relaxed(&mm->gather->page_count) > GATHER_MAX) && !mm->broken &&
           platform_orders_pending(mm->space);
}

/* ---- map ---- */

static int visit_clear_host(struct pt_span *span, void *arg) {
    for (uint32_t i = 0; i < span->count; i++) {
        span->pte[i] &= ~PTE_HOST;
    }
    return 0;
}

void map_batch_flush(struct map_batch *b) {
    if (b->page_count == 0) {
        return;
    }
    struct mm *mm = b->mm;
    if (platform_map(mm->space, b->va, b->pfn, b->page_count, b->prot) != 0) {
        /* The pages stay and are mapped by the next fault; what lay there before is revoked. */
        (void)pt_walk(mm->pt, b->va, b->va + b->page_count * PAGE_SIZE, false, visit_clear_host,
                      NULL);
        order_unmap(mm, b->va, b->page_count);
    }
    b->page_count = 0;
}

void map_batch_add(struct map_batch *b, uint64_t va, uint64_t pte, uint32_t flags) {
    uint32_t prot = pte_prot(pte) | flags;
    bool joins = b->page_count != 0 && b->va + b->page_count * PAGE_SIZE == va &&
                 b->pfn + b->page_count == pte_pfn(pte) && b->prot == prot;
    if (!joins) {
        map_batch_flush(b);
        b->va = va;
        b->pfn = pte_pfn(pte);
        b->prot = prot;
    }
    b->page_count++;
}

/* ---- protect ---- */

void protect_batch_flush(struct protect_batch *b) {
    if (b->needed != 0 && b->mm->space != NULL) {
        uint32_t prot = b->prot | (b->takes ? 0 : PROT_BIT_GRANT);
        int err = platform_protect(b->mm->space, b->va, b->needed, prot);
        if (err != 0) {
            b->error = err;
            mm_set_broken(b->mm);
        }
    }
    b->page_count = 0;
    b->needed = 0;
    b->takes = false;
}

void protect_batch_add(struct protect_batch *b, uint64_t va, uint32_t old, uint32_t prot) {
    bool joins = b->page_count != 0 && b->va + b->page_count * PAGE_SIZE == va && b->prot == prot;
    if (!joins) {
        protect_batch_flush(b);
        if (old == prot) {
            return;
        }
        b->va = va;
        b->prot = prot;
    }
    b->page_count++;
    if (old != prot) {
        b->needed = b->page_count;
        b->takes = b->takes || (old & ~prot) != 0;
    }
}

/* ---- unmap ---- */

static bool defer_unmap(struct mm *mm, uint64_t va, uint64_t page_count) {
    if (mm->deferred_count == mm->deferred_cap) {
        uint32_t cap = mm->deferred_cap == 0 ? 8 : mm->deferred_cap * 2;
        struct mm_range *bigger = krealloc(mm->deferred, cap * sizeof(*bigger));
        if (bigger == NULL) {
            return false;
        }
        mm->deferred = bigger;
        mm->deferred_cap = cap;
    }
    mm->deferred[mm->deferred_count++] = (struct mm_range){va, page_count};
    return true;
}

void order_unmap(struct mm *mm, uint64_t va, uint64_t page_count) {
    bool queued = true;
    if (mm->space != NULL) {
        queued = platform_unmap(mm->space, va, page_count) == 0;
    } else if (mm->forked) {
        queued = defer_unmap(mm, va, page_count);
    }
    if (!queued) {
        mm_set_broken(mm);
    }
}
