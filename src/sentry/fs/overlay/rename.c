/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving names.  The upper layer does it; what has to be added is covering: the old place if there
 * is a lower name below, and, for a directory without a lower part of its own, hiding the lower
 * directory that its new place may have.
 */
#include "fs/overlay/overlay.h"

#include <asm/errno.h>
#include <linux/fs.h>
#include <linux/stat.h>

struct ovl_move {
    struct inode *old_dir, *new_dir;
    struct dentry *old, *new_;
    bool exchange;
    bool old_lower, new_lower; /* there are lower names below the places */
};

static void names_lock(struct inode *a, struct inode *b) {
    struct inode *first = a < b ? a : b;
    mutex_lock(&ovl_of(first)->names);
    if (a != b) {
        mutex_lock(&ovl_of(first == a ? b : a)->names);
    }
}

static void names_unlock(struct inode *a, struct inode *b) {
    mutex_unlock(&ovl_of(a)->names);
    if (a != b) {
        mutex_unlock(&ovl_of(b)->names);
    }
}

static bool is_dir(const struct dentry *d) {
    return d->inode != NULL && S_ISDIR(d->inode->mode);
}

/* A directory that takes its lower part along stays in memory; one without must not show a
 * stranger's. */
static int settle(struct dentry *d, bool lower_there) {
    if (!is_dir(d)) {
        return 0;
    }
    if (ovl_of(d->inode)->lower != NULL) {
        dentry_pin(d);
        return 0;
    }
    return lower_there ? ovl_set_opaque(ovl_upper(d->inode)) : 0;
}

static int prepare(struct ovl_move *m) {
    int err = ovl_name_up(m->old);
    if (err == 0) {
        err = ovl_copy_up(m->new_->parent, false);
    }
    if (err == 0 && m->exchange) {
        err = ovl_name_up(m->new_);
    }
    if (err == 0) {
        err = ovl_has_lower(m->old_dir, m->old->name, m->old->name_len, &m->old_lower);
    }
    if (err == 0) {
        err = ovl_has_lower(m->new_dir, m->new_->name, m->new_->name_len, &m->new_lower);
    }
    if (err == 0 && is_dir(m->new_) && !m->exchange) {
        err = ovl_dir_clear(m->new_);
    }
    return err;
}

/* A directory cannot replace a whiteout, which is no directory. */
static int clear_target(struct ovl_move *m, struct dentry *new_upper) {
    struct dentry *d;
    int err = ovl_layer_child(new_upper, m->new_->name, m->new_->name_len, &d);
    if (err == 0 && d != NULL && ovl_is_whiteout(d->inode)) {
        err = vfs_unlink_in(new_upper, d);
    }
    dentry_put(d);
    return err;
}

/* Lock: names of both directories. */
static int move_upper(struct ovl_move *m) {
    struct dentry *old_upper = ovl_upper(m->old_dir), *new_upper = ovl_upper(m->new_dir), *d;
    uint32_t flags = m->exchange ? RENAME_EXCHANGE : m->old_lower ? RENAME_WHITEOUT : 0;
    int err = ovl_layer_child(old_upper, m->old->name, m->old->name_len, &d);
    if (err == 0 && d == NULL) {
        err = -ENOENT;
    }
    if (err == 0) {
        err = settle(m->old, m->new_lower);
    }
    if (err == 0 && m->exchange) {
        err = settle(m->new_, m->old_lower);
    }
    if (err == 0 && is_dir(m->old) && !m->exchange) {
        err = clear_target(m, new_upper);
    }
    if (err == 0) {
        err = vfs_rename_in(old_upper, d, new_upper, m->new_->name, m->new_->name_len, flags);
        if (err != 0 && m->new_lower && m->new_->inode == NULL) {
            (void)!ovl_make_whiteout(new_upper, m->new_->name,
                                     m->new_->name_len); /* -EEXIST: it is still there */
        }
    }
    dentry_put(d);
    return err;
}

int ovl_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
               struct dentry *new_, uint32_t flags) {
    struct ovl_move m = {.old_dir = old_dir,
                         .new_dir = new_dir,
                         .old = old,
                         .new_ = new_,
                         .exchange = (flags & RENAME_EXCHANGE) != 0};
    if ((flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) {
        return -EINVAL; /* a guest makes no whiteouts */
    }
    int err = prepare(&m);
    if (err != 0) {
        return err;
    }
    names_lock(old_dir, new_dir);
    err = move_upper(&m);
    names_unlock(old_dir, new_dir);
    if (err != 0) {
        return err;
    }
    if (new_->inode != NULL && !m.exchange) {
        ovl_alias_clear(new_);
        if (is_dir(new_)) {
            inode_set_nlink(new_->inode, 0);
        } else {
            ovl_name_gone(new_->inode);
        }
    }
    ovl_attr_pull(old->inode);
    ovl_attr_pull(old_dir);
    ovl_attr_pull(new_dir);
    return 0;
}
