/* SPDX-License-Identifier: Apache-2.0 */
/* Records with descriptors: see msg.h. */
#include "host/msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union fd_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MSG_FDS_MAX * sizeof(int))];
};

int msg_send(int sock, const void *buf, size_t len, const int *fds, size_t fd_count,
             bool dont_wait) {
    struct iovec iov = {(void *)(uintptr_t)buf, len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    union fd_control control;
    if (fd_count > MSG_FDS_MAX) {
        return -EINVAL;
    }
    if (fd_count > 0) {
        memset(&control, 0, sizeof(control));
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    int flags = MSG_NOSIGNAL | (dont_wait ? MSG_DONTWAIT : 0);
    ssize_t n;
    do {
        n = sendmsg(sock, &mh, flags);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static size_t msg_take_fds(struct msghdr *mh, int *fds) {
    size_t count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (count < MSG_FDS_MAX) {
                fds[count++] = fd;
            } else {
                (void)close(fd); /* more than the protocol allows */
            }
        }
    }
    return count;
}

ssize_t msg_recv(int sock, void *buf, size_t max, int *fds, size_t *out_fd_count, bool dont_wait) {
    struct iovec iov = {buf, max};
    union fd_control control;
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof(control)};
    ssize_t n;
    do {
        n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | (dont_wait ? MSG_DONTWAIT : 0));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    *out_fd_count = msg_take_fds(&mh, fds);
    if ((mh.msg_flags & MSG_TRUNC) != 0) {
        for (size_t i = 0; i < *out_fd_count; i++) {
            (void)close(fds[i]); /* belonged to a record we refuse */
        }
        *out_fd_count = 0;
        return -EMSGSIZE;
    }
    return n;
}
