/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting: options "chan=N,export=M[,ro][,exclusive]" name a directory (or file) that the Gofer of
 * channel N exports. */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/fuse/fuse.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <asm/errno.h>

#define FUSE_SUPER_MAGIC 0x65735546u /* linux/magic.h */

struct fuse_options {
    uint64_t channel, export_index;
    bool read_only, exclusive;
};

static int parse_number(const char *text, size_t len, uint64_t *out) {
    char digits[16];
    if (len == 0 || len >= sizeof(digits)) {
        return -EINVAL;
    }
    memcpy(digits, text, len);
    digits[len] = '\0';
    return fmt_parse_u64(digits, 10, out);
}

static int parse_one(struct fuse_options *o, const char *text, size_t len) {
    if (len == 2 && memcmp(text, "ro", 2) == 0) {
        o->read_only = true;
    } else if (len == 9 && memcmp(text, "exclusive", 9) == 0) {
        o->exclusive = true;
    } else if (len > 5 && memcmp(text, "chan=", 5) == 0) {
        return parse_number(text + 5, len - 5, &o->channel);
    } else if (len > 7 && memcmp(text, "export=", 7) == 0) {
        return parse_number(text + 7, len - 7, &o->export_index);
    } else {
        return -EINVAL;
    }
    return 0;
}

static int parse_options(const char *data, struct fuse_options *o) {
    if (data == NULL || data[0] == '\0') {
        return -EINVAL;
    }
    for (;;) {
        const char *comma = strchr(data, ',');
        size_t len = comma == NULL ? strlen(data) : (size_t)(comma - data);
        int err = parse_one(o, data, len);
        if (err != 0) {
            return err;
        }
        if (comma == NULL) {
            break;
        }
        data = comma + 1;
    }
    return o->channel <= UINT32_MAX && o->export_index < MOAT_GOFER_EXPORTS_MAX ? 0 : -EINVAL;
}

static int fuse_statfs(struct super_block *sb, struct kstatfs *out) {
    FUSE_REPLY(struct fuse_statfs_out) reply;
    struct fuse_conn *conn = fuse_conn_of(sb);
    struct fuse_call call = {.opcode = FUSE_STATFS,
                             .nodeid = conn->root_id,
                             .reply = &reply,
                             .reply_size = sizeof(reply),
                             .reply_min = sizeof(reply.body)};
    int64_t got = fuse_call(conn, &call);
    if (got < 0) {
        return (int)got;
    }
    const struct fuse_kstatfs *st = &reply.body.st;
    out->type = FUSE_SUPER_MAGIC;
    out->bsize = st->bsize;
    out->frsize = st->frsize;
    out->blocks = st->blocks;
    out->bfree = st->bfree;
    out->bavail = st->bavail;
    out->files = st->files;
    out->ffree = st->ffree;
    out->namelen = MIN(st->namelen, NAME_MAX_LEN);
    return 0;
}

static void fuse_destroy(struct super_block *sb) {
    struct fuse_conn *conn = fuse_conn_of(sb);
    if (conn != NULL) {
        fuse_forget_flush(conn);
        kfree(conn);
    }
}

static const struct super_ops g_fuse_super_ops = {
    .statfs = fuse_statfs,
    .evict = fuse_evict,
    .destroy = fuse_destroy,
};

static int get_root(struct super_block *sb) {
    struct fuse_getattr_in in = {0};
    FUSE_REPLY(struct fuse_attr_out) reply;
    struct fuse_conn *conn = fuse_conn_of(sb);
    struct fuse_call call = {.opcode = FUSE_GETATTR,
                             .nodeid = conn->root_id,
                             .in = &in,
                             .in_size = sizeof(in),
                             .reply = &reply,
                             .reply_size = sizeof(reply),
                             .reply_min = sizeof(reply.body)};
    struct inode *root;
    int64_t got = fuse_call(conn, &call);
    if (got < 0) {
        return (int)got;
    }
    struct fuse_entry_out entry = {.nodeid = conn->root_id, .attr = reply.body.attr};
    int err = fuse_iget(sb, &entry, &root);
    return err != 0 ? err : super_set_root(sb, root);
}

static int fuse_mount(const struct fs_type *type, const char *source, uint32_t flags,
                      const char *data, struct super_block **out_sb) {
    struct fuse_options o = {0};
    struct fuse_conn *conn;
    if (!current->is_kthread) {
        return -EPERM; /* which export goes where is for the host side to say, not for a guest */
    }
    int err = parse_options(data, &o);
    if (err != 0) {
        return err;
    }
    struct super_block *sb = super_alloc(type, &g_fuse_super_ops, FUSE_SUPER_MAGIC);
    if (sb == NULL) {
        return -ENOMEM;
    }
    err = fuse_conn_create(&g_fuse_gofer_transport, (uint32_t)o.channel, &conn);
    if (err == 0) {
        conn->exclusive = o.exclusive;
        conn->root_id = MOAT_GOFER_ROOT(o.export_index);
        sb->private = conn;
        sb->read_only = o.read_only;
        sb->dcache_stable = o.exclusive;
        err = get_root(sb);
    }
    if (err != 0) {
        super_put(sb);
        return err;
    }
    *out_sb = sb;
    return 0;
}

const struct fs_type g_fuse_type = {.name = "fuse", .mount = fuse_mount};
