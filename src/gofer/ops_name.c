/* SPDX-License-Identifier: Apache-2.0 */
/* Making, removing, moving and linking names. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "path.h"

#define TARGET_MAX 4095u

int op_readlink(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    if (n->type != S_IFLNK) {
        return -EINVAL;
    }
    char target[TARGET_MAX + 1];
    int fd = node_fd(g->nodes, n);
    if (fd < 0) {
        return fd;
    }
    ssize_t len = readlinkat(fd, "", target, sizeof(target));
    if (len < 0) {
        return -errno;
    }
    memcpy(reply_add(r, (size_t)len), target, (size_t)len);
    return 0;
}

int child_own(struct gofer *g, const struct request *req, int dir_fd, const char *name,
              uint32_t mode) {
    int fd = path_open_child(dir_fd, name, O_PATH, 0);
    if (fd < 0) {
        return fd;
    }
    struct statx dir_stx, stx;
    bool set_gid_dir = node_stat_at(dir_fd, "", &dir_stx) == 0 && (dir_stx.stx_mode & S_ISGID) != 0;
    int err = node_stat_at(fd, "", &stx);
    if (err == 0 && (stx.stx_mode & S_IFMT) != (mode & S_IFMT)) {
        err = -ESTALE; /* somebody put another file in its place */
    }
    /* A set-group-ID directory gave it its own group, and keeps it (inode(7)). */
    uint32_t gid = set_gid_dir ? stx.stx_gid : req->h.gid;
    if (err == 0 && (stx.stx_uid != req->h.uid || stx.stx_gid != gid)) {
        /* An unprivileged Gofer cannot: then its files are its user's. */
        (void)!fchownat(fd, "", req->h.uid, gid, AT_EMPTY_PATH);
        if ((mode & (S_ISUID | S_ISGID)) != 0 && S_ISREG(mode)) {
            (void)!syscall(452 /* fchmodat2 */, fd, "", mode & 07777,
                           AT_EMPTY_PATH); /* chown dropped the bits */
        }
    }
    (void)close(fd); /* O_PATH */
    return err;
}

/* Owner and reply of a name just made. */
static int made(struct gofer *g, const struct request *req, struct node *dir, const char *name,
                uint32_t mode, struct reply *r) {
    int fd = node_fd(g->nodes, dir);
    int err = fd < 0 ? fd : child_own(g, req, fd, name, mode);
    return err != 0 ? err : child_reply(g, dir, name, r);
}

int op_symlink(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    const char *name;
    uint32_t next, end;
    int err = request_name(req, 0, &name, &next);
    if (err != 0) {
        return err;
    }
    const char *target = request_string(req, next, &end);
    if (target == NULL || target[0] == '\0') {
        return -EINVAL;
    }
    if (end - next - 1 > TARGET_MAX) {
        return -ENAMETOOLONG;
    }
    int fd = node_fd(g->nodes, n);
    if (fd < 0) {
        return fd;
    }
    return symlinkat(target, fd, name) != 0 ? -errno : made(g, req, n, name, S_IFLNK, r);
}

int op_mknod(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_mknod_in in;
    const char *name;
    uint32_t next;
    memcpy(&in, req->body, sizeof(in));
    int err = request_name(req, sizeof(in), &name, &next);
    if (err != 0) {
        return err;
    }
    /*
     * A machine's FIFOs and sockets work in the machine; on the host they are names that the Gofer
     * never opens.  A Sentry keeps its own to itself.  Devices never reach the host.
     */
    bool name_only = g->vhost && (S_ISFIFO(in.mode) || S_ISSOCK(in.mode));
    if (!S_ISREG(in.mode) && !name_only) {
        return -EPERM;
    }
    int dir_fd = node_fd(g->nodes, n);
    if (dir_fd < 0) {
        return dir_fd;
    }
    if (name_only) {
        return mknodat(dir_fd, name, in.mode & (S_IFMT | 07777), 0) != 0
                   ? -errno
                   : made(g, req, n, name, in.mode & (S_IFMT | 07777), r);
    }
    int fd = path_open_child(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY, in.mode & 07777);
    if (fd < 0) {
        return fd;
    }
    (void)close(fd); /* empty */
    return made(g, req, n, name, S_IFREG | (in.mode & 07777), r);
}

int op_mkdir(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_mkdir_in in;
    const char *name;
    uint32_t next;
    memcpy(&in, req->body, sizeof(in));
    int err = request_name(req, sizeof(in), &name, &next);
    if (err != 0) {
        return err;
    }
    int fd = node_fd(g->nodes, n);
    if (fd < 0) {
        return fd;
    }
    return mkdirat(fd, name, in.mode & 07777) != 0
               ? -errno
               : made(g, req, n, name, S_IFDIR | (in.mode & 07777), r);
}

static int remove_name(struct gofer *g, const struct request *req, struct node *dir, int flags) {
    const char *name;
    uint32_t next;
    struct statx stx;
    int err = request_name(req, 0, &name, &next);
    if (err != 0) {
        return err;
    }
    node_name_going(g->nodes, dir, name);
    int fd = node_fd(g->nodes, dir);
    if (fd < 0) {
        return fd;
    }
    err = node_stat_at(fd, name, &stx);
    if (err != 0) {
        return err;
    }
    if (unlinkat(fd, name, flags) != 0) {
        return -errno;
    }
    struct node_key key = node_key_of(&stx, dir->key.export_index);
    node_name_gone(g->nodes, dir, name, &key);
    return 0;
}

int op_unlink(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    return remove_name(g, req, n, 0);
}

int op_rmdir(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    return remove_name(g, req, n, AT_REMOVEDIR);
}

struct move {
    struct node *old_dir, *new_dir;
    const char *old_name, *new_name;
    uint32_t flags;
};

static int move_names(struct gofer *g, const struct move *m) {
    struct statx old_stx, new_stx;
    if ((m->flags & RENAME_EXCHANGE) == 0) {
        node_name_going(g->nodes, m->new_dir, m->new_name);
    }
    int old_fd = node_fd(g->nodes, m->old_dir);
    int new_fd = node_fd(g->nodes, m->new_dir);
    if (old_fd < 0 || new_fd < 0) {
        return old_fd < 0 ? old_fd : new_fd;
    }
    int err = node_stat_at(old_fd, m->old_name, &old_stx);
    if (err != 0) {
        return err;
    }
    bool had_target = node_stat_at(new_fd, m->new_name, &new_stx) == 0;
    /* Not through libc, which takes renameat for it when there are no flags. */
    if (syscall(SYS_renameat2, old_fd, m->old_name, new_fd, m->new_name, m->flags) != 0) {
        return -errno;
    }
    struct node_key old_key = node_key_of(&old_stx, m->old_dir->key.export_index);
    if (had_target) {
        struct node_key new_key = node_key_of(&new_stx, m->new_dir->key.export_index);
        bool same = new_key.ino == old_key.ino &&
                    new_key.dev == old_key.dev; /* two links of one file: nothing happened */
        if ((m->flags & RENAME_EXCHANGE) != 0) {
            node_moved(g->nodes, m->old_dir, m->old_name, &new_key);
        } else if (!same) {
            node_name_gone(g->nodes, m->new_dir, m->new_name, &new_key);
        }
    }
    node_moved(g->nodes, m->new_dir, m->new_name, &old_key);
    return 0;
}

static int rename_common(struct gofer *g, const struct request *req, struct node *n,
                         uint64_t newdir, uint32_t flags, uint32_t names_off) {
    struct move m = {.old_dir = n, .flags = flags};
    uint32_t next, end;
    int err = request_name(req, names_off, &m.old_name, &next);
    if (err == 0) {
        err = request_name(req, next, &m.new_name, &end);
    }
    if (err != 0) {
        return err;
    }
    m.new_dir = node_find(g->nodes, newdir);
    if (m.new_dir == NULL) {
        return -ESTALE;
    }
    if (m.new_dir->type != S_IFDIR) {
        return -ENOTDIR;
    }
    if (m.new_dir->key.export_index != n->key.export_index) {
        return -EXDEV;
    }
    if (m.new_dir->sealed) {
        return -EROFS;
    }
    if ((flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) {
        return -EINVAL;
    }
    return move_names(g, &m);
}

int op_rename(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_rename_in in;
    memcpy(&in, req->body, sizeof(in));
    return rename_common(g, req, n, in.newdir, 0, sizeof(in));
}

int op_rename2(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_rename2_in in;
    memcpy(&in, req->body, sizeof(in));
    return rename_common(g, req, n, in.newdir, in.flags, sizeof(in));
}

int op_link(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_link_in in;
    const char *name;
    uint32_t next;
    memcpy(&in, req->body, sizeof(in));
    int err = request_name(req, sizeof(in), &name, &next);
    if (err != 0) {
        return err;
    }
    struct node *old = node_find(g->nodes, in.oldnodeid);
    if (old == NULL || old->parent == NULL || old->name == NULL) {
        return -ESTALE;
    }
    if (old->key.export_index != n->key.export_index) {
        return -EXDEV;
    }
    if (old->type == S_IFDIR) {
        return -EPERM;
    }
    int old_fd = node_fd(g->nodes, old->parent);
    int new_fd = node_fd(g->nodes, n);
    if (old_fd < 0 || new_fd < 0) {
        return old_fd < 0 ? old_fd : new_fd;
    }
    if (linkat(old_fd, old->name, new_fd, name, 0) != 0) {
        return -errno;
    }
    struct statx stx;
    err = node_stat_at(new_fd, name, &stx);
    if (err == 0) {
        struct node_key key = node_key_of(&stx, n->key.export_index);
        if (key.ino != old->key.ino || key.dev != old->key.dev) {
            (void)unlinkat(new_fd, name,
                           0); /* another file had taken the old name: ours was not linked */
            return -ESTALE;
        }
    }
    return err != 0 ? err : child_reply(g, n, name, r);
}
