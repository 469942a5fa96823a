/* SPDX-License-Identifier: Apache-2.0 */
/* Opening regular files: as descriptors for a Sentry, under handles for others. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "path.h"

/* Change times have the resolution of the host's tick: a younger one says little. */
#define TICK_NS 20000000ll

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

/*
 * May the client keep what it cached of the file when it was opened before?  If the file was not
 * changed since, by whomever.  (What changes while it is open the client finds by its attributes.)
 */
static bool unchanged_since_opened(struct node *n, int fd) {
    struct statx stx;
    struct timespec now;
    if (node_stat_at(fd, "", &stx) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return false;
    }
    const struct statx_timestamp *c = &stx.stx_ctime;
    bool same = c->tv_sec == n->opened.tv_sec && c->tv_nsec == n->opened.tv_nsec;
    bool old = now.tv_sec - c->tv_sec > 1 ||
               (now.tv_sec - c->tv_sec) * 1000000000ll + now.tv_nsec - c->tv_nsec > TICK_NS;
    n->opened = old ? *c : (struct statx_timestamp){0};
    return same && old;
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
    int fd = path_open_child(dir_fd, n->name, flags & (O_ACCMODE | O_APPEND), 0);
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
static int hand_out(struct gofer *g, const struct request *req, struct node *n, int fd, bool donate,
                    bool writable, struct reply *r) {
    struct fuse_open_out *out = reply_add(r, sizeof(*out));
    struct moat_gofer_donation *donation = donate ? reply_add(r, sizeof(*donation)) : NULL;
    *out = (struct fuse_open_out){0};
    if (!donate) {
        uint64_t fh;
        if (g->vhost && unchanged_since_opened(n, fd)) {
            out->open_flags = FOPEN_KEEP_CACHE;
        }
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

static bool wants_descriptor(const struct gofer *g, uint32_t open_flags) {
    return !g->vhost && (open_flags & MOAT_GOFER_OPEN_DONATE) != 0;
}

/* What of the client's flags the host's open gets. */
static int host_flags(uint32_t flags, bool donate) {
    return (int)(flags & (O_ACCMODE | (donate ? 0u : (uint32_t)O_APPEND)));
}

/* O_TRUNC of an opened file; FUSE_OPEN_KILL_SUIDGID says that the caller may not keep its set-id
 * bits. */
static int truncate_opened(int fd, uint32_t open_flags) {
    int err = (open_flags & FUSE_OPEN_KILL_SUIDGID) != 0 ? kill_set_id(fd) : 0;
    return err != 0 ? err : ftruncate(fd, 0) == 0 ? 0 : -errno;
}

int op_open(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_open_in in;
    memcpy(&in, req->body, sizeof(in));
    int access = (int)(in.flags & O_ACCMODE);
    bool donate = wants_descriptor(g, in.open_flags);
    if ((in.flags & O_TRUNC) != 0 && access == O_RDONLY) {
        if (!g->vhost) {
            return -EINVAL;
        }
        in.flags |= O_RDWR; /* open(2): it truncates all the same */
    }
    int fd = open_regular(g, n, host_flags(in.flags, donate));
    if (fd < 0) {
        return fd;
    }
    int err = (in.flags & O_TRUNC) != 0 ? truncate_opened(fd, in.open_flags) : 0;
    if (err != 0) {
        (void)close(fd); /* unused */
        return err;
    }
    return hand_out(g, req, n, fd, donate, access != O_RDONLY, r);
}

/* Makes the file, or opens the regular file that has the name already. */
static int create_file(struct gofer *g, const struct request *req, struct node *dir,
                       const char *name, const struct fuse_create_in *in, struct reply *r) {
    int access = (int)(in->flags & O_ACCMODE);
    bool donate = wants_descriptor(g, in->open_flags);
    int flags = host_flags(in->flags, donate);
    int dir_fd = node_fd(g->nodes, dir);
    if (dir_fd < 0) {
        return dir_fd;
    }
    int fd = path_open_child(dir_fd, name, O_CREAT | O_EXCL | flags, in->mode & 07777);
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
        fd = open_regular(g, n, flags);
        if (fd >= 0 && (in->flags & O_TRUNC) != 0 && access != O_RDONLY &&
            truncate_opened(fd, in->open_flags) == 0) {
            stx.stx_size = 0;
        }
    }
    entry_fill(g, n, &stx, entry);
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
