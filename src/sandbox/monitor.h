/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor of a sandbox: the process that owns the control channel to the Sentry, relays
 * requests of other moat processes from the container's control socket, forwards signals and window
 * sizes, and ends with the exit status of the container that it was made for.
 *
 * Other containers of the pod have monitors of their own, which are clients here: one sends JOIN,
 * hands over what the container shows of the host (EXPORT) and then makes it with CREATE.  The end
 * of its connection is the end of the container.
 *
 * Trust boundary: records of the Sentry are those of something a guest may have taken over; sizes
 * and types are checked before use, and nothing in them names a host resource.  Clients of the
 * control socket are root's or the owner's (file mode).
 */
#ifndef MOAT_SANDBOX_MONITOR_H
#define MOAT_SANDBOX_MONITOR_H

#include "base/list.h"
#include "host/cgroup_bell.h"
#include "host/err.h"
#include "host/msg.h"
#include "moat/control.h"
#include "moat/gofer.h"
#include "oci/container.h"
#include "sandbox/sandbox.h"

/* A container that joined. */
struct monitor_joined {
    struct list link; /* monitor->joined */
    char id[128];
    uint32_t first_export, export_count;
    uint32_t destroy_id; /* of the DESTROY under way, 0: none */
};

struct monitor_client {
    int fd;
    uint32_t pending_id; /* id that its request has towards the Sentry, 0: none under way */
    uint32_t own_id;     /* id the client gave it */
    struct monitor_joined *joined; /* the container it owns, or NULL */
};

struct monitor {
    const struct sandbox_kind *kind;
    struct sandbox *sandbox;
    const char *container_id;
    int listen_fd;        /* control socket of other commands, or -1 */
    int signal_fd;        /* the signals monitor_init blocked */
    int terminal_fd;      /* host terminal whose size is forwarded, or -1 */
    bool forward_signals; /* they go to the container's init */
    struct monitor_client *clients;
    uint32_t client_count, client_capacity;
    uint64_t exports_used[MOAT_GOFER_EXPORTS_ALL / 64];
    uint32_t next_export; /* where the search for free ones begins */
    struct list joined;
    struct oom_bell bell; /* the container's group, where one is; the caller's to close */
    uint32_t next_id;
    bool exited;
    int exit_status; /* wait status of the container's init, valid when exited */
    /* Called when init is gone, before clients are told; may be NULL. */
    void (*on_exit)(void *arg, int wait_status);
    void *arg;
};

/* Takes over signals of the calling process (blocks them); all: every one that can be taken. */
must_check int monitor_init(struct monitor *m, const struct sandbox_kind *kind,
                            struct sandbox *sandbox, const char *container_id, bool all_signals,
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

/* A signal descriptor for what a monitor forwards; blocks it all.  all: every signal that can be
 * taken. */
must_check int monitor_signals(bool all, struct err *err);

/* ---- between monitor.c and monitor_clients.c ---- */

void clients_accept(struct monitor *m);
/* A client's descriptor is readable. */
void clients_serve(struct monitor *m, uint32_t index);
void clients_close(struct monitor *m);
/* The Sentry's reply belongs to whoever asked; *reply is the caller's copy. */
void clients_reply(struct monitor *m, struct moat_ctl_reply *reply, size_t len);
void clients_tell_exit(struct monitor *m, const struct moat_ctl_exit *event);

#endif
