/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of a container or exec whose monitor is in the background. */
#ifndef MOAT_SANDBOX_CONSOLE_H
#define MOAT_SANDBOX_CONSOLE_H

#include "host/err.h"

/*
 * Makes a pty pair with the size `rows` x `cols` (0: none), sends its master over the connected
 * socket, and makes the slave the calling session leader's stdio and controlling terminal.
 */
must_check int console_open(int console_socket, uint16_t rows, uint16_t cols, struct err *err);

#endif
