/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life cycle of containers over struct isolation_ops: a monitor process for each, and what
 * other commands ask of it.
 */
#ifndef MOAT_RUNTIME_LIFECYCLE_H
#define MOAT_RUNTIME_LIFECYCLE_H

#include "moat/control.h"
#include "oci/isolation.h"
#include "runtime/state.h"

struct lifecycle_create {
    const char *root, *bundle, *id;
    const char *pid_file;       /* NULL: none */
    const char *console_socket; /* NULL: none; where a terminal's master goes (runc's protocol) */
    const struct isolation_ops *isolation;
    int log_fd;
    bool debug, log_json;
};

/* Makes the container with a monitor in the background; the process waits for lifecycle_start. */
must_check int lifecycle_create(struct container *c, const struct lifecycle_create *how,
                                struct err *err);
/* Makes and runs it with the caller as its monitor, and removes it at the end; *out_wait_status is
 * its. */
must_check int lifecycle_run(struct container *c, const struct lifecycle_create *how,
                             int *out_wait_status, struct err *err);
must_check int lifecycle_start(const char *root, const char *id, struct err *err);
must_check int lifecycle_kill(const char *root, const char *id, int signo, bool all,
                              struct err *err);
must_check int lifecycle_delete(const char *root, const char *id, bool force, struct err *err);
/* Waits for the end of the container's process. */
must_check int lifecycle_wait(const char *root, const char *id, int *out_wait_status,
                              struct err *err);

/* ---- requests to a monitor (client.c) ---- */

/* Connects to the container's monitor; "container not running" when it has none. */
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
/* Waits for the exit event of exec_id ("" for init). */
must_check int client_wait_exit(int sock, const char *exec_id, struct moat_ctl_exit *out_event,
                                struct err *err);

#endif
