/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes: what the Gofer keeps ("user.", and "security.capability" to read) by
 * message, nothing else. */
#include "base/string.h"
#include "fs/fuse/fuse.h"
#include "kernel/kmalloc.h"

#include <asm/errno.h>
#include <linux/stat.h>

#define XATTR_REPLY_MAX (64u * KIB) /* xattr(7): a value, or a list */

static bool is_kept(const char *name, bool reading) {
    return strncmp(name, "user.", 5) == 0 || (reading && strcmp(name, "security.capability") == 0);
}

/* Sends GETXATTR or LISTXATTR with size 0 (how long?) or into buf. */
static int64_t get_common(struct inode *inode, uint32_t opcode, const char *name, void *buf,
                          size_t size) {
    size_t room = MAX(MIN(size, (size_t)XATTR_REPLY_MAX), sizeof(struct fuse_getxattr_out));
    struct reply {
        struct fuse_out_header h;
        uint8_t body[];
    } *reply = kmalloc(sizeof(*reply) + room);
    if (reply == NULL) {
        return -ENOMEM;
    }
    struct fuse_getxattr_in in = {.size = (uint32_t)MIN(size, (size_t)XATTR_REPLY_MAX)};
    struct fuse_call call = {.opcode = opcode,
                             .nodeid = fuse_inode_of(inode)->nodeid,
                             .in = &in,
                             .in_size = sizeof(in),
                             .name = name,
                             .name_len = name == NULL ? 0 : strlen(name),
                             .reply = reply,
                             .reply_size = sizeof(*reply) + room};
    int64_t got = fuse_call(fuse_conn_of(inode->sb), &call);
    if (got >= 0 && size == 0) {
        struct fuse_getxattr_out out;
        memcpy(&out, reply->body, sizeof(out));
        got = got < (int64_t)sizeof(out) || out.size > XATTR_REPLY_MAX ? -EIO : (int64_t)out.size;
    } else if (got > (int64_t)size) {
        got = -ERANGE;
    } else if (got > 0) {
        memcpy(buf, reply->body, (size_t)got);
    }
    kfree(reply);
    return got;
}

int64_t fuse_getxattr(struct inode *inode, const char *name, void *buf, size_t size) {
    if (!is_kept(name, true)) {
        return -EOPNOTSUPP;
    }
    return get_common(inode, FUSE_GETXATTR, name, buf, size);
}

int64_t fuse_listxattr(struct inode *inode, char *buf, size_t size) {
    if (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode)) {
        return 0;
    }
    return get_common(inode, FUSE_LISTXATTR, NULL, buf, size);
}

int fuse_setxattr(struct inode *inode, const char *name, const void *value, size_t size,
                  int flags) {
    struct {
        uint32_t size, flags; /* struct fuse_setxattr_in up to FUSE_COMPAT_SETXATTR_IN_SIZE */
    } in = {.size = (uint32_t)size, .flags = (uint32_t)flags};
    struct fuse_out_header reply;
    struct fuse_call call = {.opcode = FUSE_SETXATTR,
                             .nodeid = fuse_inode_of(inode)->nodeid,
                             .in = &in,
                             .in_size = sizeof(in),
                             .name = name,
                             .name_len = strlen(name),
                             .tail = value,
                             .tail_size = size,
                             .reply = &reply,
                             .reply_size = sizeof(reply)};
    if (!is_kept(name, false)) {
        return -EOPNOTSUPP;
    }
    int64_t got = fuse_call(fuse_conn_of(inode->sb), &call);
    fuse_attr_stale(inode); /* its ctime */
    return got < 0 ? (int)got : 0;
}

int fuse_removexattr(struct inode *inode, const char *name) {
    struct fuse_out_header reply;
    struct fuse_call call = {.opcode = FUSE_REMOVEXATTR,
                             .nodeid = fuse_inode_of(inode)->nodeid,
                             .name = name,
                             .name_len = strlen(name),
                             .reply = &reply,
                             .reply_size = sizeof(reply)};
    if (!is_kept(name, false)) {
        return -EOPNOTSUPP;
    }
    int64_t got = fuse_call(fuse_conn_of(inode->sb), &call);
    fuse_attr_stale(inode);
    return got < 0 ? (int)got : 0;
}
