/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control channel: records of include/moat/control.h on a SOCK_SEQPACKET socket, descriptors as
 * SCM_RIGHTS. Neither direction blocks; a peer that does not read is cut off.
 */
#include "platform/hal/host.h"
#include "moat/control.h"
#include "base/string.h"

#include <errno.h>
#include <sys/socket.h>

static int g_control_fd = -1;

int host_control_init(int fd) {
    g_control_fd = fd;
    return 0;
}

/* Takes the descriptors of a record; those the kernel has no room for are closed. */
static void take_fds(struct msghdr *msg, int *hfds, uint32_t max, uint32_t *out_count) {
    *out_count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (*out_count < max && host_fd_donate(fd) >= 0) {
                hfds[(*out_count)++] = fd;
            } else {
                (void)sys_close(fd); /* unwanted */
            }
        }
    }
}

int64_t hal_control_recv(void *buf, size_t max, int *hfds, uint32_t *inout_hfd_count) {
    char control[CMSG_SPACE(sizeof(int) * MOAT_CTL_FDS_MAX)];
    struct iovec iov = {.iov_base = buf, .iov_len = max};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    uint32_t room = *inout_hfd_count;
    *inout_hfd_count = 0;
    if (g_control_fd < 0) {
        return -EPIPE;
    }
    long n = sys3(SYS_recvmsg, g_control_fd, (long)&msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n == -EAGAIN) {
        return 0;
    }
    if (n <= 0) {
        return -EPIPE;
    }
    take_fds(&msg, hfds, room, inout_hfd_count);
    if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        for (uint32_t i = 0; i < *inout_hfd_count; i++) {
            hal_file_close(hfds[i]);
        }
        *inout_hfd_count = 0;
        return -EMSGSIZE;
    }
    return n;
}

must_check int hal_control_send(const void *buf, size_t len) {
    if (g_control_fd < 0) {
        return -EPIPE;
    }
    long n =
        sys6(SYS_sendto, g_control_fd, (long)buf, (long)len, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
    if (n == (long)len) {
        return 0;
    }
    if (n == -EAGAIN) {
        host_warn("control: the peer does not read, cut off");
        (void)sys2(SYS_shutdown, g_control_fd, SHUT_RDWR); /* it sees the end of file */
    }
    return n < 0 ? (int)n : -EIO;
}
