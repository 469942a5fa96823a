/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spaces of the skeleton: a queue of orders and a table of pages, keyed by page number, that shows
 * what a stub would have mapped.  One thread only; no locks.
 */
#include "platform/skeleton/space.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FREE_KEY UINT64_MAX
#define GONE_KEY (UINT64_MAX - 1)

#define PROT_RIGHTS (PROT_BIT_READ | PROT_BIT_WRITE | PROT_BIT_EXEC)

static uint64_t g_order_total, g_space_count, g_orders_left;

static void *must_alloc(void *p) {
    if (p == NULL) {
        fputs("skeleton: the host has no memory\n", stderr);
        exit(99);
    }
    return p;
}

/* ---- the table ---- */

static struct skeleton_page *slot_for(const struct page_map *m, uint64_t page) {
    struct skeleton_page *gone = NULL;
    for (uint64_t i = page * 0x9e3779b97f4a7c15ull >> 20;; i++) {
        struct skeleton_page *p = &m->slots[i & (m->cap - 1)];
        if (p->page == page) {
            return p;
        }
        if (p->page == FREE_KEY) {
            return gone != NULL ? gone : p;
        }
        if (p->page == GONE_KEY && gone == NULL) {
            gone = p;
        }
    }
}

static void map_resize(struct page_map *m, uint64_t cap) {
    struct skeleton_page *old = m->slots;
    uint64_t old_cap = m->cap;
    m->slots = must_alloc(malloc(cap * sizeof(*m->slots)));
    memset(m->slots, 0xff, cap * sizeof(*m->slots)); /* FREE_KEY */
    m->cap = cap;
    m->filled = m->count;
    for (uint64_t i = 0; i < old_cap; i++) {
        if (old[i].page < GONE_KEY) {
            *slot_for(m, old[i].page) = old[i];
        }
    }
    free(old);
}

static void page_set(struct page_map *m, uint64_t page, uint64_t pfn, uint32_t prot) {
    if (m->filled * 2 >= m->cap) {
        map_resize(m, m->count * 4 >= m->cap ? m->cap * 2 : m->cap);
    }
    struct skeleton_page *p = slot_for(m, page);
    if (p->page != page) {
        m->count++;
        m->filled += p->page == FREE_KEY ? 1 : 0;
    }
    *p = (struct skeleton_page){page, pfn, prot};
}

static void page_del(struct page_map *m, uint64_t page) {
    struct skeleton_page *p = slot_for(m, page);
    if (p->page == page) {
        p->page = GONE_KEY;
        m->count--;
    }
}

static void map_copy(struct page_map *to, const struct page_map *from) {
    free(to->slots);
    *to = *from;
    to->slots = must_alloc(malloc(from->cap * sizeof(*to->slots)));
    memcpy(to->slots, from->slots, from->cap * sizeof(*to->slots));
}

bool skeleton_page(const struct platform_space *space, uint64_t va, uint64_t *out_pfn,
                   uint32_t *out_prot) {
    const struct skeleton_page *p = slot_for(&space->map, va >> PAGE_SHIFT);
    if (p->page != va >> PAGE_SHIFT) {
        return false;
    }
    *out_pfn = p->pfn;
    *out_prot = p->prot;
    return true;
}

uint64_t skeleton_page_count(const struct platform_space *space) {
    return space->map.count;
}

void skeleton_for_each(const struct platform_space *space,
                       void (*fn)(uint64_t va, uint64_t pfn, uint32_t prot, void *arg), void *arg) {
    for (uint64_t i = 0; i < space->map.cap; i++) {
        const struct skeleton_page *p = &space->map.slots[i];
        if (p->page < GONE_KEY) {
            fn(p->page << PAGE_SHIFT, p->pfn, p->prot, arg);
        }
    }
}

/* ---- life ---- */

struct platform_space *space_new(void) {
    struct platform_space *s = must_alloc(calloc(1, sizeof(*s)));
    map_resize(&s->map, 64);
    g_space_count++;
    return s;
}

void platform_space_destroy(struct platform_space *space) {
    free(space->map.slots);
    free(space->orders);
    free(space);
    g_space_count--;
}

uint64_t skeleton_space_count(void) {
    return g_space_count;
}

/* ---- orders ---- */

void skeleton_fail_orders_after(uint64_t n) {
    g_orders_left = n;
}

uint64_t skeleton_order_total(void) {
    return g_order_total;
}

int space_order(struct platform_space *s, const struct skeleton_order *o) {
    if (g_orders_left != 0 && --g_orders_left == 0) {
        g_orders_left = 1;
        return -ENOMEM;
    }
    if (s->order_count == s->order_cap) {
        s->order_cap = s->order_cap == 0 ? 16 : s->order_cap * 2;
        s->orders = must_alloc(realloc(s->orders, s->order_cap * sizeof(*s->orders)));
    }
    s->orders[s->order_count++] = *o;
    g_order_total++;
    return 0;
}

int platform_map(struct platform_space *space, uint64_t va, uint64_t pfn, uint64_t page_count,
                 uint32_t prot) {
    const struct skeleton_order o = {SKELETON_MAP, va, pfn, page_count, prot, NULL};
    return space_order(space, &o);
}

int platform_unmap(struct platform_space *space, uint64_t va, uint64_t page_count) {
    const struct skeleton_order o = {SKELETON_UNMAP, va, 0, page_count, 0, NULL};
    return space_order(space, &o);
}

int platform_protect(struct platform_space *space, uint64_t va, uint64_t page_count,
                     uint32_t prot) {
    const struct skeleton_order o = {SKELETON_PROTECT, va, 0, page_count, prot, NULL};
    return space_order(space, &o);
}

bool platform_orders_pending(const struct platform_space *space) {
    return space->order_count != 0;
}

bool platform_orders_revoke(const struct platform_space *space) {
    for (size_t i = 0; i < space->order_count; i++) {
        const struct skeleton_order *o = &space->orders[i];
        if (o->kind == SKELETON_UNMAP ||
            (o->kind == SKELETON_PROTECT && (o->prot & PROT_BIT_GRANT) == 0)) {
            return true;
        }
    }
    return false;
}

size_t skeleton_queued(const struct platform_space *space) {
    return space->order_count;
}

const struct skeleton_order *skeleton_queued_at(const struct platform_space *space, size_t i) {
    return &space->orders[i];
}

static int apply_page(struct platform_space *s, const struct skeleton_order *o, uint64_t i) {
    uint64_t page = (o->va >> PAGE_SHIFT) + i, pfn;
    uint32_t prot;
    switch (o->kind) {
    case SKELETON_MAP:
        if ((o->prot & PROT_BIT_REPLACE) == 0 &&
            skeleton_page(s, page << PAGE_SHIFT, &pfn, &prot) && pfn != o->pfn + i) {
            return -EEXIST; /* a real platform may carry it out too late */
        }
        page_set(&s->map, page, o->pfn + i, o->prot & PROT_RIGHTS);
        return 0;
    case SKELETON_UNMAP:
        page_del(&s->map, page);
        return 0;
    case SKELETON_PROTECT:
        if (!skeleton_page(s, page << PAGE_SHIFT, &pfn, &prot)) {
            return -ENOMEM; /* as mprotect(2) of a hole */
        }
        if ((o->prot & PROT_BIT_GRANT) != 0 && (prot & ~o->prot) != 0) {
            return -EINVAL; /* takes a right all the same */
        }
        page_set(&s->map, page, pfn, o->prot & PROT_RIGHTS);
        return 0;
    default:
        return -EINVAL;
    }
}

/* Unmaps without visiting each page of a range that is mostly holes. */
static void apply_wide_unmap(struct platform_space *s, const struct skeleton_order *o) {
    uint64_t first = o->va >> PAGE_SHIFT;
    for (uint64_t i = 0; i < s->map.cap; i++) {
        uint64_t page = s->map.slots[i].page;
        if (page >= first && page - first < o->page_count) {
            page_del(&s->map, page);
        }
    }
}

int skeleton_apply(struct platform_space *space) {
    int first_error = 0;
    for (size_t n = 0; n < space->order_count; n++) {
        const struct skeleton_order *o = &space->orders[n];
        if (o->kind == SKELETON_FORK) {
            map_copy(&o->child->map, &space->map);
            continue;
        }
        if (o->kind == SKELETON_UNMAP && o->page_count > space->map.cap) {
            apply_wide_unmap(space, o);
            continue;
        }
        for (uint64_t i = 0; i < o->page_count; i++) {
            int err = apply_page(space, o, i);
            first_error = first_error == 0 ? err : first_error;
        }
    }
    space->order_count = 0;
    return first_error;
}
