/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel heap: size classes over the private heap of hal_memory.  Any vCPU, no sleeping.
 */
#ifndef MOAT_SENTRY_KMALLOC_H
#define MOAT_SENTRY_KMALLOC_H

#include "base/radix.h"
#include "base/types.h"

/* `size` bytes aligned to 16, or NULL.  kzalloc zeroes.  A guest can make these fail: always check.
 */
must_check void *kmalloc(size_t size);
must_check void *kzalloc(size_t size);
/* NULL when count * size overflows or there is no memory; zeroed. */
must_check void *kcalloc(size_t count, size_t size);
/* Grows or shrinks; NULL leaves `ptr` as it was.  New bytes are not zeroed. */
must_check void *krealloc(void *ptr, size_t size);
void kfree(void *ptr);
must_check char *kstrdup(const char *s);
must_check void *kmemdup(const void *src, size_t len);
/* Whole pages, page-aligned, zeroed. */
must_check void *kpages_alloc(size_t page_count);
void kpages_free(void *ptr, size_t page_count);
/* Bytes handed out now (leak checks in tests, /proc/meminfo). */
uint64_t kmalloc_used(void);

extern const struct radix_alloc kradix_alloc;

void kmalloc_init(void);

#endif
