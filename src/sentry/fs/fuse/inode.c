/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes by node id, and their attributes.
 *
 * The hash holds no reference: an inode that is being evicted is still found there but cannot be
 * taken any more; then a new one is made, and each gives its own look-ups back.
 */
#include "base/string.h"
#include "fs/fuse/fuse.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"

#include <asm/errno.h>
#include <linux/stat.h>

static const struct file_ops g_fuse_no_fops; /* devices, FIFOs, sockets: the VFS serves them */

static int64_t fuse_readlink(struct inode *inode, char *buf, size_t size) {
    struct reply {
        struct fuse_out_header h;
        char text[PATH_MAX_LEN];
    } *reply = kmalloc(sizeof(*reply));
    if (reply == NULL) {
        return -ENOMEM;
    }
    struct fuse_call call = {.opcode = FUSE_READLINK,
                             .nodeid = fuse_inode_of(inode)->nodeid,
                             .reply = reply,
                             .reply_size = sizeof(*reply)};
    int64_t len = fuse_call(fuse_conn_of(inode->sb), &call);
    if (len == 0 || (len > 0 && memchr(reply->text, '\0', (size_t)len) != NULL)) {
        len = -EIO;
    }
    if (len > 0) {
        len = MIN(len, (int64_t)size);
        memcpy(buf, reply->text, (size_t)len);
    }
    kfree(reply);
    return len;
}

static const struct inode_ops g_fuse_link_iops = {
    .readlink = fuse_readlink,
    .getattr = fuse_getattr,
    .setattr = fuse_setattr,
    .revalidate = fuse_revalidate,
    .listxattr = fuse_listxattr,
};

static const struct inode_ops g_fuse_special_iops = {
    .getattr = fuse_getattr,
    .setattr = fuse_setattr,
    .revalidate = fuse_revalidate,
    .listxattr = fuse_listxattr,
};

/* ---- attributes ---- */

static uint64_t valid_until(const struct inode *inode) {
    if (fuse_conn_of(inode->sb)->exclusive) {
        return UINT64_MAX;
    }
    return hal_clock_ns(HAL_CLOCK_MONOTONIC) + FUSE_VALID_NS;
}

static struct ktime time_of(uint64_t sec, uint32_t nsec) {
    return (struct ktime){.sec = (int64_t)sec, .nsec = nsec < NSEC_PER_SEC ? nsec : 0};
}

int fuse_attr_take(struct inode *inode, const struct fuse_attr *attr) {
    if ((attr->mode & S_IFMT) != (inode->mode & S_IFMT)) {
        return -EIO;
    }
    spin_lock(&inode->lock);
    inode->mode = attr->mode & (S_IFMT | 07777);
    inode->nlink = attr->nlink;
    inode->uid = attr->uid;
    inode->gid = attr->gid;
    atomic_store_relaxed(&inode->size, MIN(attr->size, FUSE_SIZE_MAX));
    inode->blocks = attr->blocks;
    inode->rdev = attr->rdev;
    inode->atime = time_of(attr->atime, attr->atimensec);
    inode->mtime = time_of(attr->mtime, attr->mtimensec);
    inode->ctime = time_of(attr->ctime, attr->ctimensec);
    spin_unlock(&inode->lock);
    atomic_store(&fuse_inode_of(inode)->valid_until, valid_until(inode));
    return 0;
}

void fuse_attr_stale(struct inode *inode) {
    atomic_store(&fuse_inode_of(inode)->valid_until, 0ull);
}

int fuse_attr_fresh(struct inode *inode) {
    uint64_t until = atomic_load(&fuse_inode_of(inode)->valid_until);
    if (until == UINT64_MAX || (until != 0 && until > hal_clock_ns(HAL_CLOCK_MONOTONIC))) {
        return 0;
    }
    struct fuse_getattr_in in = {0};
    FUSE_REPLY(struct fuse_attr_out) reply;
    struct fuse_call call = {.opcode = FUSE_GETATTR,
                             .nodeid = fuse_inode_of(inode)->nodeid,
                             .in = &in,
                             .in_size = sizeof(in),
                             .reply = &reply,
                             .reply_size = sizeof(reply),
                             .reply_min = sizeof(reply.body)};
    int64_t got = fuse_call(fuse_conn_of(inode->sb), &call);
    return got < 0 ? (int)got : fuse_attr_take(inode, &reply.body.attr);
}

int fuse_getattr(struct inode *inode, struct kstat *out) {
    int err = fuse_attr_fresh(inode);
    if (err == -ESTALE && inode->nlink == 0) {
        err = 0; /* removed while open: the server knows no name for it any more */
    }
    inode_to_kstat(inode, out);
    return err;
}

/* Asks for the dentry's name once more.  Renames may run meanwhile, so name and parent are taken
 * under its lock. */
static int look_again(struct dentry *dentry, struct fuse_entry_out *out) {
    char name[NAME_MAX_LEN + 1];
    spin_lock(&dentry->lock);
    struct dentry *parent = dentry->parent;
    size_t len = MIN(dentry->name_len, NAME_MAX_LEN);
    dentry_get(parent);
    memcpy(name, dentry->name, len);
    spin_unlock(&dentry->lock);
    FUSE_REPLY(struct fuse_entry_out) reply;
    struct fuse_call call = {.opcode = FUSE_LOOKUP,
                             .nodeid = fuse_inode_of(parent->inode)->nodeid,
                             .name = name,
                             .name_len = len,
                             .reply = &reply,
                             .reply_size = sizeof(reply),
                             .reply_min = sizeof(reply.body)};
    int64_t got = fuse_call(fuse_conn_of(dentry->sb), &call);
    dentry_put(parent);
    if (got >= 0) {
        *out = reply.body;
    }
    return got < 0 ? (int)got : 0;
}

int fuse_renew(struct dentry *dentry) {
    struct fuse_entry_out entry;
    struct inode *inode = dentry->inode;
    if ((dentry->flags & DENTRY_DELETED) != 0 || dentry->parent == dentry) {
        return -ESTALE;
    }
    int err = look_again(dentry, &entry);
    if (err == 0) {
        fuse_forget(fuse_conn_of(inode->sb), entry.nodeid, 1); /* the inode's own look-up stays */
    }
    return err == 0 && entry.nodeid == fuse_inode_of(inode)->nodeid ? 0 : -ESTALE;
}

bool fuse_revalidate(struct dentry *dentry) {
    struct inode *inode = dentry->inode;
    if (inode == NULL) {
        return false;
    }
    uint64_t until = atomic_load(&fuse_inode_of(inode)->valid_until);
    if (until > hal_clock_ns(HAL_CLOCK_MONOTONIC)) {
        return true;
    }
    struct fuse_entry_out entry;
    if (look_again(dentry, &entry) != 0) {
        return false;
    }
    fuse_forget(fuse_conn_of(inode->sb), entry.nodeid, 1); /* the inode's own look-up stays */
    return entry.nodeid == fuse_inode_of(inode)->nodeid && fuse_attr_take(inode, &entry.attr) == 0;
}

static struct fuse_setattr_in setattr_message(const struct inode *inode, const struct iattr *attr) {
    struct fuse_setattr_in in = {
        .mode = attr->mode & 07777, .uid = attr->uid, .gid = attr->gid, .size = attr->size};
    if ((attr->valid & ATTR_SET_MODE) != 0) {
        in.valid |= FATTR_MODE;
    }
    if ((attr->valid & ATTR_KILL_SUID) != 0 && !S_ISDIR(inode->mode)) {
        uint32_t mode = ((attr->valid & ATTR_SET_MODE) != 0 ? attr->mode : inode->mode) & 07777;
        uint32_t kept = mode & ~(uint32_t)S_ISUID;
        if ((kept & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) {
            kept &= ~(uint32_t)S_ISGID;
        }
        if (kept != mode) {
            in.valid |= FATTR_MODE;
            in.mode = kept;
        }
    }
    in.valid |= (attr->valid & ATTR_SET_UID) != 0 ? FATTR_UID : 0;
    in.valid |= (attr->valid & ATTR_SET_GID) != 0 ? FATTR_GID : 0;
    in.valid |= (attr->valid & ATTR_SET_SIZE) != 0 ? FATTR_SIZE : 0;
    if ((attr->valid & ATTR_SET_ATIME) != 0) {
        in.valid |= FATTR_ATIME;
        in.atime = (uint64_t)attr->atime.sec;
        in.atimensec = attr->atime.nsec;
    }
    if ((attr->valid & ATTR_SET_MTIME) != 0) {
        in.valid |= FATTR_MTIME;
        in.mtime = (uint64_t)attr->mtime.sec;
        in.mtimensec = attr->mtime.nsec;
    }
    return in;
}

/* Sends SETATTR; a server that lost the file is told its name first. */
static int send_setattr(struct dentry *dentry, const struct fuse_setattr_in *in) {
    struct inode *inode = dentry->inode;
    FUSE_REPLY(struct fuse_attr_out) reply;
    struct fuse_call call = {.opcode = FUSE_SETATTR,
                             .nodeid = fuse_inode_of(inode)->nodeid,
                             .in = in,
                             .in_size = sizeof(*in),
                             .reply = &reply,
                             .reply_size = sizeof(reply),
                             .reply_min = sizeof(reply.body)};
    int64_t got = fuse_call(fuse_conn_of(inode->sb), &call);
    if (got == -ESTALE && fuse_renew(dentry) == 0) {
        got = fuse_call(fuse_conn_of(inode->sb), &call);
    }
    return got < 0 ? (int)got : fuse_attr_take(inode, &reply.body.attr);
}

int fuse_setattr(struct dentry *dentry, struct iattr *attr) {
    struct inode *inode = dentry->inode;
    struct fuse_setattr_in in = setattr_message(inode, attr);
    uint64_t old_size = inode->size;
    int err = 0;
    if ((in.valid & FATTR_SIZE) != 0 && fuse_data_truncate(inode, attr->size, &err)) {
        in.valid &= ~(uint32_t)FATTR_SIZE;
    }
    if (err == 0 && in.valid != 0) {
        err = send_setattr(dentry, &in);
    }
    if (err == 0 && (attr->valid & ATTR_SET_SIZE) != 0 && attr->size < old_size) {
        uint64_t first = (attr->size + PAGE_MASK) >> PAGE_SHIFT;
        mm_unmap_inode(inode, first, UINT64_MAX - first);
    }
    return err;
}

/* ---- inodes ---- */

static struct fuse_bucket *bucket_of(struct fuse_conn *conn, uint64_t nodeid) {
    return &conn->buckets[(nodeid ^ (nodeid >> 10) ^ (nodeid >> 32)) % FUSE_BUCKETS];
}

/* The living inode of a node, with a reference and one more look-up.  Lock: the bucket's. */
static struct inode *find_locked(struct fuse_bucket *b, const struct super_block *sb,
                                 uint64_t nodeid) {
    struct fuse_inode *fi;
    list_for_each_entry (fi, &b->inodes, hash_link) {
        if (fi->nodeid == nodeid && fi->inode->sb == sb && ref_get_unless_zero(&fi->inode->ref)) {
            fi->lookups++;
            return fi->inode;
        }
    }
    return NULL;
}

static void set_ops(struct inode *inode) {
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        inode->ops = &g_fuse_dir_iops;
        inode->fops = &g_fuse_dir_fops;
        break;
    case S_IFREG:
        inode->ops = &g_fuse_file_iops;
        inode->fops = &g_fuse_file_fops;
        break;
    case S_IFLNK:
        inode->ops = &g_fuse_link_iops;
        break;
    default:
        break;
    }
}

static struct inode *inode_new(struct super_block *sb, const struct fuse_entry_out *entry) {
    struct fuse_inode *fi = kzalloc(sizeof(*fi));
    struct inode *inode = fi == NULL ? NULL
                                     : inode_alloc(sb, entry->attr.mode & (S_IFMT | 07777),
                                                   &g_fuse_special_iops, &g_fuse_no_fops);
    if (inode == NULL) {
        kfree(fi);
        return NULL;
    }
    list_init(&fi->hash_link);
    list_init(&fi->lru_link);
    fi->inode = inode;
    fi->nodeid = entry->nodeid;
    fi->lookups =
        entry->nodeid == fuse_conn_of(sb)->root_id ? 0 : 1; /* the root is never forgotten */
    inode->private = fi;
    inode->ino = entry->attr.ino;
    set_ops(inode);
    (void)!fuse_attr_take(inode, &entry->attr); /* it was made of this very type */
    inode->btime = inode->ctime;
    return inode;
}

static bool type_known(uint32_t mode) {
    static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
                                     S_IFBLK, S_IFIFO, S_IFSOCK};
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if ((mode & S_IFMT) == types[i]) {
            return true;
        }
    }
    return false;
}

int fuse_iget(struct super_block *sb, const struct fuse_entry_out *entry,
              struct inode **out_inode) {
    struct fuse_conn *conn = fuse_conn_of(sb);
    struct fuse_bucket *b = bucket_of(conn, entry->nodeid);
    if (entry->nodeid == 0 || !type_known(entry->attr.mode)) {
        return -EIO;
    }
    spin_lock(&b->lock);
    struct inode *inode = find_locked(b, sb, entry->nodeid);
    spin_unlock(&b->lock);
    if (inode == NULL) {
        struct inode *fresh = inode_new(sb, entry);
        if (fresh == NULL) {
            fuse_forget(conn, entry->nodeid, 1);
            return -ENOMEM;
        }
        spin_lock(&b->lock);
        inode = find_locked(b, sb, entry->nodeid);
        if (inode == NULL) {
            list_push_front(&b->inodes, &fuse_inode_of(fresh)->hash_link);
        } else {
            fuse_inode_of(fresh)->lookups = 0; /* counted for the other one */
        }
        spin_unlock(&b->lock);
        if (inode == NULL) {
            *out_inode = fresh;
            return 0;
        }
        inode_put(fresh);
    }
    if (fuse_attr_take(inode, &entry->attr) != 0) {
        inode_put(inode);
        return -EIO;
    }
    *out_inode = inode;
    return 0;
}

void fuse_evict(struct inode *inode) {
    struct fuse_conn *conn = fuse_conn_of(inode->sb);
    struct fuse_inode *fi = fuse_inode_of(inode);
    struct fuse_bucket *b = bucket_of(conn, fi->nodeid);
    spin_lock(&b->lock);
    list_del_init(&fi->hash_link);
    spin_unlock(&b->lock);
    fuse_data_evict(inode);
    fuse_names_drop(inode);
    fuse_forget(conn, fi->nodeid, fi->lookups);
    kfree(fi);
    inode->private = NULL;
}
