/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the VFS core share among themselves and show to nobody else.
 */
#ifndef MOAT_SENTRY_FS_INTERNAL_H
#define MOAT_SENTRY_FS_INTERNAL_H

#include "fs/vfs.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#define MODE_PERM 07777u

/* ---- path names of users (namei.c) ----
 * Short names stay on the stack of the call; longer ones go to the heap. */
#define PATH_SMALL 256u
struct path_name {
    char *text;
    char small[PATH_SMALL];
};
must_check int path_name_get(struct path_name *n, struct uaddr u, bool allow_empty);
void path_name_put(struct path_name *n);

/* ---- path walk (namei.c) ---- */
enum last_kind { LAST_NORMAL, LAST_DOT, LAST_DOTDOT, LAST_ROOT };

struct walk_body { /* keeps the text of a followed symlink alive until walk_end */
    struct inode *inode;
    char *buf;
};

struct walk {
    struct path path; /* where the walk stands */
    struct path root; /* what bounds it */
    bool own_mount, own_dentry,
        own_root;             /* the walk holds references, or borrows from fs context or file */
    struct file *base;        /* dirfd's file: what path was borrowed from */
    uint32_t flags;           /* LOOKUP_* */
    uint32_t links;           /* symlinks followed in all */
    uint32_t depth;           /* of stack */
    bool must_dir;            /* a slash followed the last component */
    enum last_kind last_kind; /* LOOKUP_PARENT: the last component */
    const char *last;
    uint32_t last_len;
    const char *stack[SYMLINK_MAX];
    struct walk_body bodies[SYMLINK_MAX];
};

/* Prepares a walk of `name` from dirfd, and walks.  walk_end must be called whatever the result. */
must_check int walk_start(struct walk *w, int dirfd, const char *name, uint32_t flags);
must_check int walk_start_at(struct walk *w, const struct path *start, const struct path *root,
                             const char *name, uint32_t flags);
/* With LOOKUP_PARENT: `link` is the last component, a symlink: goes on to what it names.  Consumes
 * `link`. */
must_check int walk_follow_last(struct walk *w, struct dentry *link);
/* Finds the last component of a LOOKUP_PARENT walk (LAST_NORMAL): a dentry, perhaps negative,
 * mounts not crossed. */
must_check int walk_lookup_last(struct walk *w, struct dentry **out);
/* Moves the walk onto `d` (consumed) in the current mount and crosses what is mounted there. */
must_check int walk_enter(struct walk *w, struct dentry *d);
/* Moves the walk to `d` (consumed) and nothing else. */
void walk_set_dentry(struct walk *w, struct dentry *d);
/* References on w->path for the caller. */
void walk_take(struct walk *w, struct path *out);
void walk_end(struct walk *w);

/* Takes as many components of `name` as it can without locks, moves the walk there, and returns the
 * rest (walkfast.c). */
const char *walk_fast(struct walk *w, const char *name);

/* ---- dcache (dentry.c) ---- */
extern uint32_t g_dentries_max; /* unused ones above this number are dropped */
/* Frame each change of a dentry's place, and of its inode back to NULL. */
void dentry_change_begin(struct dentry *d);
void dentry_change_end(struct dentry *d);
uint64_t dentry_name_hash(const char *name, size_t len);
struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len, uint64_t hash);
/* Adds `d` unless a dentry of that name is there: that one, referenced, or NULL.  Shrinks the cache
 * when it is full. */
struct dentry *dentry_hash_unique(struct dentry *d);
struct dentry *dentry_parent_get(struct dentry *d);
/* Lookup with dir->rw already held (either way). */
must_check int dentry_lookup_locked(struct dentry *parent, const char *name, size_t len,
                                    struct dentry **out);
/* Moves `d` to the place and name of `target` (unhashed and DELETED afterwards if positive, dropped
 * if negative); with `exchange` both trade places.  rename_mutex or dir->rw held. */
void dentry_replace(struct dentry *d, struct dentry *target, bool exchange);
void dentry_unpin(struct dentry *d);
bool dentry_is_ancestor(struct dentry *ancestor, struct dentry *d);
/* Forgets all cached dentries below `root`: it was removed, turned out wrong, or its superblock
 * goes.  Every hashed dentry must be found this way from its superblock's root, so nothing stays
 * hashed below one that left the tree. */
void dentry_prune(struct dentry *root);
void dcache_init(void);

/* ---- mounts (mount.c) ---- */
extern struct spinlock g_mount_lock;
/* The mount on (m, d), referenced, or NULL. */
struct mount *mount_find(struct mount *m, struct dentry *d);
/* From the root of a mount to where it is mounted: true with references in *out. */
bool mount_up(const struct path *p, struct path *out);
struct mount_ns *current_mount_ns(void);
/* The mount tree's own mutex: held while mounts are made, moved, ended. */
extern struct mutex g_mount_mutex;
struct mount *mount_alloc(struct super_block *sb, struct dentry *root, uint32_t flags,
                          const char *source);
must_check int mount_link(struct mount *m, struct mount *parent, struct dentry *mountpoint,
                          struct mount_ns *ns);
void mount_unlink(struct mount *m);
/* Hangs `m` at a path, g_mount_mutex held.  -ENOTDIR, -ENOENT, -ENOSPC. */
must_check int mount_graft(struct mount *m, const struct path *at);
/* Moves `m`, which is in the tree, onto (parent, mountpoint), or with NULL to the top.
 * g_mount_mutex held. */
void mount_move_locked(struct mount *m, struct mount *parent, struct dentry *mountpoint);
void mount_init(void);

/* ---- permissions (perm.c) ---- */
must_check int inode_permission_slow(struct inode *inode, uint32_t mask);
/* May current add a name to / take `victim` out of the directory at `dir`? */
must_check int may_create_in(const struct path *dir);
must_check int may_delete_in(const struct path *dir, struct inode *victim, bool is_dir);
bool inode_owner_or_capable(const struct inode *inode);
uint32_t current_umask(void);

/* Pieces of the name operations (dirops.c). */
void notify_removed(struct inode *dir, const char *name, struct inode *victim);

static inline int inode_may_search(struct inode *dir) {
    uint32_t mode = atomic_load_relaxed(&dir->mode);
    if (likely((mode & 0111u) == 0111u)) {
        return 0;
    }
    return inode_permission_slow(dir, MAY_EXEC);
}

/* ---- open files (file.c, open.c) ---- */
must_check struct file *file_alloc(const struct path *path, const struct file_ops *ops,
                                   uint32_t flags);
must_check int file_open_inode(struct file *file);

/* ---- descriptor tables (fdtable.c) ---- */
#define FILES_INLINE 64u
struct files {
    struct refcount ref;
    struct spinlock lock; /* RANK_FILES */
    uint32_t max;         /* slots; guarded by lock, as the rest */
    uint32_t next_free;   /* no free descriptor below it */
    struct file **slots;
    uint64_t *used;    /* bitmap */
    uint64_t *cloexec; /* bitmap */
    struct file *inline_slots[FILES_INLINE];
    uint64_t inline_bits[2];
};

/* A table that only its own task uses is changed by nobody else. */
static inline bool files_private(struct files *files) {
    return atomic_load_relaxed(&files->ref.n) == 1;
}
static inline bool file_pos_shared(struct file *f) {
    /* One reference is the table's, one is ours; anybody else could move the position. */
    return atomic_load_relaxed(&f->ref.n) > 2 || !files_private(current->files);
}
/* Takes the descriptor out of current's table: its file (the table's reference), or NULL. */
struct file *fd_take(int fd);
int file_close(struct file *file, struct files *owner);
/* At exactly this number of current's table, as dup2: the number or -EBADF. */
/* F_DUPFD: -EINVAL when `min` is beyond the limit. */
int fd_install_dup(struct file *file, bool cloexec, int min);
int fd_cloexec_get(int fd); /* 0, 1 or -EBADF */
int fd_cloexec_set(int fd, bool on);
void files_close_range(uint32_t first, uint32_t last, bool cloexec_only);

/* ---- locks (locks.c, flock.c) ---- */
void locks_release_posix(struct file *f, struct files *owner);
void locks_release_file(struct file *f);
void locks_free(struct inode *inode);
int64_t fcntl_lock(struct file *f, int fd, uint32_t cmd, struct uaddr arg);

/* ---- pipes (pipe.c) ---- */
int fifo_open(struct inode *inode, struct file *file);
void pipe_inode_evict(struct inode *inode);
int64_t pipe_get_size(struct file *f);
int64_t pipe_set_size(struct file *f, uint64_t size);

/* ---- files without a place (anon.c) ---- */
void anon_init(void);

/* ---- root and working directory (fsctx.c): take their own references ---- */
must_check int fs_set_cwd(const struct path *p);
void fs_set_root(const struct path *p);

/* ---- memfd seals (memfd.c) ---- */
int64_t shmem_get_seals(struct file *f);
int64_t shmem_add_seals(struct file *f, uint32_t seals);

/* ---- extended attributes kept in memory (simple_xattr.c) ---- */
struct simple_xattrs {
    struct list head; /* guarded by lock */
    struct spinlock lock;
};
void simple_xattrs_init(struct simple_xattrs *x);
void simple_xattrs_free(struct simple_xattrs *x);
int64_t simple_xattr_get(struct simple_xattrs *x, const char *name, void *buf, size_t size);
must_check int simple_xattr_set(struct simple_xattrs *x, const char *name, const void *value,
                                size_t size, int flags);
must_check int simple_xattr_remove(struct simple_xattrs *x, const char *name);
int64_t simple_xattr_list(struct simple_xattrs *x, char *buf, size_t size);

/* Setting flags and owner as fcntl(2) and the ioctls do (fcntl.c). */
int64_t file_set_flags(struct file *f, int fd, uint32_t flags);
int64_t file_set_owner_number(struct file *f, int32_t number); /* > 0 a process, < 0 a group */
int32_t file_get_owner_number(struct file *f);

#endif
