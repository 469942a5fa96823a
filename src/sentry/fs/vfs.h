/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual file system: superblocks, inodes, dentries, mounts, open files.
 *
 * Life: every pointer held beyond a lock is a counted reference (inode_get/put, dentry_get/put,
 * mount_get/put, file_get/put).  A dentry holds its inode and its parent; a file holds its path.
 * Locks: inode->rw (rwmutex) of a directory guards its entries and is held for lookup (read),
 * create, unlink, rename (write); of a regular file it is held by write and truncate; inode->lock
 * (spinlock) guards attributes; dentry->lock (spinlock) guards name, parent and inode of the
 * dentry.  Rename across directories: sb->rename_mutex, then the ancestor first, unrelated parents
 * by address. Who locks: the VFS holds dir->rw around the directory operations of inode_ops (write;
 * lookup: at least read) and inode->rw for writing around setattr (vfs_setattr); around rmdir, and
 * rename over a directory, also the victim's rw. The xattr operations run without a lock of the
 * VFS.  file_ops->read and ->write get none either: a filesystem's write takes inode->rw itself and
 * honours O_APPEND there.  map_pages runs under mm->lock and must not take inode->rw.
 * Dentries: the hash table holds one reference on each hashed dentry.  Whoever holds a reference
 * may read ->inode without a lock: it changes from NULL to an inode once; back only when nobody
 * else holds the dentry.  ->name and ->parent need dentry->lock, or the parent's dir->rw.  A
 * dentry's memory stays a dentry's for ever, so that a path walk may look at one it does not hold.
 * dentry_put and inode_put may sleep (evict). Sleep: all operations may sleep unless they say
 * otherwise.
 */
#ifndef MOAT_SENTRY_VFS_H
#define MOAT_SENTRY_VFS_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/radix.h"
#include "base/types.h"
#include "fs/iter.h"
#include "kernel/lock.h"
#include "kernel/wait.h"

struct task;
struct vma;
struct inode;
struct dentry;
struct file_async;
struct mount;
struct file;
struct super_block;
struct cred;
struct path;
struct poll_table;

#define NAME_MAX_LEN 255u
#define PATH_MAX_LEN 4096u
#define SYMLINK_MAX  40

struct ktime { /* struct timespec64 of the kernel: seconds and nanoseconds since 1970 */
    int64_t sec;
    uint32_t nsec;
};

struct kstat {
    uint64_t ino, size, blocks, dev, rdev;
    uint32_t mode, nlink, uid, gid, blksize;
    struct ktime atime, mtime, ctime, btime;
    uint64_t mnt_id;
    uint32_t attributes; /* STATX_ATTR_* */
};

enum { /* iattr.valid */
       ATTR_SET_MODE = 1,
       ATTR_SET_UID = 2,
       ATTR_SET_GID = 4,
       ATTR_SET_SIZE = 8,
       ATTR_SET_ATIME = 16,
       ATTR_SET_MTIME = 32,
       ATTR_SET_CTIME = 64,
       ATTR_KILL_SUID = 128, /* drop set-id bits, as after a write or chown */
};

struct iattr {
    uint32_t valid;
    uint32_t mode, uid, gid;
    uint64_t size;
    struct ktime atime, mtime, ctime;
    struct file *file; /* ftruncate: the open file, or NULL */
};

struct kstatfs {
    uint64_t type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, frsize, flags;
};

/* Receives directory entries; returns false when the buffer is full (the entry was not taken). */
struct dir_context {
    bool (*emit)(struct dir_context *ctx, const char *name, size_t len, uint64_t ino,
                 uint32_t dtype, uint64_t next_pos);
    uint64_t pos; /* 0 at the start; opaque to the caller */
};

struct fs_type {
    const char *name;
    uint32_t flags; /* FS_* */
    /* data: mount options text, `source`: first argument of mount(2).  New superblock with its root
     * dentry. */
    int (*mount)(const struct fs_type *type, const char *source, uint32_t flags, const char *data,
                 struct super_block **out_sb);
};
#define FS_NODEV 1u

struct super_ops {
    int (*statfs)(struct super_block *sb, struct kstatfs *out);
    void (*evict)(struct inode *inode); /* last reference gone: free inode->private and storage */
    void (*destroy)(struct super_block *sb);
    int (*sync)(struct super_block *sb);
    int (*show_options)(struct super_block *sb, char *buf,
                        size_t size); /* text for /proc/mounts, length */
    void (*dentry_release)(
        struct dentry *dentry); /* frees dentry->private; the inode is still set.  NULL: none */
    int (*remount)(struct super_block *sb, uint32_t flags, const char *data); /* NULL: flags only */
};

struct super_block {
    struct refcount ref;
    const struct fs_type *type;
    const struct super_ops *ops;
    uint64_t dev; /* st_dev */
    uint32_t magic;
    uint32_t blksize;
    bool read_only;
    bool dcache_stable; /* names change only through us: negative and positive dentries stay valid
                           for ever */
    struct dentry *root;
    struct mutex rename_mutex;
    uint64_t next_ino; /* atomic, for filesystems that number themselves */
    void *private;
};

struct inode_ops {
    /* Directory operations: dir->rw is held (write, but for lookup: read). */
    int (*lookup)(struct inode *dir,
                  struct dentry *dentry); /* dentry_set_inode or leave negative; 0 or error */
    int (*create)(struct inode *dir, struct dentry *dentry, uint32_t mode); /* regular file */
    int (*mknod)(struct inode *dir, struct dentry *dentry, uint32_t mode, uint64_t rdev);
    int (*mkdir)(struct inode *dir, struct dentry *dentry, uint32_t mode);
    int (*symlink)(struct inode *dir, struct dentry *dentry, const char *target);
    int (*link)(struct dentry *old, struct inode *dir, struct dentry *dentry);
    int (*unlink)(struct inode *dir, struct dentry *dentry);
    int (*rmdir)(struct inode *dir, struct dentry *dentry);
    int (*rename)(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                  struct dentry *new_, uint32_t flags); /* RENAME_NOREPLACE, _EXCHANGE, _WHITEOUT */
    int (*tmpfile)(struct inode *dir, struct dentry *dentry, uint32_t mode);
    /* Any inode. */
    int64_t (*readlink)(struct inode *inode, char *buf, size_t size); /* length; not terminated */
    int (*follow)(struct dentry *dentry,
                  struct path *out_path); /* magic links of proc: takes references */
    int (*getattr)(struct inode *inode, struct kstat *out);    /* NULL: from the inode */
    int (*setattr)(struct dentry *dentry, struct iattr *attr); /* NULL: -EPERM; checked already */
    int (*permission)(struct inode *inode, uint32_t mask);     /* NULL: mode bits */
    int64_t (*getxattr)(struct inode *inode, const char *name, void *buf,
                        size_t size); /* size 0: asks */
    int (*setxattr)(struct inode *inode, const char *name, const void *value, size_t size,
                    int flags);
    int64_t (*listxattr)(struct inode *inode, char *buf, size_t size);
    int (*removexattr)(struct inode *inode, const char *name);
    /* Called by open after permission checks; may replace file->ops and set file->private. */
    int (*open)(struct inode *inode, struct file *file);
    /* dentry still right?  NULL: yes.  (proc, fuse without dcache_stable)  Asked through the
     * dentry's own inode, for a negative dentry through the parent's; without dcache_stable and
     * without it negative dentries are not cached. */
    bool (*revalidate)(struct dentry *dentry);
};

struct file_ops {
    void (*release)(struct file *file); /* last reference gone */
    int (*flush)(struct file *file);    /* each close */
    /* Positional: *pos is advanced by the operation.  Streams ignore pos.  Bytes or -errno. */
    int64_t (*read)(struct file *file, struct iov_iter *to, uint64_t *pos);
    int64_t (*write)(struct file *file, struct iov_iter *from, uint64_t *pos);
    int64_t (*llseek)(struct file *file, int64_t off,
                      int whence); /* NULL: generic for regular files, else -ESPIPE */
    int (*iterate)(struct file *file, struct dir_context *ctx); /* from ctx->pos on */
    uint32_t (*poll)(struct file *file,
                     struct poll_table *table); /* events now; NULL: always IN|OUT */
    int64_t (*ioctl)(struct file *file, uint32_t request, struct uaddr arg);
    int (*fsync)(struct file *file, bool data_only);
    int (*fallocate)(struct file *file, uint32_t mode, uint64_t off, uint64_t len);
    /* Mapped memory: NULL means -ENODEV.  mmap checks and may adjust vma->flags. */
    int (*mmap)(struct file *file, struct vma *vma);
    /* Frames of up to `want` pages from pgoff on, contiguous: *out_pfn, *out_count >= 1, each frame
     * referenced for the caller (windows need none).  write: they will be written through a shared
     * mapping.  -EFAULT beyond the end (SIGBUS), -EIO, -ENOMEM. */
    int (*map_pages)(struct file *file, uint64_t pgoff, uint64_t want, bool write,
                     uint64_t *out_pfn, uint64_t *out_count);
    int (*set_flags)(struct file *file, uint32_t flags); /* F_SETFL; NULL: nothing to do */
    int (*show_fdinfo)(struct file *file, char *buf, size_t size); /* extra lines; length */
    bool sends_sigio; /* O_ASYNC means something here: pipes, sockets, terminals, inotify */
};

struct inode {
    struct refcount ref;
    struct super_block *sb;
    const struct inode_ops *ops;
    const struct file_ops *fops; /* default for open files */
    uint64_t ino;
    uint64_t rdev;
    struct spinlock lock; /* RANK_INODE; guards the attributes below */
    uint32_t mode, nlink, uid, gid;
    uint64_t size;
    uint64_t blocks; /* 512-byte units */
    struct ktime atime, mtime, ctime, btime;
    struct rwmutex rw;
    struct mutex map_lock; /* page cache fill, truncate against faults */
    struct list mappings;  /* vmas' back links, owned by mm/; guarded by map_list_lock */
    struct spinlock map_list_lock;
    struct file_locks *locks; /* fs/locks.c */
    struct pipe *pipe;        /* FIFOs; guarded by lock */
    char *link;               /* cached text of a symlink; set once, freed with the inode */
    bool linkable;            /* made by O_TMPFILE: may be linked though its nlink is 0 */
    int32_t write_count;      /* atomic: > 0 opened for writing so often, < 0 being executed */
    struct list watches;      /* inotify; guarded by lock */
    void *private;
};

#define DENTRY_INLINE 32u

struct dentry {
    struct refcount ref;   /* the hash table holds one while DENTRY_HASHED */
    uint32_t seq;          /* atomic: odd while it changes place or is dead (fs/walkfast.c) */
    struct spinlock lock;  /* RANK_DENTRY */
    struct dentry *parent; /* root: itself; referenced */
    struct inode *inode;   /* NULL: negative; referenced */
    struct super_block *sb;
    char *name;
    uint32_t name_len;
    uint32_t flags; /* DENTRY_* */
    uint64_t hash;
    struct list hash_link;  /* guarded by the bucket's lock */
    struct list child_link; /* guarded by parent->lock */
    struct list children;   /* guarded by lock */
    uint32_t mount_count;   /* atomic: mounts on it */
    bool used;              /* found since the shrinker last came by; racy */
    void *private;
    char inline_name[DENTRY_INLINE]; /* name points here when it fits */
};
#define DENTRY_HASHED  1u
#define DENTRY_DELETED 2u /* unlinked: shown as "(deleted)" */
#define DENTRY_PINNED                                                                              \
    4u /* in-memory filesystems: stays cached because it is the only copy of the name */

struct path {
    struct mount *mount;
    struct dentry *dentry;
};

struct mount {
    struct refcount ref;
    struct super_block *sb;
    struct dentry *root;
    struct mount *parent; /* NULL: top; guarded by g_mount_lock, as the rest */
    struct dentry *mountpoint;
    struct list child_link, children;
    struct list ns_link, hash_link;
    bool detached;  /* out of its namespace (MNT_DETACH) */
    uint32_t flags; /* MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME */
    uint32_t id;
    char *source;
    struct mount_ns *ns;
};

struct file {
    struct refcount ref;
    struct path path;
    struct inode *inode; /* == path.dentry->inode */
    const struct file_ops *ops;
    uint32_t flags; /* O_* as F_GETFL shows them; atomic */
    uint32_t mode;  /* FMODE_* */
    uint64_t pos;   /* guarded by pos_lock */
    struct mutex pos_lock;
    const struct cred *cred;  /* opener's */
    struct list epoll_links;  /* guarded by the epoll layer */
    struct file_async *async; /* atomic; fs/async.h, NULL: nobody asked */
    void *private;
};
#define FMODE_READ    1u
#define FMODE_WRITE   2u
#define FMODE_PATH    4u /* O_PATH */
#define FMODE_STREAM  8u /* no position */
#define FMODE_PREAD   16u
#define FMODE_WRITER  32u  /* counted in inode->write_count */
#define FMODE_EXEC    64u  /* being executed: nobody opens it for writing (file_deny_write) */
#define FMODE_CREATED 128u /* this open made it */

/* Root, working directory and umask of a task. */
struct fs_context {
    struct refcount ref;
    struct spinlock lock;
    struct path root, cwd; /* guarded by lock */
    uint32_t umask;
};

/* ---- poll ---- */
struct poll_table {
    void (*queue)(struct poll_table *table, struct waitq *q); /* NULL: only ask */
};
static inline void poll_wait(struct poll_table *table, struct waitq *q) {
    if (table != NULL && table->queue != NULL) {
        table->queue(table, q);
    }
}

/* ---- objects (fs/inode.c, dentry.c, mount.c, file.c) ---- */
/* A new inode with one reference, times now, nlink 1; NULL without memory. */
must_check struct inode *inode_alloc(struct super_block *sb, uint32_t mode,
                                     const struct inode_ops *ops, const struct file_ops *fops);
/* Owner from current's fsuid/fsgid, honouring a set-gid parent directory. */
void inode_init_owner(struct inode *inode, const struct inode *dir, uint32_t mode);
static inline void inode_get(struct inode *i) {
    ref_get(&i->ref);
}
void inode_put(struct inode *inode);
void inode_to_kstat(struct inode *inode, struct kstat *out);
/* Applies a checked iattr to the inode's own fields (not size). */
void inode_apply_attr(struct inode *inode, const struct iattr *attr);
void inode_touch(struct inode *inode, uint32_t which); /* ATTR_SET_ATIME | MTIME | CTIME: now */
/* The relatime rule, for a read of `file`. */
void file_accessed(struct file *file);
void inode_set_nlink(struct inode *inode, uint32_t nlink);
void inode_add_nlink(struct inode *inode, int32_t by);
/* Text of a symlink: the inode's cached copy, or *out_buf (kfree it).  The inode reference keeps
 * the text. */
must_check int inode_link_text(struct inode *inode, const char **out_text, char **out_buf);
/* A file that is executed cannot be written to: -ETXTBSY when a writer has it open.  Ends with
 * file_allow_write, or with the file. */
must_check int file_deny_write(struct file *f);
void file_allow_write(struct file *f);
/* Drops set-id bits after a write by one who may not keep them. */
must_check int file_remove_privs(struct file *file);
struct ktime ktime_now(void);

must_check struct super_block *super_alloc(const struct fs_type *type, const struct super_ops *ops,
                                           uint32_t magic);
void super_put(struct super_block *sb);
/* The root dentry over `root` (consumes the inode reference). */
must_check int super_set_root(struct super_block *sb, struct inode *root);
void fs_register(const struct fs_type *type);
/* In order of registration (/proc/filesystems). */
void fs_type_for_each(bool (*fn)(const struct fs_type *type, void *arg), void *arg);
const struct fs_type *fs_find(const char *name);

static inline void dentry_get(struct dentry *d) {
    ref_get(&d->ref);
}
void dentry_put(struct dentry *d);
/* A new, unhashed, negative dentry (referenced) under parent. */
must_check struct dentry *dentry_alloc(struct dentry *parent, const char *name, size_t len);
/* Makes a negative dentry positive (consumes the inode reference).  Called by lookup/create/... of
 * a filesystem. */
void dentry_set_inode(struct dentry *d, struct inode *inode);
void dentry_hash(struct dentry *d);
/* The name lives nowhere else: never dropped for want of memory (until dentry_unlinked, or the
 * superblock goes). */
void dentry_pin(struct dentry *d);
void dentry_drop(struct dentry *d); /* unhashes: next lookup asks the filesystem */
/* Makes an unlinked name negative, after the filesystem agreed. */
void dentry_unlinked(struct dentry *d);
/* Cached child or NULL (referenced). */
struct dentry *dentry_cached(struct dentry *parent, const char *name, size_t len);
/* Child by name through cache or filesystem: takes dir->rw itself.  Positive or negative dentry. */
must_check int vfs_lookup_one(struct dentry *parent, const char *name, size_t len,
                              struct dentry **out);
/* Absolute path as seen from `root` (NULL: the mount namespace's root), into the END of buf;
 * pointer into buf, or NULL when too long.  Appends " (deleted)" for unlinked ones. */
char *path_text(const struct path *path, const struct path *root, char *buf, size_t size);
/* Is `path` `root` or something below it? */
bool path_below(const struct path *path, const struct path *root);

static inline void mount_get(struct mount *m) {
    ref_get(&m->ref);
}
void mount_put(struct mount *m);
void path_get(const struct path *p);
void path_put(const struct path *p);
/* Mounts sb (consumed) on `at` (NULL dentry: as the root of a new namespace). */
must_check int mount_attach(struct super_block *sb, const struct path *at, uint32_t flags,
                            const char *source, struct mount **out_mount);
/* Takes `top` and all below it out of the tree (umount -l; the end of a container's namespace). */
void mount_detach_tree(struct mount *top);
/* A container is gone: takes apart the namespace that `root` is in; each mount goes with its last
 * user. */
void mount_ns_end(const struct path *root);
/* Woken with POLLERR and POLLPRI whenever a mount comes or goes anywhere; counts the times. */
struct waitq *mount_changes(void);
uint64_t mount_change_count(void);
/* Kernel-internal mount by type name at an absolute path (boot). */
must_check int kmount(const char *type, const char *source, const char *target, uint32_t flags,
                      const char *data);
/* Calls fn for every mount of current's namespace in order. */
void mount_for_each(bool (*fn)(struct mount *m, void *arg), void *arg);
int vfs_statfs(struct dentry *d, struct kstatfs *out);
/* Is the mount (or its superblock) read-only? */
static inline bool path_read_only(const struct path *p);

/* ---- directory operations of the kernel itself (fs/dirops.c, rename.c): no permission checks,
 * they take the locks, keep the dcache right and tell inotify.  For overlay (on its upper layer),
 * boot and unix sockets.  `dir` and `child` are referenced by the caller. */

/* Any type that mode's S_IFMT says, but symlinks.  -EEXIST.  *out (may be NULL) referenced. */
must_check int vfs_create_in(struct dentry *dir, const char *name, size_t len, uint32_t mode,
                             uint64_t rdev, struct dentry **out);
must_check int vfs_symlink_in(struct dentry *dir, const char *name, size_t len, const char *target,
                              struct dentry **out);
must_check int vfs_link_in(struct dentry *old, struct dentry *dir, const char *name, size_t len,
                           struct dentry **out);
/* Removes the name; `child` must still be in `dir` (else -ENOENT). */
must_check int vfs_unlink_in(struct dentry *dir, struct dentry *child);
must_check int vfs_rmdir_in(struct dentry *dir, struct dentry *child);
/* flags: RENAME_*.  Finds the target itself. */
must_check int vfs_rename_in(struct dentry *old_dir, struct dentry *old, struct dentry *new_dir,
                             const char *name, size_t len, uint32_t flags);
/* An unlinked inode's dentry in `dir`'s filesystem (O_TMPFILE). */
must_check int vfs_tmpfile_in(struct dentry *dir, uint32_t mode, struct dentry **out);
/* Sets attributes without permission checks: takes inode->rw, calls ops->setattr. */
must_check int vfs_setattr(struct dentry *d, struct iattr *attr);
/* mknod(2) by path with permission checks and umask (bind of unix sockets); *out (may be NULL)
 * referenced. */
must_check int vfs_mknod_path(int dirfd, const char *name, uint32_t mode, uint64_t rdev,
                              struct path *out);
/* One entry / "." and ".." of a directory being read; false when the buffer is full. */
static inline bool dir_emit(struct dir_context *ctx, const char *name, size_t len, uint64_t ino,
                            uint32_t dtype, uint64_t next_pos);
bool dir_emit_dots(struct file *file, struct dir_context *ctx); /* positions 0 and 1 */
/* Reads a whole directory from the kernel (overlay): calls emit until the end. */
must_check int vfs_iterate(struct file *file, struct dir_context *ctx);

static inline bool dir_emit(struct dir_context *ctx, const char *name, size_t len, uint64_t ino,
                            uint32_t dtype, uint64_t next_pos) {
    if (!ctx->emit(ctx, name, len, ino, dtype, next_pos)) {
        return false;
    }
    ctx->pos = next_pos;
    return true;
}

static inline bool path_read_only(const struct path *p) {
    return p->mount->sb->read_only || (p->mount->flags & 1u /* MS_RDONLY */) != 0;
}

/* ---- path walk (fs/namei.c) ---- */
enum {
    LOOKUP_FOLLOW = 1, /* follow a symlink in the last component */
    LOOKUP_DIRECTORY = 2,
    LOOKUP_EMPTY = 4,  /* AT_EMPTY_PATH */
    LOOKUP_PARENT = 8, /* stop at the parent; last component in nameidata */
    LOOKUP_NO_SYMLINKS = 16,
    LOOKUP_NO_MAGICLINKS = 32,
    LOOKUP_NO_XDEV = 64,
    LOOKUP_BENEATH = 128,
    LOOKUP_IN_ROOT = 256,
};
#define AT_FDCWD_MOAT (-100)

/* Resolves `name` relative to dirfd of current; referenced path. */
must_check int path_lookup(int dirfd, const char *name, uint32_t flags, struct path *out);
/* Likewise from an explicit start (root bounds it). */
must_check int path_lookup_at(const struct path *start, const struct path *root, const char *name,
                              uint32_t flags, struct path *out);
/* Copies a user path and resolves it. */
must_check int user_path(int dirfd, struct uaddr name, uint32_t flags, struct path *out);
/* Copies a path string into a page-sized kernel buffer (kfree it): 0, -EFAULT, -ENAMETOOLONG,
 * -ENOENT if empty. */
must_check int user_path_copy(struct uaddr name, bool allow_empty, char **out);
/* May current do `mask` (MAY_READ|MAY_WRITE|MAY_EXEC) on the inode?  Read-only mounts are checked
 * by path_permission. */
#define MAY_EXEC  1u
#define MAY_WRITE 2u
#define MAY_READ  4u
must_check int inode_permission(struct inode *inode, uint32_t mask);
must_check int path_permission(const struct path *p, uint32_t mask);

/* ---- open files and descriptors ---- */
/* Opens as openat2: kernel string; `resolve` are LOOKUP_* limits.  Referenced file. */
must_check int vfs_open(int dirfd, const char *name, uint32_t flags, uint32_t mode,
                        uint32_t resolve, struct file **out_file);
must_check int vfs_open_path(const struct path *p, uint32_t flags, struct file **out_file);
/* A file over an anonymous inode ("anon_inode:[name]"), as eventfd and epoll use. */
must_check int file_anon(const char *name, const struct file_ops *ops, void *private,
                         uint32_t flags, struct file **out_file);
/* An unlinked, nameless inode's file, in the internal superblock (pipes, sockets, memfd); path text
 * is `label`. */
must_check int file_from_inode(struct inode *inode, const char *label, const struct file_ops *ops,
                               uint32_t flags, struct file **out_file);
struct super_block *anon_super(void);
static inline void file_get(struct file *f) {
    ref_get(&f->ref);
}
void file_put(struct file *f);
int64_t vfs_read(struct file *f, struct iov_iter *to, uint64_t *pos);
int64_t vfs_write(struct file *f, struct iov_iter *from, uint64_t *pos);
int64_t kernel_read(struct file *f, void *buf, size_t len, uint64_t pos);
int64_t kernel_write(struct file *f, const void *buf, size_t len, uint64_t pos);
uint32_t vfs_poll(struct file *f, struct poll_table *table);
int vfs_getattr(const struct path *p, struct kstat *out);
must_check int vfs_truncate(struct file *f, struct dentry *d, uint64_t size);
/* Generic llseek over inode->size. */
int64_t generic_llseek(struct file *f, int64_t off, int whence);
/* fallocate and fsync after the checks of the system call's arguments. */
must_check int vfs_fallocate(struct file *f, uint32_t mode, uint64_t off, uint64_t len);
must_check int vfs_fsync(struct file *f, bool data_only);
/* xattrs without permission checks (overlay): bytes or -errno. */
int64_t vfs_getxattr_in(struct dentry *d, const char *name, void *buf, size_t size);
must_check int vfs_setxattr_in(struct dentry *d, const char *name, const void *value, size_t size,
                               int flags);
/* A pipe's two ends; flags: O_NONBLOCK, O_DIRECT. */
must_check int pipe_create(uint32_t flags, struct file **out_read, struct file **out_write);
/* Lets go of what epoll holds on a file whose last reference is gone (fs/epoll.c). */
void epoll_file_released(struct file *f);

struct files *files_create(void);
struct files *files_copy(struct files *old); /* fork without CLONE_FILES; NULL without memory */
/* Gives the current task `t` a table of its own: 0, -ENOMEM. */
must_check int files_unshare(struct task *t);
void files_get(struct files *files);
void files_put(struct files *files);
void files_close_on_exec(struct files *files);
/* current's: referenced file or NULL (O_PATH ones only with `allow_path`). */
struct file *fd_get(int fd, bool allow_path);
/* Lowest free descriptor >= min in current's table for `file` (takes its own reference): number or
 * -EMFILE. */
int fd_install(struct file *file, bool cloexec, int min);
/* The lowest free one, with the caller's reference. */
int fd_give(struct file *file, bool cloexec);
int fd_install_in(struct files *files, struct file *file,
                  int fd); /* exactly this one, closing what was there */
/* The same in current's table: fd, or -EBADF for one beyond the limit. */
int fd_install_at(struct file *file, int fd, bool cloexec);
int fd_close(int fd);
/* For /proc/pid/fd: the next used descriptor >= fd, its file referenced; -1 at the end. */
int files_next(struct files *files, int fd, struct file **out_file, bool *out_cloexec);

/* The first one of a container: root and working directory `root`, umask 022. */
must_check struct fs_context *fs_context_create(const struct path *root);
must_check struct fs_context *fs_context_copy(struct fs_context *old);
void fs_context_put(struct fs_context *fs);
void fs_get_root(struct path *out); /* of current, referenced */
void fs_get_cwd(struct path *out);

/* Device numbers as userspace encodes them. */
#define MKDEV(major, minor)                                                                        \
    ((((uint64_t)(major)&0xfff) << 8) | ((minor)&0xff) | (((uint64_t)(minor) & ~0xffull) << 12))
#define DEV_MAJOR(dev) ((uint32_t)(((dev) >> 8) & 0xfff))
#define DEV_MINOR(dev) ((uint32_t)(((dev)&0xff) | (((dev) >> 12) & 0xffffff00)))
/* Character devices: the open of a device node asks here (fs/chrdev.c); an ordered table, no
 * registration at run time. */
must_check int chrdev_open(uint64_t rdev, struct file *file);

/* ---- initialisers, called in this order by boot/ ---- */
/* Caches, the internal superblock, tmpfs.  Other filesystems are registered by boot/ with
 * fs_register. */
void vfs_init(void);
extern const struct fs_type g_tmpfs_type, g_proc_type, g_sysfs_type, g_devtmpfs_type, g_devpts_type,
    g_overlay_type, g_fuse_type, g_mqueue_type, g_cgroup2_type;

#endif
