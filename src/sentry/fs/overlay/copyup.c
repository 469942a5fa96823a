/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying up.
 *
 * A dentry without an upper part keeps its place in the tree (renaming copies up first), so the way
 * from it to the first upper directory can be read without locks.  Content is copied into a
 * nameless file that gets the name when it is complete.
 */
#include "base/string.h"
#include "fs/overlay/overlay.h"
#include "kernel/kmalloc.h"
#include "mm/mm.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/stat.h>

#define COPY_PAGES 512ull /* at a time */

/* ---- content ---- */

static int open_layer(struct mount *mount, struct dentry *d, uint32_t flags, struct file **out) {
    struct path p = {mount, d};
    return vfs_open_path(&p, flags, out);
}

/* Reads the lower file straight into pages of the new one. */
static int copy_pages(struct file *from, struct file *to, uint64_t size) {
    uint64_t pages = (size + PAGE_MASK) >> PAGE_SHIFT;
    for (uint64_t at = 0; at < pages;) {
        uint64_t pfn, count;
        int err = to->ops->map_pages(to, at, MIN(pages - at, COPY_PAGES), true, &pfn, &count);
        if (err != 0) {
            return err == -EFAULT ? -ENOSPC : err;
        }
        uint64_t off = at << PAGE_SHIFT, want = MIN(count << PAGE_SHIFT, size - off), done = 0;
        int64_t n = 1;
        while (done < want && n > 0) {
            n = kernel_read(from, (char *)frame_ptr(pfn) + done, want - done, off + done);
            done += n > 0 ? (uint64_t)n : 0;
        }
        frame_put_run(pfn, count);
        if (n < 0) {
            return (int)n;
        }
        if (done < want) {
            break; /* shorter than it said: the rest reads as zeros */
        }
        at += count;
    }
    return 0;
}

static int copy_content(struct ovl_sb *os, struct dentry *lower, struct dentry *upper) {
    struct file *from, *to;
    int err = open_layer(os->lower, lower, O_RDONLY, &from);
    if (err != 0) {
        return err;
    }
    uint64_t size = lower->inode->size;
    err = open_layer(os->upper, upper, O_RDWR, &to);
    if (err == 0) {
        struct iattr attr = {.valid = ATTR_SET_SIZE, .size = size};
        err = size == 0 ? 0 : vfs_setattr(upper, &attr);
        if (err == 0) {
            err = copy_pages(from, to, size);
        }
        file_put(to);
    }
    file_put(from);
    return err;
}

/* Owner, mode, times, number and extended attributes. */
static int copy_attributes(struct inode *lower, struct dentry *upper) {
    struct kstat st;
    inode_to_kstat(lower, &st);
    struct iattr attr = {.valid = ATTR_SET_UID | ATTR_SET_GID | ATTR_SET_ATIME | ATTR_SET_MTIME |
                                  ATTR_SET_CTIME | (S_ISLNK(st.mode) ? 0 : ATTR_SET_MODE),
                         .mode = st.mode & 07777,
                         .uid = st.uid,
                         .gid = st.gid,
                         .atime = st.atime,
                         .mtime = st.mtime,
                         .ctime = st.ctime};
    int err = ovl_xattrs_copy(lower, upper->inode);
    if (err == 0) {
        err = vfs_setattr(upper, &attr);
    }
    upper->inode->ino = lower->ino;
    upper->inode->btime = lower->btime;
    return err;
}

/* ---- one file ---- */

struct place {             /* where the copy goes */
    struct dentry *parent; /* of the overlay, referenced */
    struct dentry *dir;    /* its upper directory */
    char name[NAME_MAX_LEN + 1];
    size_t len;
};

static void place_get(struct dentry *d, struct place *p) {
    spin_lock(&d->lock);
    p->parent = d->parent;
    dentry_get(p->parent);
    p->len = MIN(d->name_len, NAME_MAX_LEN);
    memcpy(p->name, d->name, p->len);
    spin_unlock(&d->lock);
    p->name[p->len] = '\0';
    p->dir = ovl_upper(p->parent->inode);
}

/* The directory got a new name in its upper part, which nobody else can see: its times stay. */
static void restore_times(const struct place *p) {
    struct kstat st;
    inode_to_kstat(p->parent->inode, &st);
    struct iattr attr = {
        .valid = ATTR_SET_MTIME | ATTR_SET_CTIME, .mtime = st.mtime, .ctime = st.ctime};
    (void)!vfs_setattr(p->dir, &attr); /* only ever shown after the inode was evicted */
}

/* The name is covered by now, or its directory is gone: the file was removed while it was copied.
 */
static bool name_lost(int err) {
    return err == -EEXIST || err == -ENOENT;
}

static int copy_regular(struct dentry *d, const struct place *p, bool no_data,
                        struct dentry **out) {
    struct ovl_sb *os = ovl_sb_of(d->sb);
    struct dentry *lower = ovl_of(d->inode)->lower, *tmp, *named = NULL;
    int err = vfs_tmpfile_in(p->dir, S_IFREG | 0600, &tmp);
    if (err != 0) {
        return err;
    }
    if (!no_data) {
        err = copy_content(os, lower, tmp);
    }
    if (err == 0) {
        err = copy_attributes(lower->inode, tmp);
    }
    struct mutex *names = &ovl_of(p->parent->inode)->names;
    mutex_lock(names);
    int named_err = err != 0 ? err : vfs_link_in(tmp, p->dir, p->name, p->len, &named);
    mutex_unlock(names);
    if (err == 0 && name_lost(named_err)) {
        *out = tmp; /* removed while open: the copy needs no name either */
        return 0;
    }
    dentry_put(tmp);
    *out = named;
    return named_err;
}

/* Directories, symlinks, devices: nothing to copy that takes long. */
static int copy_other(struct dentry *d, const struct place *p, struct dentry **out) {
    struct inode *lower = ovl_of(d->inode)->lower->inode;
    struct mutex *names = &ovl_of(p->parent->inode)->names;
    const char *text;
    char *own = NULL;
    int err = S_ISLNK(lower->mode) ? inode_link_text(lower, &text, &own) : 0;
    if (err != 0) {
        return err;
    }
    mutex_lock(names);
    if (S_ISLNK(lower->mode)) {
        err = vfs_symlink_in(p->dir, p->name, p->len, text, out);
    } else {
        err = vfs_create_in(p->dir, p->name, p->len, lower->mode, lower->rdev, out);
    }
    err = name_lost(err) ? -ENOENT : err;
    if (err == 0) {
        err = copy_attributes(lower, *out);
        if (err != 0) {
            (void)!(S_ISDIR(lower->mode) ? vfs_rmdir_in(p->dir, *out)
                                         : vfs_unlink_in(p->dir, *out)); /* just made */
            dentry_put(*out);
        }
    }
    mutex_unlock(names);
    kfree(own);
    return err;
}

/* The parent is upper already. */
static int copy_one(struct dentry *d, bool no_data) {
    struct inode *inode = d->inode;
    struct ovl_inode *oi = ovl_of(inode);
    struct dentry *upper;
    int err = 0;
    mutex_lock(&oi->copy);
    if (ovl_upper(inode) == NULL) {
        struct place p;
        place_get(d, &p);
        err =
            S_ISREG(inode->mode) ? copy_regular(d, &p, no_data, &upper) : copy_other(d, &p, &upper);
        if (err == 0) {
            restore_times(&p);
            ovl_copied(inode, upper);
            ovl_attr_pull(inode);
        }
        dentry_put(p.parent);
    }
    mutex_unlock(&oi->copy);
    return err;
}

int ovl_copy_up(struct dentry *dentry, bool no_data) {
    int err = 0;
    while (err == 0 && ovl_upper(dentry->inode) == NULL) {
        /* The topmost that is still lower; the root is always upper. */
        struct dentry *d = dentry;
        while (ovl_upper(d->parent->inode) == NULL) {
            d = d->parent;
        }
        err = copy_one(d, no_data && d == dentry);
    }
    return err;
}

int ovl_copy_up_inode(struct inode *inode) {
    if (ovl_upper(inode) != NULL) {
        return 0;
    }
    spin_lock(&inode->lock);
    struct dentry *d = ovl_of(inode)->alias;
    if (d != NULL && !ref_get_unless_zero(&d->ref)) {
        d = NULL;
    }
    spin_unlock(&inode->lock);
    if (d == NULL) {
        return -ESTALE;
    }
    int err = ovl_copy_up(d, false);
    dentry_put(d);
    return err;
}

int ovl_name_up(struct dentry *dentry) {
    struct place p;
    struct dentry *there = NULL;
    int err = ovl_copy_up(dentry, false);
    if (err != 0 || S_ISDIR(dentry->inode->mode)) {
        return err;
    }
    err = ovl_copy_up(dentry->parent, false);
    if (err != 0) {
        return err;
    }
    place_get(dentry, &p);
    struct mutex *names = &ovl_of(p.parent->inode)->names;
    mutex_lock(names);
    err = ovl_layer_child(p.dir, p.name, p.len, &there);
    if (err == 0 && there == NULL) {
        /* Another name of a lower file was copied up. */
        err = vfs_link_in(ovl_upper(dentry->inode), p.dir, p.name, p.len, NULL);
    }
    mutex_unlock(names);
    dentry_put(there);
    dentry_put(p.parent);
    return err;
}
