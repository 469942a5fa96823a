/* SPDX-License-Identifier: Apache-2.0 */
/* Session, look-up, attributes. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "path.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* Seconds for which a client that does not own the tree may believe names and attributes. */
#define VALID_SEC 1
/* Largest read or write of a virtual machine (linux/fuse.h: max_pages; the host's IOV_MAX is
 * more). */
#define VHOST_IO_PAGES 256u

int request_name(const struct request *req, uint32_t off, const char **out_name,
                 uint32_t *out_next) {
    const char *name = request_string(req, off, out_next);
    if (name == NULL) {
        return -EINVAL;
    }
    *out_name = name;
    return path_check_name(name, *out_next - off - 1);
}

/*
 * What a virtual machine's kernel is told: large requests, attributes with directory entries, a
 * mount of its own for each mount (so that they have device numbers), set-id bits taken away here
 * instead of being asked for before each write.  Locks stay in the machine: none is offered.
 */
static void init_vhost(const struct fuse_init_in *in, struct fuse_init_out *out) {
    const uint32_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
                            FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
                            FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
                            FUSE_CACHE_SYMLINKS | FUSE_SUBMOUNTS | FUSE_HANDLE_KILLPRIV_V2;
    *out = (struct fuse_init_out){
        .major = FUSE_KERNEL_VERSION,
        .minor = MIN(in->minor, 36u),
        .max_readahead = in->max_readahead,
        .flags = in->flags & wanted,
        .max_write = VHOST_IO_PAGES * 4096,
        .time_gran = 1,
        .max_pages = VHOST_IO_PAGES,
    };
}

int op_init(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_init_in in = {0};
    memcpy(&in, req->body, MIN(sizeof(in), (size_t)req->body_len));
    if (in.major != FUSE_KERNEL_VERSION) {
        return -EPROTO;
    }
    struct fuse_init_out *out = reply_add(r, sizeof(*out));
    if (g->vhost) {
        handles_drop(g->handles); /* a machine that starts anew has none open */
        init_vhost(&in, out);
        return 0;
    }
    *out = (struct fuse_init_out){
        .major = FUSE_KERNEL_VERSION,
        .minor = MIN(in.minor, 36u),
        .max_readahead = 128 * 1024,
        .flags = in.flags &
                 (FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS | FUSE_ATOMIC_O_TRUNC | FUSE_HAS_IOCTL_DIR),
        .max_background = 1,
        .congestion_threshold = 1,
        .max_write = 128 * 1024,
        .time_gran = 1,
    };
    return 0;
}

int op_destroy(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    return 0;
}

/* File systems that a mount below an export may be entered for.  Those that show the host itself
 * (proc, sysfs, ...) are not. */
static bool fs_is_storage(int fd) {
    static const uint64_t storage[] = {
        EXT4_SUPER_MAGIC,
        0x58465342 /* xfs */,
        BTRFS_SUPER_MAGIC,
        F2FS_SUPER_MAGIC,
        OVERLAYFS_SUPER_MAGIC,
        TMPFS_MAGIC,
        RAMFS_MAGIC,
        SQUASHFS_MAGIC,
        EROFS_SUPER_MAGIC_V1,
        ISOFS_SUPER_MAGIC,
        MSDOS_SUPER_MAGIC,
        0x2011bab0 /* exfat */,
        0x7366746e /* ntfs3 */,
        FUSE_SUPER_MAGIC,
        NFS_SUPER_MAGIC,
        0xff534d42 /* cifs */,
        0xfe534d42 /* smb2 */,
        V9FS_MAGIC,
        0x2fc12fc1 /* zfs */,
        0xca451a4e /* bcachefs */,
        0x3153464a /* jfs */,
        REISERFS_SUPER_MAGIC,
        0x00c36400 /* ceph */,
        0x01161970 /* gfs2 */,
        0x7461636f /* ocfs2 */,
    };
    struct statfs sfs;
    if (fstatfs(fd, &sfs) != 0) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(storage); i++) {
        if ((uint64_t)sfs.f_type == storage[i]) {
            return true;
        }
    }
    return false;
}

static bool must_seal(struct gofer *g, struct node *n) {
    if ((g->exports[n->key.export_index].flags & MOAT_GOFER_EXPORT_ONE_FS) != 0) {
        return true;
    }
    int fd = node_fd(g->nodes, n);
    return fd < 0 || !fs_is_storage(fd);
}

int child_lookup(struct gofer *g, struct node *dir, const char *name, struct statx *out_stx,
                 struct node **out_node) {
    if (dir->sealed) {
        return dir->top ? top_lookup(g, name, out_stx, out_node) : -ENOENT;
    }
    int fd = node_fd(g->nodes, dir);
    if (fd < 0) {
        return fd;
    }
    int err = node_stat_at(fd, name, out_stx);
    if (err == 0) {
        err = node_lookup(g->nodes, dir, name, out_stx, out_node);
    }
    if (err == 0 && out_stx->stx_mnt_id != dir->key.mnt && (*out_node)->lookups == 1) {
        (*out_node)->sealed = must_seal(g, *out_node);
    }
    return err;
}

static uint64_t guest_ino(const struct gofer *g, const struct node *n, const struct statx *stx) {
    uint64_t dev = ((uint64_t)stx->stx_dev_major << 32) | stx->stx_dev_minor;
    uint64_t root = g->exports[n->key.export_index].dev;
    /* A Sentry shows one export as one device: numbers of mounts below it are moved apart. */
    return dev == root || g->vhost
               ? stx->stx_ino
               : stx->stx_ino ^ ((dev * 0x9e3779b97f4a7c15ull) & 0xffff000000000000ull);
}

void attr_fill(const struct gofer *g, const struct node *n, const struct statx *stx,
               struct fuse_attr *out) {
    *out = (struct fuse_attr){
        .ino = guest_ino(g, n, stx),
        .size = stx->stx_size,
        .blocks = stx->stx_blocks,
        .atime = (uint64_t)stx->stx_atime.tv_sec,
        .mtime = (uint64_t)stx->stx_mtime.tv_sec,
        .ctime = (uint64_t)stx->stx_ctime.tv_sec,
        .atimensec = stx->stx_atime.tv_nsec,
        .mtimensec = stx->stx_mtime.tv_nsec,
        .ctimensec = stx->stx_ctime.tv_nsec,
        .mode = stx->stx_mode,
        .nlink = stx->stx_nlink,
        .uid = stx->stx_uid,
        .gid = stx->stx_gid,
        .rdev = (stx->stx_rdev_minor & 0xff) | (stx->stx_rdev_major << 8) |
                ((stx->stx_rdev_minor & ~0xffu) << 12),
        .blksize = stx->stx_blksize,
    };
}

void entry_fill(const struct gofer *g, const struct node *n, const struct statx *stx,
                struct fuse_entry_out *out) {
    *out =
        (struct fuse_entry_out){.nodeid = n->id, .entry_valid = VALID_SEC, .attr_valid = VALID_SEC};
    attr_fill(g, n, stx, &out->attr);
    /* A mount: the client gives it a device number of its own.  One that is shown empty is a folder
     * like others, as an overlay cannot be laid over mounts. */
    if (g->vhost && n->type == S_IFDIR && (!n->sealed || n->top) &&
        (n->parent == NULL || n->parent->key.mnt != n->key.mnt)) {
        out->attr.flags = FUSE_ATTR_SUBMOUNT;
    }
}

int child_reply(struct gofer *g, struct node *dir, const char *name, struct reply *r) {
    struct statx stx;
    struct node *n;
    struct fuse_entry_out *out = reply_add(r, sizeof(*out));
    int err = child_lookup(g, dir, name, &stx, &n);
    if (err == 0) {
        entry_fill(g, n, &stx, out);
    }
    return err;
}

int op_lookup(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    const char *name;
    uint32_t next;
    int err = request_name(req, 0, &name, &next);
    return err != 0 ? err : child_reply(g, n, name, r);
}

int op_forget(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_forget_in in;
    memcpy(&in, req->body, sizeof(in));
    struct node *known = node_find(g->nodes, req->h.nodeid);
    if (known != NULL) {
        node_forget(g->nodes, known, in.nlookup);
    }
    return 0;
}

int op_batch_forget(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_batch_forget_in in;
    struct fuse_forget_one one;
    memcpy(&in, req->body, sizeof(in));
    for (uint32_t i = 0; i < in.count; i++) {
        size_t off = sizeof(in) + (size_t)i * sizeof(one);
        if (off + sizeof(one) > req->body_len) {
            break;
        }
        memcpy(&one, req->body + off, sizeof(one));
        struct node *known = node_find(g->nodes, one.nodeid);
        if (known != NULL) {
            node_forget(g->nodes, known, one.nlookup);
        }
    }
    return 0;
}

/* By an open handle of its, if there is one (>= 0): its name may be gone. */
static int attr_reply(struct gofer *g, struct node *n, int handle, struct reply *r) {
    struct statx stx;
    struct fuse_attr_out *out = reply_add(r, sizeof(*out));
    int fd = handle >= 0 ? handle : node_fd(g->nodes, n);
    int err = fd < 0 ? fd : node_stat_at(fd, "", &stx);
    if (err == 0) {
        *out = (struct fuse_attr_out){.attr_valid = VALID_SEC};
        attr_fill(g, n, &stx, &out->attr);
    }
    return err;
}

int op_getattr(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_getattr_in in = {0};
    memcpy(&in, req->body, MIN(sizeof(in), (size_t)req->body_len));
    bool by_handle = (in.getattr_flags & FUSE_GETATTR_FH) != 0;
    return attr_reply(g, n, by_handle ? handle_fd(g->handles, in.fh, req->h.nodeid) : -1, r);
}

static int set_mode(struct gofer *g, struct node *n, uint32_t mode) {
    if (n->type == S_IFLNK) {
        return -EOPNOTSUPP;
    }
    int fd = node_fd(g->nodes, n);
    if (fd < 0) {
        return fd;
    }
    if (syscall(SYS_fchmodat2, fd, "", mode & 07777, AT_EMPTY_PATH) == 0) {
        return 0;
    }
    if (errno != ENOSYS && errno != EINVAL) {
        return -errno;
    }
    fd = open_readable(g, n); /* before Linux 6.6 */
    if (fd < 0) {
        return fd;
    }
    int err = fchmod(fd, mode & 07777) == 0 ? 0 : -errno;
    (void)close(fd); /* read-only */
    return err;
}

static int set_owner(struct gofer *g, struct node *n, const struct fuse_setattr_in *in) {
    uid_t uid = (in->valid & FATTR_UID) != 0 ? in->uid : (uid_t)-1;
    gid_t gid = (in->valid & FATTR_GID) != 0 ? in->gid : (gid_t)-1;
    int fd = node_fd(g->nodes, n);
    if (fd < 0) {
        return fd;
    }
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

static int set_size_fd(int fd, const struct fuse_setattr_in *in) {
    int err = (in->valid & FATTR_KILL_SUIDGID) != 0 ? kill_set_id(fd) : 0;
    return err != 0 ? err : ftruncate(fd, (off_t)in->size) == 0 ? 0 : -errno;
}

static int set_size(struct gofer *g, const struct request *req, struct node *n,
                    const struct fuse_setattr_in *in) {
    if (in->size > INT64_MAX) {
        return -EFBIG;
    }
    if ((in->valid & FATTR_FH) != 0) {
        int held = handle_fd(g->handles, in->fh, req->h.nodeid);
        return held < 0 ? held : set_size_fd(held, in);
    }
    int fd = open_regular(g, n, O_WRONLY);
    if (fd < 0) {
        return fd;
    }
    int err = set_size_fd(fd, in);
    (void)close(fd); /* nothing of ours is buffered */
    return err;
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t now, uint64_t sec,
                               uint32_t nsec) {
    if ((valid & now) != 0) {
        return (struct timespec){.tv_nsec = UTIME_NOW};
    }
    if ((valid & set) == 0) {
        return (struct timespec){.tv_nsec = UTIME_OMIT};
    }
    return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = nsec % 1000000000u};
}

static int set_times(struct gofer *g, struct node *n, const struct fuse_setattr_in *in) {
    struct timespec times[2] = {
        time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
        time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
    };
    int fd = node_fd(g->nodes, n);
    if (fd < 0) {
        return fd;
    }
    return utimensat(fd, "", times, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

int op_setattr(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_setattr_in in;
    memcpy(&in, req->body, sizeof(in));
    int err = 0;
    if ((in.valid & FATTR_SIZE) != 0) {
        err = set_size(g, req, n, &in);
    }
    if (err == 0 && (in.valid & (FATTR_UID | FATTR_GID)) != 0) {
        err = set_owner(g, n, &in);
    }
    if (err == 0 &&
        (in.valid & FATTR_MODE) != 0) { /* after the owner, whose change clears set-id bits */
        err = set_mode(g, n, in.mode);
    }
    if (err == 0 &&
        (in.valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)) != 0) {
        err = set_times(g, n, &in);
    }
    bool by_handle = (in.valid & FATTR_FH) != 0;
    return err != 0
               ? err
               : attr_reply(g, n, by_handle ? handle_fd(g->handles, in.fh, req->h.nodeid) : -1, r);
}

int op_statfs(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct statfs s;
    struct fuse_statfs_out *out = reply_add(r, sizeof(*out));
    int fd = node_fd(g->nodes, n);
    if (fd < 0) {
        return fd;
    }
    if (fstatfs(fd, &s) != 0) {
        return -errno;
    }
    *out = (struct fuse_statfs_out){.st = {
                                        .blocks = s.f_blocks,
                                        .bfree = s.f_bfree,
                                        .bavail = s.f_bavail,
                                        .files = s.f_files,
                                        .ffree = s.f_ffree,
                                        .bsize = (uint32_t)s.f_bsize,
                                        .namelen = (uint32_t)s.f_namelen,
                                        .frsize = (uint32_t)s.f_frsize,
                                    }};
    return 0;
}
