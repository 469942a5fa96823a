/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat, lstat, fstat, newfstatat, statx, statfs, fstatfs, readlink, readlinkat.
 */
#include "base/string.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"

#include <asm/stat.h>
#include <asm/statfs.h>

int vfs_getattr(const struct path *p, struct kstat *out) {
    struct inode *inode = p->dentry->inode;
    int err = 0;
    if (unlikely(inode->ops->getattr != NULL)) {
        memset(out, 0, sizeof(*out));
        err = inode->ops->getattr(inode, out);
    } else {
        inode_to_kstat(inode, out);
    }
    out->mnt_id = p->mount->id;
    if (p->dentry == p->mount->root) {
        out->attributes |= STATX_ATTR_MOUNT_ROOT;
    }
    return err;
}

static int copy_stat(struct uaddr dst, const struct kstat *k) {
    struct stat s = {
        .st_dev = k->dev,
        .st_ino = k->ino,
        .st_nlink = k->nlink,
        .st_mode = k->mode,
        .st_uid = k->uid,
        .st_gid = k->gid,
        .st_rdev = k->rdev,
        .st_size = (int64_t)k->size,
        .st_blksize = k->blksize,
        .st_blocks = (int64_t)k->blocks,
        .st_atime = (uint64_t)k->atime.sec,
        .st_atime_nsec = k->atime.nsec,
        .st_mtime = (uint64_t)k->mtime.sec,
        .st_mtime_nsec = k->mtime.nsec,
        .st_ctime = (uint64_t)k->ctime.sec,
        .st_ctime_nsec = k->ctime.nsec,
    };
    return copyout(dst, &s, sizeof(s));
}

static int stat_fd(int fd, struct kstat *out) {
    struct file *f = fd_get(fd, true);
    if (f == NULL) {
        return -EBADF;
    }
    int err = vfs_getattr(&f->path, out);
    file_put(f);
    return err;
}

/* By path; an empty one with AT_EMPTY_PATH is the descriptor itself. */
static int stat_at(int dirfd, struct uaddr user_name, uint32_t at_flags, struct kstat *out) {
    struct path_name name;
    struct walk w;
    bool empty_ok = (at_flags & AT_EMPTY_PATH) != 0;
    if (empty_ok && user_name.v == 0 && dirfd >= 0) {
        return stat_fd(dirfd, out);
    }
    int err = path_name_get(&name, user_name, empty_ok);
    if (unlikely(err != 0)) {
        return err;
    }
    if (name.text[0] == '\0' && dirfd != AT_FDCWD_MOAT) {
        return stat_fd(dirfd, out);
    }
    uint32_t lookup =
        ((at_flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) | (empty_ok ? LOOKUP_EMPTY : 0);
    err = walk_start(&w, dirfd, name.text, lookup);
    if (err == 0) {
        err = vfs_getattr(&w.path, out); /* the walk holds it */
    }
    walk_end(&w);
    path_name_put(&name);
    return err;
}

static int64_t stat_and_copy(int dirfd, uint64_t name, uint64_t buf, uint32_t at_flags) {
    struct kstat k;
    int err = stat_at(dirfd, uaddr_of(name), at_flags, &k);
    return err != 0 ? err : copy_stat(uaddr_of(buf), &k);
}

int64_t sys_stat(struct task *t, const struct sysargs *args) {
    return stat_and_copy(AT_FDCWD_MOAT, args->a[0], args->a[1], 0);
}

int64_t sys_lstat(struct task *t, const struct sysargs *args) {
    return stat_and_copy(AT_FDCWD_MOAT, args->a[0], args->a[1], AT_SYMLINK_NOFOLLOW);
}

int64_t sys_fstat(struct task *t, const struct sysargs *args) {
    struct kstat k;
    int err = stat_fd((int)args->a[0], &k);
    return err != 0 ? err : copy_stat(uaddr_of(args->a[1]), &k);
}

int64_t sys_newfstatat(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[3];
    if ((flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    return stat_and_copy((int)args->a[0], args->a[1], args->a[2], flags);
}

static struct statx_timestamp statx_time(struct ktime t) {
    return (struct statx_timestamp){.tv_sec = t.sec, .tv_nsec = t.nsec};
}

static int copy_statx(struct uaddr dst, const struct kstat *k) {
    struct statx x = {
        .stx_mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID,
        .stx_blksize = k->blksize,
        .stx_attributes = k->attributes,
        .stx_nlink = k->nlink,
        .stx_uid = k->uid,
        .stx_gid = k->gid,
        .stx_mode = (uint16_t)k->mode,
        .stx_ino = k->ino,
        .stx_size = k->size,
        .stx_blocks = k->blocks,
        .stx_attributes_mask = STATX_ATTR_MOUNT_ROOT,
        .stx_atime = statx_time(k->atime),
        .stx_btime = statx_time(k->btime),
        .stx_ctime = statx_time(k->ctime),
        .stx_mtime = statx_time(k->mtime),
        .stx_rdev_major = DEV_MAJOR(k->rdev),
        .stx_rdev_minor = DEV_MINOR(k->rdev),
        .stx_dev_major = DEV_MAJOR(k->dev),
        .stx_dev_minor = DEV_MINOR(k->dev),
        .stx_mnt_id = k->mnt_id,
    };
    return copyout(dst, &x, sizeof(x));
}

int64_t sys_statx(struct task *t, const struct sysargs *args) {
    struct kstat k;
    uint32_t flags = (uint32_t)args->a[2], mask = (uint32_t)args->a[3];
    const uint32_t known =
        AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if ((flags & ~known) != 0 || (mask & STATX__RESERVED) != 0 ||
        (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE) {
        return -EINVAL;
    }
    int err = stat_at((int)args->a[0], uaddr_of(args->a[1]), flags, &k);
    return err != 0 ? err : copy_statx(uaddr_of(args->a[4]), &k);
}

/* ---- statfs(2) ---- */

#define ST_VALID    0x20u
#define ST_RELATIME 0x1000u

static int64_t statfs_path(const struct path *p, struct uaddr dst) {
    struct kstatfs k;
    int err = vfs_statfs(p->dentry, &k);
    if (err != 0) {
        return err;
    }
    uint32_t mf = p->mount->flags | (p->mount->sb->read_only ? 1u : 0u);
    struct statfs s = {
        .f_type = (long)k.type,
        .f_bsize = (long)k.bsize,
        .f_blocks = (long)k.blocks,
        .f_bfree = (long)k.bfree,
        .f_bavail = (long)k.bavail,
        .f_files = (long)k.files,
        .f_ffree = (long)k.ffree,
        .f_fsid = {{(int)(uint32_t)k.fsid, (int)(uint32_t)(k.fsid >> 32)}},
        .f_namelen = (long)k.namelen,
        .f_frsize = (long)k.frsize,
        /* MS_RDONLY .. MS_NOEXEC, MS_NOATIME and MS_NODIRATIME have the numbers of ST_*. */
        .f_flags = (long)((mf & (15u | 1024u | 2048u)) | ST_VALID |
                          ((mf & 1024u) == 0 ? ST_RELATIME : 0u)),
    };
    return copyout(dst, &s, sizeof(s));
}

int64_t sys_statfs(struct task *t, const struct sysargs *args) {
    struct path p;
    int64_t r = user_path(AT_FDCWD_MOAT, uaddr_of(args->a[0]), LOOKUP_FOLLOW, &p);
    if (r == 0) {
        r = statfs_path(&p, uaddr_of(args->a[1]));
        path_put(&p);
    }
    return r;
}

int64_t sys_fstatfs(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], true);
    if (f == NULL) {
        return -EBADF;
    }
    int64_t r = statfs_path(&f->path, uaddr_of(args->a[1]));
    file_put(f);
    return r;
}

/* ---- readlink(2) ---- */

/* A magic link's text is made by ops->readlink each time. */
static int64_t read_link_text(struct inode *inode, struct uaddr dst, size_t size) {
    const char *text;
    char *buf;
    if (inode->ops->readlink == NULL) {
        return -EINVAL;
    }
    int err = inode_link_text(inode, &text, &buf);
    if (err != 0) {
        return err;
    }
    size_t len = MIN(strlen(text), size);
    err = copyout(dst, text, len);
    kfree(buf);
    return err != 0 ? err : (int64_t)len;
}

/* An empty name meant a descriptor that is no link: ENOENT, as readlink(2) has it. */
static int not_a_link(uint64_t name) {
    char first = '/';
    return copyin(&first, uaddr_of(name), 1) == 0 && first == '\0' ? -ENOENT : -EINVAL;
}

static int64_t readlink_at(int dirfd, uint64_t name, uint64_t buf, uint64_t size) {
    struct path p;
    if ((int)size <= 0) {
        return -EINVAL;
    }
    int64_t r = user_path(dirfd, uaddr_of(name), LOOKUP_EMPTY, &p);
    if (r != 0) {
        return r;
    }
    r = S_ISLNK(p.dentry->inode->mode)
            ? read_link_text(p.dentry->inode, uaddr_of(buf), (size_t)(int)size)
            : not_a_link(name);
    path_put(&p);
    return r;
}

int64_t sys_readlink(struct task *t, const struct sysargs *args) {
    return readlink_at(AT_FDCWD_MOAT, args->a[0], args->a[1], args->a[2]);
}

int64_t sys_readlinkat(struct task *t, const struct sysargs *args) {
    return readlink_at((int)args->a[0], args->a[1], args->a[2], args->a[3]);
}
