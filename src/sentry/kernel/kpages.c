/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page runs of the kernel heap: a binary buddy system whose descriptors stand out of line at the
 * heap's start.
 *
 * Untouched heap reads as zero and costs nothing, so a free block remembers whether it is still
 * zero; large runs go back to the host when they are freed, which makes them zero again.  A run
 * gives the pages beyond its exact length back at once, so no more than what was asked for is
 * taken. Lock: g_lock (RANK_KPAGES) guards all descriptors of free blocks and the free lists.
 */
#include "kernel/kpages.h"

#include "base/atomic.h"
#include "base/string.h"
#include "hal.h"
#include "kernel/lock.h"
#include "kernel/log.h"

/* 64 GiB: a heap is few blocks, so few pages of descriptors are touched at boot. */
#define ORDER_MAX   24u
#define PUNCH_PAGES 64u /* runs from this length on are returned to the host */

static struct spinlock g_lock = SPINLOCK_INIT(RANK_KPAGES);
static struct list g_free[ORDER_MAX + 1]; /* guarded by g_lock */
static struct kpage *g_pages;
static char *g_base; /* what page 0 describes */
static size_t g_page_count;
static uint64_t g_used; /* atomic */

static size_t index_of(const struct kpage *p) {
    return (size_t)(p - g_pages);
}

void *kpage_start(const struct kpage *head) {
    return g_base + (index_of(head) << PAGE_SHIFT);
}

struct kpage *kpage_head(const void *ptr) {
    size_t index = (size_t)((const char *)ptr - g_base) >> PAGE_SHIFT;
    kassert(index < g_page_count);
    struct kpage *p = &g_pages[index];
    if (p->kind == KPAGE_TAIL) {
        p -= p->count;
    }
    return p;
}

static void free_list_add(size_t index, uint32_t order) {
    struct kpage *p = &g_pages[index];
    p->kind = KPAGE_FREE;
    p->order = (uint8_t)order;
    list_push_front(&g_free[order], &p->link);
}

/* Frees one aligned block, merging it with its buddies.  g_lock held. */
static void block_free(size_t index, uint32_t order) {
    while (order < ORDER_MAX) {
        size_t buddy = index ^ ((size_t)1 << order);
        if (buddy + ((size_t)1 << order) > g_page_count) {
            break;
        }
        struct kpage *b = &g_pages[buddy];
        if (b->kind != KPAGE_FREE || b->order != order) {
            break;
        }
        list_del_init(&b->link);
        b->kind = KPAGE_TAIL;
        g_pages[index].kind = KPAGE_TAIL;
        index &= ~((size_t)1 << order);
        order++;
    }
    free_list_add(index, order);
}

/* Frees any range as the aligned blocks it consists of.  g_lock held. */
static void range_free(size_t index, size_t count) {
    while (count > 0) {
        uint32_t order = index == 0 ? ORDER_MAX : (uint32_t)__builtin_ctzll(index);
        order = MIN(order, ORDER_MAX);
        while (((size_t)1 << order) > count) {
            order--;
        }
        block_free(index, order);
        index += (size_t)1 << order;
        count -= (size_t)1 << order;
    }
}

void kpages_init(void) {
    const struct hal_memory *mem = hal_memory();
    size_t pages = mem->heap_size >> PAGE_SHIFT;
    size_t own = ALIGN_UP(pages * sizeof(struct kpage), PAGE_SIZE) >> PAGE_SHIFT;
    g_pages = (struct kpage *)(void *)mem->heap;
    g_base = mem->heap;
    g_page_count = pages;
    for (uint32_t i = 0; i <= ORDER_MAX; i++) {
        list_init(&g_free[i]);
    }
    kassert(pages > own);
    spin_lock(&g_lock);
    g_pages[0].kind = KPAGE_RUN; /* the descriptors themselves */
    g_pages[0].count = (uint32_t)own;
    range_free(own, pages - own);
    spin_unlock(&g_lock);
}

/* Takes `count` pages off the free lists; g_lock held.  NULL when there is no block that large. */
static struct kpage *run_take(size_t count) {
    uint32_t order = count <= 1 ? 0 : 64u - (uint32_t)__builtin_clzll(count - 1);
    uint32_t from = order;
    while (from <= ORDER_MAX && list_empty(&g_free[from])) {
        from++;
    }
    if (from > ORDER_MAX) {
        return NULL;
    }
    struct kpage *p = list_first(&g_free[from], struct kpage, link);
    list_del_init(&p->link);
    p->kind = KPAGE_RUN;
    p->count = (uint32_t)count;
    for (size_t i = 1; i < count; i++) {
        p[i].kind = KPAGE_TAIL;
        p[i].count = (uint32_t)i;
    }
    range_free(index_of(p) + count, ((size_t)1 << from) - count);
    return p;
}

void *kpages_take(size_t count, bool zeroed) {
    if (count == 0 || count > ((size_t)1 << ORDER_MAX)) {
        return NULL;
    }
    spin_lock(&g_lock);
    struct kpage *p = run_take(count);
    spin_unlock(&g_lock);
    if (p == NULL) {
        return NULL;
    }
    (void)atomic_fetch_add(&g_used, count); /* only the sum is of use */
    char *start = kpage_start(p);
    for (size_t i = 0; zeroed && i < count; i++) {
        if (p[i].dirty) {
            memset(start + (i << PAGE_SHIFT), 0, PAGE_SIZE);
        }
    }
    return start;
}

void kpages_give(void *ptr) {
    struct kpage *p = kpage_head(ptr);
    kassert(kpage_start(p) == ptr && (p->kind == KPAGE_RUN || p->kind == KPAGE_SLAB));
    size_t count = p->count;
    bool punch = count >= PUNCH_PAGES;
    if (punch) {
        hal_heap_punch(ptr, count << PAGE_SHIFT);
    }
    for (size_t i = 0; i < count; i++) {
        p[i].dirty = !punch;
    }
    (void)atomic_fetch_sub(&g_used, count); /* only the sum is of use */
    spin_lock(&g_lock);
    p->kind = KPAGE_TAIL;
    range_free(index_of(p), count);
    spin_unlock(&g_lock);
}

uint64_t kpages_used(void) {
    return atomic_load_relaxed(&g_used);
}
