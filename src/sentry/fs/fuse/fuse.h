/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE client: a filesystem whose server is somewhere else.
 *
 *   super.c     mount, statfs            conn.c      requests, replies, forgetting
 *   inode.c     inodes and attributes    dir.c       look-up, making and removing names
 *   list.c      reading directories      file.c      open files
 *   data.c      donated host files       xattr.c     extended attributes
 *   gofer.c     the transport to the Gofer
 *
 * Trust: the server may be hostile.  Replies are checked for length and type, sizes are clamped, an
 * inode keeps the type it was born with, and nothing that the server says leads outside this
 * superblock.
 *
 * A connection is *exclusive* when nobody but us changes what it shows: then names and attributes
 * are asked for once. Otherwise they are believed for FUSE_VALID_NS.
 *
 * Locks: fuse_conn.forget_lock, lru_lock and the buckets' (RANK_FS) are leaves but for inode->lock;
 * inode->map_lock is held while a file's data is opened or a window is made.
 */
#ifndef MOAT_SENTRY_FUSE_H
#define MOAT_SENTRY_FUSE_H

#include "base/atomic.h"
#include "base/list.h"
#include "fs/vfs.h"
#include "hal.h"

#include <linux/fuse.h>
#include <linux/types.h>

#include "moat/gofer.h"

#define FUSE_VALID_NS   NSEC_PER_SEC
#define FUSE_BUCKETS    1024u
#define FUSE_FORGETS    64u
#define FUSE_SIZE_MAX   ((uint64_t)INT64_MAX)
#define FUSE_LIST_BYTES (64u * 1024u)
#define FUSE_NAMES_MAX  (1u << 20) /* entries of a directory */
/* Donated files kept for inodes that nobody has open: without and with a window. */
#define FUSE_DATA_PLAIN 2048u
#define FUSE_DATA_ALL   8192u

struct fuse_conn;

/* How requests reach the server and replies come back. */
struct fuse_transport {
    /* Sends one request and waits.  The reply with its fuse_out_header goes to `reply`; its length
     * (0: none), or -EIO. *out_hfd: a donated file, or -1. */
    int64_t (*call)(struct fuse_conn *conn, const struct hal_seg *req, size_t count, void *reply,
                    size_t size, int *out_hfd);
};
extern const struct fuse_transport g_fuse_gofer_transport;

struct fuse_bucket {
    struct spinlock lock; /* RANK_FS */
    struct list inodes;   /* fuse_inode->hash_link; guarded by lock */
};

struct fuse_conn {
    const struct fuse_transport *transport;
    uint32_t channel;
    bool exclusive;
    uint64_t root_id;
    uint64_t next_unique; /* atomic */
    struct spinlock forget_lock;
    struct fuse_forget_one forgets[FUSE_FORGETS]; /* guarded by forget_lock */
    uint32_t forget_count;                        /* guarded by forget_lock */
    struct spinlock lru_lock;
    struct list lru; /* fuse_inode->lru_link, least recently opened first; guarded by lru_lock */
    uint32_t data_count; /* guarded by lru_lock */
    struct fuse_bucket buckets[FUSE_BUCKETS];
};

struct fuse_window { /* never changed once made */
    uint64_t pfn, pages;
    struct fuse_window *smaller; /* of the time before the file grew; may still be mapped */
};

/* A regular file's bytes: a donated host file and, once wanted, its window.  Shared by the inode
 * and its open files. */
struct fuse_data {
    struct refcount ref;
    int hfd;
    bool writable;
    uint32_t small_reads;       /* racy */
    struct fuse_window *window; /* atomic; NULL: none; replaced under inode->map_lock */
    struct fuse_data *older; /* replaced one of the same inode whose window may still be mapped */
};

struct fuse_dirlist;

struct fuse_inode {
    struct inode *inode;
    struct list hash_link; /* guarded by the bucket's lock */
    uint64_t nodeid;
    uint64_t lookups;           /* to be forgotten; guarded by the bucket's lock */
    uint64_t valid_until;       /* CLOCK_MONOTONIC ns: attributes; atomic; 0: ask */
    struct fuse_data *data;     /* guarded by inode->lock */
    struct list lru_link;       /* guarded by lru_lock */
    struct fuse_dirlist *names; /* exclusive directories: all names; guarded by inode->lock */
    uint32_t asked;             /* names looked up one by one; racy */
    bool filled;                /* all entries were brought in with attributes; racy */
};

static inline struct fuse_conn *fuse_conn_of(const struct super_block *sb) {
    return sb->private;
}
static inline struct fuse_inode *fuse_inode_of(const struct inode *inode) {
    return inode->private;
}

/* ---- conn.c ---- */
struct fuse_call {
    uint32_t opcode;
    uint64_t nodeid;
    const void *in;
    size_t in_size;
    const char *name; /* sent with a NUL; NULL: none */
    size_t name_len;
    const void *tail; /* behind the name */
    size_t tail_size;
    void *reply; /* fuse_out_header and body */
    size_t reply_size;
    size_t reply_min;    /* bytes of body that success must bring */
    const uint32_t *gid; /* owner group of what is made; NULL: current's */
    int *out_hfd;
};
/* Bytes of the reply's body, or -errno. */
must_check int64_t fuse_call(struct fuse_conn *conn, const struct fuse_call *call);
must_check int fuse_conn_create(const struct fuse_transport *transport, uint32_t channel,
                                struct fuse_conn **out_conn);
/* Queues a FORGET; sends what is queued now and then. */
void fuse_forget(struct fuse_conn *conn, uint64_t nodeid, uint64_t lookups);
void fuse_forget_flush(struct fuse_conn *conn);

/* A reply of fixed size. */
#define FUSE_REPLY(type)                                                                           \
    struct {                                                                                       \
        struct fuse_out_header h;                                                                  \
        type body;                                                                                 \
    }

/* ---- inode.c ---- */
/* The inode of an entry that the server counted one look-up for (given back on failure). */
must_check int fuse_iget(struct super_block *sb, const struct fuse_entry_out *entry,
                         struct inode **out_inode);
void fuse_evict(struct inode *inode);
/* Takes over attributes from the server.  -EIO when they belong to another kind of file. */
must_check int fuse_attr_take(struct inode *inode, const struct fuse_attr *attr);
/* Attributes must be asked for again before they are shown. */
void fuse_attr_stale(struct inode *inode);
/* Asks if they are stale or, on a connection that is not exclusive, old. */
must_check int fuse_attr_fresh(struct inode *inode);
int fuse_getattr(struct inode *inode, struct kstat *out);
int fuse_setattr(struct dentry *dentry, struct iattr *attr);
bool fuse_revalidate(struct dentry *dentry);
/* After -ESTALE: tells the server that the file is still to be found under this name, if it is. */
must_check int fuse_renew(struct dentry *dentry);

/* ---- dir.c ---- */
extern const struct inode_ops g_fuse_dir_iops;
/* Puts what a listing brought into the dentry cache.  Lock: dir->rw at least for reading.  Consumes
 * the look-up. */
void fuse_prefill(struct dentry *dir, const char *name, size_t len,
                  const struct fuse_entry_out *entry);

/* ---- list.c ---- */
extern const struct file_ops g_fuse_dir_fops;
void fuse_names_drop(struct inode *dir); /* after a change */
/* With all names at hand: is `name` among them?  1, 0, or -1 when the server must be asked. */
int fuse_names_has(struct inode *dir, const char *name, size_t len);
/* Called when the server is asked for a single name: fetches all names, or all entries, once that
 * is cheaper. */
void fuse_names_consider(struct dentry *dir);

/* ---- data.c ---- */
/* The inode's data, open at least for reading, or for writing too; referenced. */
must_check int fuse_data_get(struct inode *inode, bool write, struct fuse_data **out_data);
/* Data that came with a new inode. */
void fuse_data_adopt(struct inode *inode, int hfd, bool writable);
void fuse_data_put(struct fuse_data *data);
/* A window that covers page `pgoff` of the file, whose size is `size`.  -ENOMEM and what
 * hal_window_open gives. */
must_check int fuse_data_window(struct inode *inode, struct fuse_data *data, uint64_t pgoff,
                                uint64_t size, const struct fuse_window **out_window);
/* Cuts or extends a file that is open for writing here, whether it still has a name or not: true
 * when it was (*out_err says how that went). */
must_check bool fuse_data_truncate(struct inode *inode, uint64_t size, int *out_err);
/* Closes what inodes without users hold, beyond the limits (or all of it). */
void fuse_data_trim(struct fuse_conn *conn, bool all);
void fuse_data_evict(struct inode *inode);

/* ---- file.c ---- */
extern const struct inode_ops g_fuse_file_iops;
extern const struct file_ops g_fuse_file_fops;

/* ---- xattr.c ---- */
int64_t fuse_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int fuse_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
int64_t fuse_listxattr(struct inode *inode, char *buf, size_t size);
int fuse_removexattr(struct inode *inode, const char *name);

#endif
