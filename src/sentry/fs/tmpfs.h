/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs between its files: the superblock's accounts and the private part of its inodes.
 */
#ifndef MOAT_SENTRY_FS_TMPFS_H
#define MOAT_SENTRY_FS_TMPFS_H

#include "base/radix.h"
#include "base/rbtree.h"
#include "fs/internal.h"

struct tmpfs_sb {
    struct spinlock lock;           /* RANK_FS; guards what follows */
    uint64_t max_pages, used_pages; /* max 0: no limit but memory */
    uint64_t max_inodes, used_inodes;
};

/* A name in a directory; dentry->private while the name exists. */
struct tmpfs_entry {
    struct rb_node node; /* in the directory's entries by cookie; guarded by dir->rw */
    uint64_t cookie;     /* readdir position: never used again in this directory */
    struct dentry *dentry;
};

struct tmpfs_inode {
    struct spinlock lock;   /* RANK_CACHE; guards pages */
    struct radix pages;     /* page index -> pfn */
    uint32_t seals;         /* F_SEAL_*; atomic, written under inode->rw */
    struct rb_tree entries; /* directories; guarded by inode->rw, as the next */
    uint64_t next_cookie;
    struct simple_xattrs xattrs;
};

static inline struct tmpfs_inode *tmpfs_of(const struct inode *inode) {
    return inode->private;
}
static inline struct tmpfs_sb *tmpfs_sb_of(const struct super_block *sb) {
    return sb->private;
}

/* A new inode owned by current; its own account is charged.  NULL: no memory or no inodes left
 * (*out_err). */
struct inode *tmpfs_inode_new(struct super_block *sb, const struct inode *dir, uint32_t mode,
                              uint64_t rdev, int *out_err);
/* Takes `pages` from the account: 0 or -ENOSPC. */
must_check int tmpfs_charge(struct super_block *sb, uint64_t pages);
void tmpfs_uncharge(struct super_block *sb, uint64_t pages);

extern const struct file_ops g_tmpfs_file_ops;
extern const struct inode_ops g_tmpfs_file_iops;
/* inode_ops->setattr of all tmpfs inodes (tmpfs_file.c). */
int tmpfs_setattr(struct dentry *dentry, struct iattr *attr);
/* Frees the pages from index `first` on. */
void tmpfs_drop_pages(struct inode *inode, uint64_t first, uint64_t end);

/* Extended attributes of all tmpfs inodes (tmpfs_xattr.c). */
int64_t tmpfs_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int tmpfs_setxattr(struct inode *inode, const char *name, const void *value, size_t size,
                   int flags);
int64_t tmpfs_listxattr(struct inode *inode, char *buf, size_t size);
int tmpfs_removexattr(struct inode *inode, const char *name);

/* The superblock of memfds and other nameless files: no limit of its own, in no namespace. */
void tmpfs_init(void);
struct super_block *tmpfs_kernel_super(void);

#endif
