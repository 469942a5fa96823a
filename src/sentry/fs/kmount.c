/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own mounts: see kmount.h.  Sources: mount(2), runtime-spec config-linux.md "Masked
 * Paths" and "Readonly Paths". */
#include "fs/kmount.h"

#include "fs/internal.h"

#include <linux/mount.h>

/* A copy of `from`'s mount with `root` on top, hung at `at`. */
static int bind_dentry(struct super_block *sb, struct dentry *root, const struct path *at,
                       uint32_t flags, const char *source) {
    struct mount *m = mount_alloc(sb, root, flags, source);
    if (m == NULL) {
        return -ENOMEM;
    }
    mutex_lock(&g_mount_mutex);
    int err = mount_graft(m, at);
    mutex_unlock(&g_mount_mutex);
    mount_put(m); /* the tree has its own */
    return err;
}

int kmount_restrict(const char *path, uint32_t add_flags) {
    struct path at;
    int err = path_lookup(AT_FDCWD_MOAT, path, LOOKUP_FOLLOW, &at);
    if (err != 0) {
        return err;
    }
    uint32_t flags = atomic_load(&at.mount->flags) | add_flags;
    if (at.dentry == at.mount->root) {
        atomic_store(&at.mount->flags, flags); /* a mount of its own already */
    } else {
        err = bind_dentry(at.mount->sb, at.dentry, &at, flags, at.mount->source);
    }
    path_put(&at);
    return err;
}

static int mask_dir(const struct path *at) {
    struct super_block *sb;
    int err =
        g_tmpfs_type.mount(&g_tmpfs_type, "tmpfs", MS_RDONLY, "size=0,nr_inodes=1,mode=755", &sb);
    return err != 0
               ? err
               : mount_attach(sb, at, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "tmpfs", NULL);
}

static int mask_file(const struct path *at) {
    struct super_block *sb;
    struct dentry *null_dentry;
    int err = g_devtmpfs_type.mount(&g_devtmpfs_type, "devtmpfs", 0, "mode=755", &sb);
    if (err != 0) {
        return err;
    }
    err = vfs_lookup_one(sb->root, "null", 4, &null_dentry);
    if (err == 0) {
        err = bind_dentry(sb, null_dentry, at, MS_NOSUID | MS_NOEXEC, "devtmpfs");
        dentry_put(null_dentry);
    }
    super_put(sb); /* the mount has its own */
    return err;
}

int kmount_mask(const char *path) {
    struct path at;
    int err = path_lookup(AT_FDCWD_MOAT, path, LOOKUP_FOLLOW, &at);
    if (err != 0) {
        return err;
    }
    err = S_ISDIR(at.dentry->inode->mode) ? mask_dir(&at) : mask_file(&at);
    path_put(&at);
    return err;
}
