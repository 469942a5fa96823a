/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of engines: see sockets.h. */
#include "runtime/sockets.h"

#include "host/cleanup.h"
#include "host/msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

int socket_connect(const char *path, const char *option, struct err *err) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path)) {
        return err_set(err, -ENAMETOOLONG, "%s %s: the path is too long for a socket", option,
                       path);
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    cleanup_fd int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        return err_sys(err, -errno, "%s: cannot connect to %s", option, path);
    }
    return steal_fd(&sock);
}

int socket_send_pidfd(const char *path, pid_t pid, struct err *err) {
    static const char name[] = "pidfd"; /* the receiver takes it as the descriptor's name */
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        return err_sys(err, -errno, "--pidfd-socket: cannot open process %d", (int)pid);
    }
    cleanup_fd int sock = socket_connect(path, "--pidfd-socket", err);
    if (sock < 0) {
        return sock;
    }
    int e = msg_send(sock, name, sizeof(name) - 1, &pidfd, 1, false);
    return e == 0 ? 0 : err_sys(err, e, "--pidfd-socket: cannot send to %s", path);
}
