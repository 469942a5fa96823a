/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables: four levels of 512 entries for 48 bits of address, as x86-64 has them, but read by
 * software only.
 *
 * An upper entry is the address of the lower table with the number of its non-zero entries in the
 * low bits, so that a table is freed as soon as it is empty: a guest cannot pile up tables by
 * mapping and unmapping.  Freed tables are all zero and are kept for the next user.  Locks:
 * mm->pt_lock of the owner; the pool of free tables has its own.
 */
#include "mm/internal.h"

#include <linux/errno.h>

#include "base/string.h"
#include "kernel/kmalloc.h"

#define PT_BITS   9u
#define PT_COUNT  (1u << PT_BITS)
#define PT_TOP    3 /* level of the root; 0 is a leaf */
#define LIVE_MASK 0xfffull
#define POOL_MAX  64u

struct page_table {
    uint64_t top[PT_COUNT];
};

static struct {
    struct spinlock lock;
    uint64_t *head; /* linked through the first entry */
    uint32_t count;
} g_pool = {.lock = SPINLOCK_INIT(RANK_FRAME)};

static uint64_t *table_alloc(void) {
    spin_lock(&g_pool.lock);
    uint64_t *table = g_pool.head;
    if (table != NULL) {
        g_pool.head = (uint64_t *)(uintptr_t)table[0];
        g_pool.count--;
        table[0] = 0;
    }
    spin_unlock(&g_pool.lock);
    return table != NULL ? table : kpages_alloc(1);
}

static void table_free(uint64_t *table) {
    spin_lock(&g_pool.lock);
    bool keep = g_pool.count < POOL_MAX;
    if (keep) {
        table[0] = (uint64_t)(uintptr_t)g_pool.head;
        g_pool.head = table;
        g_pool.count++;
    }
    spin_unlock(&g_pool.lock);
    if (!keep) {
        kpages_free(table, 1);
    }
}

static uint64_t *slot_table(uint64_t slot) {
    return (uint64_t *)(uintptr_t)(slot & ~LIVE_MASK);
}

static uint32_t level_shift(int level) {
    return PAGE_SHIFT + PT_BITS * (uint32_t)level;
}

static uint32_t level_index(uint64_t va, int level) {
    return (uint32_t)(va >> level_shift(level)) & (PT_COUNT - 1);
}

struct page_table *pt_create(void) {
    return (struct page_table *)table_alloc();
}

void pt_destroy(struct page_table *pt) {
    table_free(pt->top);
}

uint64_t *pt_lookup(const struct page_table *pt, uint64_t va) {
    const uint64_t *table = pt->top;
    for (int level = PT_TOP; level > 0; level--) {
        uint64_t slot = table[level_index(va, level)];
        if (slot == 0) {
            return NULL;
        }
        table = slot_table(slot);
    }
    return (uint64_t *)(uintptr_t)&table[level_index(va, 0)];
}

struct walk {
    bool create;
    pt_visit_fn *fn;
    void *arg;
};

static int walk_leaf(uint64_t *table, uint64_t start, uint64_t end, const struct walk *w,
                     int32_t *out_delta) {
    struct pt_span span = {
        .pte = &table[level_index(start, 0)],
        .va = start,
        .count = (uint32_t)((end - start) >> PAGE_SHIFT),
    };
    int result = w->fn(&span, w->arg);
    *out_delta += span.live_delta;
    return result;
}

/* Visits [start, end) below `table`; *out_delta is the change of its count of non-zero entries. */
static int walk_level(uint64_t *table, int level, uint64_t start, uint64_t end,
                      const struct walk *w, int32_t *out_delta) {
    if (level == 0) {
        return walk_leaf(table, start, end, w, out_delta);
    }
    uint64_t step = 1ull << level_shift(level);
    int result = 0;
    for (uint64_t va = start; va < end && result == 0;) {
        uint64_t next = MIN(ALIGN_DOWN(va, step) + step, end);
        uint64_t *slot = &table[level_index(va, level)];
        if (*slot == 0) {
            if (!w->create) {
                va = next;
                continue;
            }
            uint64_t *lower = table_alloc();
            if (lower == NULL) {
                return -ENOMEM;
            }
            *slot = (uint64_t)(uintptr_t)lower;
            *out_delta += 1;
        }
        int32_t delta = 0;
        result = walk_level(slot_table(*slot), level - 1, va, next, w, &delta);
        *slot += (uint64_t)(int64_t)delta;
        if ((*slot & LIVE_MASK) == 0) {
            table_free(slot_table(*slot));
            *slot = 0;
            *out_delta -= 1;
        }
        va = next;
    }
    return result;
}

int pt_walk(struct page_table *pt, uint64_t start, uint64_t end, bool create, pt_visit_fn *fn,
            void *arg) {
    const struct walk w = {create, fn, arg};
    int32_t delta = 0;
    return start < end ? walk_level(pt->top, PT_TOP, start, end, &w, &delta) : 0;
}

static int visit_find_present(struct pt_span *span, void *arg) {
    uint64_t *found = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        if (span->pte[i] != 0) {
            *found = span->va + i * PAGE_SIZE;
            return 1;
        }
    }
    return 0;
}

uint64_t pt_next_present(struct page_table *pt, uint64_t start, uint64_t end) {
    uint64_t found = end;
    (void)pt_walk(pt, start, end, false, visit_find_present,
                  &found); /* 1 only says that it ended early */
    return found;
}

uint64_t pt_next_absent(struct page_table *pt, uint64_t start, uint64_t end) {
    while (start < end) {
        const uint64_t *pte = pt_lookup(pt, start);
        if (pte == NULL) {
            return start;
        }
        uint64_t stop = MIN(ALIGN_DOWN(start, 2 * MIB) + 2 * MIB, end);
        for (; start < stop; start += PAGE_SIZE, pte++) {
            if (*pte == 0) {
                return start;
            }
        }
    }
    return end;
}
