/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's terminal while a container uses it. */
#ifndef MOAT_HOST_TERMINAL_H
#define MOAT_HOST_TERMINAL_H

#include "host/err.h"

#include <termios.h>

/* Raw mode: every key goes to the container's own terminal.  *out_saved is for terminal_restore. */
must_check int terminal_raw(int fd, struct termios *out_saved, struct err *err);
/* Sends a pseudo-terminal's master over a connected unix stream socket, as engines expect it on the
 * socket of --console-socket (the receiver takes the record's text as the descriptor's name). */
must_check int terminal_send_master(int sock, int master, struct err *err);
/* Takes one from the other end: its descriptor. */
must_check int terminal_receive_master(int sock, struct err *err);
/* A terminal that is gone meanwhile is no error. */
void terminal_restore(int fd, const struct termios *saved);

#endif
