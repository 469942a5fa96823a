/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs directories.  dir->rw guards the entries (the VFS holds it); a name's dentry is pinned as
 * long as the name exists.
 */
#include "fs/tmpfs.h"

#include "base/string.h"
#include "kernel/kmalloc.h"

#include <linux/fs.h>

#define DIRENT_SIZE 20u /* what an entry adds to a directory's size, as Linux counts */

const struct inode_ops g_tmpfs_dir_iops;
const struct file_ops g_tmpfs_dir_fops;

static void changed(struct inode *dir) {
    inode_touch(dir, ATTR_SET_MTIME | ATTR_SET_CTIME);
}

static void entry_insert(struct inode *dir, struct tmpfs_entry *e) {
    struct tmpfs_inode *ti = tmpfs_of(dir);
    struct rb_node *parent = NULL;
    struct rb_node **slot = &ti->entries.root;
    e->cookie = ti->next_cookie++;
    while (*slot != NULL) { /* the newest cookie is the largest */
        parent = *slot;
        slot = &parent->right;
    }
    rb_insert(&ti->entries, parent, slot, &e->node);
    spin_lock(&dir->lock);
    dir->size += DIRENT_SIZE;
    spin_unlock(&dir->lock);
}

static void entry_remove(struct inode *dir, struct tmpfs_entry *e) {
    rb_erase(&tmpfs_of(dir)->entries, &e->node);
    spin_lock(&dir->lock);
    dir->size -= DIRENT_SIZE;
    spin_unlock(&dir->lock);
}

static bool dir_is_empty(struct inode *dir) {
    return tmpfs_of(dir)->entries.root == NULL;
}

/* Gives the name to the inode (reference consumed). */
static int name_add(struct inode *dir, struct dentry *d, struct inode *inode) {
    struct tmpfs_entry *e = kzalloc(sizeof(*e));
    if (e == NULL) {
        inode_put(inode);
        return -ENOMEM;
    }
    e->dentry = d;
    d->private = e;
    entry_insert(dir, e);
    dentry_set_inode(d, inode);
    dentry_pin(d);
    dentry_hash(d);
    changed(dir);
    return 0;
}

static void name_remove(struct inode *dir, struct dentry *d) {
    struct tmpfs_entry *e = d->private;
    d->private = NULL;
    entry_remove(dir, e);
    kfree(e);
    changed(dir);
}

/* Every name that exists is in the dentry cache: what comes here does not exist. */
static int tmpfs_lookup(struct inode *dir, struct dentry *dentry) {
    return 0;
}

static int tmpfs_mknod(struct inode *dir, struct dentry *d, uint32_t mode, uint64_t rdev) {
    int err = 0;
    struct inode *inode = tmpfs_inode_new(dir->sb, dir, mode, rdev, &err);
    return inode == NULL ? err : name_add(dir, d, inode);
}

static int tmpfs_create(struct inode *dir, struct dentry *d, uint32_t mode) {
    return tmpfs_mknod(dir, d, S_IFREG | (mode & MODE_PERM), 0);
}

static int tmpfs_mkdir(struct inode *dir, struct dentry *d, uint32_t mode) {
    int err = 0;
    struct inode *inode = tmpfs_inode_new(dir->sb, dir, S_IFDIR | (mode & MODE_PERM), 0, &err);
    if (inode == NULL) {
        return err;
    }
    inode->nlink = 2;
    err = name_add(dir, d, inode);
    if (err == 0) {
        inode_add_nlink(dir, 1);
    }
    return err;
}

static int tmpfs_symlink(struct inode *dir, struct dentry *d, const char *target) {
    int err = 0;
    struct inode *inode = tmpfs_inode_new(dir->sb, dir, S_IFLNK | 0777, 0, &err);
    if (inode == NULL) {
        return err;
    }
    inode->link = kstrdup(target);
    if (inode->link == NULL) {
        inode_put(inode);
        return -ENOMEM;
    }
    inode->size = strlen(target);
    return name_add(dir, d, inode);
}

static int tmpfs_tmpfile(struct inode *dir, struct dentry *d, uint32_t mode) {
    int err = 0;
    struct inode *inode = tmpfs_inode_new(dir->sb, dir, S_IFREG | (mode & MODE_PERM), 0, &err);
    if (inode == NULL) {
        return err;
    }
    inode->nlink = 0;
    dentry_set_inode(d, inode);
    return 0;
}

static int tmpfs_link(struct dentry *old, struct inode *dir, struct dentry *d) {
    struct inode *inode = old->inode;
    inode_get(inode);
    int err = name_add(dir, d, inode);
    if (err == 0) {
        inode_add_nlink(inode, 1);
        inode_touch(inode, ATTR_SET_CTIME);
    }
    return err;
}

static int tmpfs_unlink(struct inode *dir, struct dentry *d) {
    name_remove(dir, d);
    inode_add_nlink(d->inode, -1);
    inode_touch(d->inode, ATTR_SET_CTIME);
    return 0;
}

static int tmpfs_rmdir(struct inode *dir, struct dentry *d) {
    if (!dir_is_empty(d->inode)) {
        return -ENOTEMPTY;
    }
    name_remove(dir, d);
    inode_set_nlink(d->inode, 0);
    inode_add_nlink(dir, -1);
    inode_touch(d->inode, ATTR_SET_CTIME);
    return 0;
}

static int tmpfs_exchange(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                          struct dentry *new_) {
    bool old_is_dir = S_ISDIR(old->inode->mode), new_is_dir = S_ISDIR(new_->inode->mode);
    entry_remove(old_dir, old->private);
    entry_remove(new_dir, new_->private);
    entry_insert(new_dir, old->private);
    entry_insert(old_dir, new_->private);
    if (old_dir != new_dir && old_is_dir != new_is_dir) {
        inode_add_nlink(old_dir, old_is_dir ? -1 : 1);
        inode_add_nlink(new_dir, old_is_dir ? 1 : -1);
    }
    inode_touch(new_->inode, ATTR_SET_CTIME);
    return 0;
}

static int tmpfs_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                        struct dentry *new_, uint32_t flags) {
    bool is_dir = S_ISDIR(old->inode->mode);
    int err = 0;
    if ((flags & RENAME_EXCHANGE) != 0) {
        err = tmpfs_exchange(old_dir, old, new_dir, new_);
    } else {
        if (new_->inode != NULL) {
            bool victim_is_dir = S_ISDIR(new_->inode->mode);
            err = victim_is_dir ? tmpfs_rmdir(new_dir, new_) : tmpfs_unlink(new_dir, new_);
        }
        if (err == 0) {
            entry_remove(old_dir, old->private);
            entry_insert(new_dir, old->private);
            if (is_dir && old_dir != new_dir) {
                inode_add_nlink(old_dir, -1);
                inode_add_nlink(new_dir, 1);
            }
        }
    }
    if (err == 0) {
        changed(old_dir);
        changed(new_dir);
        inode_touch(old->inode, ATTR_SET_CTIME);
    }
    return err;
}

/* ---- reading ---- */

/* The first entry whose cookie is at least `from`. */
static struct tmpfs_entry *entry_from(struct inode *dir, uint64_t from) {
    struct tmpfs_entry *best = NULL;
    struct rb_node *n = tmpfs_of(dir)->entries.root;
    while (n != NULL) {
        struct tmpfs_entry *e = rb_entry(n, struct tmpfs_entry, node);
        if (e->cookie >= from) {
            best = e;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

static int tmpfs_iterate(struct file *file, struct dir_context *ctx) {
    struct inode *dir = file->inode;
    if (!dir_emit_dots(file, ctx)) {
        return 0;
    }
    rw_read_lock(&dir->rw);
    struct tmpfs_entry *e = entry_from(dir, ctx->pos);
    while (e != NULL) {
        struct dentry *d = e->dentry;
        if (!dir_emit(ctx, d->name, d->name_len, d->inode->ino, (d->inode->mode & S_IFMT) >> 12,
                      e->cookie + 1)) {
            break;
        }
        struct rb_node *n = rb_next(&e->node);
        e = n != NULL ? rb_entry(n, struct tmpfs_entry, node) : NULL;
    }
    rw_read_unlock(&dir->rw);
    file_accessed(file);
    return 0;
}

const struct inode_ops g_tmpfs_dir_iops = {
    .lookup = tmpfs_lookup,
    .create = tmpfs_create,
    .mknod = tmpfs_mknod,
    .mkdir = tmpfs_mkdir,
    .symlink = tmpfs_symlink,
    .link = tmpfs_link,
    .unlink = tmpfs_unlink,
    .rmdir = tmpfs_rmdir,
    .rename = tmpfs_rename,
    .tmpfile = tmpfs_tmpfile,
    .setattr = tmpfs_setattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
};

const struct file_ops g_tmpfs_dir_fops = {
    .iterate = tmpfs_iterate,
};
