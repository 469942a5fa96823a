/* SPDX-License-Identifier: Apache-2.0 */
/* One more process in a running container: see lifecycle.h. */
#include "runtime/lifecycle.h"

#include "host/cleanup.h"
#include "runtime/sockets.h"

#include <errno.h>
#include <string.h>

static int may_exec(const struct handle *h, const struct lifecycle_exec *how, struct err *err) {
    switch (h->state.status) {
    case STATUS_RUNNING:
    case STATUS_CREATED:
        return 0;
    case STATUS_PAUSED:
        return how->ignore_paused ? 0
                                  : err_set(err, -EBUSY,
                                            "cannot exec in a paused container: %s (moat resume, "
                                            "or --ignore-paused)",
                                            h->state.id);
    case STATUS_CREATING:
    case STATUS_STOPPED:
        break;
    }
    return err_set(err, -ESRCH, "cannot exec in a stopped container: container not running: %s",
                   h->state.id);
}

int lifecycle_exec(const struct runtime *rt, struct handle *h, struct container_process *process,
                   const struct lifecycle_exec *how, pid_t *out_pid, struct err *err) {
    struct isolation_setup setup = lifecycle_setup(rt, h->state.bundle);
    cleanup_fd int console = -1;
    int e = may_exec(h, how, err);
    setup.console_socket = how->console_fd;
    setup.preserve_fds = how->preserve_fds;
    if (e == 0 && how->console_socket != NULL) {
        console = setup.console_socket =
            socket_connect(how->console_socket, "--console-socket", err);
        e = console < 0 ? console : 0;
    }
    if (e == 0) {
        struct err why = {0};
        e = h->ops->exec(&h->target, process, &setup, out_pid, &why);
        e = e == 0 ? 0 : err_set(err, e, "exec failed: %s", why.msg); /* as engines look for it */
    }
    if (e == 0 && how->pidfd_socket != NULL) {
        e = socket_send_pidfd(how->pidfd_socket, *out_pid, err);
    }
    if (e == 0 && how->pid_file != NULL) {
        e = state_write_pid(how->pid_file, *out_pid, err);
    }
    return e;
}
