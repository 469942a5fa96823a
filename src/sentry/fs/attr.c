/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing attributes: chmod, chown, and times.
 */
#include "fs/fsnotify.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"

#include <linux/capability.h>
#include <linux/time_types.h>

#define KEEP_ID     UINT32_MAX /* chown(2): -1 leaves the id alone */
#define UTIME_NOW_  0x3fffffff /* utimensat(2) */
#define UTIME_OMIT_ 0x3ffffffe
#define NSEC_MAX    999999999
#define USEC_MAX    999999

int vfs_setattr(struct dentry *d, struct iattr *attr) {
    struct inode *inode = d->inode;
    if (inode->ops->setattr == NULL) {
        return -EPERM;
    }
    rw_write_lock(&inode->rw);
    int err = inode->ops->setattr(d, attr);
    rw_write_unlock(&inode->rw);
    if (err == 0) {
        fsnotify_dentry(d, (attr->valid & ATTR_SET_SIZE) != 0 ? IN_MODIFY : IN_ATTRIB);
    }
    return err;
}

/* ---- chmod ---- */

static int chmod_path(const struct path *p, uint32_t mode) {
    struct inode *inode = p->dentry->inode;
    struct iattr attr = {.valid = ATTR_SET_MODE | ATTR_SET_CTIME, .mode = mode & MODE_PERM};
    if (path_read_only(p)) {
        return -EROFS;
    }
    if (!inode_owner_or_capable(inode)) {
        return -EPERM;
    }
    if (S_ISLNK(inode->mode)) {
        return -EOPNOTSUPP;
    }
    if ((attr.mode & S_ISGID) != 0 && !cred_in_group(current->cred, inode->gid) &&
        !capable(CAP_FSETID)) {
        attr.mode &= ~(uint32_t)S_ISGID;
    }
    attr.ctime = ktime_now();
    return vfs_setattr(p->dentry, &attr);
}

static int64_t chmod_at(int dirfd, uint64_t name, uint64_t mode) {
    struct path p;
    int64_t r = user_path(dirfd, uaddr_of(name), LOOKUP_FOLLOW, &p);
    if (r == 0) {
        r = chmod_path(&p, (uint32_t)mode);
        path_put(&p);
    }
    return r;
}

int64_t sys_chmod(struct task *t, const struct sysargs *args) {
    return chmod_at(AT_FDCWD_MOAT, args->a[0], args->a[1]);
}

int64_t sys_fchmodat(struct task *t, const struct sysargs *args) {
    return chmod_at((int)args->a[0], args->a[1], args->a[2]);
}

int64_t sys_fchmod(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    int err = chmod_path(&f->path, (uint32_t)args->a[1]);
    file_put(f);
    return err;
}

/* ---- chown ---- */

static bool may_chown(const struct inode *inode, uint32_t uid, uint32_t gid) {
    const struct cred *cred = current->cred;
    bool owner = cred->fsuid == inode->uid;
    if (uid != KEEP_ID && !(owner && uid == inode->uid) && !capable(CAP_CHOWN)) {
        return false;
    }
    return gid == KEEP_ID || (owner && (gid == inode->gid || cred_in_group(cred, gid))) ||
           capable(CAP_CHOWN);
}

static int chown_path(const struct path *p, uint32_t uid, uint32_t gid) {
    struct inode *inode = p->dentry->inode;
    struct iattr attr = {.valid = ATTR_SET_CTIME, .uid = uid, .gid = gid};
    if (path_read_only(p)) {
        return -EROFS;
    }
    if (!may_chown(inode, uid, gid)) {
        return -EPERM;
    }
    attr.valid |= (uid != KEEP_ID ? ATTR_SET_UID : 0) | (gid != KEEP_ID ? ATTR_SET_GID : 0);
    uint32_t mode = inode->mode;
    if (!S_ISDIR(mode) && (mode & (S_ISUID | S_ISGID)) != 0) {
        attr.mode = mode & MODE_PERM & ~(uint32_t)S_ISUID;
        if ((mode & S_IXGRP) != 0) {
            attr.mode &= ~(uint32_t)S_ISGID;
        }
        attr.valid |= ATTR_SET_MODE | ATTR_KILL_SUID;
    }
    attr.ctime = ktime_now();
    return vfs_setattr(p->dentry, &attr);
}

static int64_t chown_at(int dirfd, uint64_t name, uint64_t uid, uint64_t gid, uint32_t lookup) {
    struct path p;
    int64_t r = user_path(dirfd, uaddr_of(name), lookup, &p);
    if (r == 0) {
        r = chown_path(&p, (uint32_t)uid, (uint32_t)gid);
        path_put(&p);
    }
    return r;
}

int64_t sys_chown(struct task *t, const struct sysargs *args) {
    return chown_at(AT_FDCWD_MOAT, args->a[0], args->a[1], args->a[2], LOOKUP_FOLLOW);
}

int64_t sys_lchown(struct task *t, const struct sysargs *args) {
    return chown_at(AT_FDCWD_MOAT, args->a[0], args->a[1], args->a[2], 0);
}

int64_t sys_fchownat(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[4];
    if ((flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    uint32_t lookup = ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
                      ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);
    return chown_at((int)args->a[0], args->a[1], args->a[2], args->a[3], lookup);
}

int64_t sys_fchown(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    int err = chown_path(&f->path, (uint32_t)args->a[1], (uint32_t)args->a[2]);
    file_put(f);
    return err;
}

/* ---- times ---- */

/* times[0]: access, times[1]: modification; NULL: now. */
static int set_times(const struct path *p, const struct __kernel_timespec *times) {
    struct inode *inode = p->dentry->inode;
    struct ktime now = ktime_now();
    struct iattr attr = {.valid = ATTR_SET_CTIME, .atime = now, .mtime = now, .ctime = now};
    bool all_now = true;
    if (path_read_only(p)) {
        return -EROFS;
    }
    for (int i = 0; i < 2; i++) {
        struct ktime *slot = i == 0 ? &attr.atime : &attr.mtime;
        if (times != NULL && times[i].tv_nsec == UTIME_OMIT_) {
            all_now = false;
            continue;
        }
        attr.valid |= i == 0 ? ATTR_SET_ATIME : ATTR_SET_MTIME;
        if (times != NULL && times[i].tv_nsec != UTIME_NOW_) {
            all_now = false;
            *slot = (struct ktime){times[i].tv_sec, (uint32_t)times[i].tv_nsec};
        }
    }
    if ((attr.valid & (ATTR_SET_ATIME | ATTR_SET_MTIME)) == 0) {
        return 0;
    }
    if (!inode_owner_or_capable(inode)) {
        int err = all_now ? inode_permission(inode, MAY_WRITE) : -EPERM;
        if (err != 0) {
            return err;
        }
    }
    return vfs_setattr(p->dentry, &attr);
}

static bool nsec_valid(int64_t nsec) {
    return nsec == UTIME_NOW_ || nsec == UTIME_OMIT_ || (nsec >= 0 && nsec <= NSEC_MAX);
}

static int64_t set_times_at(int dirfd, uint64_t name, const struct __kernel_timespec *times,
                            uint32_t flags) {
    struct path p;
    if ((flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    if (name == 0 && dirfd != AT_FDCWD_MOAT) {
        struct file *f = fd_get(dirfd, false);
        if (f == NULL) {
            return -EBADF;
        }
        int err = flags != 0 ? -EINVAL : set_times(&f->path, times);
        file_put(f);
        return err;
    }
    uint32_t lookup = ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
                      ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);
    int64_t r = user_path(dirfd, uaddr_of(name), lookup, &p);
    if (r == 0) {
        r = set_times(&p, times);
        path_put(&p);
    }
    return r;
}

int64_t sys_utimensat(struct task *t, const struct sysargs *args) {
    struct __kernel_timespec times[2];
    if (args->a[2] == 0) {
        return set_times_at((int)args->a[0], args->a[1], NULL, (uint32_t)args->a[3]);
    }
    if (copyin(times, uaddr_of(args->a[2]), sizeof(times)) != 0) {
        return -EFAULT;
    }
    if (!nsec_valid(times[0].tv_nsec) || !nsec_valid(times[1].tv_nsec)) {
        return -EINVAL;
    }
    if (times[0].tv_nsec == UTIME_OMIT_ && times[1].tv_nsec == UTIME_OMIT_) {
        return 0;
    }
    return set_times_at((int)args->a[0], args->a[1], times, (uint32_t)args->a[3]);
}

struct timeval64 {
    int64_t sec, usec;
};

static int64_t set_timevals(int dirfd, uint64_t name, uint64_t user_times) {
    struct timeval64 tv[2];
    struct __kernel_timespec times[2];
    if (user_times == 0) {
        return set_times_at(dirfd, name, NULL, 0);
    }
    if (copyin(tv, uaddr_of(user_times), sizeof(tv)) != 0) {
        return -EFAULT;
    }
    for (int i = 0; i < 2; i++) {
        if (tv[i].usec < 0 || tv[i].usec > USEC_MAX) {
            return -EINVAL;
        }
        times[i].tv_sec = tv[i].sec;
        times[i].tv_nsec = tv[i].usec * (int64_t)NSEC_PER_USEC;
    }
    return set_times_at(dirfd, name, times, 0);
}

int64_t sys_utimes(struct task *t, const struct sysargs *args) {
    return set_timevals(AT_FDCWD_MOAT, args->a[0], args->a[1]);
}

int64_t sys_futimesat(struct task *t, const struct sysargs *args) {
    return set_timevals((int)args->a[0], args->a[1], args->a[2]);
}

int64_t sys_utime(struct task *t, const struct sysargs *args) {
    int64_t buf[2];
    if (args->a[1] == 0) {
        return set_times_at(AT_FDCWD_MOAT, args->a[0], NULL, 0);
    }
    if (copyin(buf, uaddr_of(args->a[1]), sizeof(buf)) != 0) {
        return -EFAULT;
    }
    struct __kernel_timespec times[2] = {{.tv_sec = buf[0]}, {.tv_sec = buf[1]}};
    return set_times_at(AT_FDCWD_MOAT, args->a[0], times, 0);
}
