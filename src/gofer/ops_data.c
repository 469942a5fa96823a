/* SPDX-License-Identifier: Apache-2.0 */
/* Data of files that are open under handles: reading, writing, space, sync. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* At most so much is copied by one request, as nothing else is served meanwhile. */
#define COPY_MAX (64u << 20)

int kill_set_id(int fd) {
    struct statx stx;
    int err = node_stat_at(fd, "", &stx);
    if (err != 0) {
        return err;
    }
    unsigned int mode = stx.stx_mode, keep = 07777u & ~(unsigned int)S_ISUID;
    if ((mode & S_IXGRP) != 0) {
        keep &= ~(unsigned int)S_ISGID; /* without it, the bit means mandatory locking: stat(2) */
    }
    return (mode & 07777u & ~keep) == 0 || fchmod(fd, mode & keep) == 0 ? 0 : -errno;
}

int op_read(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_read_in in;
    memcpy(&in, req->body, sizeof(in));
    int fd = handle_fd(g->handles, in.fh, req->h.nodeid);
    if (fd < 0) {
        return fd;
    }
    if (in.offset > INT64_MAX) {
        return -EINVAL;
    }
    r->in_data = r->data.count > 0;
    if (r->in_data && in.size != r->data.size) {
        return -EINVAL; /* the client's places are as long as what it asks for */
    }
    ssize_t got = r->in_data ? preadv(fd, r->data.iov, (int)r->data.count, (off_t)in.offset)
                             : pread(fd, r->body, MIN(in.size, r->cap), (off_t)in.offset);
    if (got < 0) {
        return -errno;
    }
    r->len = (uint32_t)got;
    return 0;
}

int op_write(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_write_in in;
    memcpy(&in, req->body, sizeof(in));
    struct fuse_write_out *out = reply_add(r, sizeof(*out));
    int fd = handle_fd(g->handles, in.fh, req->h.nodeid);
    if (fd < 0) {
        return fd;
    }
    bool in_place = req->data.count > 0;
    uint64_t room = in_place ? req->data.size : req->body_len - sizeof(in);
    if (in.offset > INT64_MAX || (in_place ? in.size != room : in.size > room)) {
        return -EINVAL;
    }
    int err = (in.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0 ? kill_set_id(fd) : 0;
    if (err != 0) {
        return err;
    }
    ssize_t put = in_place ? pwritev(fd, req->data.iov, (int)req->data.count, (off_t)in.offset)
                           : pwrite(fd, req->body + sizeof(in), in.size, (off_t)in.offset);
    if (put < 0) {
        return -errno;
    }
    *out = (struct fuse_write_out){.size = (uint32_t)put};
    return 0;
}

int op_flush(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    /* The host's page cache has everything already; a client that is told ENOSYS asks no more. */
    return g->vhost ? -ENOSYS : 0;
}

int op_release(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_release_in in;
    memcpy(&in, req->body, sizeof(in));
    return handle_remove(g->handles, in.fh);
}

static int sync_fd(int fd, uint32_t flags) {
    int err = (flags & FUSE_FSYNC_FDATASYNC) != 0 ? fdatasync(fd) : fsync(fd);
    return err == 0 ? 0 : -errno;
}

int op_fsync(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_fsync_in in;
    memcpy(&in, req->body, sizeof(in));
    int fd = handle_fd(g->handles, in.fh, req->h.nodeid);
    return fd < 0 ? fd : export_read_only(g, n) ? 0 : sync_fd(fd, in.fsync_flags);
}

int op_fsyncdir(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_fsync_in in;
    memcpy(&in, req->body, sizeof(in));
    if (export_read_only(g, n)) {
        return 0;
    }
    int fd = open_readable(g, n);
    if (fd < 0) {
        return fd;
    }
    int err = sync_fd(fd, in.fsync_flags);
    (void)close(fd); /* read-only */
    return err;
}

int op_syncfs(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    if (export_read_only(g, n)) {
        return 0; /* nothing of the client's to write */
    }
    int fd = open_readable(g, n);
    if (fd < 0) {
        return fd;
    }
    int err = syncfs(fd) == 0 ? 0 : -errno;
    (void)close(fd); /* read-only */
    return err;
}

int op_fallocate(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_fallocate_in in;
    memcpy(&in, req->body, sizeof(in));
    int fd = handle_fd(g->handles, in.fh, req->h.nodeid);
    if (fd < 0) {
        return fd;
    }
    if ((in.mode &
         ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
        return -EOPNOTSUPP;
    }
    if (in.offset > INT64_MAX || in.length > INT64_MAX) {
        return -EINVAL;
    }
    int err = g->vhost ? kill_set_id(fd) : 0; /* this message has no flag that asks for it */
    return err != 0                                                               ? err
           : fallocate(fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) == 0 ? 0
                                                                                  : -errno;
}

int op_lseek(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_lseek_in in;
    memcpy(&in, req->body, sizeof(in));
    struct fuse_lseek_out *out = reply_add(r, sizeof(*out));
    int fd = handle_fd(g->handles, in.fh, req->h.nodeid);
    if (fd < 0) {
        return fd;
    }
    if (n->type != S_IFREG || (in.whence != SEEK_DATA && in.whence != SEEK_HOLE) ||
        in.offset > INT64_MAX) {
        return -EINVAL; /* the client knows the other positions by itself */
    }
    off_t at = lseek(fd, (off_t)in.offset, (int)in.whence);
    if (at < 0) {
        return -errno;
    }
    *out = (struct fuse_lseek_out){.offset = (uint64_t)at};
    return 0;
}

int op_copy_file_range(struct gofer *g, const struct request *req, struct node *n,
                       struct reply *r) {
    struct fuse_copy_file_range_in in;
    memcpy(&in, req->body, sizeof(in));
    struct fuse_write_out *out = reply_add(r, sizeof(*out));
    int from = handle_fd(g->handles, in.fh_in, req->h.nodeid);
    int to = handle_fd(g->handles, in.fh_out, in.nodeid_out);
    if (from < 0 || to < 0) {
        return -EBADF;
    }
    if (in.off_in > INT64_MAX || in.off_out > INT64_MAX || in.flags != 0) {
        return -EINVAL;
    }
    const struct node *target = node_find(g->nodes, in.nodeid_out);
    if (target == NULL || export_read_only(g, target)) {
        return target == NULL ? -ESTALE : -EROFS;
    }
    off_t off_in = (off_t)in.off_in, off_out = (off_t)in.off_out;
    int err = kill_set_id(to); /* as in op_fallocate */
    if (err != 0) {
        return err;
    }
    ssize_t put = copy_file_range(from, &off_in, to, &off_out, MIN(in.len, (uint64_t)COPY_MAX), 0);
    if (put < 0) {
        return -errno;
    }
    *out = (struct fuse_write_out){.size = (uint32_t)put};
    return 0;
}
