/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of tmpfs files: see tmpfs_page.c.
 */
#ifndef MOAT_SENTRY_FS_TMPFS_PAGE_H
#define MOAT_SENTRY_FS_TMPFS_PAGE_H

#include "fs/tmpfs.h"

#define TMPFS_RUN_MAX 32ull /* pages handled in one go */

/* Up to `max` pages from `index` on that are present and contiguous in memory, each referenced: how
 * many (0: a hole). */
uint64_t tmpfs_pages_get(struct inode *inode, uint64_t index, uint64_t max, uint64_t *out_pfn);
void tmpfs_pages_put(uint64_t pfn, uint64_t count);
/* How many pages from `index` on are missing, at most `max`. */
uint64_t tmpfs_pages_missing(struct inode *inode, uint64_t index, uint64_t max);
/* Charged frames, contiguous, perhaps fewer than asked for.  raw: with old content.  -ENOSPC,
 * -ENOMEM. */
must_check int tmpfs_pages_alloc(struct inode *inode, uint64_t count, bool raw, uint64_t *out_pfn,
                                 uint64_t *out_count);
/* Makes a charged frame the page at `index` (its reference and charge are consumed).  -EEXIST:
 * there is one, referenced in *out_other. */
must_check int tmpfs_page_insert(struct inode *inode, uint64_t index, uint64_t pfn,
                                 uint64_t *out_other);
/* Zeroes part of a page if it is there. */
must_check int tmpfs_zero_range(struct inode *inode, uint64_t index, size_t off, size_t len);
/* The next page index >= `index` that is present (-1: none), or that is missing. */
int64_t tmpfs_next_page(struct inode *inode, uint64_t index, bool present);

#endif
