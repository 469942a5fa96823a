/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening files (open(2), openat2(2)): the last component, creation, checks, and the open file
 * itself.
 */
#include "fs/fsnotify.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"
#include "base/fmt.h"

#include <linux/capability.h>
#include <linux/mount.h>

#define O_PATH_KEEPS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define O_NOT_STATUS (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)
#define TMPFILE_BIT  (O_TMPFILE & ~O_DIRECTORY)

static const struct file_ops g_path_fops; /* O_PATH files do nothing */

static uint32_t access_mask(uint32_t flags) {
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return MAY_READ;
    case O_WRONLY:
        return MAY_WRITE;
    default:
        return MAY_READ | MAY_WRITE;
    }
}

/* Frees a file whose open failed. */
static void file_discard(struct file *f) {
    if ((f->mode & FMODE_WRITER) != 0) {
        (void)atomic_fetch_sub(&f->inode->write_count, 1); /* the old count is of no use */
    }
    path_put(&f->path);
    cred_put(f->cred);
    kfree(f);
}

static int count_writer(struct file *f) {
    struct inode *inode = f->inode;
    int32_t n = atomic_load(&inode->write_count);
    do {
        if (n < 0) {
            return -ETXTBSY;
        }
    } while (!atomic_cas(&inode->write_count, &n, n + 1));
    f->mode |= FMODE_WRITER;
    return 0;
}

int file_deny_write(struct file *f) {
    int32_t n = atomic_load(&f->inode->write_count);
    do {
        if (n > 0) {
            return -ETXTBSY;
        }
    } while (!atomic_cas(&f->inode->write_count, &n, n - 1));
    f->mode |= FMODE_EXEC;
    return 0;
}

void file_allow_write(struct file *f) {
    if ((f->mode & FMODE_EXEC) != 0) {
        f->mode &= ~FMODE_EXEC;
        (void)atomic_fetch_add(&f->inode->write_count, 1); /* the old count is of no use */
    }
}

/* Lets the filesystem or the device have its say about a file that passed the checks. */
int file_open_inode(struct file *f) {
    struct inode *inode = f->inode;
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        if ((f->mode & FMODE_WRITE) != 0) {
            int err = count_writer(f);
            if (err != 0) {
                return err;
            }
        }
        break;
    case S_IFCHR:
        if (inode->ops->open == NULL) {
            return chrdev_open(inode->rdev, f);
        }
        break;
    case S_IFIFO:
        if (inode->ops->open == NULL) {
            return fifo_open(inode, f);
        }
        break; /* a donated pipe of the host */
    case S_IFBLK:
    case S_IFSOCK:
        return -ENXIO;
    default:
        break;
    }
    return inode->ops->open != NULL ? inode->ops->open(inode, f) : 0;
}

int vfs_open_path(const struct path *p, uint32_t flags, struct file **out_file) {
    bool only_path = (flags & O_PATH) != 0;
    struct file *f = file_alloc(p, only_path ? &g_path_fops : p->dentry->inode->fops,
                                flags & ~(uint32_t)O_CLOEXEC);
    if (f == NULL) {
        return -ENOMEM;
    }
    int err = only_path ? 0 : file_open_inode(f);
    if (err != 0) {
        file_discard(f);
        return err;
    }
    f->flags &= ~(uint32_t)O_NOT_STATUS;
    *out_file = f;
    return 0;
}

static int check_type(const struct path *p, uint32_t flags) {
    uint32_t mode = p->dentry->inode->mode;
    if (S_ISLNK(mode)) {
        return -ELOOP;
    }
    if (S_ISDIR(mode)) {
        return (flags & (O_CREAT | O_TRUNC)) != 0 || (access_mask(flags) & MAY_WRITE) != 0 ? -EISDIR
                                                                                           : 0;
    }
    if ((flags & O_DIRECTORY) != 0) {
        return -ENOTDIR;
    }
    if ((S_ISCHR(mode) || S_ISBLK(mode)) && (p->mount->flags & MS_NODEV) != 0) {
        return -EACCES;
    }
    return 0;
}

static int check_open(const struct path *p, uint32_t flags, bool created) {
    struct inode *inode = p->dentry->inode;
    int err = check_type(p, flags);
    if (err != 0 || created) {
        return err;
    }
    uint32_t mask = access_mask(flags);
    if ((flags & O_TRUNC) != 0 && S_ISREG(inode->mode)) {
        mask |= MAY_WRITE;
    }
    err = path_permission(p, mask);
    if (err != 0) {
        return err;
    }
    if ((flags & O_NOATIME) != 0 && !inode_owner_or_capable(inode)) {
        return -EPERM;
    }
    return 0;
}

static int open_checked(const struct path *p, uint32_t flags, bool created,
                        struct file **out_file) {
    if ((flags & O_PATH) != 0) {
        if ((flags & O_DIRECTORY) != 0 && !S_ISDIR(p->dentry->inode->mode)) {
            return -ENOTDIR;
        }
        return vfs_open_path(p, flags, out_file);
    }
    int err = check_open(p, flags, created);
    if (err != 0) {
        return err;
    }
    struct file *f;
    err = vfs_open_path(p, flags, &f);
    if (err != 0) {
        return err;
    }
    if ((flags & O_TRUNC) != 0 && !created && S_ISREG(f->inode->mode)) {
        err = vfs_truncate(f, p->dentry, 0);
        if (err != 0) {
            file_put(f);
            return err;
        }
    }
    if (created) {
        f->mode |= FMODE_CREATED;
    }
    fsnotify_dentry(p->dentry, IN_OPEN);
    *out_file = f;
    return 0;
}

/* ---- creation ---- */

/* The name is not there: makes it, unless somebody else was faster.  *inout is the last component's
 * dentry. */
static int create_last(struct walk *w, struct dentry **inout, uint32_t mode, bool *out_created) {
    struct inode *dir = w->path.dentry->inode;
    struct dentry *d;
    rw_write_lock(&dir->rw);
    int err = dentry_lookup_locked(w->path.dentry, w->last, w->last_len, &d);
    if (err == 0) {
        dentry_put(*inout);
        *inout = d;
        if (d->inode == NULL) {
            err = may_create_in(&w->path);
            if (err == 0) {
                err =
                    dir->ops->create != NULL
                        ? dir->ops->create(dir, d, S_IFREG | (mode & MODE_PERM & ~current_umask()))
                        : -EACCES;
            }
            if (err == 0) {
                dentry_hash(d);
                *out_created = true;
            }
        }
    }
    rw_write_unlock(&dir->rw);
    if (err == 0 && *out_created) {
        fsnotify(dir, IN_CREATE, d->name, 0);
    }
    return err;
}

/* Brings the walk, which stands at the parent, onto the file, creating it if it is not there. */
static int open_or_create(struct walk *w, uint32_t flags, uint32_t mode, bool *out_created) {
    struct dentry *d;
    for (;;) {
        if (w->last_kind == LAST_ROOT) {
            return (flags & O_EXCL) != 0 ? -EEXIST : 0;
        }
        if (w->last_kind != LAST_NORMAL || w->must_dir) {
            return -EISDIR;
        }
        int err = walk_lookup_last(w, &d);
        if (err == 0 && atomic_load(&d->inode) == NULL) {
            err = create_last(w, &d, mode, out_created);
            if (err != 0) {
                dentry_put(d);
            }
        }
        if (err != 0) {
            return err;
        }
        if (*out_created) {
            return walk_enter(w, d);
        }
        if ((flags & O_EXCL) != 0) {
            dentry_put(d);
            return -EEXIST;
        }
        if (!S_ISLNK(d->inode->mode)) {
            return walk_enter(w, d);
        }
        if ((flags & O_NOFOLLOW) != 0) {
            dentry_put(d);
            return -ELOOP;
        }
        err = walk_follow_last(w, d);
        if (err != 0) {
            return err;
        }
    }
}

int vfs_tmpfile_in(struct dentry *dir, uint32_t mode, struct dentry **out) {
    struct inode *inode = dir->inode;
    char name[24];
    if (inode->ops->tmpfile == NULL) {
        return -EOPNOTSUPP;
    }
    int len = fmt_snprintf(name, sizeof(name), "#%llu",
                           (unsigned long long)atomic_load_relaxed(&dir->sb->next_ino));
    struct dentry *d = dentry_alloc(dir, name, (size_t)len);
    if (d == NULL) {
        return -ENOMEM;
    }
    d->flags |= DENTRY_DELETED; /* ours alone so far */
    int err = inode->ops->tmpfile(inode, d, S_IFREG | (mode & MODE_PERM));
    if (err != 0) {
        dentry_put(d);
        return err;
    }
    *out = d;
    return 0;
}

static int open_tmpfile(int dirfd, const char *name, uint32_t flags, uint32_t mode,
                        uint32_t resolve, struct file **out_file) {
    struct path dir;
    struct dentry *d;
    if ((access_mask(flags) & MAY_WRITE) == 0) {
        return -EINVAL;
    }
    uint32_t lookup = resolve | LOOKUP_DIRECTORY | ((flags & O_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW);
    int err = path_lookup(dirfd, name, lookup, &dir);
    if (err != 0) {
        return err;
    }
    err = may_create_in(&dir);
    if (err == 0) {
        err = vfs_tmpfile_in(dir.dentry, mode & ~current_umask(), &d);
    }
    if (err == 0) {
        struct path p = {dir.mount, d};
        d->inode->linkable = (flags & O_EXCL) == 0;
        err = vfs_open_path(&p, flags & ~(uint32_t)(TMPFILE_BIT | O_DIRECTORY), out_file);
        dentry_put(d);
    }
    path_put(&dir);
    return err;
}

static int open_once(int dirfd, const char *name, uint32_t flags, uint32_t mode, uint32_t resolve,
                     struct file **out_file) {
    struct walk w;
    bool created = false;
    if ((flags & O_PATH) != 0) {
        flags &= O_PATH_KEEPS;
    }
    if ((flags & TMPFILE_BIT) != 0) {
        return (flags & O_DIRECTORY) != 0 && (flags & O_CREAT) == 0
                   ? open_tmpfile(dirfd, name, flags, mode, resolve, out_file)
                   : -EINVAL;
    }
    uint32_t lookup = resolve;
    if ((flags & O_CREAT) != 0) {
        if ((flags & O_DIRECTORY) != 0) {
            return -EINVAL;
        }
        lookup |= LOOKUP_PARENT;
    } else {
        lookup |= ((flags & O_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
                  ((flags & O_DIRECTORY) != 0 ? LOOKUP_DIRECTORY : 0);
    }
    int err = walk_start(&w, dirfd, name, lookup);
    if (err == 0 && (flags & O_CREAT) != 0) {
        err = open_or_create(&w, flags, mode, &created);
    }
    if (err == 0) {
        err = open_checked(&w.path, flags, created, out_file);
    }
    walk_end(&w);
    return err;
}

int vfs_open(int dirfd, const char *name, uint32_t flags, uint32_t mode, uint32_t resolve,
             struct file **out_file) {
    int err = open_once(dirfd, name, flags, mode, resolve, out_file);
    if (unlikely(err == -ESTALE)) {
        /* The file behind a remote filesystem's name is another one by now, and the name was
         * dropped from the cache. */
        err = open_once(dirfd, name, flags, mode, resolve, out_file);
    }
    return err;
}
