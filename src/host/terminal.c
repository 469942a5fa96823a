/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's terminal: see terminal.h. */
#include "host/terminal.h"

#include <errno.h>

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
