/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of a container in the background: see console.h. */
#include "runtime/console.h"

#include "host/cleanup.h"
#include "host/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int send_master(const char *socket_path, int master, struct err *err) {
    static const char name[] =
        "/dev/ptmx"; /* the receiver takes the record's text as the descriptor's name */
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof(addr.sun_path)) {
        return err_set(err, -ENAMETOOLONG, "--console-socket %s: the path is too long for a socket",
                       socket_path);
    }
    memcpy(addr.sun_path, socket_path, strlen(socket_path) + 1);
    cleanup_fd int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        return err_sys(err, -errno, "--console-socket: cannot connect to %s", socket_path);
    }
    int e = msg_send(sock, name, sizeof(name) - 1, &master, 1, false);
    return e == 0
               ? 0
               : err_sys(err, e, "--console-socket: cannot send the terminal to %s", socket_path);
}

int console_open(const char *socket_path, struct err *err) {
    if (socket_path == NULL) {
        return err_set(err, -EINVAL,
                       "the process has a terminal (process.terminal): give --console-socket, or "
                       "set it to false");
    }
    cleanup_fd int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        return err_sys(err, -errno, "cannot make a pseudo-terminal");
    }
    cleanup_fd int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) != 0) {
        return err_sys(err, -errno, "cannot open the pseudo-terminal");
    }
    int e = send_master(socket_path, master, err);
    for (int fd = 0; fd < 3 && e == 0; fd++) {
        e = dup2(slave, fd) == fd
                ? 0
                : err_sys(err, -errno, "cannot place the terminal on descriptor %d", fd);
    }
    return e;
}
