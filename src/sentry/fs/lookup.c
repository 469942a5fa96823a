/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow half of a look-up: what the dentry cache does not know is asked of the filesystem.
 *
 * Two look-ups of one name can run at once under a shared dir->rw; the first to hash its dentry
 * wins.
 */
#include "fs/internal.h"

static bool still_right(struct dentry *d) {
    if (d->sb->dcache_stable) {
        return true;
    }
    struct inode *inode = d->inode != NULL ? d->inode : d->parent->inode;
    return inode == NULL || inode->ops->revalidate == NULL || inode->ops->revalidate(d);
}

/* The cached dentry if it is there and still right, else NULL. */
static struct dentry *cached_valid(struct dentry *parent, const char *name, size_t len) {
    struct dentry *d = dentry_cached(parent, name, len);
    if (d == NULL || still_right(d)) {
        return d;
    }
    dentry_drop(d);
    if (parent->inode->ops->rename == NULL) {
        /* proc: what is below goes at once; elsewhere a name below could be moved meanwhile, and
         * the shrinker finds it. */
        dentry_prune(d);
    }
    dentry_put(d);
    return NULL;
}

int dentry_lookup_locked(struct dentry *parent, const char *name, size_t len, struct dentry **out) {
    struct inode *dir = parent->inode;
    struct dentry *d = cached_valid(parent, name, len);
    if (d != NULL) {
        *out = d;
        return 0;
    }
    if (dir->ops->lookup == NULL) {
        return -ENOTDIR;
    }
    d = dentry_alloc(parent, name, len);
    if (d == NULL) {
        return -ENOMEM;
    }
    int err = dir->ops->lookup(dir, d);
    if (err != 0) {
        dentry_put(d);
        return err;
    }
    bool cacheable = d->inode != NULL || parent->sb->dcache_stable || dir->ops->revalidate != NULL;
    if (cacheable && (parent->flags & DENTRY_DELETED) == 0) {
        struct dentry *first = dentry_hash_unique(d);
        if (first != NULL) {
            dentry_put(d);
            d = first;
        } else if (((d->flags | parent->flags) & DENTRY_DELETED) != 0) {
            dentry_drop(d); /* the directory was pruned meanwhile */
        }
    }
    *out = d;
    return 0;
}

int vfs_lookup_one(struct dentry *parent, const char *name, size_t len, struct dentry **out) {
    struct inode *dir = parent->inode;
    if (dir == NULL || !S_ISDIR(dir->mode)) {
        return -ENOTDIR;
    }
    if (len > NAME_MAX_LEN) {
        return -ENAMETOOLONG;
    }
    struct dentry *d = cached_valid(parent, name, len);
    if (d != NULL) {
        *out = d;
        return 0;
    }
    rw_read_lock(&dir->rw);
    int err = dentry_lookup_locked(parent, name, len, out);
    rw_read_unlock(&dir->rw);
    return err;
}
