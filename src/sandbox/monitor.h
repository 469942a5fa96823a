/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor of a container: the process that owns the control channel to the Sentry, relays
 * requests of other moat commands from the container's control socket, forwards signals and window
 * sizes, and ends with the container's exit status.
 */
#ifndef MOAT_SANDBOX_MONITOR_H
#define MOAT_SANDBOX_MONITOR_H

#include "host/err.h"
#include "oci/container.h"
#include "sandbox/sandbox.h"

struct monitor_client;

struct monitor {
    struct sandbox *sandbox;
    const char *container_id;
    int listen_fd;        /* control socket of other commands, or -1 */
    int signal_fd;        /* the signals monitor_init blocked */
    int terminal_fd;      /* host terminal whose size is forwarded, or -1 */
    bool forward_signals; /* TERM, INT, HUP, ... go to the container's init */
    struct monitor_client *clients;
    uint32_t client_count;
    uint32_t next_id;
    bool exited;
    int exit_status; /* wait status of the container's init, valid when exited */
    /* Called when init is gone, before clients are told; may be NULL. */
    void (*on_exit)(void *arg, int wait_status);
    void *arg;
};

/* Takes over signals of the calling process (blocks them). */
must_check int monitor_init(struct monitor *m, struct sandbox *sandbox, const char *container_id,
                            struct err *err);
/* Sends a request; its reply is for monitor_await. */
must_check int monitor_send(struct monitor *m, const void *record, size_t len, const int *fds,
                            size_t fd_count, struct err *err);
/* Waits for the reply to request `id`, serving nothing else: for the set-up. */
must_check int monitor_await(struct monitor *m, uint32_t id, struct err *err);
/* Both at once. */
must_check int monitor_request(struct monitor *m, const void *record, size_t len, const int *fds,
                               size_t fd_count, struct err *err);
/* Serves until init has exited.  0, or an error such as a Sentry that died. */
must_check int monitor_run(struct monitor *m, struct err *err);
void monitor_close(struct monitor *m);

#endif
