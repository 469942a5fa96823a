/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of the overlay: look-up, making and removing names.  The VFS holds dir->rw. */
#include "base/string.h"
#include "fs/overlay/overlay.h"

#include <asm/errno.h>
#include <linux/stat.h>

/* ---- layers ---- */

int ovl_layer_child(struct dentry *dir, const char *name, size_t len, struct dentry **out) {
    struct dentry *d;
    *out = NULL;
    int err = vfs_lookup_one(dir, name, len, &d);
    if (err != 0) {
        return err;
    }
    if (d->inode == NULL) {
        dentry_put(d);
    } else {
        *out = d;
    }
    return 0;
}

int ovl_has_lower(struct inode *dir, const char *name, size_t len, bool *out_has) {
    struct dentry *lower = ovl_of(dir)->lower, *child = NULL;
    int err = lower == NULL ? 0 : ovl_layer_child(lower, name, len, &child);
    *out_has = child != NULL;
    dentry_put(child);
    return err;
}

int ovl_make_whiteout(struct dentry *upper_dir, const char *name, size_t len) {
    return vfs_create_in(upper_dir, name, len, S_IFCHR, 0, NULL);
}

int ovl_set_opaque(struct dentry *upper) {
    return upper->inode->ops->setxattr(upper->inode, XATTR_OPAQUE, "y", 1, 0);
}

bool ovl_is_opaque(struct dentry *upper) {
    char value = 0;
    return upper->inode->ops->getxattr(upper->inode, XATTR_OPAQUE, &value, 1) == 1 && value == 'y';
}

/* ---- look-up ---- */

/* Both layers' dentries of a name, as far as they show (referenced). */
static int find_layers(struct inode *dir, const char *name, size_t len, struct dentry **out_upper,
                       struct dentry **out_lower) {
    struct dentry *upper_dir = ovl_upper(dir), *upper = NULL, *lower = NULL;
    int err = upper_dir == NULL ? 0 : ovl_layer_child(upper_dir, name, len, &upper);
    bool covered = upper != NULL && (!S_ISDIR(upper->inode->mode) || ovl_is_opaque(upper));
    if (err == 0 && !covered && ovl_of(dir)->lower != NULL) {
        err = ovl_layer_child(ovl_of(dir)->lower, name, len, &lower);
    }
    if (upper != NULL && (err != 0 || ovl_is_whiteout(upper->inode))) {
        dentry_put(upper);
        upper = NULL;
    }
    if (lower != NULL && upper != NULL && !S_ISDIR(lower->inode->mode)) {
        dentry_put(lower); /* an upper directory over a lower file */
        lower = NULL;
    }
    *out_upper = upper;
    *out_lower = lower;
    return err;
}

static int ovl_lookup(struct inode *dir, struct dentry *dentry) {
    struct dentry *upper, *lower;
    struct inode *inode;
    int err = find_layers(dir, dentry->name, dentry->name_len, &upper, &lower);
    if (err != 0 || (upper == NULL && lower == NULL)) {
        return err;
    }
    err = ovl_iget(dir->sb, upper, lower, &inode);
    if (err == 0) {
        ovl_alias_set(inode, dentry);
        dentry_set_inode(dentry, inode);
    }
    return err;
}

/* ---- making ---- */

struct ovl_make {
    uint32_t mode;
    uint64_t rdev;
    const char *target;
    struct dentry *old; /* of the upper layer: a hard link to it */
};

/* Takes a whiteout away, if there is one.  Lock: names. */
static int uncover(struct dentry *upper_dir, const char *name, size_t len, bool *out_was) {
    struct dentry *d;
    *out_was = false;
    int err = ovl_layer_child(upper_dir, name, len, &d);
    if (err == 0 && d != NULL && ovl_is_whiteout(d->inode)) {
        err = vfs_unlink_in(upper_dir, d);
        *out_was = err == 0;
    }
    dentry_put(d);
    return err;
}

static int make_upper(struct dentry *upper_dir, const struct dentry *dentry,
                      const struct ovl_make *m, struct dentry **out) {
    const char *name = dentry->name;
    size_t len = dentry->name_len;
    if (m->old != NULL) {
        return vfs_link_in(m->old, upper_dir, name, len, out);
    }
    if (m->target != NULL) {
        return vfs_symlink_in(upper_dir, name, len, m->target, out);
    }
    return vfs_create_in(upper_dir, name, len, m->mode, m->rdev, out);
}

/* The name in the upper layer, over a whiteout or nothing. */
static int make_name(struct inode *dir, struct dentry *dentry, const struct ovl_make *m,
                     struct dentry **out) {
    struct dentry *upper_dir = ovl_upper(dir);
    struct mutex *names = &ovl_of(dir)->names;
    bool was_covered;
    mutex_lock(names);
    int err = uncover(upper_dir, dentry->name, dentry->name_len, &was_covered);
    if (err == 0) {
        err = make_upper(upper_dir, dentry, m, out);
        if (err == 0 && was_covered && S_ISDIR(m->mode)) {
            err = ovl_set_opaque(*out);
            if (err != 0) {
                (void)!vfs_rmdir_in(upper_dir, *out); /* just made */
                dentry_put(*out);
            }
        }
        if (err != 0 && was_covered) {
            (void)!ovl_make_whiteout(upper_dir, dentry->name,
                                     dentry->name_len); /* its memory was just freed */
        }
    }
    mutex_unlock(names);
    return err;
}

static int make(struct inode *dir, struct dentry *dentry, const struct ovl_make *m) {
    struct dentry *upper;
    struct inode *inode;
    int err = ovl_copy_up(dentry->parent, false);
    if (err == 0) {
        err = make_name(dir, dentry, m, &upper);
    }
    if (err == 0) {
        err = ovl_iget(dir->sb, upper, NULL, &inode);
    }
    if (err == 0) {
        ovl_alias_set(inode, dentry);
        ovl_attr_pull(inode);
        ovl_attr_pull(dir);
        dentry_set_inode(dentry, inode);
    }
    return err;
}

static int ovl_create(struct inode *dir, struct dentry *dentry, uint32_t mode) {
    struct ovl_make m = {.mode = S_IFREG | (mode & 07777)};
    return make(dir, dentry, &m);
}

static int ovl_mknod(struct inode *dir, struct dentry *dentry, uint32_t mode, uint64_t rdev) {
    struct ovl_make m = {.mode = mode, .rdev = rdev};
    if (S_ISCHR(mode) && rdev == 0) {
        return -EPERM; /* would be a whiteout */
    }
    return make(dir, dentry, &m);
}

static int ovl_mkdir(struct inode *dir, struct dentry *dentry, uint32_t mode) {
    struct ovl_make m = {.mode = S_IFDIR | (mode & 07777)};
    return make(dir, dentry, &m);
}

static int ovl_symlink(struct inode *dir, struct dentry *dentry, const char *target) {
    struct ovl_make m = {.mode = S_IFLNK, .target = target};
    return make(dir, dentry, &m);
}

static int ovl_link(struct dentry *old, struct inode *dir, struct dentry *dentry) {
    struct inode *inode = old->inode;
    struct dentry *upper;
    int err = ovl_copy_up(old, false);
    if (err == 0) {
        err = ovl_copy_up(dentry->parent, false);
    }
    if (err != 0) {
        return err;
    }
    struct ovl_make m = {.mode = inode->mode, .old = ovl_upper(inode)};
    err = make_name(dir, dentry, &m, &upper);
    if (err != 0) {
        return err;
    }
    dentry_put(upper);
    if (!list_empty(&ovl_of(inode)->kept_link)) {
        inode_add_nlink(inode, 1); /* counts lower names too */
    }
    ovl_attr_pull(inode);
    ovl_attr_pull(dir);
    inode_get(inode);
    dentry_set_inode(dentry, inode);
    return 0;
}

static int ovl_tmpfile(struct inode *dir, struct dentry *dentry, uint32_t mode) {
    struct dentry *upper;
    struct inode *inode;
    int err = ovl_copy_up(dentry->parent, false);
    if (err == 0) {
        err = vfs_tmpfile_in(ovl_upper(dir), mode, &upper);
    }
    if (err == 0) {
        err = ovl_iget(dir->sb, upper, NULL, &inode);
    }
    if (err == 0) {
        ovl_alias_set(inode, dentry);
        dentry_set_inode(dentry, inode);
    }
    return err;
}

/* ---- removing ---- */

static int remove_name(struct inode *dir, struct dentry *dentry, bool is_dir) {
    struct dentry *upper;
    bool has_lower;
    int err = ovl_copy_up(dentry->parent, false);
    if (err == 0) {
        err = ovl_has_lower(dir, dentry->name, dentry->name_len, &has_lower);
    }
    if (err == 0 && is_dir) {
        err = ovl_dir_clear(dentry);
    }
    if (err != 0) {
        return err;
    }
    struct dentry *upper_dir = ovl_upper(dir);
    mutex_lock(&ovl_of(dir)->names);
    err = ovl_layer_child(upper_dir, dentry->name, dentry->name_len, &upper);
    if (err == 0 && upper != NULL) {
        err = is_dir ? vfs_rmdir_in(upper_dir, upper) : vfs_unlink_in(upper_dir, upper);
    }
    dentry_put(upper);
    if (err == 0 && has_lower) {
        err = ovl_make_whiteout(upper_dir, dentry->name, dentry->name_len);
    }
    mutex_unlock(&ovl_of(dir)->names);
    return err;
}

static int ovl_unlink(struct inode *dir, struct dentry *dentry) {
    int err = remove_name(dir, dentry, false);
    if (err == 0) {
        ovl_alias_clear(dentry); /* it may turn negative now */
        ovl_name_gone(dentry->inode);
        ovl_attr_pull(dir);
    }
    return err;
}

static int ovl_rmdir(struct inode *dir, struct dentry *dentry) {
    int err = remove_name(dir, dentry, true);
    if (err == 0) {
        ovl_alias_clear(dentry);
        inode_set_nlink(dentry->inode, 0);
        ovl_attr_pull(dir);
    }
    return err;
}

const struct inode_ops g_ovl_dir_iops = {
    .lookup = ovl_lookup,
    .create = ovl_create,
    .mknod = ovl_mknod,
    .mkdir = ovl_mkdir,
    .symlink = ovl_symlink,
    .link = ovl_link,
    .unlink = ovl_unlink,
    .rmdir = ovl_rmdir,
    .rename = ovl_rename,
    .tmpfile = ovl_tmpfile,
    .open = ovl_dir_open,
    .setattr = ovl_setattr,
    .getxattr = ovl_getxattr,
    .setxattr = ovl_setxattr,
    .listxattr = ovl_listxattr,
    .removexattr = ovl_removexattr,
};
