/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-over.  With a listener each turn is a seccomp notification (seccomp_unotify(2)); its slot
 * and length are the Sentry's word and are checked by gofer_serve.  Without, turns are records on
 * the set-up socket.
 */
#include "channel.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

int gofer_pass_fd(struct gofer *g, int fd, uint64_t unique) {
    struct moat_gofer_passed passed = {
        .magic = MOAT_GOFER_MAGIC, .slot = g->slot, .unique = unique};
    struct iovec iov = {.iov_base = &passed, .iov_len = sizeof(passed)};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    /* A Sentry that does not take its descriptors only starves itself. */
    return sendmsg(g->socket_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(passed)
               ? 0
               : -EIO;
}

/* The Sentry's first record: *out_listener is its descriptor or -1. */
static int receive_hello(struct gofer *g, int *out_listener) {
    struct moat_gofer_hello hello;
    struct iovec iov = {.iov_base = &hello, .iov_len = sizeof(hello)};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf)};
    ssize_t got = recvmsg(g->socket_fd, &msg, MSG_CMSG_CLOEXEC);
    *out_listener = -1;
    if (got <= 0) {
        return got < 0 ? -errno : -EPIPE;
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(out_listener, CMSG_DATA(c), sizeof(int));
    }
    if (got != (ssize_t)sizeof(hello) || hello.magic != MOAT_GOFER_MAGIC ||
        hello.version != MOAT_GOFER_VERSION || (hello.has_listener != 0) != (*out_listener >= 0)) {
        return -EPROTO;
    }
    return 0;
}

/* Since Linux 6.11 SECCOMP_IOCTL_NOTIF_RECV ends when the last thread under the filter is gone;
 * before, only poll tells. */
static bool recv_ends_by_itself(void) {
    struct utsname u;
    unsigned int major = 0, minor = 0;
    return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 11));
}

static bool listener_dead(int listener) {
    struct pollfd p = {.fd = listener, .events = POLLIN};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

/* Waits for a turn on `fd`, taking changes of the exports first: what a turn asks for may have been
 * added just before.  False at the end. */
static bool wait_for_turn(struct gofer *g, int fd) {
    for (;;) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = g->admin_fd, .events = POLLIN}};
        if (poll(p, 2, -1) <= 0) {
            continue; /* EINTR */
        }
        if (p[1].revents != 0) {
            exports_change(g);
        }
        if (p[0].revents != 0) {
            return (p[0].revents & POLLIN) != 0;
        }
    }
}

static int serve_listener(struct gofer *g, int listener) {
    for (;;) {
        struct seccomp_notif turn;
        if ((g->poll_first || g->admin_polled) && !wait_for_turn(g, listener)) {
            return 0;
        }
        memset(&turn, 0, sizeof(turn));
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &turn) != 0) {
            if (errno != EINTR && errno != ENOENT) {
                return -errno;
            }
            if (listener_dead(listener)) {
                return 0;
            }
            continue;
        }
        struct seccomp_notif_resp answer = {.id = turn.id};
        if (turn.data.nr == MOAT_GOFER_CALL_NR) {
            answer.val = gofer_serve(g, (uint32_t)MIN(turn.data.args[0], (uint64_t)UINT32_MAX),
                                     (uint32_t)MIN(turn.data.args[1], (uint64_t)UINT32_MAX));
        } else {
            answer.error = -ENOSYS;
        }
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND,
                    &answer); /* ENOENT: the caller died meanwhile */
    }
}

static int serve_socket(struct gofer *g) {
    for (;;) {
        struct moat_gofer_turn turn;
        if (g->admin_polled && !wait_for_turn(g, g->socket_fd)) {
            return 0;
        }
        ssize_t got = recv(g->socket_fd, &turn, sizeof(turn), 0);
        if (got == 0) {
            return 0;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got != (ssize_t)sizeof(turn)) {
            return got < 0 ? -errno : -EPROTO;
        }
        turn.len = gofer_serve(g, turn.slot, turn.len);
        if (send(g->socket_fd, &turn, sizeof(turn), MSG_NOSIGNAL) < 0) {
            return errno == EPIPE ? 0 : -errno;
        }
    }
}

void channel_probe(struct gofer *g) {
    g->poll_first = !recv_ends_by_itself();
}

int channel_run(struct gofer *g) {
    int listener;
    int err = receive_hello(g, &listener);
    if (err == -EPIPE || err == -ECONNRESET) {
        return 0;
    }
    if (err != 0) {
        return err;
    }
    return listener >= 0 ? serve_listener(g, listener) : serve_socket(g);
}
