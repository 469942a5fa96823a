/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of a container that runs in the background. */
#ifndef MOAT_RUNTIME_CONSOLE_H
#define MOAT_RUNTIME_CONSOLE_H

#include "host/err.h"

/*
 * Makes a pty pair, sends its master over the unix stream socket at `socket_path` (what engines
 * listen on; runc's
 * --console-socket), and makes the slave the calling session leader's stdio and controlling
 * terminal.
 */
must_check int console_open(const char *socket_path, struct err *err);

#endif
