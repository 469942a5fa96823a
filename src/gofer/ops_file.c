/* SPDX-License-Identifier: Apache-2.0 */
/* Opening regular files, and their data for clients that do not take descriptors. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "path.h"

/* Does fd stand for the regular file that n is? */
static int check_identity(const struct node *n, int fd) {
    struct statx stx;
    int err = node_stat_at(fd, "", &stx);
    if (err != 0) {
        return err;
    }
    struct node_key key = node_key_of(&stx, n->key.export_index);
    return node_key_equal(&key, &n->key) && S_ISREG(stx.stx_mode) ? 0 : -ESTALE;
}

int open_regular(struct gofer *g, struct node *n, int flags) {
    if (n->type != S_IFREG) {
        return n->type == S_IFDIR ? -EISDIR : -ENXIO;
    }
    if (n->sealed) {
        return -EACCES;
    }
    int access = flags & O_ACCMODE;
    if (access != O_RDONLY && export_read_only(g, n)) {
        return -EROFS;
    }
    const struct export *e = &g->exports[n->key.export_index];
    if (n->parent == NULL && e->file_fd >= 0) {
        int copy = access != O_RDONLY && !e->file_writable ? -EACCES
                                                           : fcntl(e->file_fd, F_DUPFD_CLOEXEC, 0);
        return copy == -1 ? -errno : copy;
    }
    if (n->parent == NULL || n->name == NULL) {
        return -ESTALE;
    }
    if (!e->own_mount) {
        int path_fd = node_fd(g->nodes, n); /* no nodev to hold a device off: look before opening */
        if (path_fd < 0) {
            return path_fd;
        }
    }
    int dir_fd = node_fd(g->nodes, n->parent);
    if (dir_fd < 0) {
        return dir_fd;
    }
    int fd = path_open_child(dir_fd, n->name, access, 0);
    if (fd < 0) {
        return fd == -ENOENT || fd == -ELOOP ? -ESTALE : fd;
    }
    int err = check_identity(n, fd);
    if (err != 0) {
        (void)close(fd); /* not the file that was asked for */
        return err;
    }
    return fd;
}

int open_readable(struct gofer *g, struct node *n) {
    if (n->type != S_IFDIR) {
        return open_regular(g, n, O_RDONLY);
    }
    int fd = node_fd(g->nodes, n);
    return fd < 0 ? fd : path_open_dir(fd);
}

/* Hands an opened file to the client: as a descriptor, or under a handle.  Consumes fd. */
static int hand_out(struct gofer *g, const struct request *req, const struct node *n, int fd,
                    bool donate, bool writable, struct reply *r) {
    struct fuse_open_out *out = reply_add(r, sizeof(*out));
    struct moat_gofer_donation *donation = donate ? reply_add(r, sizeof(*donation)) : NULL;
    *out = (struct fuse_open_out){0};
    if (!donate) {
        uint64_t fh;
        int err = handle_add(g->handles, fd, n->id, &fh);
        if (err != 0) {
            (void)close(fd); /* unused */
            return err;
        }
        out->fh = fh;
        return 0;
    }
    struct statx stx;
    int err = node_stat_at(fd, "", &stx);
    if (err == 0) {
        err = gofer_pass_fd(g, fd, req->h.unique);
    }
    (void)close(fd); /* the client has its own now */
    if (err == 0) {
        *donation = (struct moat_gofer_donation){
            .flags = MOAT_GOFER_DONATED | (writable ? MOAT_GOFER_WRITABLE : 0),
            .size = stx.stx_size,
        };
    }
    return err;
}

int op_open(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_open_in in;
    memcpy(&in, req->body, sizeof(in));
    int access = (int)(in.flags & O_ACCMODE);
    if ((in.flags & O_TRUNC) != 0 && access == O_RDONLY) {
        return -EINVAL;
    }
    int fd = open_regular(g, n, access);
    if (fd < 0) {
        return fd;
    }
    if ((in.flags & O_TRUNC) != 0 && ftruncate(fd, 0) != 0) {
        int err = -errno;
        (void)close(fd); /* unused */
        return err;
    }
    bool donate = (in.open_flags & MOAT_GOFER_OPEN_DONATE) != 0;
    return hand_out(g, req, n, fd, donate, access != O_RDONLY, r);
}

/* Makes the file, or opens the regular file that has the name already. */
static int create_file(struct gofer *g, const struct request *req, struct node *dir,
                       const char *name, const struct fuse_create_in *in, struct reply *r) {
    int access = (int)(in->flags & O_ACCMODE);
    int dir_fd = node_fd(g->nodes, dir);
    if (dir_fd < 0) {
        return dir_fd;
    }
    int fd = path_open_child(dir_fd, name, O_CREAT | O_EXCL | access, in->mode & 07777);
    if (fd < 0 && (fd != -EEXIST || (in->flags & O_EXCL) != 0)) {
        return fd;
    }
    bool made = fd >= 0;
    int err = made ? child_own(g, req, dir_fd, name, S_IFREG | (in->mode & 07777)) : 0;
    struct statx stx;
    struct node *n;
    struct fuse_entry_out *entry = reply_add(r, sizeof(*entry));
    if (err == 0) {
        err = child_lookup(g, dir, name, &stx, &n);
    }
    if (err == 0 && made) {
        err = check_identity(n, fd);
    }
    if (err != 0) {
        if (made) {
            (void)close(fd); /* unused */
        }
        return err;
    }
    if (!made) {
        fd = open_regular(g, n, access);
        if (fd >= 0 && (in->flags & O_TRUNC) != 0 && access != O_RDONLY && ftruncate(fd, 0) == 0) {
            stx.stx_size = 0;
        }
    }
    entry_fill(g, n, &stx, entry);
    bool donate = (in->open_flags & MOAT_GOFER_OPEN_DONATE) != 0;
    err = fd < 0 ? fd : hand_out(g, req, n, fd, donate, access != O_RDONLY, r);
    if (err != 0) {
        node_forget(g->nodes, n, 1); /* the client learns of no node */
    }
    return err;
}

int op_create(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_create_in in;
    const char *name;
    uint32_t next;
    memcpy(&in, req->body, sizeof(in));
    int err = request_name(req, sizeof(in), &name, &next);
    return err != 0 ? err : create_file(g, req, n, name, &in, r);
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
    ssize_t got = pread(fd, r->body, MIN(in.size, r->cap), (off_t)in.offset);
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
    if (in.offset > INT64_MAX || in.size > req->body_len - sizeof(in)) {
        return -EINVAL;
    }
    ssize_t put = pwrite(fd, req->body + sizeof(in), in.size, (off_t)in.offset);
    if (put < 0) {
        return -errno;
    }
    *out = (struct fuse_write_out){.size = (uint32_t)put};
    return 0;
}

int op_flush(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    return 0; /* the host's page cache has everything already */
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
    return fd < 0 ? fd : sync_fd(fd, in.fsync_flags);
}

int op_fsyncdir(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_fsync_in in;
    memcpy(&in, req->body, sizeof(in));
    int fd = open_readable(g, n);
    if (fd < 0) {
        return fd;
    }
    int err = sync_fd(fd, in.fsync_flags);
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
    return fallocate(fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) == 0 ? 0 : -errno;
}
