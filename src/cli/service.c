/* SPDX-License-Identifier: Apache-2.0 */
/* Socket activation and readiness: see service.h. */
#include "cli/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTIFY_PATH "/run/notify/notify.sock"
#define FDS_MAX     1024u

static int set_env(struct container_process *p, const char *name, const char *value,
                   struct err *err) {
    char text[4200];
    int n = snprintf(text, sizeof(text), "%s=%s", name, value);
    int e = n < 0 || (size_t)n >= sizeof(text) ? -E2BIG : strlist_set_env(&p->env, text);
    return e == 0 ? 0 : err_sys(err, e, "cannot build the environment");
}

/* They are ours when LISTEN_PID says so. */
int service_listen_fds(struct container_process *p, uint32_t *preserve_fds, struct err *err) {
    const char *count_text = getenv("LISTEN_FDS"), *pid_text = getenv("LISTEN_PID");
    if (count_text == NULL || pid_text == NULL || strtol(pid_text, NULL, 10) != getpid()) {
        return 0;
    }
    unsigned long count = strtoul(count_text, NULL, 10);
    if (count == 0 || count > FDS_MAX) {
        return 0;
    }
    char number[16];
    (void)snprintf(number, sizeof(number), "%lu", count); /* fits */
    *preserve_fds += (uint32_t)count;
    const char *names = getenv("LISTEN_FDNAMES");
    int e = set_env(p, "LISTEN_FDS", number, err);
    e = e != 0 ? e : set_env(p, "LISTEN_PID", "1", err);
    return e != 0 || names == NULL ? e : set_env(p, "LISTEN_FDNAMES", names, err);
}

int service_check_fds(uint32_t preserve_fds, struct err *err) {
    if (preserve_fds > FDS_MAX) {
        return err_set(err, -EINVAL, "--preserve-fds %u is more than %u", preserve_fds, FDS_MAX);
    }
    for (uint32_t i = 0; i < preserve_fds; i++) {
        if (fcntl(3 + (int)i, F_GETFD) < 0) {
            return err_set(err, -EBADF, "--preserve-fds %u: descriptor %u is not open",
                           preserve_fds, 3 + i);
        }
    }
    return 0;
}

int service_notify(const struct runtime *rt, bool shares_sockets, struct container *c,
                   struct err *err) {
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || path[0] == '\0') {
        return 0;
    }
    if (!shares_sockets) {
        rt->warn(rt->arg, "NOTIFY_SOCKET is not passed on: programs in this isolation cannot reach "
                          "sockets of the host");
        return 0;
    }
    if (path[0] != '/') { /* an abstract one goes with the network namespace */
        return set_env(&c->process, "NOTIFY_SOCKET", path, err);
    }
    int e = container_add_mount(c, MOUNT_BIND, 0, path, NOTIFY_PATH, NULL, NULL);
    return e != 0 ? err_sys(err, e, "cannot pass NOTIFY_SOCKET on")
                  : set_env(&c->process, "NOTIFY_SOCKET", NOTIFY_PATH, err);
}
