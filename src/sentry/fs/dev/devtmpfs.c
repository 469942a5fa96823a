/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devtmpfs: a tmpfs that is born with the device nodes, links and mount points of a container's
 * /dev (runtime-spec, "Default Devices").
 */
#include "fs/vfs.h"

#include "base/string.h"
#include "fs/dev/dev.h"

#include <asm-generic/errno-base.h>
#include <linux/stat.h>

enum dev_kind { DEV_NODE, DEV_LINK, DEV_DIR };

struct dev_entry {
    enum dev_kind kind;
    const char *name;
    uint32_t mode;
    uint64_t rdev;
    const char *target;
};

static const struct dev_entry g_dev_entries[] = {
    {DEV_NODE, "null", S_IFCHR | 0666, MKDEV(1, 3), NULL},
    {DEV_NODE, "zero", S_IFCHR | 0666, MKDEV(1, 5), NULL},
    {DEV_NODE, "full", S_IFCHR | 0666, MKDEV(1, 7), NULL},
    {DEV_NODE, "random", S_IFCHR | 0666, MKDEV(1, 8), NULL},
    {DEV_NODE, "urandom", S_IFCHR | 0666, MKDEV(1, 9), NULL},
    {DEV_NODE, "kmsg", S_IFCHR | 0600, MKDEV(1, 11), NULL},
    {DEV_NODE, "tty", S_IFCHR | 0666, MKDEV(5, 0), NULL},
    {DEV_NODE, "console", S_IFCHR | 0620, MKDEV(5, 1), NULL},
    {DEV_LINK, "ptmx", 0777, 0, "pts/ptmx"},
    {DEV_LINK, "fd", 0777, 0, "/proc/self/fd"},
    {DEV_LINK, "stdin", 0777, 0, "/proc/self/fd/0"},
    {DEV_LINK, "stdout", 0777, 0, "/proc/self/fd/1"},
    {DEV_LINK, "stderr", 0777, 0, "/proc/self/fd/2"},
    {DEV_DIR, "pts", S_IFDIR | 0755, 0, NULL},
    {DEV_DIR, "shm", S_IFDIR | 01777, 0, NULL},
    {DEV_DIR, "mqueue", S_IFDIR | 01777, 0, NULL},
};

/* Everything in a new /dev is root's with exactly the table's mode, whoever mounts it. */
static void own_by_root(struct inode *inode, uint32_t mode) {
    spin_lock(&inode->lock);
    inode->uid = 0;
    inode->gid = 0;
    inode->mode = (inode->mode & S_IFMT) | (mode & 07777);
    spin_unlock(&inode->lock);
}

static int populate_one(struct dentry *root, const struct dev_entry *e) {
    struct dentry *d;
    int err;
    if (e->kind == DEV_LINK) {
        err = vfs_symlink_in(root, e->name, strlen(e->name), e->target, &d);
    } else {
        err = vfs_create_in(root, e->name, strlen(e->name), e->mode, e->rdev, &d);
    }
    if (err == 0) {
        own_by_root(d->inode, e->mode);
        dentry_put(d);
    }
    return err;
}

static int devtmpfs_mount(const struct fs_type *type, const char *source, uint32_t flags,
                          const char *data, struct super_block **out_sb) {
    struct super_block *sb;
    int err = g_tmpfs_type.mount(type, source, flags, data, &sb);
    if (err != 0) {
        return err;
    }
    own_by_root(sb->root->inode, 0755);
    for (size_t i = 0; i < ARRAY_COUNT(g_dev_entries) && err == 0; i++) {
        err = populate_one(sb->root, &g_dev_entries[i]);
    }
    if (err != 0) {
        super_put(sb);
        return err;
    }
    *out_sb = sb;
    return 0;
}

const struct fs_type g_devtmpfs_type = {.name = "devtmpfs", .mount = devtmpfs_mount};
