/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of a container in the background: see console.h. */
#include "sandbox/console.h"

#include "host/cleanup.h"
#include "host/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

int console_open(int console_socket, uint16_t rows, uint16_t cols, struct err *err) {
    if (console_socket < 0) {
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
    struct winsize size = {.ws_row = rows, .ws_col = cols};
    if (rows != 0 && cols != 0 && ioctl(slave, TIOCSWINSZ, &size) != 0) {
        return err_sys(err, -errno, "cannot set the size of the pseudo-terminal");
    }
    int e = terminal_send_master(console_socket, master, err);
    for (int fd = 0; fd < 3 && e == 0; fd++) {
        e = dup2(slave, fd) == fd
                ? 0
                : err_sys(err, -errno, "cannot place the terminal on descriptor %d", fd);
    }
    return e;
}
