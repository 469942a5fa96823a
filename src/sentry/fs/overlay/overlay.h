/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay: a writable layer in memory (tmpfs) over a read-only one that never changes (fuse,
 * exclusive).
 *
 *   super.c   mount                      dir.c      look-up, making and removing names
 *   inode.c   inodes, attributes         rename.c   moving names
 *   copyup.c  lower files become upper   readdir.c  merged directories
 *   file.c    open files                 xattr.c    extended attributes
 *
 * A file is *lower* until something about it changes; then it is copied up, with its directories,
 * and is *upper* from then on. A directory that is in both layers shows both.  A lower name that
 * was removed is covered in the upper layer by a *whiteout* (character device 0:0); an upper
 * directory that hides a lower one carries the attribute XATTR_OPAQUE.  All this is as in Linux's
 * overlayfs (kernel documentation, filesystems/overlayfs.rst), but what a guest could not see there
 * it cannot see here either.  A directory with a lower part can be renamed: its dentry stays in
 * memory (pinned), and with it the knowledge where its lower part is.
 *
 * Inode numbers are the lower file's, which its copy takes over; files born above are numbered from
 * OVL_INO_FIRST. Attributes live in the overlay's inode: what changes the upper inode takes them
 * over afterwards (ovl_attr_pull), so that stat and permission checks touch no layer.
 *
 * Hard links: every name of an upper file is the same overlay inode, found by its real inode (the
 * hash).  A lower file with several names that was copied up stays in memory, so that its other
 * names, which are still lower, show the copy.
 *
 * Locks, outer first: VFS locks of the overlay > ovl_inode.copy > ovl_inode.names (two by address)
 * > VFS locks of the layers; ovl_sb.hash_lock (RANK_FS) and inode->lock are leaves.
 */
#ifndef MOAT_SENTRY_OVERLAY_H
#define MOAT_SENTRY_OVERLAY_H

#include "base/atomic.h"
#include "base/list.h"
#include "fs/vfs.h"

#define OVL_BUCKETS   2048u
#define OVL_INO_FIRST (1ull << 46) /* above what file systems of today number */
#define XATTR_OVERLAY "trusted.overlay."
#define XATTR_OPAQUE  "trusted.overlay.opaque"

struct ovl_sb {
    struct mount *lower, *upper; /* of our own, in no namespace */
    struct spinlock hash_lock;
    struct list *buckets; /* ovl_key.link; guarded by hash_lock */
    struct list kept;     /* ovl_inode.kept_link; guarded by hash_lock */
};

struct ovl_key { /* the hash finds an inode by a real one */
    struct list link;
    struct ovl_inode *owner;
    const struct inode *real; /* NULL: not in the hash */
};

struct ovl_inode {
    struct inode *inode;
    struct dentry *upper; /* atomic; NULL until copied up, then for good; referenced */
    struct dentry *lower; /* constant; NULL: upper only, or opaque; referenced */
    struct dentry *alias; /* some dentry of the inode, not referenced; guarded by inode->lock */
    struct mutex copy;    /* held while it is copied up */
    struct mutex names;   /* directories: names in `upper` */
    struct ovl_key by_upper, by_lower;
    struct list kept_link; /* in ovl_sb.kept, which then holds a reference */
};

static inline struct ovl_sb *ovl_sb_of(const struct super_block *sb) {
    return sb->private;
}
static inline struct ovl_inode *ovl_of(const struct inode *inode) {
    return inode->private;
}
static inline struct dentry *ovl_upper(const struct inode *inode) {
    return atomic_load(&ovl_of(inode)->upper);
}
/* The dentry that holds the file's content now. */
static inline struct dentry *ovl_real(const struct inode *inode) {
    struct dentry *upper = ovl_upper(inode);
    return upper != NULL ? upper : ovl_of(inode)->lower;
}
static inline bool ovl_is_whiteout(const struct inode *inode) {
    return inode != NULL && (inode->mode & 0170000u) == 0020000u && inode->rdev == 0; /* S_ISCHR */
}

/* ---- inode.c ---- */
/* The inode over these (consumed; either may be NULL). */
must_check int ovl_iget(struct super_block *sb, struct dentry *upper, struct dentry *lower,
                        struct inode **out_inode);
void ovl_evict(struct inode *inode);
/* Takes over attributes from the upper inode. */
void ovl_attr_pull(struct inode *inode);
int ovl_setattr(struct dentry *dentry, struct iattr *attr);
/* Enters the copy into the hash; keeps the inode if other lower names show it. */
void ovl_copied(struct inode *inode, struct dentry *upper);
/* One name of a file is gone. */
void ovl_name_gone(struct inode *inode);
/* Remembers a dentry of the inode. */
void ovl_alias_set(struct inode *inode, struct dentry *dentry);
/* The dentry is about to be freed, or to lose its inode. */
void ovl_alias_clear(struct dentry *dentry);

/* ---- copyup.c ---- */
/* Makes the file upper, its directories before it.  With `no_data` a regular file's content is left
 * behind. */
must_check int ovl_copy_up(struct dentry *dentry, bool no_data);
/* The same by any of its names, for operations that are given an inode. */
must_check int ovl_copy_up_inode(struct inode *inode);
/* Likewise; and this very name is in the upper layer afterwards. */
must_check int ovl_name_up(struct dentry *dentry);

/* ---- dir.c ---- */
extern const struct inode_ops g_ovl_dir_iops;
/* Child of a layer's directory, referenced, or NULL when there is none. */
must_check int ovl_layer_child(struct dentry *dir, const char *name, size_t len,
                               struct dentry **out);
/* Is the name in the lower layer of `dir`? */
must_check int ovl_has_lower(struct inode *dir, const char *name, size_t len, bool *out_has);
must_check int ovl_make_whiteout(struct dentry *upper_dir, const char *name, size_t len);
must_check int ovl_set_opaque(struct dentry *upper);
bool ovl_is_opaque(struct dentry *upper);

/* ---- rename.c ---- */
int ovl_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
               struct dentry *new_, uint32_t flags);

/* ---- readdir.c ---- */
extern const struct file_ops g_ovl_dir_fops;
int ovl_dir_open(struct inode *inode, struct file *file);
/* -ENOTEMPTY, or 0 after the whiteouts in its upper part are gone. */
must_check int ovl_dir_clear(struct dentry *dentry);

/* ---- file.c ---- */
extern const struct inode_ops g_ovl_file_iops;
extern const struct file_ops g_ovl_file_fops;

/* ---- xattr.c ---- */
int64_t ovl_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int ovl_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
int64_t ovl_listxattr(struct inode *inode, char *buf, size_t size);
int ovl_removexattr(struct inode *inode, const char *name);
/* Copies what a lower file has to its copy. */
must_check int ovl_xattrs_copy(struct inode *from, struct inode *to);

#endif
