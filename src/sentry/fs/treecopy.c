/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying a tree into a fresh file system (tmpcopyup): see kmount.h.
 *
 * The tree is an image's: depth and number of names are bounded, and what is neither a file, a
 * directory, a link, a device nor a FIFO is left out.
 */
#include "base/string.h"
#include "fs/kmount.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <asm-generic/fcntl.h>
#include <linux/errno.h>
#include <linux/stat.h>

#define DEPTH_MAX   48u
#define ENTRIES_MAX 65536u
#define NAMES_SIZE  (64u * 1024u) /* names of a directory taken in one go */
#define CHUNK       (64u * 1024u)

struct tree_copy {
    uint32_t entries;
    char *chunk; /* CHUNK bytes */
};

struct names {
    struct dir_context ctx;
    char *text; /* NUL-terminated, one after the other */
    size_t used;
    bool full;
};

static bool take_name(struct dir_context *ctx, const char *name, size_t len, uint64_t ino,
                      uint32_t dtype, uint64_t next_pos) {
    struct names *n = container_of(ctx, struct names, ctx);
    bool dots = name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
    if (dots) {
        return true;
    }
    if (NAMES_SIZE - n->used < len + 1) {
        n->full = true;
        return false;
    }
    memcpy(n->text + n->used, name, len);
    n->text[n->used + len] = '\0';
    n->used += len + 1;
    return true;
}

static int copy_data(struct tree_copy *tc, const struct path *from, const struct path *to) {
    struct file *in, *out;
    uint64_t pos = 0;
    int err = vfs_open_path(from, O_RDONLY, &in);
    if (err != 0) {
        return err;
    }
    err = vfs_open_path(to, O_WRONLY, &out);
    int64_t n = err;
    while (n >= 0 && err == 0) {
        n = kernel_read(in, tc->chunk, CHUNK, pos);
        if (n <= 0) {
            break;
        }
        n = kernel_write(out, tc->chunk, (size_t)n, pos);
        pos += n > 0 ? (uint64_t)n : 0;
    }
    if (err == 0) {
        file_put(out);
    }
    file_put(in);
    return n < 0 ? (int)n : 0;
}

static int copy_attributes(struct dentry *from, struct dentry *to) {
    struct kstat st;
    inode_to_kstat(from->inode, &st);
    struct iattr attr = {.valid = ATTR_SET_UID | ATTR_SET_GID | ATTR_SET_ATIME | ATTR_SET_MTIME |
                                  (S_ISLNK(st.mode) ? 0 : ATTR_SET_MODE),
                         .mode = st.mode & 07777,
                         .uid = st.uid,
                         .gid = st.gid,
                         .atime = st.atime,
                         .mtime = st.mtime};
    return vfs_setattr(to, &attr);
}

static int copy_link(struct dentry *from, const struct path *dir, const char *name,
                     struct dentry **out) {
    const char *text;
    char *buf = NULL;
    int err = inode_link_text(from->inode, &text, &buf);
    if (err == 0) {
        err = vfs_symlink_in(dir->dentry, name, strlen(name), text, out);
    }
    kfree(buf);
    return err;
}

static int copy_dir(struct tree_copy *tc, const struct path *from, const struct path *to,
                    uint32_t depth);

static int copy_one(struct tree_copy *tc, const struct path *from, const struct path *dir,
                    const char *name, uint32_t depth) {
    uint32_t mode = from->dentry->inode->mode;
    struct dentry *made = NULL;
    int err;
    if (tc->entries++ == ENTRIES_MAX) {
        return -E2BIG;
    }
    if (S_ISSOCK(mode)) {
        return 0; /* nobody could connect to a copy */
    }
    if (S_ISLNK(mode)) {
        err = copy_link(from->dentry, dir, name, &made);
    } else {
        err =
            vfs_create_in(dir->dentry, name, strlen(name), mode, from->dentry->inode->rdev, &made);
    }
    if (err != 0) {
        return err;
    }
    struct path to = {dir->mount, made};
    if (S_ISREG(mode)) {
        err = copy_data(tc, from, &to);
    } else if (S_ISDIR(mode)) {
        err = copy_dir(tc, from, &to, depth + 1);
    }
    if (err == 0) {
        err = copy_attributes(from->dentry, made);
    }
    dentry_put(made);
    return err;
}

/* The names that `names` holds. */
static int copy_names(struct tree_copy *tc, const struct path *from, const struct path *to,
                      const struct names *n, uint32_t depth) {
    for (size_t at = 0; at < n->used; at += strlen(n->text + at) + 1) {
        const char *name = n->text + at;
        struct dentry *child;
        int err = vfs_lookup_one(from->dentry, name, strlen(name), &child);
        if (err != 0) {
            return err;
        }
        if (child->inode != NULL) {
            struct path p = {from->mount, child};
            err = copy_one(tc, &p, to, name, depth);
        }
        dentry_put(child);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int copy_dir(struct tree_copy *tc, const struct path *from, const struct path *to,
                    uint32_t depth) {
    struct names n = {.ctx = {.emit = take_name}};
    struct file *file;
    if (depth > DEPTH_MAX) {
        return -ELOOP;
    }
    int err = vfs_open_path(from, O_RDONLY | O_DIRECTORY, &file);
    if (err != 0) {
        return err;
    }
    n.text = kmalloc(NAMES_SIZE);
    err = n.text == NULL ? -ENOMEM : vfs_iterate(file, &n.ctx);
    if (err == 0) {
        err = n.full ? -E2BIG : copy_names(tc, from, to, &n, depth);
    }
    kfree(n.text);
    file_put(file);
    return err;
}

int kcopy_tree(const struct path *from, const struct path *to) {
    struct tree_copy tc = {.chunk = kmalloc(CHUNK)};
    int err = tc.chunk == NULL ? -ENOMEM : copy_dir(&tc, from, to, 0);
    if (err == 0) {
        err = copy_attributes(from->dentry, to->dentry);
    }
    kfree(tc.chunk);
    return err;
}
