/* SPDX-License-Identifier: Apache-2.0 */
/* Page runs of the kernel heap; only kmalloc.c and kpages.c know how pages are described. */
#ifndef MOAT_SENTRY_KPAGES_H
#define MOAT_SENTRY_KPAGES_H

#include "base/list.h"
#include "base/types.h"

enum kpage_kind {
    KPAGE_TAIL, /* inside a block or run: `count` is the distance to its head */
    KPAGE_FREE, /* head of a free buddy block: `order`, `link` */
    KPAGE_RUN,  /* head of a run handed out: `count` pages */
    KPAGE_SLAB, /* head of a slab: `order` is its size class, `used`, `free_list`, `link` */
};

struct kpage {
    struct list link;
    void *free_list;
    uint8_t kind;
    uint8_t order;
    uint16_t used : 15;
    uint16_t dirty : 1; /* of this very page, while free: it may not read as zero */
    uint32_t count;
};
_Static_assert(sizeof(struct kpage) == 32, "one kpage for each 4 KiB");

void kpages_init(void);
/* `count` pages that start with a KPAGE_RUN head; zeroed if asked.  NULL without memory. */
void *kpages_take(size_t count, bool zeroed);
void kpages_give(void *ptr);
/* Of any address in the heap: the head of its run or slab. */
struct kpage *kpage_head(const void *ptr);
/* First byte of the run or slab. */
void *kpage_start(const struct kpage *head);
/* Pages handed out. */
uint64_t kpages_used(void);

#endif
