/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `create` and `restore`: see lifecycle.h.  Each thing that outlives the command is in the state
 * file before it is relied upon.
 */
#include "runtime/lifecycle.h"

#include "host/cleanup.h"
#include "host/msg.h"
#include "runtime/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct creation {
    const struct runtime *rt;
    const struct lifecycle_create *how;
    struct handle *h;
    bool hooks_due; /* its hooks began to run, so poststop has something to undo */
};

struct isolation_setup lifecycle_setup(const struct runtime *rt, const char *bundle) {
    return (struct isolation_setup){.bundle = bundle,
                                    .log_fd = rt->log_fd,
                                    .console_socket = -1,
                                    .debug = rt->debug,
                                    .log_json = rt->log_json,
                                    .warn = rt->warn,
                                    .arg = rt->arg};
}

static int state_begin(struct container_state *s, const struct container *c,
                       const struct lifecycle_create *how) {
    struct timespec now;
    struct tm tm;
    char second[24];
    memset(s, 0, sizeof(*s));
    s->status = STATUS_CREATING;
    s->owner = getuid();
    (void)snprintf(s->id, sizeof(s->id), "%s", how->id);             /* checked before */
    (void)snprintf(s->bundle, sizeof(s->bundle), "%s", how->bundle); /* a realpath */
    (void)snprintf(s->rootfs, sizeof(s->rootfs), "%s", c->rootfs);   /* likewise */
    (void)snprintf(s->isolation, sizeof(s->isolation), "%s", how->isolation->name); /* fits */
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    (void)strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
    (void)snprintf(s->created, sizeof(s->created), "%s.%09uZ", second,
                   (unsigned int)now.tv_nsec % 1000000000u); /* fits */
    s->annotations = json_object_new_object();
    for (size_t i = 0; i < c->annotations.count && s->annotations != NULL; i++) {
        const struct oci_key_value *kv = &c->annotations.items[i];
        if (json_object_object_add(s->annotations, kv->key, json_object_new_string(kv->value)) !=
            0) {
            return -ENOMEM;
        }
    }
    return s->annotations != NULL ? 0 : -ENOMEM;
}

/* Later commands read the container from it, whatever becomes of the bundle. */
static int keep_config(const struct lifecycle_create *how, int dir, struct err *err) {
    cleanup_fd int fd = openat(dir, "config.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, how->config, how->config_len) == (ssize_t)how->config_len
               ? 0
               : err_sys(err, -errno, "cannot keep config.json in the state folder");
}

/* The processes exist and nothing of the container runs in them yet. */
static int on_namespaces(void *arg, pid_t pid, struct err *err) {
    struct creation *n = arg;
    struct container_state *s = &n->h->state;
    s->pid = n->h->target.pid = pid;
    s->pid_start = n->h->target.pid_start = state_process_start(pid);
    int e = state_save(n->h->dir, s, err);
    n->hooks_due = e == 0;
    e = e != 0 ? e : lifecycle_hooks(n->h, HOOK_PRESTART, err);
    return e != 0 ? e : lifecycle_hooks(n->h, HOOK_CREATE_RUNTIME, err);
}

static void creation_warn(void *arg, const char *message) {
    const struct creation *n = arg;
    n->rt->warn(n->rt->arg, message);
}

static int make_process(struct creation *n, pid_t *out_pid, struct err *err) {
    struct handle *h = n->h;
    const struct lifecycle_create *how = n->how;
    struct json_object *state = state_to_json(&h->state);
    struct isolation_setup setup = lifecycle_setup(n->rt, how->bundle);
    cleanup_fd int console = -1;
    setup.state_json = state == NULL ? "" : state_text(state);
    setup.preserve_fds = how->preserve_fds;
    setup.no_pivot = how->no_pivot;
    setup.no_new_keyring = how->no_new_keyring;
    setup.console_socket = how->console_fd;
    setup.on_namespaces = on_namespaces;
    setup.warn = creation_warn;
    setup.arg = n;
    int e = 0;
    if (how->console_socket != NULL) {
        console = setup.console_socket =
            socket_connect(how->console_socket, "--console-socket", err);
        e = console < 0 ? console : 0;
    }
    if (e == 0 && how->image != NULL) {
        e = h->ops->restore(&h->target, &setup, how->image, out_pid, err);
    } else if (e == 0) {
        e = h->ops->create(&h->target, &setup, out_pid, err);
    }
    json_object_put(state);
    return e;
}

/* What the caller asked to be told of a container that exists now. */
static int tell(const struct lifecycle_create *how, pid_t pid, struct err *err) {
    int e = how->pidfd_socket != NULL ? socket_send_pidfd(how->pidfd_socket, pid, err) : 0;
    return e == 0 && how->pid_file != NULL ? state_write_pid(how->pid_file, pid, err) : e;
}

static int create_locked(struct creation *n, pid_t *out_pid, struct err *err) {
    struct handle *h = n->h;
    if (state_begin(&h->state, h->target.c, n->how) != 0) {
        return err_sys(err, -ENOMEM, "cannot describe the container");
    }
    int e = keep_config(n->how, h->dir, err);
    e = e != 0 ? e : state_save(h->dir, &h->state, err);
    e = e != 0 ? e : lifecycle_cgroup(n->rt, h, err);
    e = e != 0 ? e : make_process(n, out_pid, err);
    if (e != 0) {
        h->state.pid = h->target.pid = 0; /* the isolation has taken it away again */
        return e;
    }
    h->state.pid = h->target.pid = *out_pid;
    h->state.pid_start = h->target.pid_start = state_process_start(*out_pid);
    h->state.status = n->how->image != NULL ? STATUS_RUNNING : STATUS_CREATED;
    e = state_save(h->dir, &h->state, err);
    return e != 0 ? e : tell(n->how, *out_pid, err);
}

int lifecycle_create(const struct runtime *rt, struct container *c,
                     const struct lifecycle_create *how, pid_t *out_pid, struct err *err) {
    static struct handle h; /* too large for comfort on a stack; one create a process */
    struct creation n = {.rt = rt, .how = how, .h = &h};
    struct err ignored = {0};
    if (how->isolation->create == NULL) {
        return err_set(err, -EOPNOTSUPP, "isolation %s runs commands ('moat do') only",
                       how->isolation->name);
    }
    if (how->image != NULL && how->isolation->restore == NULL) {
        return err_set(err, -EOPNOTSUPP,
                       "cannot restore container %s: isolation %s has no checkpoint to restore",
                       how->id, how->isolation->name);
    }
    memset(&h, 0, sizeof(h));
    h.ops = how->isolation;
    h.target = (struct isolation_target){.c = c, .state_path = h.path, .cgroup = &h.state.cgroup};
    int len = snprintf(h.path, sizeof(h.path), "%s/%s", rt->root, how->id);
    if (len < 0 || (size_t)len >= sizeof(h.path)) {
        return err_set(err, -ENAMETOOLONG, "the path of the state folder is too long");
    }
    h.dir = h.target.state_dir = state_create_dir(rt->root, how->id, &h.lock, err);
    if (h.dir < 0) {
        return h.dir;
    }
    int e = create_locked(&n, out_pid, err);
    if (e != 0 && lifecycle_clear(rt, &h, &ignored) == 0) { /* the failure is what is told */
        h.state.status = STATUS_STOPPED;
        if (n.hooks_due) {
            lifecycle_poststop(rt, &h);
        }
        (void)state_remove(rt->root, how->id, &ignored);
    }
    handle_close(&h);
    return e;
}
