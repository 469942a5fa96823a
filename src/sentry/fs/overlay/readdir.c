/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading directories: first the upper layer's names without whiteouts, then those of the lower one
 * that the upper layer does not cover.  Upper names are all in the dentry cache (tmpfs), so asking
 * whether it covers one is a look into a hash.
 *
 * Positions: 0 and 1 are the dots; the upper layer's own positions follow; LOWER_POS + the lower
 * layer's own.
 */
#include "base/string.h"
#include "fs/overlay/overlay.h"
#include "kernel/kmalloc.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/stat.h>

#define LOWER_POS (1ull << 62)
#define DT_CHR    2u
#define CLEAR_MAX 16u /* whiteouts removed in one go */

struct ovl_dir {                /* file->private */
    struct file *upper, *lower; /* NULL: no such layer when the directory was opened or rewound */
};

/* A layer's entries on their way to the reader. */
struct layer_context {
    struct dir_context ctx;
    struct dir_context *out;
    struct dentry *upper; /* the upper directory, or NULL */
    uint64_t base;        /* of positions */
    bool is_lower;
    bool full;
};

static void close_layers(struct ovl_dir *od) {
    file_put(od->upper);
    file_put(od->lower);
    od->upper = od->lower = NULL;
}

static int open_layer(struct mount *mount, struct dentry *d, struct file **out) {
    struct path p = {mount, d};
    return d == NULL ? 0 : vfs_open_path(&p, O_RDONLY | O_DIRECTORY, out);
}

static int open_layers(struct inode *dir, struct ovl_dir *od) {
    struct ovl_sb *os = ovl_sb_of(dir->sb);
    int err = open_layer(os->upper, ovl_upper(dir), &od->upper);
    return err != 0 ? err : open_layer(os->lower, ovl_of(dir)->lower, &od->lower);
}

int ovl_dir_open(struct inode *inode, struct file *file) {
    struct ovl_dir *od = kzalloc(sizeof(*od));
    if (od == NULL) {
        return -ENOMEM;
    }
    file->private = od;
    return 0;
}

static void ovl_dir_release(struct file *file) {
    struct ovl_dir *od = file->private;
    close_layers(od);
    kfree(od);
}

static bool is_dot(const char *name, size_t len) {
    return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

/* Is the entry to be shown? */
static bool entry_shows(const struct layer_context *lc, const char *name, size_t len,
                        uint32_t dtype) {
    if (lc->upper == NULL || (!lc->is_lower && dtype != DT_CHR)) {
        return true;
    }
    struct dentry *d = dentry_cached(lc->upper, name, len);
    bool shows =
        lc->is_lower ? d == NULL || d->inode == NULL : d == NULL || !ovl_is_whiteout(d->inode);
    dentry_put(d);
    return shows;
}

static bool layer_emit(struct dir_context *ctx, const char *name, size_t len, uint64_t ino,
                       uint32_t dtype, uint64_t next_pos) {
    struct layer_context *lc = container_of(ctx, struct layer_context, ctx);
    if (is_dot(name, len) || !entry_shows(lc, name, len, dtype)) {
        return true;
    }
    if (!dir_emit(lc->out, name, len, ino, dtype, lc->base + next_pos)) {
        lc->full = true;
        return false;
    }
    return true;
}

/* Reads on in one layer; true in *out_full when the reader's buffer is full. */
static int read_layer(struct file *layer, struct dentry *upper, bool is_lower,
                      struct dir_context *out, bool *out_full) {
    struct layer_context lc = {.ctx = {.emit = layer_emit},
                               .out = out,
                               .upper = upper,
                               .base = is_lower ? LOWER_POS : 0,
                               .is_lower = is_lower};
    lc.ctx.pos = MAX(out->pos - lc.base, 2ull);
    int err = vfs_iterate(layer, &lc.ctx);
    *out_full = lc.full;
    if (!lc.full) {
        out->pos = MAX(out->pos, lc.base + lc.ctx.pos); /* behind what was left out at the end */
    }
    return err;
}

static int ovl_iterate(struct file *file, struct dir_context *ctx) {
    struct ovl_dir *od = file->private;
    bool full = false;
    int err = 0;
    if (ctx->pos == 0 || (od->upper == NULL && od->lower == NULL)) {
        close_layers(od);
        err = open_layers(file->inode, od);
    }
    if (err != 0 || !dir_emit_dots(file, ctx)) {
        return err;
    }
    struct dentry *upper = od->upper != NULL ? od->upper->path.dentry : NULL;
    if (od->upper != NULL && ctx->pos < LOWER_POS) {
        /* Names without a lower layer below them need no looking for whiteouts. */
        err = read_layer(od->upper, od->lower != NULL ? upper : NULL, false, ctx, &full);
    }
    if (err == 0 && !full && od->lower != NULL) {
        ctx->pos = MAX(ctx->pos, LOWER_POS);
        err = read_layer(od->lower, upper, true, ctx, &full);
    }
    return err;
}

static int ovl_dir_fsync(struct file *file, bool data_only) {
    return 0; /* memory */
}

const struct file_ops g_ovl_dir_fops = {
    .release = ovl_dir_release,
    .iterate = ovl_iterate,
    .fsync = ovl_dir_fsync,
};

/* ---- emptiness ---- */

struct clear_context {
    struct dir_context ctx;
    struct dentry *upper;
    struct dentry *whiteouts[CLEAR_MAX];
    uint32_t count;
    bool lower;
    bool occupied;
};

static bool clear_emit(struct dir_context *ctx, const char *name, size_t len, uint64_t ino,
                       uint32_t dtype, uint64_t next_pos) {
    struct clear_context *c = container_of(ctx, struct clear_context, ctx);
    if (is_dot(name, len)) {
        return true;
    }
    struct dentry *d = c->upper == NULL ? NULL : dentry_cached(c->upper, name, len);
    bool whiteout = d != NULL && ovl_is_whiteout(d->inode);
    if (!whiteout) {
        c->occupied = true;
    } else if (!c->lower && c->count < CLEAR_MAX) {
        c->whiteouts[c->count++] = d;
        return c->count < CLEAR_MAX;
    }
    dentry_put(d);
    return whiteout;
}

static int scan(struct file *layer, struct clear_context *c, bool lower) {
    c->ctx = (struct dir_context){.emit = clear_emit};
    c->lower = lower;
    return layer == NULL ? 0 : vfs_iterate(layer, &c->ctx);
}

static int clear_layers(struct ovl_dir *od, struct dentry *upper) {
    struct clear_context c = {.upper = upper};
    int err = scan(od->lower, &c, true);
    while (err == 0 && !c.occupied) {
        c.count = 0;
        err = scan(od->upper, &c, false);
        for (uint32_t i = 0; i < c.count; i++) {
            if (err == 0 && !c.occupied) {
                err = vfs_unlink_in(upper, c.whiteouts[i]);
            }
            dentry_put(c.whiteouts[i]);
        }
        if (c.count == 0) {
            break;
        }
    }
    return err != 0 ? err : c.occupied ? -ENOTEMPTY : 0;
}

int ovl_dir_clear(struct dentry *dentry) {
    struct ovl_dir od = {0};
    int err = open_layers(dentry->inode, &od);
    if (err == 0) {
        err = clear_layers(&od, ovl_upper(dentry->inode));
    }
    close_layers(&od);
    return err;
}
