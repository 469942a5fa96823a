/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File permissions (path_resolution(7), capabilities(7)): mode bits against the fs ids, overridden
 * by capabilities; sticky directories; read-only and noexec mounts.
 */
#include "fs/internal.h"

#include <linux/capability.h>
#include <linux/mount.h>

static bool capable_dac(struct inode *inode, uint32_t mode, uint32_t mask) {
    if (S_ISDIR(mode)) {
        return ((mask & MAY_WRITE) == 0 && capable(CAP_DAC_READ_SEARCH)) ||
               capable(CAP_DAC_OVERRIDE);
    }
    if (mask == MAY_READ && capable(CAP_DAC_READ_SEARCH)) {
        return true;
    }
    return ((mask & MAY_EXEC) == 0 || (mode & 0111u) != 0) && capable(CAP_DAC_OVERRIDE);
}

int inode_permission_slow(struct inode *inode, uint32_t mask) {
    const struct cred *cred = current->cred;
    uint32_t mode = atomic_load_relaxed(&inode->mode);
    uint32_t bits = mode;
    if (cred->fsuid == atomic_load_relaxed(&inode->uid)) {
        bits >>= 6;
    } else if (((mode >> 3) & 7u) != (mode & 7u) &&
               cred_in_group(cred, atomic_load_relaxed(&inode->gid))) {
        bits >>= 3;
    }
    if ((bits & mask) == mask || capable_dac(inode, mode, mask)) {
        return 0;
    }
    return -EACCES;
}

int inode_permission(struct inode *inode, uint32_t mask) {
    return mask == 0 ? 0 : inode_permission_slow(inode, mask);
}

int path_permission(const struct path *p, uint32_t mask) {
    struct inode *inode = p->dentry->inode;
    uint32_t mode = inode->mode;
    if ((mask & MAY_WRITE) != 0 && path_read_only(p) &&
        (S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode))) {
        return -EROFS;
    }
    if ((mask & MAY_EXEC) != 0 && S_ISREG(mode) && (p->mount->flags & MS_NOEXEC) != 0) {
        return -EACCES;
    }
    return inode_permission(inode, mask);
}

bool inode_owner_or_capable(const struct inode *inode) {
    return current->cred->fsuid == inode->uid || capable(CAP_FOWNER);
}

int may_create_in(const struct path *dir) {
    if ((dir->dentry->flags & DENTRY_DELETED) != 0) {
        return -ENOENT;
    }
    return path_permission(dir, MAY_WRITE | MAY_EXEC);
}

int may_delete_in(const struct path *dir, struct inode *victim, bool is_dir) {
    struct inode *inode = dir->dentry->inode;
    int err = path_permission(dir, MAY_WRITE | MAY_EXEC);
    if (err != 0) {
        return err;
    }
    uint32_t fsuid = current->cred->fsuid;
    if ((inode->mode & S_ISVTX) != 0 && victim->uid != fsuid && inode->uid != fsuid &&
        !capable(CAP_FOWNER)) {
        return -EPERM;
    }
    if (is_dir != S_ISDIR(victim->mode)) {
        return is_dir ? -ENOTDIR : -EISDIR;
    }
    return 0;
}

uint32_t current_umask(void) {
    return atomic_load_relaxed(&current->fs->umask);
}
