/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls on extended attributes and who may make them (xattr(7)).
 */
#include "base/string.h"
#include "fs/fsnotify.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"

#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/xattr.h>

static bool has_prefix(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* May current read (or write) the attribute? */
static int check_access(const struct path *p, const char *name, bool write) {
    struct inode *inode = p->dentry->inode;
    uint32_t mode = inode->mode;
    if (write && path_read_only(p)) {
        return -EROFS;
    }
    if (has_prefix(name, "trusted.")) {
        return capable(CAP_SYS_ADMIN) ? 0 : write ? -EPERM : -ENODATA;
    }
    if (has_prefix(name, "security.")) {
        int cap = strcmp(name, "security.capability") == 0 ? CAP_SETFCAP : CAP_SYS_ADMIN;
        return !write || capable(cap) ? 0 : -EPERM;
    }
    if (has_prefix(name, "user.")) {
        if (!S_ISREG(mode) && !S_ISDIR(mode)) {
            return write ? -EPERM : -ENODATA;
        }
        if (write && S_ISDIR(mode) && (mode & S_ISVTX) != 0 && !inode_owner_or_capable(inode)) {
            return -EPERM;
        }
        return inode_permission(inode, write ? MAY_WRITE : MAY_READ);
    }
    return 0; /* the filesystem knows whether it has such a namespace */
}

static int copy_name(char *name, struct uaddr user_name) {
    int64_t len = copyin_str(name, user_name, XATTR_NAME_MAX + 1);
    if (len < 0) {
        return len == -ENAMETOOLONG ? -ERANGE : (int)len;
    }
    return len == 0 ? -ERANGE : 0;
}

/* ---- on a path ---- */

int64_t vfs_getxattr_in(struct dentry *d, const char *name, void *buf, size_t size) {
    struct inode *inode = d->inode;
    return inode->ops->getxattr != NULL ? inode->ops->getxattr(inode, name, buf, size)
                                        : -EOPNOTSUPP;
}

int vfs_setxattr_in(struct dentry *d, const char *name, const void *value, size_t size, int flags) {
    struct inode *inode = d->inode;
    return inode->ops->setxattr != NULL ? inode->ops->setxattr(inode, name, value, size, flags)
                                        : -EOPNOTSUPP;
}

static int64_t get_on(const struct path *p, const uint64_t *a) {
    char name[XATTR_NAME_MAX + 1];
    size_t size = MIN(a[2], (uint64_t)XATTR_SIZE_MAX);
    int64_t r = copy_name(name, uaddr_of(a[0]));
    if (r == 0) {
        r = check_access(p, name, false);
    }
    if (r != 0 || size == 0) {
        return r != 0 ? r : vfs_getxattr_in(p->dentry, name, NULL, 0);
    }
    char *buf = kmalloc(size);
    if (buf == NULL) {
        return -ENOMEM;
    }
    r = vfs_getxattr_in(p->dentry, name, buf, size);
    if (r > 0 && copyout(uaddr_of(a[1]), buf, (size_t)r) != 0) {
        r = -EFAULT;
    }
    kfree(buf);
    return r;
}

static int64_t set_on(const struct path *p, const uint64_t *a) {
    char name[XATTR_NAME_MAX + 1];
    size_t size = a[2];
    int flags = (int)a[3];
    if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) {
        return -EINVAL;
    }
    int64_t r = copy_name(name, uaddr_of(a[0]));
    if (r != 0) {
        return r;
    }
    if (size > XATTR_SIZE_MAX) {
        return -E2BIG;
    }
    char *value = kmalloc(MAX(size, 1u));
    if (value == NULL) {
        return -ENOMEM;
    }
    r = size != 0 ? copyin(value, uaddr_of(a[1]), size) : 0;
    if (r == 0) {
        r = check_access(p, name, true);
    }
    if (r == 0) {
        r = vfs_setxattr_in(p->dentry, name, value, size, flags);
    }
    kfree(value);
    if (r == 0) {
        fsnotify_dentry(p->dentry, IN_ATTRIB);
    }
    return r;
}

/* trusted. names are shown to the administrator alone. */
static int64_t hide_trusted(char *list, int64_t len) {
    int64_t kept = 0;
    if (capable(CAP_SYS_ADMIN)) {
        return len;
    }
    for (int64_t at = 0; at < len;) {
        size_t n = strlen(list + at) + 1;
        if (!has_prefix(list + at, "trusted.")) {
            memmove(list + kept, list + at, n);
            kept += (int64_t)n;
        }
        at += (int64_t)n;
    }
    return kept;
}

static int64_t list_on(const struct path *p, const uint64_t *a) {
    struct inode *inode = p->dentry->inode;
    size_t size = MIN(a[1], (uint64_t)XATTR_LIST_MAX);
    if (inode->ops->listxattr == NULL) {
        return 0;
    }
    char *buf = kzalloc(XATTR_LIST_MAX);
    if (buf == NULL) {
        return -ENOMEM;
    }
    int64_t r = inode->ops->listxattr(inode, buf, XATTR_LIST_MAX);
    if (r > 0) {
        r = hide_trusted(buf, r);
    }
    if (r > 0 && size != 0) {
        r = (size_t)r > size ? -ERANGE : copyout(uaddr_of(a[0]), buf, (size_t)r) != 0 ? -EFAULT : r;
    }
    kfree(buf);
    return r;
}

static int64_t remove_on(const struct path *p, const uint64_t *a) {
    char name[XATTR_NAME_MAX + 1];
    struct inode *inode = p->dentry->inode;
    int64_t r = copy_name(name, uaddr_of(a[0]));
    if (r == 0) {
        r = check_access(p, name, true);
    }
    if (r == 0) {
        r = inode->ops->removexattr != NULL ? inode->ops->removexattr(inode, name) : -EOPNOTSUPP;
    }
    if (r == 0) {
        fsnotify_dentry(p->dentry, IN_ATTRIB);
    }
    return r;
}

/* ---- by name or descriptor: args[0], the operation's own arguments from args[1] on ---- */

typedef int64_t xattr_op(const struct path *p, const uint64_t *a);

static int64_t by_name(const struct sysargs *args, uint32_t lookup, xattr_op *op) {
    struct path p;
    int64_t r = user_path(AT_FDCWD_MOAT, uaddr_of(args->a[0]), lookup, &p);
    if (r == 0) {
        r = op(&p, &args->a[1]);
        path_put(&p);
    }
    return r;
}

static int64_t by_fd(const struct sysargs *args, xattr_op *op) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    int64_t r = op(&f->path, &args->a[1]);
    file_put(f);
    return r;
}

int64_t sys_setxattr(struct task *t, const struct sysargs *args) {
    return by_name(args, LOOKUP_FOLLOW, set_on);
}
int64_t sys_lsetxattr(struct task *t, const struct sysargs *args) {
    return by_name(args, 0, set_on);
}
int64_t sys_fsetxattr(struct task *t, const struct sysargs *args) {
    return by_fd(args, set_on);
}
int64_t sys_getxattr(struct task *t, const struct sysargs *args) {
    return by_name(args, LOOKUP_FOLLOW, get_on);
}
int64_t sys_lgetxattr(struct task *t, const struct sysargs *args) {
    return by_name(args, 0, get_on);
}
int64_t sys_fgetxattr(struct task *t, const struct sysargs *args) {
    return by_fd(args, get_on);
}
int64_t sys_listxattr(struct task *t, const struct sysargs *args) {
    return by_name(args, LOOKUP_FOLLOW, list_on);
}
int64_t sys_llistxattr(struct task *t, const struct sysargs *args) {
    return by_name(args, 0, list_on);
}
int64_t sys_flistxattr(struct task *t, const struct sysargs *args) {
    return by_fd(args, list_on);
}
int64_t sys_removexattr(struct task *t, const struct sysargs *args) {
    return by_name(args, LOOKUP_FOLLOW, remove_on);
}
int64_t sys_lremovexattr(struct task *t, const struct sysargs *args) {
    return by_name(args, 0, remove_on);
}
int64_t sys_fremovexattr(struct task *t, const struct sysargs *args) {
    return by_fd(args, remove_on);
}
