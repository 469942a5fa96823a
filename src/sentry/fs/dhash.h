/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash table of the dentry cache: see dhash.c.
 */
#ifndef MOAT_SENTRY_FS_DHASH_H
#define MOAT_SENTRY_FS_DHASH_H

#include "fs/internal.h"

struct dhash_bucket {
    struct spinlock lock;
    struct list *first; /* NULL-terminated chain: zero memory is an empty bucket; link.prev of the
                           first is NULL */
};

/* The bucket of (parent, name hash), locked. */
struct dhash_bucket *dhash_lock(const struct dentry *parent, uint64_t hash);
static inline void dhash_unlock(struct dhash_bucket *b) {
    spin_unlock(&b->lock);
}
/* Under the bucket's lock.  dhash_find: *out_seen (may be NULL) is how many dentries it looked at.
 */
struct dentry *dhash_find(const struct dhash_bucket *b, const struct dentry *parent,
                          const char *name, size_t len, uint64_t hash, uint32_t *out_seen);
/* Without the lock: a dentry that was there at some moment, with the seq it had then; NULL also
 * when the lock would be needed to tell.  Neither it nor what hangs on it is held: see walkfast.c.
 */
struct dentry *dhash_peek(const struct dentry *parent, const char *name, size_t len, uint64_t hash,
                          uint32_t *out_seq);
void dhash_add(struct dhash_bucket *b, struct dentry *d);
void dhash_del(struct dhash_bucket *b, struct dentry *d);
/* Chains have become this long: makes the table larger, if it can be.  No spinlock held. */
#define DHASH_LONG_CHAIN 8u
void dhash_grow(void);
/* Takes unused, unpinned dentries out of the next buckets of the clock's round: chained by
 * hash_link.next, the table's references are the caller's. */
struct list *dhash_reap(void);
void dhash_init(void);

#endif
