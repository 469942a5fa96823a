/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories: looking names up, making, moving and removing them.  The VFS holds dir->rw.
 */
#include "base/string.h"
#include "fs/fuse/fuse.h"
#include "fs/internal.h"
#include "kernel/task.h"

#include <asm/errno.h>
#include <linux/fs.h>
#include <linux/stat.h>

static bool exclusive(const struct inode *inode) {
    return fuse_conn_of(inode->sb)->exclusive;
}

/* Names of `dir` changed by us. */
static void changed(struct inode *dir) {
    fuse_names_drop(dir);
    fuse_attr_stale(dir);
}

static int fuse_lookup(struct inode *dir, struct dentry *dentry) {
    struct fuse_conn *conn = fuse_conn_of(dir->sb);
    if (exclusive(dir)) {
        fuse_names_consider(dentry->parent);
        if (fuse_names_has(dir, dentry->name, dentry->name_len) == 0) {
            return 0;
        }
    }
    FUSE_REPLY(struct fuse_entry_out) reply;
    struct fuse_call call = {.opcode = FUSE_LOOKUP,
                             .nodeid = fuse_inode_of(dir)->nodeid,
                             .name = dentry->name,
                             .name_len = dentry->name_len,
                             .reply = &reply,
                             .reply_size = sizeof(reply),
                             .reply_min = sizeof(reply.body)};
    struct inode *inode;
    int64_t got = fuse_call(conn, &call);
    if (got == -ENOENT) {
        return 0;
    }
    int err = got < 0 ? (int)got : fuse_iget(dir->sb, &reply.body, &inode);
    if (err == 0) {
        dentry_set_inode(dentry, inode);
    }
    return err;
}

void fuse_prefill(struct dentry *dir, const char *name, size_t len,
                  const struct fuse_entry_out *entry) {
    struct inode *inode;
    struct dentry *d = dentry_cached(dir, name, len);
    if (d == NULL && (d = dentry_alloc(dir, name, len)) != NULL &&
        fuse_iget(dir->sb, entry, &inode) == 0) {
        dentry_set_inode(d, inode);
        dentry_put(dentry_hash_unique(d)); /* another one was faster: then ours goes away */
    } else {
        fuse_forget(fuse_conn_of(dir->sb), entry->nodeid, 1);
    }
    dentry_put(d);
}

/* ---- making ---- */

/* Group of what is made in `dir` (inode(7): a set-group-ID directory hands its own on). */
static uint32_t group_in(const struct inode *dir) {
    return (dir->mode & S_ISGID) != 0 ? dir->gid : current->cred->fsgid;
}

/* Sends a request that makes `dentry` and takes its entry. */
static int make(struct inode *dir, struct dentry *dentry, struct fuse_call *call) {
    FUSE_REPLY(struct fuse_entry_out) reply;
    uint32_t gid = group_in(dir);
    struct inode *inode;
    call->nodeid = fuse_inode_of(dir)->nodeid;
    call->name = dentry->name;
    call->name_len = dentry->name_len;
    call->gid = &gid;
    call->reply = &reply;
    call->reply_size = sizeof(reply);
    call->reply_min = sizeof(reply.body);
    int64_t got = fuse_call(fuse_conn_of(dir->sb), call);
    int err = got < 0 ? (int)got : fuse_iget(dir->sb, &reply.body, &inode);
    changed(dir);
    if (err == 0) {
        dentry_set_inode(dentry, inode);
    }
    return err;
}

static int fuse_mknod(struct inode *dir, struct dentry *dentry, uint32_t mode, uint64_t rdev) {
    struct fuse_mknod_in in = {.mode = mode, .rdev = (uint32_t)rdev};
    struct fuse_call call = {.opcode = FUSE_MKNOD, .in = &in, .in_size = sizeof(in)};
    return make(dir, dentry, &call);
}

static int fuse_mkdir(struct inode *dir, struct dentry *dentry, uint32_t mode) {
    struct fuse_mkdir_in in = {.mode = (mode & 07777) | (dir->mode & S_ISGID)};
    struct fuse_call call = {.opcode = FUSE_MKDIR, .in = &in, .in_size = sizeof(in)};
    return make(dir, dentry, &call);
}

static int fuse_symlink(struct inode *dir, struct dentry *dentry, const char *target) {
    struct fuse_call call = {
        .opcode = FUSE_SYMLINK, .tail = target, .tail_size = strlen(target) + 1};
    return make(dir, dentry, &call);
}

static int fuse_link(struct dentry *old, struct inode *dir, struct dentry *dentry) {
    struct fuse_link_in in = {.oldnodeid = fuse_inode_of(old->inode)->nodeid};
    struct fuse_call call = {.opcode = FUSE_LINK, .in = &in, .in_size = sizeof(in)};
    return make(dir, dentry, &call);
}

/* Makes a file and opens it in one message: whoever creates will want to write. */
static int fuse_create(struct inode *dir, struct dentry *dentry, uint32_t mode) {
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
        struct moat_gofer_donation donation;
    } * body;
    FUSE_REPLY(__typeof__(*body)) reply;
    struct fuse_create_in in = {.flags = 2 | 0200 /* O_RDWR | O_EXCL */,
                                .mode = S_IFREG | (mode & 07777),
                                .open_flags = MOAT_GOFER_OPEN_DONATE};
    uint32_t gid = group_in(dir);
    int hfd = -1;
    struct inode *inode;
    struct fuse_call call = {.opcode = FUSE_CREATE,
                             .nodeid = fuse_inode_of(dir)->nodeid,
                             .in = &in,
                             .in_size = sizeof(in),
                             .name = dentry->name,
                             .name_len = dentry->name_len,
                             .reply = &reply,
                             .reply_size = sizeof(reply),
                             .reply_min = sizeof(reply.body),
                             .gid = &gid,
                             .out_hfd = &hfd};
    int64_t got = fuse_call(fuse_conn_of(dir->sb), &call);
    int err = got < 0 ? (int)got : fuse_iget(dir->sb, &reply.body.entry, &inode);
    changed(dir);
    if (err == 0 && hfd >= 0 && S_ISREG(inode->mode)) {
        fuse_data_adopt(inode, hfd, true);
    } else if (hfd >= 0) {
        hal_file_close(hfd); /* nothing to keep it for */
    }
    if (err == 0) {
        dentry_set_inode(dentry, inode);
    }
    return err;
}

/* ---- removing and moving ---- */

static int remove_name(struct inode *dir, struct dentry *dentry, uint32_t opcode) {
    struct fuse_out_header reply;
    struct fuse_call call = {.opcode = opcode,
                             .nodeid = fuse_inode_of(dir)->nodeid,
                             .name = dentry->name,
                             .name_len = dentry->name_len,
                             .reply = &reply,
                             .reply_size = sizeof(reply)};
    int64_t got = fuse_call(fuse_conn_of(dir->sb), &call);
    changed(dir);
    if (got < 0) {
        return (int)got;
    }
    struct inode *victim = dentry->inode;
    if (opcode == FUSE_RMDIR) {
        inode_set_nlink(victim, 0);
    } else if (victim->nlink > 0) {
        inode_add_nlink(victim, -1);
    }
    inode_touch(victim, ATTR_SET_CTIME);
    return 0;
}

static int fuse_unlink(struct inode *dir, struct dentry *dentry) {
    return remove_name(dir, dentry, FUSE_UNLINK);
}

static int fuse_rmdir(struct inode *dir, struct dentry *dentry) {
    return remove_name(dir, dentry, FUSE_RMDIR);
}

static int fuse_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                       struct dentry *new_, uint32_t flags) {
    struct fuse_out_header reply;
    struct fuse_rename2_in in = {.newdir = fuse_inode_of(new_dir)->nodeid, .flags = flags};
    struct fuse_call call = {.opcode = FUSE_RENAME2,
                             .nodeid = fuse_inode_of(old_dir)->nodeid,
                             .in = &in,
                             .in_size = sizeof(in),
                             .name = old->name,
                             .name_len = old->name_len,
                             .tail = new_->name,
                             .tail_size = (size_t)new_->name_len + 1,
                             .reply = &reply,
                             .reply_size = sizeof(reply)};
    if ((flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) {
        return -EINVAL;
    }
    int64_t got = fuse_call(fuse_conn_of(old_dir->sb), &call);
    changed(old_dir);
    changed(new_dir);
    if (got < 0) {
        return (int)got;
    }
    struct inode *victim = new_->inode;
    if (victim != NULL && (flags & RENAME_EXCHANGE) == 0) {
        if (S_ISDIR(victim->mode)) {
            inode_set_nlink(victim, 0);
        } else if (victim->nlink > 0) {
            inode_add_nlink(victim, -1);
        }
    }
    inode_touch(old->inode, ATTR_SET_CTIME);
    return 0;
}

const struct inode_ops g_fuse_dir_iops = {
    .lookup = fuse_lookup,
    .create = fuse_create,
    .mknod = fuse_mknod,
    .mkdir = fuse_mkdir,
    .symlink = fuse_symlink,
    .link = fuse_link,
    .unlink = fuse_unlink,
    .rmdir = fuse_rmdir,
    .rename = fuse_rename,
    .getattr = fuse_getattr,
    .setattr = fuse_setattr,
    .getxattr = fuse_getxattr,
    .setxattr = fuse_setxattr,
    .listxattr = fuse_listxattr,
    .removexattr = fuse_removexattr,
    .revalidate = fuse_revalidate,
};
