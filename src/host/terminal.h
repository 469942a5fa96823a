/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's terminal while a container uses it. */
#ifndef MOAT_HOST_TERMINAL_H
#define MOAT_HOST_TERMINAL_H

#include "host/err.h"

#include <termios.h>

/* Raw mode: every key goes to the container's own terminal.  *out_saved is for terminal_restore. */
must_check int terminal_raw(int fd, struct termios *out_saved, struct err *err);
/* A terminal that is gone meanwhile is no error. */
void terminal_restore(int fd, const struct termios *saved);

#endif
