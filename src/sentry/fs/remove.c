/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing names: unlink, rmdir, unlinkat.
 */
#include "base/string.h"
#include "fs/fsnotify.h"
#include "fs/internal.h"

void notify_removed(struct inode *dir, const char *name, struct inode *victim) {
    fsnotify(dir, IN_DELETE | (S_ISDIR(victim->mode) ? IN_ISDIR : 0), name, 0);
    fsnotify_name_gone(victim);
}

/* dir->rw held; `d` is positive and of the right type. */
static int remove_locked(struct inode *dir, struct dentry *d, bool is_dir) {
    struct inode *victim = d->inode;
    int err;
    if (atomic_load_relaxed(&d->mount_count) != 0) {
        return -EBUSY;
    }
    if (is_dir) {
        rw_write_lock(&victim->rw);
        err = dir->ops->rmdir != NULL ? dir->ops->rmdir(dir, d) : -EPERM;
        if (err == 0) {
            spin_lock(&d->lock);
            d->flags |= DENTRY_DELETED; /* nothing is made in it any more */
            spin_unlock(&d->lock);
        }
        rw_write_unlock(&victim->rw);
    } else {
        err = dir->ops->unlink != NULL ? dir->ops->unlink(dir, d) : -EPERM;
    }
    return err;
}

/* Removes and tells; consumes nothing. */
static int remove_and_notify(struct inode *dir, struct dentry *d, bool is_dir) {
    char name[NAME_MAX_LEN + 1];
    struct inode *victim = d->inode;
    inode_get(victim);
    (void)strlcpy(name, d->name, sizeof(name)); /* never longer */
    int err = remove_locked(dir, d, is_dir);
    if (err == 0) {
        fsnotify_link_count(victim); /* before its watches may end */
        dentry_unlinked(d);
    }
    rw_write_unlock(&dir->rw);
    if (err == 0) {
        notify_removed(dir, name, victim);
    }
    inode_put(victim);
    return err;
}

static int remove_in(struct dentry *dir, struct dentry *child, bool is_dir) {
    rw_write_lock(&dir->inode->rw);
    bool there =
        child->parent == dir && child->inode != NULL && (child->flags & DENTRY_DELETED) == 0;
    if (!there) {
        rw_write_unlock(&dir->inode->rw);
        return -ENOENT;
    }
    return remove_and_notify(dir->inode, child, is_dir);
}

int vfs_unlink_in(struct dentry *dir, struct dentry *child) {
    return remove_in(dir, child, false);
}

int vfs_rmdir_in(struct dentry *dir, struct dentry *child) {
    return remove_in(dir, child, true);
}

static int check_last(const struct walk *w, bool is_dir) {
    switch (w->last_kind) {
    case LAST_NORMAL:
        return w->last_len > NAME_MAX_LEN ? -ENAMETOOLONG : 0;
    case LAST_DOT:
        return is_dir ? -EINVAL : -EISDIR;
    case LAST_DOTDOT:
        return is_dir ? -ENOTEMPTY : -EISDIR;
    default:
        return is_dir ? -EBUSY : -EISDIR;
    }
}

static int remove_at_walk(struct walk *w, bool is_dir) {
    struct inode *dir = w->path.dentry->inode;
    struct dentry *d;
    int err = check_last(w, is_dir);
    if (err != 0) {
        return err;
    }
    rw_write_lock(&dir->rw);
    err = dentry_lookup_locked(w->path.dentry, w->last, w->last_len, &d);
    if (err != 0) {
        rw_write_unlock(&dir->rw);
        return err;
    }
    struct inode *victim = d->inode;
    if (victim == NULL) {
        err = -ENOENT;
    } else if (w->must_dir && !is_dir) {
        err = S_ISDIR(victim->mode) ? -EISDIR : -ENOTDIR;
    } else {
        err = may_delete_in(&w->path, victim, is_dir);
    }
    if (err == 0) {
        err = remove_and_notify(dir, d, is_dir);
    } else {
        rw_write_unlock(&dir->rw);
    }
    dentry_put(d);
    return err;
}

static int64_t remove_at(int dirfd, uint64_t user_name, bool is_dir) {
    struct path_name name;
    struct walk w;
    int64_t r = path_name_get(&name, uaddr_of(user_name), false);
    if (r != 0) {
        return r;
    }
    r = walk_start(&w, dirfd, name.text, LOOKUP_PARENT);
    if (r == 0) {
        r = remove_at_walk(&w, is_dir);
    }
    walk_end(&w);
    path_name_put(&name);
    return r;
}

int64_t sys_unlink(struct task *t, const struct sysargs *args) {
    return remove_at(AT_FDCWD_MOAT, args->a[0], false);
}

int64_t sys_rmdir(struct task *t, const struct sysargs *args) {
    return remove_at(AT_FDCWD_MOAT, args->a[0], true);
}

int64_t sys_unlinkat(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[2];
    if ((flags & ~(uint32_t)AT_REMOVEDIR) != 0) {
        return -EINVAL;
    }
    return remove_at((int)args->a[0], args->a[1], (flags & AT_REMOVEDIR) != 0);
}
