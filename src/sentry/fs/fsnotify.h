/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the VFS tells inotify.  Costs one load while nobody watches anything.
 */
#ifndef MOAT_SENTRY_FSNOTIFY_H
#define MOAT_SENTRY_FSNOTIFY_H

#include "base/atomic.h"
#include "base/types.h"
#include "fs/vfs.h"

#include <linux/inotify.h>

/* Number of inotify watches that exist; atomic, kept by fs/inotify.c, which also defines the two
 * functions. */
extern uint32_t g_fsnotify_watches;
/* Queues `mask` (IN_*) for the watches on `inode`; `name` is the entry when inode is a directory
 * and the event is about an entry of it, else NULL.  `cookie` joins the two halves of a rename.
 * With IN_EXCL_UNLINK in `mask` the entry has been removed, and watches made with that flag do not
 * want to know.  No spinlock may be held. */
void fsnotify_post(struct inode *inode, uint32_t mask, const char *name, uint32_t cookie);
/* The inode is being freed: its watches end with IN_IGNORED. */
void fsnotify_inode_gone(struct inode *inode);

static inline void fsnotify(struct inode *inode, uint32_t mask, const char *name, uint32_t cookie) {
    if (unlikely(atomic_load_relaxed(&g_fsnotify_watches) != 0)) {
        fsnotify_post(inode, mask, name, cookie);
    }
}

/* The number of names changed; a directory has one. */
static inline void fsnotify_link_count(struct inode *inode) {
    if ((inode->mode & 0170000u) != 0040000u) {
        fsnotify(inode, IN_ATTRIB, NULL, 0);
    }
}

/* A name of the inode was removed: with the last one its watches end. */
static inline void fsnotify_name_gone(struct inode *inode) {
    bool is_dir = (inode->mode & 0170000u) == 0040000u;
    if (is_dir || atomic_load_relaxed(&inode->nlink) == 0) {
        fsnotify(inode, IN_DELETE_SELF, NULL, 0);
    }
}

/* An event about a file itself: to the file's watches, and with its name to its directory's
 * (fs/inode.c). */
void fsnotify_dentry_post(struct dentry *dentry, uint32_t mask);
static inline void fsnotify_dentry(struct dentry *dentry, uint32_t mask) {
    if (unlikely(atomic_load_relaxed(&g_fsnotify_watches) != 0)) {
        fsnotify_dentry_post(dentry, mask);
    }
}

#endif
