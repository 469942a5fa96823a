/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes.  A Sentry's: "user." to read and write, "security.capability" to read;
 * others do not exist here.  A virtual machine's: "user." and "security.capability" to read and
 * write, the rest of "security." to read; others are never there.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define XATTR_NAME_MAX_LEN 255u
#define XATTR_VALUE_MAX    65536u

static bool name_is_user(const char *name) {
    return strncmp(name, "user.", 5) == 0 && name[5] != '\0';
}

static bool name_is_readable(const struct gofer *g, const char *name) {
    return name_is_user(name) || strcmp(name, "security.capability") == 0 ||
           (g->vhost && strncmp(name, "security.", 9) == 0);
}

static bool name_is_writable(const struct gofer *g, const char *name) {
    return name_is_user(name) || (g->vhost && strcmp(name, "security.capability") == 0);
}

/* What a name gets that is not served: ACLs ("system.") are not offered, others are somebody's. */
static int refused(const struct gofer *g, const char *name, int err) {
    return !g->vhost || strncmp(name, "system.", 7) == 0 ? -EOPNOTSUPP : err;
}

static int request_xattr_name(const struct request *req, uint32_t off, const char **out_name,
                              uint32_t *out_next) {
    *out_name = request_string(req, off, out_next);
    if (*out_name == NULL || *out_next - off - 1 == 0) {
        return -EINVAL;
    }
    return *out_next - off - 1 > XATTR_NAME_MAX_LEN ? -ERANGE : 0;
}

/* Descriptor whose attributes can be read; other kinds of file have none of those we serve. */
static int open_for_xattr(struct gofer *g, struct node *n) {
    if (n->type != S_IFREG && n->type != S_IFDIR) {
        return -ENODATA;
    }
    return open_readable(g, n);
}

/* The reply to "how long" (size 0), or the value itself. */
static int value_reply(struct reply *r, const void *value, size_t len, uint32_t size) {
    if (size == 0) {
        struct fuse_getxattr_out *out = reply_add(r, sizeof(*out));
        *out = (struct fuse_getxattr_out){.size = (uint32_t)len};
        return 0;
    }
    void *out = len <= size ? reply_add(r, len) : NULL;
    if (out == NULL) {
        return -ERANGE;
    }
    memcpy(out, value, len);
    return 0;
}

int op_getxattr(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    static uint8_t value[XATTR_VALUE_MAX]; /* one thread */
    struct fuse_getxattr_in in;
    const char *name;
    uint32_t next;
    memcpy(&in, req->body, sizeof(in));
    int err = request_xattr_name(req, sizeof(in), &name, &next);
    if (err != 0) {
        return err;
    }
    if (!name_is_readable(g, name)) {
        return refused(g, name, -ENODATA);
    }
    int fd = open_for_xattr(g, n);
    if (fd < 0) {
        return fd;
    }
    ssize_t len = fgetxattr(fd, name, value, sizeof(value));
    err = len < 0 ? -errno : 0;
    (void)close(fd); /* read-only */
    return err != 0 ? err : value_reply(r, value, (size_t)len, in.size);
}

/* Keeps the names that may be read; the new length. */
static size_t filter_names(const struct gofer *g, char *names, size_t len) {
    size_t out = 0;
    for (size_t pos = 0; pos < len;) {
        size_t size = strnlen(names + pos, len - pos) + 1;
        if (pos + size <= len && name_is_readable(g, names + pos)) {
            memmove(names + out, names + pos, size);
            out += size;
        }
        pos += size;
    }
    return out;
}

int op_listxattr(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    static char names[XATTR_VALUE_MAX]; /* one thread */
    struct fuse_getxattr_in in;
    memcpy(&in, req->body, sizeof(in));
    int fd = open_for_xattr(g, n);
    if (fd == -ENODATA) {
        return value_reply(r, names, 0, in.size);
    }
    if (fd < 0) {
        return fd;
    }
    ssize_t len = flistxattr(fd, names, sizeof(names));
    int err = len < 0 ? -errno : 0;
    (void)close(fd); /* read-only */
    return err != 0 ? err : value_reply(r, names, filter_names(g, names, (size_t)len), in.size);
}

int op_setxattr(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    struct fuse_setxattr_in in = {0};
    const char *name;
    uint32_t next;
    memcpy(&in, req->body, FUSE_COMPAT_SETXATTR_IN_SIZE);
    int err = request_xattr_name(req, FUSE_COMPAT_SETXATTR_IN_SIZE, &name, &next);
    if (err != 0) {
        return err;
    }
    if (in.size > req->body_len - next || in.size > XATTR_VALUE_MAX) {
        return -EINVAL;
    }
    if (!name_is_writable(g, name)) {
        return refused(g, name, -EPERM);
    }
    int fd = open_for_xattr(g, n);
    if (fd < 0) {
        return fd == -ENODATA ? -EPERM : fd;
    }
    int flags = (int)(in.flags & (XATTR_CREATE | XATTR_REPLACE));
    err = fsetxattr(fd, name, req->body + next, in.size, flags) == 0 ? 0 : -errno;
    (void)close(fd); /* no data */
    return err;
}

int op_removexattr(struct gofer *g, const struct request *req, struct node *n, struct reply *r) {
    const char *name;
    uint32_t next;
    int err = request_xattr_name(req, 0, &name, &next);
    if (err != 0) {
        return err;
    }
    if (!name_is_writable(g, name)) {
        return refused(g, name, -EPERM);
    }
    int fd = open_for_xattr(g, n);
    if (fd < 0) {
        return fd;
    }
    err = fremovexattr(fd, name) == 0 ? 0 : -errno;
    (void)close(fd); /* no data */
    return err;
}
