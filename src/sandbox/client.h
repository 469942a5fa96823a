/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the monitor of a container over control.sock in its state folder (moat/control.h).
 *
 * Trust boundary: replies come through the monitor from the Sentry, which a guest may have taken
 * over; sizes are checked, texts are ended here.
 */
#ifndef MOAT_SANDBOX_CLIENT_H
#define MOAT_SANDBOX_CLIENT_H

#include "host/err.h"
#include "moat/control.h"

/* Makes the listening socket in the folder `dir`. */
must_check int client_listen(int dir, struct err *err);
/* Connects to the container's monitor; -ESRCH "container not running" when it has none. */
must_check int client_connect(int dir, const char *id, struct err *err);
/* Sends `record` and waits for its reply, which is copied to reply (reply_max bytes; the fixed part
 * at least) and NUL-terminated in its message.  An error in the reply becomes *err.  Exit events
 * that come first are kept in *exit_event (may be NULL; its header's magic tells). */
must_check int client_request(int sock, const void *record, size_t len, const int *fds,
                              size_t fd_count, void *reply, size_t reply_max,
                              struct moat_ctl_exit *exit_event, struct err *err);
/* Takes one record: 1 and *out_event when it is an exit event, 0 for any other, or -errno with
 * *err. */
must_check int client_next_exit(int sock, struct moat_ctl_exit *out_event, struct err *err);

#endif
