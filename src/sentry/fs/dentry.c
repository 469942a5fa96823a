/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dentry cache: (parent, name) -> dentry, positive or negative.
 *
 * The hash table (dhash.c) has a lock a bucket and holds one reference on each dentry in it, so
 * that an unused cached dentry has a count of exactly one; only under the bucket's lock can
 * somebody come by a reference to such a one.  A hashed dentry's name and parent do not change.
 * Above a limit the shrinker walks the buckets like a clock and drops unused ones that are not
 * pinned.
 *
 * Locks: bucket (RANK_DCACHE) > dentry->lock (RANK_DENTRY); parent's before child's.
 */
#include "base/hash.h"
#include "base/string.h"
#include "fs/dhash.h"
#include "fs/fsnotify.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"

uint32_t g_dentries_max = 196608; /* unpinned ones kept */

static uint32_t g_dentry_count; /* atomic: dentries that exist and are not pinned */
/* Held by the shrinker and by dentry_prune, so that no superblock goes while a victim of it is on
 * its way out. */
static struct mutex g_shrink_mutex;
/* Dead dentries, chained by ->private.  Their memory is never used for anything else: a walk
 * without locks may still look at one, and sees by its seq that it is dead. */
static struct spinlock g_pool_lock = SPINLOCK_INIT(RANK_FS);
static struct dentry *g_pool; /* guarded by g_pool_lock */

void dcache_init(void) {
    mutex_init(&g_shrink_mutex);
    dhash_init();
}

uint64_t dentry_name_hash(const char *name, size_t len) {
    return hash_bytes(name, len); /* keyed: names are chosen by guests */
}

struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len, uint64_t hash) {
    struct dhash_bucket *b = dhash_lock(parent, hash);
    struct dentry *d = dhash_find(b, parent, name, len, hash, NULL);
    if (d != NULL) {
        dentry_get(d);
        d->used = true;
    }
    dhash_unlock(b);
    return d;
}

struct dentry *dentry_cached(struct dentry *parent, const char *name, size_t len) {
    return dentry_find(parent, name, len, dentry_name_hash(name, len));
}

/* ---- life ---- */

static struct dentry *pool_take(void) {
    spin_lock(&g_pool_lock);
    struct dentry *d = g_pool;
    if (d != NULL) {
        g_pool = d->private;
    }
    spin_unlock(&g_pool_lock);
    if (d == NULL) {
        d = kzalloc(sizeof(*d));
        if (d != NULL) {
            d->seq = 1; /* dead so far */
        }
    }
    return d;
}

static void pool_give(struct dentry *d) {
    spin_lock(&g_pool_lock);
    d->private = g_pool;
    g_pool = d;
    spin_unlock(&g_pool_lock);
}

/* A walk without locks may be looking: from here until dentry_change_end it takes nothing it sees
 * for right. */
void dentry_change_begin(struct dentry *d) {
    (void)atomic_fetch_add(&d->seq, 1u); /* a full barrier as well */
}

void dentry_change_end(struct dentry *d) {
    (void)atomic_fetch_add(&d->seq, 1u);
}

static void name_free(struct dentry *d) {
    if (d->name != d->inline_name) {
        kfree(d->name);
    }
}

static int name_set(struct dentry *d, const char *name, size_t len) {
    d->name = d->inline_name;
    if (len >= DENTRY_INLINE) {
        char *text = kmalloc(len + 1);
        if (text == NULL) {
            return -ENOMEM;
        }
        d->name = text;
    }
    memcpy(d->name, name, len);
    d->name[len] = '\0';
    d->name_len = (uint32_t)len;
    d->hash = dentry_name_hash(name, len);
    return 0;
}

struct dentry *dentry_alloc(struct dentry *parent, const char *name, size_t len) {
    struct dentry *d = pool_take();
    if (d == NULL) {
        return NULL;
    }
    if (name_set(d, name, len) != 0) {
        pool_give(d);
        return NULL;
    }
    spin_init(&d->lock, RANK_DENTRY);
    list_init(&d->children);
    list_init(&d->child_link);
    d->hash_link.prev = d->hash_link.next = NULL;
    d->inode = NULL;
    if (parent != NULL) {
        d->sb =
            parent->sb; /* else the caller sets it; never NULL, as a walk without locks may look */
    }
    d->parent = parent != NULL ? parent : d;
    d->flags = d->mount_count = 0;
    d->used = false;
    d->private = NULL;
    ref_init(&d->ref);
    dentry_change_end(d);
    (void)atomic_fetch_add(&g_dentry_count, 1u); /* a statistic */
    if (parent != NULL) {
        dentry_get(parent);
        spin_lock(&parent->lock);
        list_push_back(&parent->children, &d->child_link);
        spin_unlock(&parent->lock);
    }
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
        dentry_change_begin(d);
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
        pool_give(d);
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
    atomic_store(&d->inode, root);
    sb->root = d;
    return 0;
}

void dentry_set_inode(struct dentry *d, struct inode *inode) {
    spin_lock(&d->lock);
    kassert(d->inode == NULL);
    atomic_store(&d->inode, inode);
    spin_unlock(&d->lock);
}

static void dcache_shrink(void) {
    if (!mutex_trylock(&g_shrink_mutex)) {
        return;
    }
    struct list *victims = dhash_reap();
    while (victims != NULL) {
        struct dentry *d = list_entry(victims, struct dentry, hash_link);
        victims = victims->next;
        d->hash_link.next = NULL;
        dentry_kill(d);
    }
    mutex_unlock(&g_shrink_mutex);
}

/* ---- hashing ---- */

/* The bucket of `d`, locked.  Whoever gives it another place unhashes it first, so that a hashed
 * one stays where it is while the lock is held. */
static struct dhash_bucket *bucket_lock(struct dentry *d) {
    for (;;) {
        struct dentry *parent = atomic_load_relaxed(&d->parent);
        uint64_t hash = atomic_load_relaxed(&d->hash);
        struct dhash_bucket *b = dhash_lock(parent, hash);
        if (likely(d->parent == parent && d->hash == hash)) {
            return b;
        }
        dhash_unlock(b);
    }
}

static void hashed_set(struct dentry *d, bool on) {
    spin_lock(&d->lock);
    d->flags = on ? d->flags | DENTRY_HASHED : d->flags & ~DENTRY_HASHED;
    spin_unlock(&d->lock);
}

struct dentry *dentry_hash_unique(struct dentry *d) {
    uint32_t seen = 0;
    struct dentry *old = NULL;
    struct dhash_bucket *b = bucket_lock(d);
    if ((d->flags & DENTRY_HASHED) == 0) {
        old = dhash_find(b, d->parent, d->name, d->name_len, d->hash, &seen);
        if (old != NULL) {
            dentry_get(old);
        } else {
            dentry_get(d);
            dhash_add(b, d);
            hashed_set(d, true);
        }
    }
    dhash_unlock(b);
    if (unlikely(seen >= DHASH_LONG_CHAIN)) {
        dhash_grow();
    }
    if (unlikely(atomic_load_relaxed(&g_dentry_count) > g_dentries_max)) {
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
    struct dhash_bucket *b = bucket_lock(d);
    bool was = (d->flags & DENTRY_HASHED) != 0;
    if (was) {
        dhash_del(b, d);
        hashed_set(d, false);
    }
    dhash_unlock(b);
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

/* A referenced child of `d`, or NULL.  One whose last reference just went is on its way out by
 * itself. */
static struct dentry *first_child(struct dentry *d) {
    struct dentry *child = NULL;
    spin_lock(&d->lock);
    while (child == NULL && !list_empty(&d->children)) {
        child = list_first(&d->children, struct dentry, child_link);
        if (!ref_get_unless_zero(&child->ref)) {
            list_del_init(&child->child_link);
            child = NULL;
        }
    }
    spin_unlock(&d->lock);
    return child;
}

void dentry_prune(struct dentry *root) {
    struct dentry *d = root;
    if (list_empty(&root->children)) {
        return; /* and none can come: the directory is dead, or its superblock is */
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
    struct inode *inode = NULL;
    if ((d->flags & DENTRY_PINNED) != 0 || d->private != NULL || !d->sb->dcache_stable) {
        return false;
    }
    struct dhash_bucket *b = bucket_lock(d);
    dentry_change_begin(d);
    /* The table's reference and the caller's; a walk without locks that took one more meanwhile
     * sees the change, or is seen here. */
    if ((d->flags & DENTRY_HASHED) != 0 && atomic_load(&d->ref.n) == 2) {
        spin_lock(&d->lock);
        inode = d->inode;
        d->inode = NULL;
        d->flags &= ~DENTRY_DELETED;
        spin_unlock(&d->lock);
    }
    dentry_change_end(d);
    dhash_unlock(b);
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
