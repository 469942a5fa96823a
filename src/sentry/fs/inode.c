/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes: life, attributes, times, symlink text.
 *
 * Attributes are guarded by inode->lock; single words are read without it where a stale value does
 * no harm.
 */
#include "fs/fsnotify.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"
#include "base/string.h"

#include <linux/capability.h>

/* Seconds of the last ktime_now: coarse, for the relatime rule. */
static int64_t g_coarse_sec;

struct ktime ktime_now(void) {
    uint64_t ns = hal_clock_ns(HAL_CLOCK_REALTIME);
    struct ktime t = {(int64_t)(ns / NSEC_PER_SEC), (uint32_t)(ns % NSEC_PER_SEC)};
    atomic_store_relaxed(&g_coarse_sec, t.sec);
    return t;
}

struct inode *inode_alloc(struct super_block *sb, uint32_t mode, const struct inode_ops *ops,
                          const struct file_ops *fops) {
    struct inode *inode = kzalloc(sizeof(*inode));
    if (inode == NULL) {
        return NULL;
    }
    ref_init(&inode->ref);
    inode->sb = sb;
    inode->ops = ops;
    inode->fops = fops;
    inode->mode = mode;
    inode->nlink = 1;
    inode->ino = atomic_fetch_add(&sb->next_ino, 1) + 1;
    inode->atime = inode->mtime = inode->ctime = inode->btime = ktime_now();
    spin_init(&inode->lock, RANK_INODE);
    rw_init(&inode->rw);
    mutex_init(&inode->map_lock);
    list_init(&inode->mappings);
    spin_init(&inode->map_list_lock, RANK_INODE);
    list_init(&inode->watches);
    return inode;
}

void inode_put(struct inode *inode) {
    if (inode == NULL || !ref_put(&inode->ref)) {
        return;
    }
    if (!list_empty(&inode->watches)) {
        fsnotify_inode_gone(inode);
    }
    if (inode->locks != NULL) {
        locks_free(inode);
    }
    if (inode->pipe != NULL) {
        pipe_inode_evict(inode);
    }
    if (inode->sb->ops->evict != NULL) {
        inode->sb->ops->evict(inode);
    }
    kfree(inode->link);
    kfree(inode);
}

void inode_init_owner(struct inode *inode, const struct inode *dir, uint32_t mode) {
    inode->mode = mode;
    if (current == NULL) { /* boot: root's */
        return;
    }
    const struct cred *cred = current->cred;
    inode->uid = cred->fsuid;
    inode->gid = cred->fsgid;
    if (dir != NULL && (dir->mode & S_ISGID) != 0) {
        inode->gid = dir->gid;
        if (S_ISDIR(mode)) {
            mode |= S_ISGID;
        } else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
                   !cred_in_group(cred, dir->gid) && !capable(CAP_FSETID)) {
            mode &= ~(uint32_t)S_ISGID;
        }
    }
    inode->mode = mode;
}

void inode_to_kstat(struct inode *inode, struct kstat *out) {
    spin_lock(&inode->lock);
    out->ino = inode->ino;
    out->size = inode->size;
    out->blocks = inode->blocks;
    out->rdev = inode->rdev;
    out->mode = inode->mode;
    out->nlink = inode->nlink;
    out->uid = inode->uid;
    out->gid = inode->gid;
    out->atime = inode->atime;
    out->mtime = inode->mtime;
    out->ctime = inode->ctime;
    out->btime = inode->btime;
    spin_unlock(&inode->lock);
    out->dev = inode->sb->dev;
    out->blksize = inode->sb->blksize;
    out->attributes = 0;
}

/* The set-id bits that a change of owner or content takes away (chown(2), write(2)). */
static uint32_t without_privs(uint32_t mode) {
    mode &= ~(uint32_t)S_ISUID;
    if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) {
        mode &= ~(uint32_t)S_ISGID;
    }
    return mode;
}

void inode_apply_attr(struct inode *inode, const struct iattr *attr) {
    spin_lock(&inode->lock);
    if ((attr->valid & ATTR_SET_UID) != 0) {
        inode->uid = attr->uid;
    }
    if ((attr->valid & ATTR_SET_GID) != 0) {
        inode->gid = attr->gid;
    }
    if ((attr->valid & ATTR_SET_MODE) != 0) {
        inode->mode = (inode->mode & S_IFMT) | (attr->mode & MODE_PERM);
    }
    if ((attr->valid & ATTR_KILL_SUID) != 0 && !S_ISDIR(inode->mode)) {
        inode->mode = without_privs(inode->mode);
    }
    if ((attr->valid & ATTR_SET_ATIME) != 0) {
        inode->atime = attr->atime;
    }
    if ((attr->valid & ATTR_SET_MTIME) != 0) {
        inode->mtime = attr->mtime;
    }
    if ((attr->valid & ATTR_SET_CTIME) != 0) {
        inode->ctime = attr->ctime;
    }
    spin_unlock(&inode->lock);
}

void inode_touch(struct inode *inode, uint32_t which) {
    struct ktime now = ktime_now();
    spin_lock(&inode->lock);
    if ((which & ATTR_SET_ATIME) != 0) {
        inode->atime = now;
    }
    if ((which & ATTR_SET_MTIME) != 0) {
        inode->mtime = now;
    }
    if ((which & ATTR_SET_CTIME) != 0) {
        inode->ctime = now;
    }
    spin_unlock(&inode->lock);
}

static bool ktime_before_eq(const struct ktime *a, const struct ktime *b) {
    return a->sec < b->sec || (a->sec == b->sec && a->nsec <= b->nsec);
}

#define MOUNT_NOATIME    1024u /* MS_NOATIME */
#define MOUNT_NODIRATIME 2048u /* MS_NODIRATIME */
#define DAY_SECONDS      86400

void file_accessed(struct file *file) {
    struct inode *inode = file->inode;
    if ((file->flags & O_NOATIME) != 0 || path_read_only(&file->path) ||
        (file->path.mount->flags & MOUNT_NOATIME) != 0 ||
        (S_ISDIR(inode->mode) && (file->path.mount->flags & MOUNT_NODIRATIME) != 0)) {
        return;
    }
    /* Racy reads: at worst one update too many or too few. */
    if (ktime_before_eq(&inode->atime, &inode->mtime) ||
        ktime_before_eq(&inode->atime, &inode->ctime) ||
        atomic_load_relaxed(&g_coarse_sec) - inode->atime.sec >= DAY_SECONDS) {
        inode_touch(inode, ATTR_SET_ATIME);
    }
}

void inode_set_nlink(struct inode *inode, uint32_t nlink) {
    spin_lock(&inode->lock);
    inode->nlink = nlink;
    spin_unlock(&inode->lock);
}

void inode_add_nlink(struct inode *inode, int32_t by) {
    spin_lock(&inode->lock);
    inode->nlink = (uint32_t)((int32_t)inode->nlink + by);
    spin_unlock(&inode->lock);
}

int inode_link_text(struct inode *inode, const char **out_text, char **out_buf) {
    char *text = atomic_load(&inode->link);
    *out_buf = NULL;
    if (text != NULL) {
        *out_text = text;
        return 0;
    }
    if (inode->ops->readlink == NULL) {
        return -EINVAL;
    }
    size_t size = inode->size > 0 && inode->size < PATH_MAX_LEN ? inode->size + 1 : PATH_MAX_LEN;
    char *buf = kmalloc(size);
    if (buf == NULL) {
        return -ENOMEM;
    }
    int64_t len = inode->ops->readlink(inode, buf, size - 1);
    if (len < 0 || (size_t)len >= size) {
        kfree(buf);
        return len < 0 ? (int)len : -EIO;
    }
    buf[len] = '\0';
    if (inode->sb->dcache_stable) {
        char *expected = NULL;
        if (!atomic_cas(&inode->link, &expected, buf)) {
            kfree(buf);
            buf = expected;
        }
        *out_text = buf;
        return 0;
    }
    *out_text = *out_buf = buf;
    return 0;
}

int file_remove_privs(struct file *file) {
    struct inode *inode = file->inode;
    uint32_t mode = atomic_load_relaxed(&inode->mode);
    if (likely((mode & (S_ISUID | S_ISGID)) == 0) || !S_ISREG(mode) ||
        without_privs(mode) == mode || capable(CAP_FSETID)) {
        return 0;
    }
    struct iattr attr = {.valid = ATTR_KILL_SUID | ATTR_SET_MODE,
                         .mode = without_privs(mode) & MODE_PERM};
    return vfs_setattr(file->path.dentry, &attr);
}

void fsnotify_dentry_post(struct dentry *dentry, uint32_t mask) {
    char name[NAME_MAX_LEN + 1];
    struct inode *inode = dentry->inode;
    spin_lock(&dentry->lock);
    struct dentry *parent = dentry->parent;
    dentry_get(parent);
    size_t len = MIN(dentry->name_len, NAME_MAX_LEN);
    memcpy(name, dentry->name, len);
    uint32_t gone = (dentry->flags & DENTRY_DELETED) != 0 ? IN_EXCL_UNLINK : 0;
    spin_unlock(&dentry->lock);
    name[len] = '\0';
    if (inode != NULL && S_ISDIR(inode->mode)) {
        mask |= IN_ISDIR;
    }
    if (parent != dentry && parent->inode != NULL) {
        fsnotify_post(parent->inode, mask | gone, name, 0);
    }
    if (inode != NULL) {
        fsnotify_post(inode, mask, NULL, 0);
    }
    dentry_put(parent);
}
