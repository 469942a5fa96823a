/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the skeleton share: spaces as tables of pages. */
#ifndef MOAT_PLATFORM_SKELETON_SPACE_H
#define MOAT_PLATFORM_SKELETON_SPACE_H

#include "platform/skeleton/skeleton.h"

struct skeleton_page {
    uint64_t page, pfn;
    uint64_t prot;
};

/* Open addressing; cap is a power of two. */
struct page_map {
    struct skeleton_page *slots;
    uint64_t cap, count, filled; /* filled: slots that are or were in use */
};

struct platform_space {
    struct page_map map;
    struct skeleton_order *orders;
    size_t order_count, order_cap;
};

struct platform_space *space_new(void);
must_check int space_order(struct platform_space *s, const struct skeleton_order *o);

#endif
