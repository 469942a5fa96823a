/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dentry cache: (parent, name) -> dentry, positive or negative.
 *
 * The table has a lock a bucket and holds one reference on each dentry in it, so that an unused
 * cached dentry has a count of exactly one; only under the bucket's lock can somebody come by a
 * reference to such a one.  A hashed dentry's name and parent do not change.  Above a limit the
 * shrinker walks the buckets like a clock and drops unused ones that are not pinned.  Names are
 * chosen by guests, so the hash is keyed.
 *
 * Locks: bucket (RANK_DCACHE) > dentry->lock (RANK_DENTRY); parent's before child's.
 */
#include "fs/fsnotify.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "base/hash.h"
#include "base/string.h"

#define BUCKET_COUNT 16384u /* power of two */
#define DENTRIES_MAX 65536u /* unpinned ones kept */
#define SHRINK_BATCH 64u
#define SHRINK_SCAN  1024u /* buckets looked at in one go */

struct bucket {
    struct spinlock lock;
    struct list *first; /* NULL-terminated chain: zero memory is an empty table; link.prev is unused
                           at the front */
};

static struct bucket g_buckets[BUCKET_COUNT];
static uint32_t g_dentry_count; /* atomic: dentries that exist and are not pinned */
static uint32_t g_clock_hand;   /* atomic */
/* Held by the shrinker and by dentry_prune, so that no superblock goes while a victim of it is on
 * its way out. */
static struct mutex g_shrink_mutex;

void dcache_init(void) {
    mutex_init(&g_shrink_mutex);
    uint64_t key[2];
    hal_random(key, sizeof(key));
    hash_seed(key[0], key[1]);
}

uint64_t dentry_name_hash(const char *name, size_t len) {
    return hash_bytes(name, len);
}

static inline struct bucket *bucket_of(const struct dentry *parent, uint64_t hash) {
    /* The name's hash is keyed, so a cheap mix of the parent is enough. */
    uint64_t h = hash + ((uintptr_t)parent >> 5) * 0x9e3779b97f4a7c15ull;
    return &g_buckets[(h ^ (h >> 32)) & (BUCKET_COUNT - 1)];
}

static inline void bucket_lock(struct bucket *b) {
    if (unlikely(b->lock.rank != RANK_DCACHE)) {
        b->lock.rank = RANK_DCACHE; /* first use; everybody writes the same */
    }
    spin_lock(&b->lock);
}

static inline void chain_add(struct bucket *b, struct list *link) {
    link->prev = NULL;
    link->next = b->first;
    if (b->first != NULL) {
        b->first->prev = link;
    }
    b->first = link;
}

static inline void chain_del(struct bucket *b, struct list *link) {
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

static inline bool dentry_matches(const struct dentry *d, const struct dentry *parent,
                                  const char *name, size_t len, uint64_t hash) {
    return d->hash == hash && d->parent == parent && d->name_len == len &&
           memcmp(d->name, name, len) == 0;
}

static struct dentry *chain_find(const struct bucket *b, const struct dentry *parent,
                                 const char *name, size_t len, uint64_t hash) {
    for (struct list *l = b->first; l != NULL; l = l->next) {
        struct dentry *d = list_entry(l, struct dentry, hash_link);
        if (dentry_matches(d, parent, name, len, hash)) {
            return d;
        }
    }
    return NULL;
}

struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len, uint64_t hash) {
    struct bucket *b = bucket_of(parent, hash);
    bucket_lock(b);
    struct dentry *d = chain_find(b, parent, name, len, hash);
    if (d != NULL) {
        dentry_get(d);
        d->used = true;
    }
    spin_unlock(&b->lock);
    return d;
}

struct dentry *dentry_cached(struct dentry *parent, const char *name, size_t len) {
    return dentry_find(parent, name, len, dentry_name_hash(name, len));
}

/* ---- life ---- */

static void name_free(struct dentry *d) {
    if (d->name != d->inline_name) {
        kfree(d->name);
    }
}

struct dentry *dentry_alloc(struct dentry *parent, const char *name, size_t len) {
    struct dentry *d = kzalloc(sizeof(*d));
    if (d == NULL) {
        return NULL;
    }
    d->name = d->inline_name;
    if (len >= DENTRY_INLINE) {
        d->name = kmalloc(len + 1);
        if (d->name == NULL) {
            kfree(d);
            return NULL;
        }
    }
    memcpy(d->name, name, len);
    d->name[len] = '\0';
    d->name_len = (uint32_t)len;
    d->hash = dentry_name_hash(name, len);
    ref_init(&d->ref);
    spin_init(&d->lock, RANK_DENTRY);
    list_init(&d->children);
    list_init(&d->child_link);
    (void)atomic_fetch_add(&g_dentry_count, 1u); /* a statistic */
    if (parent == NULL) {
        d->parent = d;
        return d;
    }
    dentry_get(parent);
    d->parent = parent;
    d->sb = parent->sb;
    spin_lock(&parent->lock);
    list_push_back(&parent->children, &d->child_link);
    spin_unlock(&parent->lock);
    return d;
}

/* Lets go of the inode of a name; a file without names and openers is deleted, which its watchers
 * learn. */
static void name_iput(struct inode *inode) {
    if (inode == NULL) {
        return;
    }
    if (atomic_load_relaxed(&inode->nlink) == 0) {
        fsnotify(inode, IN_DELETE_SELF, NULL, 0);
    }
    inode_put(inode);
}

/* The last reference is gone: frees the dentry, and its parent if that was the last child's hold on
 * it, and so on. */
static void dentry_kill(struct dentry *d) {
    for (;;) {
        struct dentry *parent = d->parent;
        if (parent != d) {
            spin_lock(&parent->lock);
            list_del_init(&d->child_link);
            spin_unlock(&parent->lock);
        }
        if (d->sb != NULL && d->sb->ops->dentry_release != NULL) {
            d->sb->ops->dentry_release(d);
        }
        name_iput(d->inode);
        name_free(d);
        if ((d->flags & DENTRY_PINNED) == 0) {
            (void)atomic_fetch_sub(&g_dentry_count, 1u); /* a statistic */
        }
        kfree(d);
        if (parent == d || !ref_put(&parent->ref)) {
            return;
        }
        d = parent;
    }
}

void dentry_put(struct dentry *d) {
    if (d != NULL && ref_put(&d->ref)) {
        dentry_kill(d);
    }
}

struct dentry *dentry_parent_get(struct dentry *d) {
    spin_lock(&d->lock);
    struct dentry *p = d->parent;
    dentry_get(p);
    spin_unlock(&d->lock);
    return p;
}

int super_set_root(struct super_block *sb, struct inode *root) {
    struct dentry *d = dentry_alloc(NULL, "/", 1);
    if (d == NULL) {
        inode_put(root);
        return -ENOMEM;
    }
    d->sb = sb;
    d->inode = root;
    sb->root = d;
    return 0;
}

void dentry_set_inode(struct dentry *d, struct inode *inode) {
    spin_lock(&d->lock);
    kassert(d->inode == NULL);
    atomic_store(&d->inode, inode);
    spin_unlock(&d->lock);
}

/* ---- shrinking ---- */

/* Takes unused dentries out of one bucket into `victims` (chained by hash_link.next). */
static uint32_t bucket_reap(struct bucket *b, struct list **victims) {
    uint32_t taken = 0;
    if (atomic_load_relaxed(&b->first) == NULL) {
        return 0;
    }
    bucket_lock(b);
    struct list *next;
    for (struct list *l = b->first; l != NULL; l = next) {
        struct dentry *d = list_entry(l, struct dentry, hash_link);
        next = l->next;
        if ((d->flags & DENTRY_PINNED) != 0 || atomic_load_relaxed(&d->ref.n) != 1) {
            continue;
        }
        if (d->used) {
            d->used = false;
            continue;
        }
        chain_del(b, l); /* the table's reference is now ours alone */
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

static void dcache_shrink(void) {
    struct list *victims = NULL;
    uint32_t taken = 0;
    if (!mutex_trylock(&g_shrink_mutex)) {
        return;
    }
    for (uint32_t i = 0; i < SHRINK_SCAN && taken < SHRINK_BATCH; i++) {
        uint32_t at = atomic_fetch_add(&g_clock_hand, 1u) & (BUCKET_COUNT - 1);
        taken += bucket_reap(&g_buckets[at], &victims);
    }
    while (victims != NULL) {
        struct dentry *d = list_entry(victims, struct dentry, hash_link);
        victims = victims->next;
        d->hash_link.next = NULL;
        dentry_put(d);
    }
    mutex_unlock(&g_shrink_mutex);
}

/* ---- hashing ---- */

struct dentry *dentry_hash_unique(struct dentry *d) {
    struct bucket *b = bucket_of(d->parent, d->hash);
    struct dentry *old = NULL;
    bucket_lock(b);
    if ((d->flags & DENTRY_HASHED) == 0) {
        old = chain_find(b, d->parent, d->name, d->name_len, d->hash);
        if (old != NULL) {
            dentry_get(old);
        } else {
            dentry_get(d);
            chain_add(b, &d->hash_link);
            spin_lock(&d->lock);
            d->flags |= DENTRY_HASHED;
            spin_unlock(&d->lock);
        }
    }
    spin_unlock(&b->lock);
    if (unlikely(atomic_load_relaxed(&g_dentry_count) > DENTRIES_MAX)) {
        dcache_shrink();
    }
    return old;
}

void dentry_hash(struct dentry *d) {
    struct dentry *old = dentry_hash_unique(d);
    if (old != NULL) {
        /* A stale one of the same name: the caller, who holds dir->rw for writing, knows better. */
        dentry_drop(old);
        dentry_put(old);
        dentry_put(dentry_hash_unique(d));
    }
}

/* Unhashes; true when the table's reference fell to the caller. */
static bool dentry_unhash(struct dentry *d) {
    bool was = false;
    struct bucket *b = bucket_of(d->parent, d->hash);
    bucket_lock(b);
    if ((d->flags & DENTRY_HASHED) != 0) {
        chain_del(b, &d->hash_link);
        spin_lock(&d->lock);
        d->flags &= ~DENTRY_HASHED;
        spin_unlock(&d->lock);
        was = true;
    }
    spin_unlock(&b->lock);
    return was;
}

void dentry_drop(struct dentry *d) {
    if (dentry_unhash(d)) {
        dentry_put(d);
    }
}

void dentry_unpin(struct dentry *d) {
    spin_lock(&d->lock);
    if ((d->flags & DENTRY_PINNED) != 0) {
        d->flags &= ~DENTRY_PINNED;
        (void)atomic_fetch_add(&g_dentry_count, 1u); /* a statistic */
    }
    spin_unlock(&d->lock);
}

void dentry_pin(struct dentry *d) {
    spin_lock(&d->lock);
    if ((d->flags & DENTRY_PINNED) == 0) {
        d->flags |= DENTRY_PINNED;
        (void)atomic_fetch_sub(&g_dentry_count, 1u); /* a statistic */
    }
    spin_unlock(&d->lock);
}

/* Out of its parent's list, and dead: nothing is hashed below it any more. */
static void dentry_leave_tree(struct dentry *d) {
    struct dentry *parent = d->parent;
    spin_lock(&parent->lock);
    list_del_init(&d->child_link);
    spin_unlock(&parent->lock);
    spin_lock(&d->lock);
    d->flags |= DENTRY_DELETED;
    spin_unlock(&d->lock);
}

/* A referenced child of `d`, or NULL. */
static struct dentry *first_child(struct dentry *d) {
    struct dentry *child = NULL;
    spin_lock(&d->lock);
    if (!list_empty(&d->children)) {
        child = list_first(&d->children, struct dentry, child_link);
        dentry_get(child);
    }
    spin_unlock(&d->lock);
    return child;
}

void dentry_prune(struct dentry *root) {
    struct dentry *d = root;
    if (list_empty(
            &root->children)) { /* none can come: the directory is dead, or its superblock is */
        return;
    }
    mutex_lock(&g_shrink_mutex);
    dentry_get(d);
    for (;;) {
        struct dentry *child = first_child(d);
        if (child != NULL) {
            d = child;
            continue;
        }
        if (d == root) {
            break;
        }
        struct dentry *parent = d->parent; /* held since we went down */
        dentry_unpin(d);
        dentry_leave_tree(d);
        dentry_drop(d);
        dentry_put(d);
        d = parent;
    }
    dentry_put(root);
    mutex_unlock(&g_shrink_mutex);
}

/* The name is gone and nobody else looks at the dentry: makes it a negative one, true.  Pinned ones
 * are worth nothing then. */
static bool turn_negative(struct dentry *d) {
    struct bucket *b = bucket_of(d->parent, d->hash);
    struct inode *inode = NULL;
    if ((d->flags & DENTRY_PINNED) != 0 || d->private != NULL || !d->sb->dcache_stable) {
        return false;
    }
    bucket_lock(b);
    /* The table's reference and the caller's. */
    if ((d->flags & DENTRY_HASHED) != 0 && atomic_load(&d->ref.n) == 2) {
        spin_lock(&d->lock);
        inode = d->inode;
        d->inode = NULL;
        d->flags &= ~DENTRY_DELETED;
        spin_unlock(&d->lock);
    }
    spin_unlock(&b->lock);
    bool turned = inode != NULL;
    name_iput(inode);
    return turned;
}

void dentry_unlinked(struct dentry *d) {
    dentry_prune(d); /* negative children of a directory */
    if (turn_negative(d)) {
        return;
    }
    dentry_unpin(d);
    dentry_leave_tree(d);
    dentry_drop(d);
}
