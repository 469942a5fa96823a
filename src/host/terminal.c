/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's terminal: see terminal.h. */
#include "host/terminal.h"

#include "host/msg.h"

#include <errno.h>
#include <unistd.h>

int terminal_raw(int fd, struct termios *out_saved, struct err *err) {
    struct termios raw;
    if (tcgetattr(fd, out_saved) != 0) {
        return err_sys(err, -errno,
                       "cannot use standard input as a terminal (leave the terminal option out "
                       "when it is none)");
    }
    raw = *out_saved;
    cfmakeraw(&raw);
    return tcsetattr(fd, TCSANOW, &raw) == 0
               ? 0
               : err_sys(err, -errno, "cannot set the terminal to raw mode");
}

void terminal_restore(int fd, const struct termios *saved) {
    (void)tcsetattr(fd, TCSADRAIN, saved); /* see the contract */
}

int terminal_send_master(int sock, int master, struct err *err) {
    static const char name[] = "/dev/ptmx";
    int e = msg_send(sock, name, sizeof(name) - 1, &master, 1, false);
    return e == 0 ? 0 : err_sys(err, e, "cannot send the terminal over the console socket");
}

int terminal_receive_master(int sock, struct err *err) {
    char name[256];
    int fds[MSG_FDS_MAX];
    size_t count = 0;
    ssize_t n = msg_recv(sock, name, sizeof(name), fds, &count, false);
    for (size_t i = 1; i < count; i++) {
        (void)close(fds[i]); /* one is what was asked for */
    }
    if (count == 0) {
        return err_sys(err, n < 0 ? (int)n : -EPROTO, "the container sent no terminal");
    }
    return fds[0];
}
