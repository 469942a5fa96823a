/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading directories.  All names are fetched at once into a list that an open file keeps until it
 * is rewound, so that reading goes on rightly while names change.  On an exclusive connection the
 * directory keeps the list too: then further reading needs no message, and a name that is not on it
 * does not exist.
 *
 * Attributes come with a listing for directories (a tree walk wants those), and for all entries
 * once single names were asked for often.
 */
#include "base/hash.h"
#include "base/string.h"
#include "fs/fuse/fuse.h"
#include "kernel/kmalloc.h"

#include <asm/errno.h>
#include <linux/stat.h>

#define NAMES_AFTER 12u /* single look-ups after which the names are fetched */
#define FILL_AFTER                                                                                 \
    4u /* look-ups of listed names after which their attributes are fetched together */
#define FILL_MAX 8192u
#define FETCH_SIZE_MAX                                                                             \
    (512u * KIB) /* st_size of a directory whose names are fetched for look-ups' sake */

struct fuse_name {
    uint64_t ino;
    uint32_t off; /* in text */
    uint8_t len;
    uint8_t type;
};

struct fuse_dirlist {
    struct refcount ref;
    struct fuse_name *names;
    uint32_t count, cap;
    char *text;
    size_t text_len, text_cap;
    uint32_t *index; /* hash table of positions + 1; NULL: not made */
    uint32_t index_size;
};

static void list_put(struct fuse_dirlist *l) {
    if (l != NULL && ref_put(&l->ref)) {
        kfree(l->names);
        kfree(l->text);
        kfree(l->index);
        kfree(l);
    }
}

static int list_add(struct fuse_dirlist *l, const char *name, size_t len, uint64_t ino,
                    uint32_t type) {
    if (l->count == FUSE_NAMES_MAX) {
        return -ENOMEM;
    }
    if (l->count == l->cap) {
        uint32_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct fuse_name *names = krealloc(l->names, cap * sizeof(*names));
        if (names == NULL) {
            return -ENOMEM;
        }
        l->names = names;
        l->cap = cap;
    }
    if (l->text_len + len > l->text_cap) {
        size_t cap = MAX(l->text_cap * 2, (size_t)1024);
        char *text = krealloc(l->text, cap);
        if (text == NULL) {
            return -ENOMEM;
        }
        l->text = text;
        l->text_cap = cap;
    }
    memcpy(l->text + l->text_len, name, len);
    l->names[l->count++] = (struct fuse_name){.ino = ino,
                                              .off = (uint32_t)l->text_len,
                                              .len = (uint8_t)len,
                                              .type = (uint8_t)(type & 15)};
    l->text_len += len;
    return 0;
}

static void list_index(struct fuse_dirlist *l) {
    uint32_t size = 16;
    while (size < l->count * 2) {
        size *= 2;
    }
    l->index = kcalloc(size, sizeof(uint32_t));
    if (l->index == NULL) {
        return; /* the server is asked instead */
    }
    l->index_size = size;
    for (uint32_t i = 0; i < l->count; i++) {
        uint32_t at = (uint32_t)hash_bytes(l->text + l->names[i].off, l->names[i].len) & (size - 1);
        while (l->index[at] != 0) {
            at = (at + 1) & (size - 1);
        }
        l->index[at] = i + 1;
    }
}

static bool list_has(const struct fuse_dirlist *l, const char *name, size_t len) {
    uint32_t at = (uint32_t)hash_bytes(name, len) & (l->index_size - 1);
    while (l->index[at] != 0) {
        const struct fuse_name *n = &l->names[l->index[at] - 1];
        if (n->len == len && memcmp(l->text + n->off, name, len) == 0) {
            return true;
        }
        at = (at + 1) & (l->index_size - 1);
    }
    return false;
}

/* ---- fetching ---- */

static bool name_ok(const char *name, size_t len) {
    bool dots = len > 0 && name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
    return len > 0 && len <= NAME_MAX_LEN && !dots && memchr(name, '/', len) == NULL &&
           memchr(name, '\0', len) == NULL;
}

/* Takes the records of one reply; unknown space behind them is ignored. */
static int take_records(struct dentry *dir, const uint8_t *at, size_t len, uint32_t count,
                        struct fuse_dirlist *l) {
    for (uint32_t i = 0; i < count; i++) {
        struct fuse_entry_out entry;
        struct fuse_dirent d;
        if (len < sizeof(entry) + FUSE_NAME_OFFSET) {
            return -EIO;
        }
        memcpy(&entry, at, sizeof(entry));
        memcpy(&d, at + sizeof(entry), FUSE_NAME_OFFSET);
        size_t size = sizeof(entry) + FUSE_DIRENT_ALIGN((size_t)FUSE_NAME_OFFSET +
                                                        MIN(d.namelen, NAME_MAX_LEN + 1u));
        const char *name = (const char *)at + sizeof(entry) + FUSE_NAME_OFFSET;
        if (len < size || !name_ok(name, d.namelen)) {
            return -EIO;
        }
        if (entry.nodeid != 0) {
            fuse_prefill(dir, name, d.namelen, &entry);
        }
        int err = l == NULL ? 0 : list_add(l, name, d.namelen, d.ino, d.type);
        if (err != 0) {
            return err;
        }
        at += size;
        len -= size;
    }
    return 0;
}

/* Brings all entries of `dir` in, with attributes of `what`; their names into `l` if not NULL.
 * Lock: dir->rw, any way. */
static int fetch(struct dentry *dir, uint32_t what, struct fuse_dirlist *l) {
    struct inode *inode = dir->inode;
    struct reply {
        struct fuse_out_header h;
        struct moat_gofer_list_out out;
        uint8_t records[FUSE_LIST_BYTES];
    } *reply = kmalloc(sizeof(*reply));
    struct moat_gofer_list_in in = {.size = FUSE_LIST_BYTES, .what = what};
    struct fuse_call call = {.opcode = MOAT_FUSE_LIST,
                             .nodeid = fuse_inode_of(inode)->nodeid,
                             .in = &in,
                             .in_size = sizeof(in),
                             .reply = reply,
                             .reply_size = sizeof(*reply),
                             .reply_min = sizeof(reply->out)};
    int err = reply == NULL ? -ENOMEM : 0;
    for (uint32_t rounds = 0; err == 0 && rounds <= FUSE_NAMES_MAX; rounds++) {
        int64_t got = fuse_call(fuse_conn_of(inode->sb), &call);
        if (got < 0) {
            err = (int)got;
            break;
        }
        err = take_records(dir, reply->records, (size_t)got - sizeof(reply->out), reply->out.count,
                           l);
        if (err != 0 || reply->out.eof != 0) {
            break;
        }
        if (reply->out.count == 0) {
            err = -EIO; /* not the end, and nothing new */
        }
        in.offset = reply->out.next;
    }
    kfree(reply);
    return err;
}

static uint32_t what_to_list(struct dentry *dir) {
    struct fuse_inode *parent = fuse_inode_of(dir->parent->inode);
    /* Whoever looked at all of the parent's entries will do so here. */
    return parent->filled ? MOAT_GOFER_LIST_ALL : MOAT_GOFER_LIST_DIRS;
}

static struct fuse_dirlist *names_get(struct inode *dir) {
    struct fuse_inode *fi = fuse_inode_of(dir);
    spin_lock(&dir->lock);
    struct fuse_dirlist *l = fi->names;
    if (l != NULL) {
        ref_get(&l->ref);
    }
    spin_unlock(&dir->lock);
    return l;
}

/* A new, complete list, kept by the directory where that is right.  Lock: dir->rw, any way. */
static int names_load(struct dentry *dir, uint32_t what, struct fuse_dirlist **out_list) {
    struct fuse_inode *fi = fuse_inode_of(dir->inode);
    struct fuse_dirlist *old = NULL, *l = kzalloc(sizeof(*l));
    if (l == NULL) {
        return -ENOMEM;
    }
    ref_init(&l->ref);
    int err = fetch(dir, what, l);
    if (err != 0) {
        list_put(l);
        return err;
    }
    if (fuse_conn_of(dir->sb)->exclusive) {
        list_index(l);
        ref_get(&l->ref);
        fi->filled = what == MOAT_GOFER_LIST_ALL;
        fi->asked = 0;
        spin_lock(&dir->inode->lock);
        old = fi->names;
        fi->names = l;
        spin_unlock(&dir->inode->lock);
    }
    list_put(old);
    *out_list = l;
    return 0;
}

void fuse_names_drop(struct inode *dir) {
    struct fuse_inode *fi = fuse_inode_of(dir);
    spin_lock(&dir->lock);
    struct fuse_dirlist *l = fi->names;
    fi->names = NULL;
    spin_unlock(&dir->lock);
    fi->filled = false;
    list_put(l);
}

int fuse_names_has(struct inode *dir, const char *name, size_t len) {
    struct fuse_dirlist *l = names_get(dir);
    int has = l == NULL || l->index == NULL ? -1 : list_has(l, name, len) ? 1 : 0;
    list_put(l);
    return has;
}

void fuse_names_consider(struct dentry *dir) {
    struct inode *inode = dir->inode;
    struct fuse_inode *fi = fuse_inode_of(inode);
    uint32_t asked = ++fi->asked;
    struct fuse_dirlist *l = names_get(inode);
    if (l == NULL) {
        if (asked == NAMES_AFTER && inode->size <= FETCH_SIZE_MAX) {
            (void)!names_load(dir, MOAT_GOFER_LIST_NAMES,
                              &l); /* else the name is asked for singly */
        }
    } else if (!fi->filled && asked == FILL_AFTER && l->count <= FILL_MAX) {
        fi->filled = fetch(dir, MOAT_GOFER_LIST_ALL, NULL) == 0;
    }
    list_put(l);
}

/* ---- the open directory ---- */

static int dir_snapshot(struct file *file) {
    struct fuse_dirlist *l =
        fuse_conn_of(file->inode->sb)->exclusive ? names_get(file->inode) : NULL;
    int err = 0;
    if (l == NULL) {
        rw_read_lock(&file->inode->rw);
        err = names_load(file->path.dentry, what_to_list(file->path.dentry), &l);
        rw_read_unlock(&file->inode->rw);
    }
    if (err == 0) {
        list_put(file->private);
        file->private = l;
    }
    return err;
}

static int fuse_iterate(struct file *file, struct dir_context *ctx) {
    if (ctx->pos == 0 || file->private == NULL) {
        int err = dir_snapshot(file);
        if (err != 0) {
            return err;
        }
    }
    if (!dir_emit_dots(file, ctx)) {
        return 0;
    }
    const struct fuse_dirlist *l = file->private;
    for (uint64_t i = ctx->pos - 2; i < l->count; i++) {
        const struct fuse_name *n = &l->names[i];
        if (!dir_emit(ctx, l->text + n->off, n->len, n->ino, n->type, i + 3)) {
            break;
        }
    }
    file_accessed(file);
    return 0;
}

static void fuse_dir_release(struct file *file) {
    list_put(file->private);
}

static int fuse_dir_fsync(struct file *file, bool data_only) {
    struct fuse_fsync_in in = {.fsync_flags = data_only ? FUSE_FSYNC_FDATASYNC : 0};
    struct fuse_out_header reply;
    struct fuse_call call = {.opcode = FUSE_FSYNCDIR,
                             .nodeid = fuse_inode_of(file->inode)->nodeid,
                             .in = &in,
                             .in_size = sizeof(in),
                             .reply = &reply,
                             .reply_size = sizeof(reply)};
    int64_t got = fuse_call(fuse_conn_of(file->inode->sb), &call);
    return got < 0 ? (int)got : 0;
}

const struct file_ops g_fuse_dir_fops = {
    .release = fuse_dir_release,
    .iterate = fuse_iterate,
    .fsync = fuse_dir_fsync,
};
