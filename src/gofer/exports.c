/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exports that come and go while the Gofer serves: struct moat_gofer_change.  The launcher is
 * trusted with what it exports; its records are checked all the same, and a bad one is left out.
 */
#include "gofer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node.h"

#define FDS_MAX 2

int export_add_root(struct gofer *g, uint32_t index) {
    struct export *e = &g->exports[index];
    struct statx stx;
    int err = node_stat_at(e->dir_fd, "", &stx);
    if (err != 0) {
        return err;
    }
    e->dev = ((uint64_t)stx.stx_dev_major << 32) | stx.stx_dev_minor;
    return node_add_root(g->nodes, index, e->dir_fd, e->empty, &stx);
}

static void close_fds(const int *fds, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        (void)close(fds[i]); /* not taken */
    }
}

static void remove_one(struct gofer *g, uint32_t index) {
    struct export *e = &g->exports[index];
    if (node_find(g->nodes, MOAT_GOFER_ROOT(index)) == NULL) {
        return;
    }
    node_drop_export(g->nodes, index); /* closes dir_fd */
    if (e->file_fd >= 0) {
        (void)close(e->file_fd); /* what was written is the host's */
    }
    memset(e, 0, sizeof(*e));
    e->dir_fd = e->file_fd = -1;
}

static void add_one(struct gofer *g, const struct moat_gofer_change *c, const int *fds,
                    uint32_t fd_count) {
    struct export *e = &g->exports[c->index];
    if (fd_count == 0 || node_find(g->nodes, MOAT_GOFER_ROOT(c->index)) != NULL) {
        gofer_log(g, "export %u is not added: it is there, or came without a descriptor", c->index);
        close_fds(fds, fd_count);
        return;
    }
    *e = (struct export){.dir_fd = fds[0],
                         .flags = c->flags,
                         .own_mount = (c->flags & MOAT_GOFER_EXPORT_OWN) != 0,
                         .file_fd = fd_count > 1 ? fds[1] : -1,
                         .file_writable = fd_count > 1 && c->file_writable != 0};
    int err = export_add_root(g, c->index);
    g->admin_polled = true;
    if (err != 0) {
        gofer_log(g, "export %u is not added: %s", c->index, strerror(-err));
        close_fds(fds, fd_count);
        e->dir_fd = e->file_fd = -1;
    }
}

/* Bytes of the record, 0 at the end, -EAGAIN when there is none. */
static ssize_t receive(struct gofer *g, struct moat_gofer_change *out, int fds[FDS_MAX],
                       uint32_t *out_fd_count) {
    struct iovec iov = {.iov_base = out, .iov_len = sizeof(*out)};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf)};
    *out_fd_count = 0;
    ssize_t got = recvmsg(g->admin_fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0) {
        return -errno;
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        *out_fd_count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), *out_fd_count * sizeof(int));
    }
    return got;
}

void exports_change(struct gofer *g) {
    for (;;) {
        struct moat_gofer_change c;
        int fds[FDS_MAX];
        uint32_t fd_count;
        ssize_t got = receive(g, &c, fds, &fd_count);
        if (got == -EAGAIN || got == -EINTR) {
            return;
        }
        if (got <= 0) {
            (void)close(g->admin_fd); /* the launcher is gone */
            g->admin_fd = -1;
            return;
        }
        bool ok = got == (ssize_t)sizeof(c) && c.magic == MOAT_GOFER_MAGIC &&
                  c.index < MOAT_GOFER_EXPORTS_ALL - g->first_export &&
                  c.count <= MOAT_GOFER_EXPORTS_ALL - g->first_export - c.index;
        c.index += ok ? g->first_export : 0;
        if (ok && c.what == MOAT_GOFER_ADD) {
            add_one(g, &c, fds, fd_count);
            continue;
        }
        close_fds(fds, fd_count);
        for (uint32_t i = 0; ok && c.what == MOAT_GOFER_REMOVE && i < c.count; i++) {
            remove_one(g, c.index + i);
        }
    }
}
