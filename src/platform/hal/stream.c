/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: stdio pipes, sockets, terminals.  Never blocks, and never touches O_NONBLOCK, which
 * belongs to everybody who shares the description.
 *
 * Reads: a socket takes MSG_DONTWAIT, a pipe RWF_NOWAIT (Linux 5.9 and later); elsewhere poll goes
 * first, and a reader outside the sandbox that is quicker can make us wait.  Writes: after POLLOUT
 * a pipe takes PIPE_BUF bytes at once (pipe(7)), a terminal at least something.
 */
#include "platform/hal/host.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>

#define WRITE_CHUNK 4096u

static uint32_t poll_now(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    long nothing[2] = {0, 0};
    return sys5(SYS_ppoll, (long)&p, 1, (long)nothing, 0, 0) == 1 ? (uint32_t)p.revents : 0;
}

uint32_t hal_stream_poll(int hfd) {
    return host_fd_ok(hfd) ? poll_now(hfd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI) : POLLERR;
}

/* A pipe or terminal. */
static int64_t stream_read(int fd, void *buf, size_t len) {
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    if ((poll_now(fd, POLLIN) & (POLLIN | POLLHUP | POLLERR)) == 0) {
        return -EAGAIN;
    }
    long n = sys6(SYS_preadv2, fd, (long)&iov, 1, -1, -1, RWF_NOWAIT);
    if (n == -EOPNOTSUPP || n == -ENOSYS || n == -EINVAL) {
        n = sys3(SYS_read, fd, (long)buf, (long)len);
    }
    return n;
}

int64_t hal_stream_read(int hfd, void *buf, size_t len) {
    switch (host_fd_kind(hfd)) {
    case HOST_FD_SOCKET:
        return sys6(SYS_recvfrom, hfd, (long)buf, (long)len, MSG_DONTWAIT, 0, 0);
    case HOST_FD_FILE:
        return sys3(SYS_read, hfd, (long)buf, (long)len);
    case HOST_FD_STREAM:
        return stream_read(hfd, buf, len);
    default:
        return -EBADF;
    }
}

static int64_t stream_write(int fd, const char *from, size_t len) {
    size_t done = 0;
    long n = 0;
    while (done < len) {
        if ((poll_now(fd, POLLOUT) & (POLLOUT | POLLERR | POLLHUP)) == 0) {
            n = -EAGAIN;
            break;
        }
        n = sys3(SYS_write, fd, (long)(from + done), (long)MIN(len - done, (size_t)WRITE_CHUNK));
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    return done != 0 ? (int64_t)done : n;
}

int64_t hal_stream_write(int hfd, const void *buf, size_t len) {
    switch (host_fd_kind(hfd)) {
    case HOST_FD_SOCKET:
        return sys6(SYS_sendto, hfd, (long)buf, (long)len, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
    case HOST_FD_FILE:
        return sys3(SYS_write, hfd, (long)buf, (long)len);
    case HOST_FD_STREAM:
        return stream_write(hfd, buf, len);
    default:
        return -EBADF;
    }
}

int64_t hal_stream_seek(int hfd, int64_t off, int whence) {
    return host_fd_ok(hfd) ? sys3(SYS_lseek, hfd, off, whence) : -EBADF;
}

must_check int hal_tty_ioctl(int hfd, uint32_t request, void *buf, size_t len) {
    size_t need;
    switch (request) {
    case TCGETS:
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        need = 36; /* the kernel's struct termios */
        break;
    case TIOCGWINSZ:
        need = sizeof(struct winsize);
        break;
    default:
        return -ENOTTY;
    }
    if (!host_fd_ok(hfd)) {
        return -EBADF;
    }
    return len < need ? -EINVAL : (int)sys3(SYS_ioctl, hfd, request, (long)buf);
}
