/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets on which engines listen for a terminal or a pidfd. */
#ifndef MOAT_RUNTIME_SOCKETS_H
#define MOAT_RUNTIME_SOCKETS_H

#include "host/err.h"

#include <sys/types.h>

/* Connects to the unix stream socket at `path`; `option` is named in errors. */
must_check int socket_connect(const char *path, const char *option, struct err *err);
/* Sends a pidfd of the process to the socket at `path` (runc's --pidfd-socket). */
must_check int socket_send_pidfd(const char *path, pid_t pid, struct err *err);

#endif
