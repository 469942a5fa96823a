/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and removing names: mkdir, mknod, symlink, link, unlink, rmdir.
 *
 * The cores (make_locked, remove_locked) run with dir->rw held for writing; the *_in functions of
 * vfs.h and the system calls, which add path walk and permissions, stand on them.
 */
#include "base/string.h"
#include "fs/fsnotify.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"

#include <linux/capability.h>
#include <linux/mount.h>

/* What to make: a type by mode, or a link to `old`. */
struct make {
    uint32_t mode;
    uint64_t rdev;
    const char *target; /* symlink */
    struct dentry *old; /* hard link */
    int refuse;         /* -errno to give, unless the name exists */
};

#define OP(dir, op, ...) ((dir)->ops->op != NULL ? (dir)->ops->op(__VA_ARGS__) : -EPERM)

/* dir->rw held; `d` is negative. */
static int make_locked(struct inode *dir, struct dentry *d, const struct make *m) {
    int err;
    if (m->old != NULL) {
        err = OP(dir, link, m->old, dir, d);
    } else if (m->target != NULL) {
        err = OP(dir, symlink, dir, d, m->target);
    } else if (S_ISDIR(m->mode)) {
        err = OP(dir, mkdir, dir, d, m->mode);
    } else if (S_ISREG(m->mode)) {
        err = OP(dir, create, dir, d, m->mode);
    } else {
        err = OP(dir, mknod, dir, d, m->mode, m->rdev);
    }
    if (err == 0) {
        dentry_hash(d);
    }
    return err;
}

static void notify_made(struct inode *dir, struct dentry *d, const struct make *m) {
    fsnotify(dir, IN_CREATE | (S_ISDIR(m->mode) ? IN_ISDIR : 0), d->name, 0);
    if (m->old != NULL) {
        fsnotify_link_count(m->old->inode);
    }
}

static int make_in(struct dentry *dir, const char *name, size_t len, const struct make *m,
                   struct dentry **out) {
    struct dentry *d;
    if (len > NAME_MAX_LEN) {
        return -ENAMETOOLONG;
    }
    rw_write_lock(&dir->inode->rw);
    int err =
        (dir->flags & DENTRY_DELETED) != 0 ? -ENOENT : dentry_lookup_locked(dir, name, len, &d);
    if (err != 0) {
        rw_write_unlock(&dir->inode->rw);
        return err;
    }
    err = d->inode != NULL ? -EEXIST : make_locked(dir->inode, d, m);
    rw_write_unlock(&dir->inode->rw);
    if (err == 0) {
        notify_made(dir->inode, d, m);
    }
    if (err == 0 && out != NULL) {
        *out = d;
    } else {
        dentry_put(d);
    }
    return err;
}

int vfs_create_in(struct dentry *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
                  struct dentry **out) {
    struct make m = {.mode = mode, .rdev = rdev};
    return make_in(dir, name, len, &m, out);
}

int vfs_symlink_in(struct dentry *dir, const char *name, size_t len, const char *target,
                   struct dentry **out) {
    struct make m = {.target = target};
    return make_in(dir, name, len, &m, out);
}

int vfs_link_in(struct dentry *old, struct dentry *dir, const char *name, size_t len,
                struct dentry **out) {
    struct make m = {.old = old};
    return make_in(dir, name, len, &m, out);
}

/* ---- making, by system call ---- */

/* The walk stands at the parent.  Makes the last component and, with out, hands out its path. */
static int make_at_walk(struct walk *w, const struct make *m, struct path *out) {
    struct inode *dir = w->path.dentry->inode;
    struct dentry *d;
    if (w->last_kind != LAST_NORMAL) {
        return -EEXIST;
    }
    if (w->last_len > NAME_MAX_LEN) {
        return -ENAMETOOLONG;
    }
    rw_write_lock(&dir->rw);
    int err = dentry_lookup_locked(w->path.dentry, w->last, w->last_len, &d);
    if (err != 0) {
        rw_write_unlock(&dir->rw);
        return err;
    }
    if (d->inode != NULL) {
        err = -EEXIST;
    } else if (w->must_dir && !S_ISDIR(m->mode)) {
        err = -ENOENT;
    } else if (m->refuse != 0) {
        err = m->refuse;
    } else {
        err = may_create_in(&w->path);
    }
    if (err == 0) {
        err = make_locked(dir, d, m);
    }
    rw_write_unlock(&dir->rw);
    if (err == 0) {
        notify_made(dir, d, m);
    }
    if (err == 0 && out != NULL) {
        *out = (struct path){w->path.mount, d};
        mount_get(out->mount);
    } else {
        dentry_put(d);
    }
    return err;
}

static int make_at(int dirfd, const char *name, const struct make *m, struct path *out) {
    struct walk w;
    int err = walk_start(&w, dirfd, name, LOOKUP_PARENT);
    if (err == 0) {
        err = make_at_walk(&w, m, out);
    }
    walk_end(&w);
    return err;
}

static int64_t make_at_user(int dirfd, uint64_t user_name, const struct make *m) {
    struct path_name name;
    int64_t r = path_name_get(&name, uaddr_of(user_name), false);
    if (r == 0) {
        r = make_at(dirfd, name.text, m, NULL);
        path_name_put(&name);
    }
    return r;
}

static int64_t mkdir_at(int dirfd, uint64_t name, uint64_t mode) {
    struct make m = {.mode = S_IFDIR | ((uint32_t)mode & 01777u & ~current_umask())};
    return make_at_user(dirfd, name, &m);
}

int64_t sys_mkdir(struct task *t, const struct sysargs *args) {
    return mkdir_at(AT_FDCWD_MOAT, args->a[0], args->a[1]);
}

int64_t sys_mkdirat(struct task *t, const struct sysargs *args) {
    return mkdir_at((int)args->a[0], args->a[1], args->a[2]);
}

static int check_mknod(uint32_t *mode, uint64_t rdev) {
    switch (*mode & S_IFMT) {
    case 0:
        *mode |= S_IFREG;
        return 0;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFCHR:
    case S_IFBLK:
        /* A whiteout (character device 0:0) may be made by anybody. */
        return (S_ISCHR(*mode) && rdev == 0) || capable(CAP_MKNOD) ? 0 : -EPERM;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

int vfs_mknod_path(int dirfd, const char *name, uint32_t mode, uint64_t rdev, struct path *out) {
    int err = check_mknod(&mode, rdev);
    if (err != 0) {
        return err;
    }
    struct make m = {.mode = mode & ~current_umask(), .rdev = rdev};
    return make_at(dirfd, name, &m, out);
}

static int64_t mknod_at(int dirfd, uint64_t user_name, uint32_t mode, uint64_t user_dev) {
    struct path_name name;
    uint32_t dev = (uint32_t)user_dev; /* already as MKDEV encodes it */
    int64_t r = path_name_get(&name, uaddr_of(user_name), false);
    if (r == 0) {
        bool is_dev = S_ISCHR(mode) || S_ISBLK(mode);
        r = vfs_mknod_path(dirfd, name.text, mode & (S_IFMT | MODE_PERM), is_dev ? dev : 0, NULL);
        path_name_put(&name);
    }
    return r;
}

int64_t sys_mknod(struct task *t, const struct sysargs *args) {
    return mknod_at(AT_FDCWD_MOAT, args->a[0], (uint32_t)args->a[1], args->a[2]);
}

int64_t sys_mknodat(struct task *t, const struct sysargs *args) {
    return mknod_at((int)args->a[0], args->a[1], (uint32_t)args->a[2], args->a[3]);
}

static int64_t symlink_at(uint64_t user_target, int dirfd, uint64_t user_name) {
    struct path_name target;
    int64_t r = path_name_get(&target, uaddr_of(user_target), false);
    if (r == 0) {
        struct make m = {.target = target.text};
        r = make_at_user(dirfd, user_name, &m);
        path_name_put(&target);
    }
    return r;
}

int64_t sys_symlink(struct task *t, const struct sysargs *args) {
    return symlink_at(args->a[0], AT_FDCWD_MOAT, args->a[1]);
}

int64_t sys_symlinkat(struct task *t, const struct sysargs *args) {
    return symlink_at(args->a[0], (int)args->a[1], args->a[2]);
}

/* May current link to this file (proc(5), protected_hardlinks)?  Its owner, or one who could read
 * and write it. */
static bool link_source_safe(const struct path *p) {
    struct inode *inode = p->dentry->inode;
    if (inode_owner_or_capable(inode)) {
        return true;
    }
    uint32_t mode = inode->mode;
    return S_ISREG(mode) && (mode & S_ISUID) == 0 &&
           (mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP) &&
           inode_permission(inode, MAY_READ | MAY_WRITE) == 0;
}

static int link_path(const struct path *old, int dirfd, const char *name) {
    struct walk w;
    struct inode *inode = old->dentry->inode;
    struct make m = {.old = old->dentry, .mode = inode->mode};
    int err = walk_start(&w, dirfd, name, LOOKUP_PARENT);
    if (err == 0 && w.path.mount != old->mount) {
        m.refuse = -EXDEV;
    } else if (S_ISDIR(inode->mode) || !link_source_safe(old)) {
        m.refuse = -EPERM;
    } else if (inode->nlink == 0 && !inode->linkable) {
        m.refuse = -ENOENT;
    }
    if (err == 0) {
        err = make_at_walk(&w, &m, NULL);
    }
    walk_end(&w);
    return err;
}

static int64_t link_at(int old_fd, uint64_t user_old, int new_fd, uint64_t user_new,
                       uint32_t flags) {
    struct path_name name;
    struct path old;
    if ((flags & ~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    if ((flags & AT_EMPTY_PATH) != 0 && !capable(CAP_DAC_READ_SEARCH)) {
        return -ENOENT;
    }
    uint32_t lookup = ((flags & AT_SYMLINK_FOLLOW) != 0 ? LOOKUP_FOLLOW : 0) |
                      ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);
    int64_t r = user_path(old_fd, uaddr_of(user_old), lookup, &old);
    if (r != 0) {
        return r;
    }
    r = path_name_get(&name, uaddr_of(user_new), false);
    if (r == 0) {
        r = link_path(&old, new_fd, name.text);
        path_name_put(&name);
    }
    path_put(&old);
    return r;
}

int64_t sys_link(struct task *t, const struct sysargs *args) {
    return link_at(AT_FDCWD_MOAT, args->a[0], AT_FDCWD_MOAT, args->a[1], 0);
}

int64_t sys_linkat(struct task *t, const struct sysargs *args) {
    return link_at((int)args->a[0], args->a[1], (int)args->a[2], args->a[3], (uint32_t)args->a[4]);
}
