/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rename, renameat, renameat2 (rename(2)).
 *
 * Locks: sb->rename_mutex when the parents differ; then the parents for writing, an ancestor before
 * its descendant, unrelated ones by address; then the rw of a directory that is replaced.
 */
#include "base/string.h"
#include "fs/fsnotify.h"
#include "fs/internal.h"

#include <linux/fs.h>

static uint32_t g_rename_cookie; /* atomic: joins IN_MOVED_FROM and IN_MOVED_TO */

/* Locks both parents, which may be the same, in the order above. */
static void lock_parents(struct dentry *a, struct dentry *b) {
    if (a == b) {
        rw_write_lock(&a->inode->rw);
        return;
    }
    mutex_lock(&a->sb->rename_mutex);
    struct dentry *first;
    if (dentry_is_ancestor(a, b)) {
        first = a;
    } else if (dentry_is_ancestor(b, a)) {
        first = b;
    } else {
        first = a->inode < b->inode ? a : b;
    }
    rw_write_lock(&first->inode->rw);
    rw_write_lock(&(first == a ? b : a)->inode->rw);
}

static void unlock_parents(struct dentry *a, struct dentry *b) {
    rw_write_unlock(&a->inode->rw);
    if (a != b) {
        rw_write_unlock(&b->inode->rw);
        mutex_unlock(&a->sb->rename_mutex);
    }
}

struct rename {
    struct dentry *old_dir, *old, *new_dir, *new_;
    uint32_t flags;
};

/* What holds whoever asks: existence, types, loops. */
static int check_shape(const struct rename *r) {
    struct inode *old = r->old->inode, *victim = r->new_->inode;
    if (old == NULL) {
        return -ENOENT;
    }
    if ((r->flags & RENAME_NOREPLACE) != 0 && victim != NULL) {
        return -EEXIST;
    }
    bool exchange = (r->flags & RENAME_EXCHANGE) != 0;
    if (exchange && victim == NULL) {
        return -ENOENT;
    }
    if ((r->new_dir->flags & DENTRY_DELETED) != 0) {
        return -ENOENT;
    }
    if (dentry_is_ancestor(r->old, r->new_dir)) {
        return -EINVAL;
    }
    if (victim != NULL && dentry_is_ancestor(r->new_, r->old_dir)) {
        return exchange ? -EINVAL : -ENOTEMPTY;
    }
    if (victim != NULL && !exchange && S_ISDIR(old->mode) != S_ISDIR(victim->mode)) {
        return S_ISDIR(old->mode) ? -ENOTDIR : -EISDIR;
    }
    if (atomic_load_relaxed(&r->old->mount_count) != 0 ||
        atomic_load_relaxed(&r->new_->mount_count) != 0) {
        return -EBUSY;
    }
    return 0;
}

static void tell(const struct rename *r, const char *old_name, const char *new_name,
                 struct inode *moved, struct inode *victim) {
    uint32_t cookie = atomic_fetch_add(&g_rename_cookie, 1u) + 1;
    uint32_t dir = S_ISDIR(moved->mode) ? IN_ISDIR : 0;
    fsnotify(r->old_dir->inode, IN_MOVED_FROM | dir, old_name, cookie);
    fsnotify(r->new_dir->inode, IN_MOVED_TO | dir, new_name, cookie);
    fsnotify(moved, IN_MOVE_SELF, NULL, 0);
    if (victim != NULL) {
        fsnotify_link_count(victim);
        fsnotify_name_gone(victim);
    }
}

/* The name that `old` left behind becomes a whiteout. */
static int leave_whiteout(const struct rename *r, const char *name, size_t len) {
    struct inode *dir = r->old_dir->inode;
    struct dentry *d;
    int err = dentry_lookup_locked(r->old_dir, name, len, &d);
    if (err == 0) {
        err = dir->ops->mknod != NULL ? dir->ops->mknod(dir, d, S_IFCHR, 0) : -EINVAL;
        if (err == 0) {
            dentry_hash(d);
        }
        dentry_put(d);
    }
    return err;
}

/* Both parents locked, everything checked. */
static int rename_locked(const struct rename *r) {
    char old_name[NAME_MAX_LEN + 1], new_name[NAME_MAX_LEN + 1];
    struct inode *dir = r->old_dir->inode, *moved = r->old->inode, *victim = r->new_->inode;
    bool exchange = (r->flags & RENAME_EXCHANGE) != 0;
    bool whiteout = (r->flags & RENAME_WHITEOUT) != 0;
    if (dir->ops->rename == NULL || (whiteout && dir->ops->mknod == NULL)) {
        return whiteout ? -EINVAL : -EPERM;
    }
    (void)strlcpy(old_name, r->old->name, sizeof(old_name)); /* never longer */
    (void)strlcpy(new_name, r->new_->name, sizeof(new_name));
    bool lock_victim = victim != NULL && S_ISDIR(victim->mode) && !exchange;
    if (victim != NULL) {
        inode_get(victim);
    }
    if (lock_victim) {
        rw_write_lock(&victim->rw);
    }
    /* A filesystem that has no whiteouts refuses the flag; we make the whiteout ourselves below. */
    int err = dir->ops->rename(dir, r->old, r->new_dir->inode, r->new_, r->flags);
    if (err == 0) {
        dentry_replace(r->old, r->new_, exchange);
    }
    if (lock_victim) {
        rw_write_unlock(&victim->rw);
    }
    if (err == 0 && whiteout) {
        err = leave_whiteout(r, old_name, strlen(old_name));
    }
    if (err == 0) {
        tell(r, old_name, new_name, moved, exchange ? NULL : victim);
    }
    inode_put(victim);
    return err;
}

int vfs_rename_in(struct dentry *old_dir, struct dentry *old, struct dentry *new_dir,
                  const char *name, size_t len, uint32_t flags) {
    struct dentry *target;
    if (len > NAME_MAX_LEN) {
        return -ENAMETOOLONG;
    }
    lock_parents(old_dir, new_dir);
    int err = old->parent != old_dir || (old->flags & DENTRY_DELETED) != 0
                  ? -ENOENT
                  : dentry_lookup_locked(new_dir, name, len, &target);
    if (err == 0) {
        struct rename r = {old_dir, old, new_dir, target, flags};
        err = check_shape(&r);
        if (err == 0 && old->inode != target->inode) {
            err = rename_locked(&r);
        }
        dentry_put(target);
    }
    unlock_parents(old_dir, new_dir);
    return err;
}

/* ---- by system call ---- */

static int check_permissions(const struct rename *r, struct mount *mount) {
    struct path old_dir = {mount, r->old_dir}, new_dir = {mount, r->new_dir};
    struct inode *old = r->old->inode, *victim = r->new_->inode;
    int err = may_delete_in(&old_dir, old, S_ISDIR(old->mode));
    if (err != 0) {
        return err;
    }
    err = victim != NULL ? may_delete_in(&new_dir, victim, S_ISDIR(victim->mode))
                         : may_create_in(&new_dir);
    if (err != 0) {
        return err;
    }
    /* A directory that changes its parent has its ".." written. */
    if (r->old_dir != r->new_dir) {
        if (S_ISDIR(old->mode)) {
            err = inode_permission(old, MAY_WRITE);
        }
        if (err == 0 && (r->flags & RENAME_EXCHANGE) != 0 && S_ISDIR(victim->mode)) {
            err = inode_permission(victim, MAY_WRITE);
        }
    }
    return err;
}

static int check_slashes(const struct rename *r, const struct walk *from, const struct walk *to) {
    if (!S_ISDIR(r->old->inode->mode)) {
        bool exchange = (r->flags & RENAME_EXCHANGE) != 0;
        if (from->must_dir || (to->must_dir && !exchange)) {
            return -ENOTDIR;
        }
    }
    if ((r->flags & RENAME_EXCHANGE) != 0 && to->must_dir && !S_ISDIR(r->new_->inode->mode)) {
        return -ENOTDIR;
    }
    return 0;
}

static int rename_looked_up(const struct rename *r, const struct walk *from,
                            const struct walk *to) {
    int err = check_shape(r);
    if (err == 0) {
        err = check_slashes(r, from, to);
    }
    if (err == 0) {
        err = check_permissions(r, from->path.mount);
    }
    if (err == 0 && r->old->inode != r->new_->inode) {
        err = rename_locked(r);
    }
    return err;
}

static int rename_walks(struct walk *from, struct walk *to, uint32_t flags) {
    struct rename r = {.old_dir = from->path.dentry, .new_dir = to->path.dentry, .flags = flags};
    if (from->path.mount != to->path.mount) {
        return -EXDEV;
    }
    if (from->last_kind != LAST_NORMAL || to->last_kind != LAST_NORMAL) {
        return to->last_kind != LAST_NORMAL && (flags & RENAME_NOREPLACE) != 0 ? -EEXIST : -EBUSY;
    }
    if (from->last_len > NAME_MAX_LEN || to->last_len > NAME_MAX_LEN) {
        return -ENAMETOOLONG;
    }
    lock_parents(r.old_dir, r.new_dir);
    int err = dentry_lookup_locked(r.old_dir, from->last, from->last_len, &r.old);
    if (err == 0) {
        err = dentry_lookup_locked(r.new_dir, to->last, to->last_len, &r.new_);
        if (err == 0) {
            err = rename_looked_up(&r, from, to);
            dentry_put(r.new_);
        }
        dentry_put(r.old);
    }
    unlock_parents(r.old_dir, r.new_dir);
    return err;
}

static int rename_names(int old_fd, const char *old_name, int new_fd, const char *new_name,
                        uint32_t flags) {
    struct walk from, to;
    int err = walk_start(&from, old_fd, old_name, LOOKUP_PARENT);
    if (err == 0) {
        err = walk_start(&to, new_fd, new_name, LOOKUP_PARENT);
        if (err == 0) {
            err = rename_walks(&from, &to, flags);
        }
        walk_end(&to);
    }
    walk_end(&from);
    return err;
}

static int64_t rename_at(int old_fd, uint64_t user_old, int new_fd, uint64_t user_new,
                         uint32_t flags) {
    struct path_name old_name, new_name;
    if ((flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) != 0 ||
        ((flags & RENAME_EXCHANGE) != 0 && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0)) {
        return -EINVAL;
    }
    int64_t r = path_name_get(&old_name, uaddr_of(user_old), false);
    if (r != 0) {
        return r;
    }
    r = path_name_get(&new_name, uaddr_of(user_new), false);
    if (r == 0) {
        r = rename_names(old_fd, old_name.text, new_fd, new_name.text, flags);
        path_name_put(&new_name);
    }
    path_name_put(&old_name);
    return r;
}

int64_t sys_rename(struct task *t, const struct sysargs *args) {
    return rename_at(AT_FDCWD_MOAT, args->a[0], AT_FDCWD_MOAT, args->a[1], 0);
}

int64_t sys_renameat(struct task *t, const struct sysargs *args) {
    return rename_at((int)args->a[0], args->a[1], (int)args->a[2], args->a[3], 0);
}

int64_t sys_renameat2(struct task *t, const struct sysargs *args) {
    return rename_at((int)args->a[0], args->a[1], (int)args->a[2], args->a[3],
                     (uint32_t)args->a[4]);
}
