/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Radix tree from uint64_t keys to non-zero uint64_t values (page index to frame, id to pointer).
 * Callers bring their own lock and the node allocator.
 */
#ifndef MOAT_BASE_RADIX_H
#define MOAT_BASE_RADIX_H

#include "base/types.h"

struct radix_node;

struct radix {
    struct radix_node *root;
    uint32_t height; /* levels; 0 when empty */
    uint64_t count;  /* keys present */
};

struct radix_alloc {
    void *(*alloc)(size_t size); /* zeroed memory or NULL */
    void (*free)(void *ptr);
};

/* The value at `key`, or 0. */
uint64_t radix_get(const struct radix *tree, uint64_t key);
/* Stores `value` (non-zero) at `key`; 0 or -ENOMEM. */
must_check int radix_set(struct radix *tree, const struct radix_alloc *ops, uint64_t key,
                         uint64_t value);
/* Removes `key`; returns the value it had or 0. */
uint64_t radix_del(struct radix *tree, const struct radix_alloc *ops, uint64_t key);
/* Finds the first key >= *key that is present; true and sets *key and *out_value, or false. */
bool radix_next(const struct radix *tree, uint64_t *key, uint64_t *out_value);
/* Frees all nodes (values are the caller's). */
void radix_clear(struct radix *tree, const struct radix_alloc *ops);

#endif
