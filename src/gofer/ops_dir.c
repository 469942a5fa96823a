/* SPDX-License-Identifier: Apache-2.0 */
/* Reading directories: with a handle as FUSE has it, and MOAT_FUSE_LIST without. */
#include "ops.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "path.h"

struct host_dirent { /* struct linux_dirent64, getdents64(2) */
    uint64_t ino;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

struct listing {
    struct gofer *g;
    struct node *dir;
    struct reply *r;
    uint32_t limit; /* reply length not to be passed */
    uint32_t what;  /* MOAT_GOFER_LIST_* */
    bool plus;      /* struct fuse_direntplus, else struct fuse_dirent */
    bool dots;      /* with "." and ".." */
    uint64_t next;  /* of the last entry taken */
    uint32_t count;
    bool eof;
};

/* Attributes of an entry, as far as they are wanted; an entry that went away meanwhile gets none.
 */
static void list_attributes(struct listing *l, const struct host_dirent *d,
                            struct fuse_entry_out *out) {
    struct statx stx;
    struct node *n;
    memset(out, 0, sizeof(*out));
    out->attr.ino = d->ino;
    out->attr.mode = (uint32_t)d->type << 12;
    bool dot =
        d->name[0] == '.' && (d->name[1] == '\0' || (d->name[1] == '.' && d->name[2] == '\0'));
    bool wanted = l->what == MOAT_GOFER_LIST_ALL ||
                  (l->what == MOAT_GOFER_LIST_DIRS && (d->type == DT_DIR || d->type == DT_UNKNOWN));
    if (wanted && !dot && child_lookup(l->g, l->dir, d->name, &stx, &n) == 0) {
        entry_fill(l->g, n, &stx, out);
    }
}

/* Appends one entry; false when the reply is full. */
static bool list_add(struct listing *l, const struct host_dirent *d) {
    size_t len = strnlen(d->name, GOFER_NAME_MAX + 1);
    size_t head = l->plus ? sizeof(struct fuse_entry_out) : 0;
    size_t size = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + len);
    if (len > GOFER_NAME_MAX) {
        return true; /* such a name cannot be asked for */
    }
    if (l->r->len + size > l->limit) {
        return false;
    }
    uint8_t *at = reply_add(l->r, size);
    if (at == NULL) {
        return false;
    }
    struct fuse_dirent entry = {
        .ino = d->ino, .off = (uint64_t)d->next, .namelen = (uint32_t)len, .type = d->type};
    if (l->plus) {
        struct fuse_entry_out out;
        list_attributes(l, d, &out);
        entry.ino = out.attr.ino;
        entry.type = (out.attr.mode & S_IFMT) >> 12;
        memcpy(at, &out, sizeof(out));
    }
    memset(at + head, 0, size - head);
    memcpy(at + head, &entry, FUSE_NAME_OFFSET);
    memcpy(at + head + FUSE_NAME_OFFSET, d->name, len);
    l->next = (uint64_t)d->next;
    l->count++;
    return true;
}

/* Fills the reply with the entries of `fd` from `offset` on. */
static int list_fill(struct listing *l, int fd, uint64_t offset) {
    static uint8_t buf[32 * 1024] __attribute__((aligned(8))); /* one thread */
    l->next = offset;
    if (offset != 0 && lseek(fd, (off_t)offset, SEEK_SET) < 0) {
        return -EINVAL;
    }
    /* The host's entries are shorter than ours: more than fits need not be read. */
    size_t room = l->limit - l->r->len, entry = l->plus ? sizeof(struct fuse_direntplus) / 2 : 1;
    size_t size = MIN(sizeof(buf), MAX(room / entry, (size_t)GOFER_NAME_MAX + 25));
    for (;;) {
        long got = syscall(SYS_getdents64, fd, buf, size);
        if (got < 0) {
            return l->count > 0 ? 0 : -errno;
        }
        if (got == 0) {
            l->eof = true;
            return 0;
        }
        for (long pos = 0; pos < got;) {
            const struct host_dirent *d = (const void *)(buf + pos);
            pos += d->size;
            bool dot = d->name[0] == '.' &&
                       (d->name[1] == '\0' || (d->name[1] == '.' && d->name[2] == '\0'));
            if (dot && !l->dots) {
                l->next = (uint64_t)d->next;
            } else if (!list_add(l, d)) {
                return 0;
            }
        }
    }
}

int op_list(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct moat_gofer_list_in in;
    memcpy(&in, req->body, sizeof(in));
    struct moat_gofer_list_out *out = reply_add(r, sizeof(*out));
    struct listing l = {.g = g, .dir = n, .r = r, .what = in.what, .plus = true};
    l.limit = (uint32_t)sizeof(*out) + MIN(in.size, r->cap - (uint32_t)sizeof(*out));
    if (n->sealed) {
        l.eof = true;
    } else {
        int fd = open_readable(g, n);
        if (fd < 0) {
            return fd;
        }
        int err = list_fill(&l, fd, in.offset);
        (void)close(fd); /* read-only */
        if (err != 0) {
            return err;
        }
    }
    if (!l.eof && l.count == 0) {
        return -EINVAL; /* no room for one entry */
    }
    *out = (struct moat_gofer_list_out){.next = l.next, .count = l.count, .eof = l.eof};
    return 0;
}

int op_opendir(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    uint64_t fh;
    struct fuse_open_out *out = reply_add(r, sizeof(*out));
    int fd = open_readable(g, n);
    if (fd < 0) {
        return fd;
    }
    int err = handle_add(g->handles, fd, n->id, &fh);
    if (err != 0) {
        (void)close(fd); /* unused */
        return err;
    }
    *out = (struct fuse_open_out){.fh = fh};
    return 0;
}

static int read_handle(struct gofer *g, const struct request *req, struct node *n, struct reply *r,
                       bool plus) {
    struct fuse_read_in in;
    memcpy(&in, req->body, sizeof(in));
    int fd = handle_fd(g->handles, in.fh, req->h.nodeid);
    if (fd < 0) {
        return fd;
    }
    if (n->sealed) {
        return 0;
    }
    struct listing l = {.g = g,
                        .dir = n,
                        .r = r,
                        .what = plus ? MOAT_GOFER_LIST_ALL : MOAT_GOFER_LIST_NAMES,
                        .plus = plus,
                        .dots = true,
                        .limit = MIN(in.size, r->cap)};
    if (in.offset == 0 && lseek(fd, 0, SEEK_SET) < 0) {
        return -errno;
    }
    return list_fill(&l, fd, in.offset);
}

int op_readdir(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    return read_handle(g, req, n, r, false);
}

int op_readdirplus(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    return read_handle(g, req, n, r, true);
}
