/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skeleton port: the smallest thing that satisfies hal.h and platform.h, to link kernel objects
 * into hosted unit tests under sanitizers, and to copy when a new platform is written.
 *
 * It runs no user code.  Guest memory is one mmap.  A space is a table of what a stub would have
 * mapped; orders wait on the space until skeleton_apply carries them out, so a test decides when,
 * looks at the table, and acts as the user.
 */
#ifndef MOAT_PLATFORM_SKELETON_H
#define MOAT_PLATFORM_SKELETON_H

#include "hal.h"
#include "platform.h"

enum skeleton_order_kind { SKELETON_MAP, SKELETON_UNMAP, SKELETON_PROTECT, SKELETON_FORK };

struct skeleton_order {
    enum skeleton_order_kind kind;
    uint64_t va, pfn, page_count;
    uint32_t prot;
    struct platform_space *child; /* SKELETON_FORK */
};

/* Guest memory of `frame_count` frames and as many of window space, then the platform.  Exits when
 * the host has no memory. */
void skeleton_init(uint64_t frame_count);
void skeleton_fini(void);
/* Carries out what is queued: 0, or -errno of the first order that failed: a protect of a page that
 * is not mapped, a map over another frame without PROT_BIT_REPLACE, a protect with PROT_BIT_GRANT
 * that takes a right. */
must_check int skeleton_apply(struct platform_space *space);
/* What the space maps at va: false when nothing. */
bool skeleton_page(const struct platform_space *space, uint64_t va, uint64_t *out_pfn,
                   uint32_t *out_prot);
/* Pages that the space maps. */
uint64_t skeleton_page_count(const struct platform_space *space);
/* Calls fn for each mapped page. */
void skeleton_for_each(const struct platform_space *space,
                       void (*fn)(uint64_t va, uint64_t pfn, uint32_t prot, void *arg), void *arg);
/* Orders that wait; the i-th of them. */
size_t skeleton_queued(const struct platform_space *space);
const struct skeleton_order *skeleton_queued_at(const struct platform_space *space, size_t i);
/* Orders queued on any space since the start. */
uint64_t skeleton_order_total(void);
/* Spaces that exist (leak checks). */
uint64_t skeleton_space_count(void);
/* From the n-th next order on (0: never), queueing fails with -ENOMEM. */
void skeleton_fail_orders_after(uint64_t n);
/* Frames punched since the start. */
uint64_t skeleton_punched(void);

#endif
