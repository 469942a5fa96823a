/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash table of the dentry cache.
 *
 * It starts small, so that a small container touches little memory, and grows by moving to the next
 * of a few fixed tables while it is used: a bucket that has moved says so, and whoever meets it
 * goes on in the next table.  Table memory is zero until it is used.
 *
 * Locks: bucket (RANK_DCACHE; a bucket of the next table inside one of the last) > dentry->lock.
 */
#include "fs/dhash.h"

#include "base/string.h"

#define LEVEL_COUNT 3u
#define CHAIN_MOVED                                                                                \
    ((struct list *)1) /* first of a bucket whose dentries are in the next table                   \
                        */
#define SHRINK_BATCH 64u
#define SHRINK_SCAN  1024u /* buckets looked at in one go */
#define PEEK_MAX     64u /* dentries looked at without the lock: the chain may change on the way */

static struct dhash_bucket g_small[1u << 10], g_middle[1u << 13], g_large[1u << 16];

static const struct {
    struct dhash_bucket *buckets;
    uint32_t count; /* power of two */
} g_levels[LEVEL_COUNT] = {{g_small, ARRAY_COUNT(g_small)},
                           {g_middle, ARRAY_COUNT(g_middle)},
                           {g_large, ARRAY_COUNT(g_large)}};

static uint32_t g_level;      /* atomic: the table in use; only grows */
static uint32_t g_clock_hand; /* atomic */
static struct mutex g_grow_mutex;

void dhash_init(void) {
    mutex_init(&g_grow_mutex);
}

static inline struct dhash_bucket *bucket_at(uint32_t level, const struct dentry *parent,
                                             uint64_t hash) {
    /* The name's hash is keyed, so a cheap mix of the parent is enough. */
    uint64_t h = hash + ((uintptr_t)parent >> 5) * 0x9e3779b97f4a7c15ull;
    return &g_levels[level].buckets[(h ^ (h >> 32)) & (g_levels[level].count - 1)];
}

static inline void bucket_rank(struct dhash_bucket *b) {
    if (unlikely(b->lock.rank != RANK_DCACHE)) {
        b->lock.rank = RANK_DCACHE; /* first use; everybody writes the same */
    }
}

struct dhash_bucket *dhash_lock(const struct dentry *parent, uint64_t hash) {
    for (uint32_t level = atomic_load_relaxed(&g_level);; level++) {
        struct dhash_bucket *b = bucket_at(level, parent, hash);
        bucket_rank(b);
        spin_lock(&b->lock);
        if (likely(b->first != CHAIN_MOVED)) {
            return b;
        }
        spin_unlock(&b->lock);
    }
}

struct dentry *dhash_peek(const struct dentry *parent, const char *name, size_t len, uint64_t hash,
                          uint32_t *out_seq) {
    const struct dhash_bucket *b = bucket_at(atomic_load_relaxed(&g_level), parent, hash);
    struct list *l = atomic_load(&b->first);
    for (uint32_t i = 0; i < PEEK_MAX && l != NULL && l != CHAIN_MOVED; i++) {
        struct dentry *d = list_entry(l, struct dentry, hash_link);
        if (atomic_load_relaxed(&d->hash) == hash && atomic_load_relaxed(&d->parent) == parent) {
            *out_seq = atomic_load(&d->seq);
            /* The caller finds out by seq whether what is read here was right. */
            const char *text = atomic_load_relaxed(&d->name);
            if ((*out_seq & 1) == 0 && atomic_load_relaxed(&d->name_len) == len &&
                memcmp(text, name, len) == 0) {
                return d;
            }
        }
        l = atomic_load(&d->hash_link.next);
    }
    return NULL;
}

struct dentry *dhash_find(const struct dhash_bucket *b, const struct dentry *parent,
                          const char *name, size_t len, uint64_t hash, uint32_t *out_seen) {
    uint32_t seen = 0;
    struct dentry *found = NULL;
    for (struct list *l = b->first; l != NULL; l = l->next) {
        struct dentry *d = list_entry(l, struct dentry, hash_link);
        seen++;
        if (d->hash == hash && d->parent == parent && d->name_len == len &&
            memcmp(d->name, name, len) == 0) {
            found = d;
            break;
        }
    }
    if (out_seen != NULL) {
        *out_seen = seen;
    }
    return found;
}

void dhash_add(struct dhash_bucket *b, struct dentry *d) {
    struct list *link = &d->hash_link;
    link->prev = NULL;
    link->next = b->first;
    if (b->first != NULL) {
        b->first->prev = link;
    }
    atomic_store(&b->first, link);
}

void dhash_del(struct dhash_bucket *b, struct dentry *d) {
    struct list *link = &d->hash_link;
    if (link->prev != NULL) {
        link->prev->next = link->next;
    } else {
        b->first = link->next;
    }
    if (link->next != NULL) {
        link->next->prev = link->prev;
    }
    link->prev = link->next = NULL;
}

/* A hashed dentry's parent and hash do not change under its bucket's lock. */
static void bucket_move(struct dhash_bucket *from, uint32_t to_level) {
    bucket_rank(from);
    spin_lock(&from->lock);
    while (from->first != NULL) {
        struct dentry *d = list_entry(from->first, struct dentry, hash_link);
        struct dhash_bucket *to = bucket_at(to_level, d->parent, d->hash);
        dhash_del(from, d);
        bucket_rank(to);
        spin_lock_nested(&to->lock);
        dhash_add(to, d);
        spin_unlock(&to->lock);
    }
    from->first = CHAIN_MOVED;
    spin_unlock(&from->lock);
}

void dhash_grow(void) {
    if (atomic_load_relaxed(&g_level) + 1 >= LEVEL_COUNT || !mutex_trylock(&g_grow_mutex)) {
        return;
    }
    uint32_t level = atomic_load_relaxed(&g_level);
    if (level + 1 < LEVEL_COUNT) {
        for (uint32_t i = 0; i < g_levels[level].count; i++) {
            bucket_move(&g_levels[level].buckets[i], level + 1);
        }
        atomic_store(&g_level, level + 1);
    }
    mutex_unlock(&g_grow_mutex);
}

/* Takes unused dentries out of one bucket. */
static uint32_t bucket_reap(struct dhash_bucket *b, struct list **victims) {
    uint32_t taken = 0;
    struct list *next;
    if (atomic_load_relaxed(&b->first) == NULL) {
        return 0;
    }
    bucket_rank(b);
    spin_lock(&b->lock);
    for (struct list *l = b->first == CHAIN_MOVED ? NULL : b->first; l != NULL; l = next) {
        struct dentry *d = list_entry(l, struct dentry, hash_link);
        next = l->next;
        uint32_t unused = 1; /* the table's reference alone */
        if ((d->flags & DENTRY_PINNED) != 0 || atomic_load_relaxed(&d->ref.n) != unused) {
            continue;
        }
        if (d->used) {
            d->used = false;
            continue;
        }
        if (!atomic_cas(&d->ref.n, &unused, 0)) {
            continue; /* a walk without locks took it meanwhile; from here on none can */
        }
        dhash_del(b, d);
        spin_lock(&d->lock);
        d->flags &= ~DENTRY_HASHED;
        spin_unlock(&d->lock);
        l->next = *victims;
        *victims = l;
        taken++;
    }
    spin_unlock(&b->lock);
    return taken;
}

struct list *dhash_reap(void) {
    struct list *victims = NULL;
    uint32_t level = atomic_load_relaxed(&g_level), taken = 0;
    for (uint32_t i = 0; i < SHRINK_SCAN && taken < SHRINK_BATCH; i++) {
        uint32_t at = atomic_fetch_add(&g_clock_hand, 1u) & (g_levels[level].count - 1);
        taken += bucket_reap(&g_levels[level].buckets[at], &victims);
    }
    return victims;
}
