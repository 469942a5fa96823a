/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getdents, getdents64, and reading directories for the kernel itself.
 *
 * Entries are laid out in a kernel buffer and copied to the user in one piece.
 */
#include "base/string.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"

#define DENTS_CHUNK_MAX (32u * 1024u)

struct dirent64 { /* struct linux_dirent64 of getdents(2) */
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
} __attribute__((packed));

struct dirent_old { /* struct linux_dirent: the type is the last byte of the record */
    uint64_t ino;
    uint64_t off;
    uint16_t reclen;
    char name[];
} __attribute__((packed));

struct dents {
    struct dir_context ctx;
    char *buf;
    size_t size, used;
    bool old_format;
    bool refused; /* an entry did not fit */
};

static bool dents_emit(struct dir_context *ctx, const char *name, size_t len, uint64_t ino,
                       uint32_t dtype, uint64_t next_pos) {
    struct dents *d = container_of(ctx, struct dents, ctx);
    size_t head = d->old_format ? sizeof(struct dirent_old) : sizeof(struct dirent64);
    size_t reclen = ALIGN_UP(head + len + (d->old_format ? 2u : 1u), 8u);
    if (d->size - d->used < reclen) {
        d->refused = true;
        return false;
    }
    char *at = d->buf + d->used;
    memset(at + reclen - 8, 0, 8);
    if (d->old_format) {
        struct dirent_old *e = (struct dirent_old *)(void *)at;
        e->ino = ino;
        e->off = next_pos;
        e->reclen = (uint16_t)reclen;
        at[reclen - 1] = (char)dtype;
    } else {
        struct dirent64 *e = (struct dirent64 *)(void *)at;
        e->ino = ino;
        e->off = (int64_t)next_pos;
        e->reclen = (uint16_t)reclen;
        e->type = (uint8_t)dtype;
    }
    memcpy(at + head, name, len);
    at[head + len] = '\0';
    d->used += reclen;
    return true;
}

bool dir_emit_dots(struct file *file, struct dir_context *ctx) {
    if (ctx->pos == 0 && !dir_emit(ctx, ".", 1, file->inode->ino, 4, 1)) { /* DT_DIR */
        return false;
    }
    if (ctx->pos == 1) {
        struct dentry *parent = dentry_parent_get(file->path.dentry);
        bool ok = dir_emit(ctx, "..", 2, parent->inode->ino, 4, 2);
        dentry_put(parent);
        return ok;
    }
    return true;
}

int vfs_iterate(struct file *file, struct dir_context *ctx) {
    if (file->ops->iterate == NULL) {
        return -ENOTDIR;
    }
    return file->ops->iterate(file, ctx);
}

static int64_t dents_read(struct file *f, struct uaddr dst, size_t size, bool old_format) {
    struct dents d = {.ctx = {.emit = dents_emit, .pos = f->pos},
                      .size = MIN(size, DENTS_CHUNK_MAX),
                      .old_format = old_format};
    if (S_ISDIR(f->inode->mode) && (f->path.dentry->flags & DENTRY_DELETED) != 0) {
        return -ENOENT;
    }
    d.buf = kmalloc(MAX(d.size, 16u));
    if (d.buf == NULL) {
        return -ENOMEM;
    }
    int64_t r = vfs_iterate(f, &d.ctx);
    if (d.used > 0) {
        r = copyout(dst, d.buf, d.used);
    } else if (r == 0 && d.refused) {
        r = -EINVAL;
    }
    if (r == 0) {
        r = (int64_t)d.used;
        f->pos = d.ctx.pos;
    }
    kfree(d.buf);
    return r;
}

static int64_t getdents(const struct sysargs *args, bool old_format) {
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    mutex_lock(&f->pos_lock);
    int64_t r = dents_read(f, uaddr_of(args->a[1]), (uint32_t)args->a[2], old_format);
    mutex_unlock(&f->pos_lock);
    file_put(f);
    return r;
}

int64_t sys_getdents(struct task *t, const struct sysargs *args) {
    return getdents(args, true);
}

int64_t sys_getdents64(struct task *t, const struct sysargs *args) {
    return getdents(args, false);
}
