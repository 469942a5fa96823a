/* SPDX-License-Identifier: Apache-2.0 */
/* One container, opened by a command: see lifecycle.h. */
#include "runtime/lifecycle.h"

#include "host/cleanup.h"
#include "oci/config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static int find_isolation(const struct runtime *rt, struct handle *h, struct err *err) {
    for (const struct isolation_ops *const *i = rt->isolations; *i != NULL; i++) {
        if (strcmp((*i)->name, h->state.isolation) == 0) {
            h->ops = *i;
            return 0;
        }
    }
    return err_set(err, -EINVAL, "container %s was made with isolation '%s', which this moat lacks",
                   h->state.id, h->state.isolation);
}

int handle_load_config(struct handle *h, struct err *err) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/config.json", h->dir); /* fits */
    return oci_config_load_saved(path, h->state.bundle, &h->c, err);
}

int handle_open(const struct runtime *rt, const char *id, uint32_t flags, struct handle *out,
                struct err *err) {
    struct handle *h = out;
    memset(h, 0, sizeof(*h));
    h->dir = h->lock = -1;
    int n = snprintf(h->path, sizeof(h->path), "%s/%s", rt->root, id);
    if (n < 0 || (size_t)n >= sizeof(h->path)) {
        return err_set(err, -ENAMETOOLONG, "the path of the state folder is too long");
    }
    h->c.id = strdup(id);
    if (h->c.id == NULL) {
        return err_sys(err, -ENOMEM, "cannot open container %s", id);
    }
    if ((flags & HANDLE_LOCK) != 0) {
        int lock = state_lock(rt->root, id, err);
        if (lock < 0) {
            return lock;
        }
        h->lock = lock;
    }
    int e = state_find(rt->root, id, &h->state, &h->dir, err);
    e = e != 0 ? e : find_isolation(rt, h, err);
    if (e == 0 && (flags & HANDLE_CONFIG) != 0) {
        e = handle_load_config(h, err);
    }
    h->target = (struct isolation_target){.c = &h->c,
                                          .state_dir = h->dir,
                                          .state_path = h->path,
                                          .pid = h->state.pid,
                                          .pid_start = h->state.pid_start,
                                          .cgroup = &h->state.cgroup};
    return e;
}

void handle_close(struct handle *h) {
    if (h->scope_pid > 0) {
        (void)kill(h->scope_pid, SIGKILL); /* our child: there until it is reaped */
        while (waitpid(h->scope_pid, NULL, 0) < 0 && errno == EINTR) {
        }
        h->scope_pid = 0;
    }
    cleanup_fd_fn(&h->dir);
    state_unlock(h->lock);
    state_free(&h->state);
    container_free(&h->c);
    h->dir = h->lock = -1;
}
