/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files without a place in the tree: one internal superblock and mount for pipes, sockets, memfds
 * and the anonymous inodes of eventfd, epoll and the like.  The text of their path is the name of
 * their dentry.
 */
#include "fs/internal.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "base/fmt.h"
#include "base/string.h"

#define ANON_MAGIC 0x09041934u /* ANON_INODE_FS_MAGIC of linux/magic.h */

static const struct super_ops g_anon_super_ops;
static const struct fs_type g_anon_type = {.name = "anon_inodefs"};
static const struct inode_ops g_anon_inode_ops;

static struct super_block *g_anon_super;
static struct mount *g_anon_mount;
static struct inode *g_anon_inode; /* shared by all files of file_anon */

struct super_block *anon_super(void) {
    return g_anon_super;
}

void anon_init(void) {
    g_anon_super = super_alloc(&g_anon_type, &g_anon_super_ops, ANON_MAGIC);
    kassert(g_anon_super != NULL);
    g_anon_super->dcache_stable = true;
    struct inode *root = inode_alloc(g_anon_super, S_IFDIR | 0755, &g_anon_inode_ops, NULL);
    kassert(root != NULL && super_set_root(g_anon_super, root) == 0);
    g_anon_mount = mount_alloc(g_anon_super, g_anon_super->root, 0, "anon_inodefs");
    g_anon_inode = inode_alloc(g_anon_super, 0600, &g_anon_inode_ops, NULL);
    kassert(g_anon_mount != NULL && g_anon_inode != NULL);
}

/* A file over `inode` (a reference is taken) with the path text `label`. */
static int file_over(struct inode *inode, const char *label, size_t label_len,
                     const struct file_ops *ops, uint32_t flags, struct file **out_file) {
    struct dentry *d = dentry_alloc(NULL, label, MIN(label_len, NAME_MAX_LEN));
    if (d == NULL) {
        return -ENOMEM;
    }
    d->sb = g_anon_super;
    inode_get(inode);
    atomic_store(&d->inode, inode);
    struct path p = {g_anon_mount, d};
    struct file *f = file_alloc(&p, ops, flags & ~(uint32_t)O_CLOEXEC);
    dentry_put(d); /* the file has its own */
    if (f == NULL) {
        return -ENOMEM;
    }
    *out_file = f;
    return 0;
}

int file_anon(const char *name, const struct file_ops *ops, void *private, uint32_t flags,
              struct file **out_file) {
    char label[64];
    size_t len = fmt_snprintf(label, sizeof(label), "anon_inode:[%s]", name);
    int err = file_over(g_anon_inode, label, MIN(len, sizeof(label) - 1), ops, flags, out_file);
    if (err == 0) {
        (*out_file)->private = private;
        (*out_file)->mode |= FMODE_STREAM;
    }
    return err;
}

int file_from_inode(struct inode *inode, const char *label, const struct file_ops *ops,
                    uint32_t flags, struct file **out_file) {
    return file_over(inode, label, strlen(label), ops, flags, out_file);
}
