/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of tmpfs: user., trusted. and security. (xattr(7)); who may is checked by the
 * VFS.
 */
#include "fs/tmpfs.h"

#include "base/string.h"

static bool namespace_known(const char *name) {
    return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
           strncmp(name, "security.", 9) == 0;
}

int64_t tmpfs_getxattr(struct inode *inode, const char *name, void *buf, size_t size) {
    return namespace_known(name) ? simple_xattr_get(&tmpfs_of(inode)->xattrs, name, buf, size)
                                 : -EOPNOTSUPP;
}

int tmpfs_setxattr(struct inode *inode, const char *name, const void *value, size_t size,
                   int flags) {
    if (!namespace_known(name)) {
        return -EOPNOTSUPP;
    }
    int err = simple_xattr_set(&tmpfs_of(inode)->xattrs, name, value, size, flags);
    if (err == 0) {
        inode_touch(inode, ATTR_SET_CTIME);
    }
    return err;
}

int64_t tmpfs_listxattr(struct inode *inode, char *buf, size_t size) {
    return simple_xattr_list(&tmpfs_of(inode)->xattrs, buf, size);
}

int tmpfs_removexattr(struct inode *inode, const char *name) {
    int err =
        namespace_known(name) ? simple_xattr_remove(&tmpfs_of(inode)->xattrs, name) : -EOPNOTSUPP;
    if (err == 0) {
        inode_touch(inode, ATTR_SET_CTIME);
    }
    return err;
}
