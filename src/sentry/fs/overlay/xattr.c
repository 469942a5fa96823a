/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes: the real file's, but for the overlay's own, which no guest sees. */
#include "base/string.h"
#include "fs/overlay/overlay.h"
#include "kernel/kmalloc.h"

#include <asm/errno.h>
#include <linux/limits.h>

static bool is_private(const char *name) {
    return strncmp(name, XATTR_OVERLAY, sizeof(XATTR_OVERLAY) - 1) == 0;
}

int64_t ovl_getxattr(struct inode *inode, const char *name, void *buf, size_t size) {
    struct inode *real = ovl_real(inode)->inode;
    if (is_private(name) || real->ops->getxattr == NULL) {
        return is_private(name) ? -ENODATA : -EOPNOTSUPP;
    }
    return real->ops->getxattr(real, name, buf, size);
}

int ovl_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags) {
    int err = is_private(name) ? -EPERM : ovl_copy_up_inode(inode);
    if (err != 0) {
        return err;
    }
    struct inode *real = ovl_upper(inode)->inode;
    err = real->ops->setxattr == NULL ? -EOPNOTSUPP
                                      : real->ops->setxattr(real, name, value, size, flags);
    ovl_attr_pull(inode);
    return err;
}

int ovl_removexattr(struct inode *inode, const char *name) {
    int err = is_private(name) ? -ENODATA : 0;
    if (err == 0 && ovl_upper(inode) == NULL) {
        int64_t there = ovl_getxattr(inode, name, NULL, 0); /* do not copy up for nothing */
        err = there < 0 ? (int)there : ovl_copy_up_inode(inode);
    }
    if (err != 0) {
        return err;
    }
    struct inode *real = ovl_upper(inode)->inode;
    err = real->ops->removexattr == NULL ? -EOPNOTSUPP : real->ops->removexattr(real, name);
    ovl_attr_pull(inode);
    return err;
}

/* All names of a real inode in a buffer of its own; length or -errno. */
static int64_t list_all(struct inode *real, char **out) {
    *out = NULL;
    if (real->ops->listxattr == NULL) {
        return 0;
    }
    int64_t len = real->ops->listxattr(real, NULL, 0);
    if (len <= 0) {
        return len;
    }
    char *names = kmalloc((size_t)len);
    if (names == NULL) {
        return -ENOMEM;
    }
    len = real->ops->listxattr(real, names, (size_t)len);
    if (len <= 0 || names[len - 1] != '\0') {
        kfree(names);
        return len <= 0 ? len : -EIO;
    }
    *out = names;
    return len;
}

int64_t ovl_listxattr(struct inode *inode, char *buf, size_t size) {
    char *names;
    int64_t len = list_all(ovl_real(inode)->inode, &names), kept = 0;
    for (int64_t at = 0; at < len;) {
        int64_t one = (int64_t)strlen(names + at) + 1;
        if (!is_private(names + at)) {
            memmove(names + kept, names + at, (size_t)one);
            kept += one;
        }
        at += one;
    }
    if (len > 0) {
        len = kept;
        if (size != 0 && (size_t)kept > size) {
            len = -ERANGE;
        } else if (size != 0) {
            memcpy(buf, names, (size_t)kept);
        }
    }
    kfree(names);
    return len;
}

static int copy_one(struct inode *from, struct inode *to, const char *name) {
    int64_t len = from->ops->getxattr(from, name, NULL, 0);
    if (len < 0 || (uint64_t)len > XATTR_SIZE_MAX) {
        return len < 0 ? (int)len : -E2BIG;
    }
    void *value = kmalloc((size_t)len);
    if (value == NULL) {
        return -ENOMEM;
    }
    len = len == 0 ? 0 : from->ops->getxattr(from, name, value, (size_t)len);
    int err = len < 0 ? (int)len : to->ops->setxattr(to, name, value, (size_t)len, 0);
    kfree(value);
    return err;
}

int ovl_xattrs_copy(struct inode *from, struct inode *to) {
    char *names;
    int64_t len = list_all(from, &names);
    int err = len < 0 && len != -EOPNOTSUPP ? (int)len : 0;
    for (int64_t at = 0; err == 0 && at < len;) {
        if (from->ops->getxattr != NULL && to->ops->setxattr != NULL && !is_private(names + at)) {
            err = copy_one(from, to, names + at);
            err = err == -EOPNOTSUPP || err == -ENODATA ? 0 : err;
        }
        at += (int64_t)strlen(names + at) + 1;
    }
    kfree(names);
    return err;
}
