/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a container of isolation `sentry`: the command forks its monitor, which starts the sandbox
 * and tells each step over a link (background.h).
 */
#include "sandbox/sentry.h"

#include "host/child.h"
#include "host/cleanup.h"
#include "oci/hooks.h"
#include "sandbox/background.h"
#include "sandbox/client.h"
#include "sandbox/console.h"
#include "sandbox/fields.h"
#include "sandbox/foreground.h"
#include "sandbox/follow.h"
#include "sandbox/hostns.h"
#include "sandbox/hostroot.h"
#include "sandbox/inside_hooks.h"
#include "sandbox/join.h"
#include "sandbox/pod.h"
#include "sandbox/title.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>

struct monitor_process {
    const struct isolation_target *target;
    const struct isolation_setup *setup;
    struct background link;
    const struct sandbox_kind *kind; /* what holds the container */
    bool created;                    /* told: nobody listens any more */
};

static int gone(int e, struct err *err) {
    return e == 0 ? 0 : err_sys(err, e, "the command that creates the container is gone");
}

struct create_hooks {
    const struct oci_hook_list *list;
    const char *state;
};

/* In a child: its mount namespace is a copy of the host's, so that what hooks mount ends with them
 * and never stays on the host.  An ordinary user has no rights to mount there either way. */
static int run_apart(void *arg, struct err *err) {
    const struct create_hooks *h = arg;
    if (unshare(CLONE_NEWNS) == 0) {
        if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) != 0) {
            return err_sys(err, -errno, "cannot keep the mounts of hooks apart");
        }
    } else if (errno != EPERM) {
        return err_sys(err, -errno, "cannot make a mount namespace for createContainer hooks");
    }
    return hooks_run(h->list, h->state, err);
}

/* createContainer hooks: the namespaces that the host sees of the container are those this process
 * is in. */
static int run_create_hooks(const struct monitor_process *m, struct err *err) {
    const struct oci_hook_list *list = &m->target->c->hooks[HOOK_CREATE_CONTAINER];
    if (list->count == 0) {
        return 0;
    }
    struct json_object *o = json_tokener_parse(m->setup->state_json);
    if (o == NULL) {
        return err_set(err, -EINVAL, "the container's state is no JSON");
    }
    (void)json_object_object_add(o, "pid", json_object_new_int(getpid())); /* else as it was */
    struct create_hooks hooks = {
        .list = list, .state = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN)};
    int e = child_run(run_apart, &hooks, err);
    json_object_put(o);
    return e;
}

/* The runtime's turn: its hooks run while the sandbox waits. */
static int monitor_sandbox_up(void *arg, struct err *err) {
    struct monitor_process *m = arg;
    int e = background_tell(&m->link, 0);
    e = gone(e != 0 ? e : background_wait_go(&m->link), err);
    e = e != 0 ? e : inside_hooks_keep(m->target, m->setup->state_json, err);
    return e != 0 ? e : run_create_hooks(m, err);
}

static int monitor_created(void *arg, struct err *err) {
    struct monitor_process *m = arg;
    if (!m->target->c->process.terminal) {
        background_null_stdio(); /* the streams are the container's alone from here on */
    }
    title_set(&m->target->c->process.args);
    int e = hostroot_enter(m->target->c, err);
    if (e != 0) {
        return e;
    }
    e = background_tell(&m->link, 0);
    m->created = e == 0;
    (void)close(m->link.link); /* nothing more to tell */
    return gone(e, err);
}

/* The status stays for `wait`: the file "exit" of isolation.h. */
static void monitor_exited(void *arg, int wait_status) {
    struct monitor_process *m = arg;
    cleanup_fd int fd = openat(m->target->state_dir, "exit.new",
                               O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && dprintf(fd, "%d\n", wait_status) > 0) {
        /* Without it `wait` says that the status is lost. */
        (void)renameat(m->target->state_dir, "exit.new", m->target->state_dir, "exit");
    }
}

/* A sandbox of its own, which others of its pod may join. */
static int run_sandbox(struct monitor_process *m, const struct container *c,
                       const struct isolation_setup *setup, int *out_wait_status, struct err *err) {
    static const int stdio[3] = {0, 1, 2};
    bool pod = pod_id(c) != NULL;
    int e = pod ? pod_note_sandbox(m->target, m->kind, err) : 0;
    int listen_fd = e == 0 ? client_listen(m->target->state_dir, err) : e;
    if (listen_fd < 0) {
        return listen_fd;
    }
    const struct foreground run = {.kind = m->kind,
                                   .state_json = setup->state_json,
                                   .no_new_keyring = setup->no_new_keyring,
                                   .cgroup = m->target->cgroup,
                                   .stdio = stdio,
                                   .log_fd = setup->log_fd,
                                   .debug = setup->debug,
                                   .log_json = setup->log_json,
                                   .pod = pod,
                                   .network_entered = hostns_network(c),
                                   .background = true,
                                   .preserve_fds = setup->preserve_fds,
                                   .wait_start = true,
                                   .listen_fd = listen_fd,
                                   .on_sandbox = monitor_sandbox_up,
                                   .on_created = monitor_created,
                                   .on_exit = monitor_exited,
                                   .arg = m};
    return foreground_run(c, &run, out_wait_status, err);
}

/* The sandbox of the container in host_dir. */
static int run_joined(struct monitor_process *m, const struct container *c,
                      const struct isolation_setup *setup, int host_dir, const char *host_id,
                      int *out_wait_status, struct err *err) {
    const struct join join = {.c = c,
                              .kind = m->kind,
                              .host_dir = host_dir,
                              .host_id = host_id,
                              .preserve_fds = setup->preserve_fds,
                              .state_json = setup->state_json,
                              .no_new_keyring = setup->no_new_keyring,
                              .on_sandbox = monitor_sandbox_up,
                              .on_created = monitor_created,
                              .on_exit = monitor_exited,
                              .arg = m};
    int e = pod_note_joined(m->target, host_dir, host_id, err);
    return e != 0 ? e : join_run(&join, out_wait_status, err);
}

static noreturn_fn void monitor_main(struct monitor_process *m,
                                     const struct isolation_setup *setup) {
    struct container own = *m->target->c; /* its parts stay the target's */
    const struct container *c = &own;
    char hostname[HOSTNS_NAME_MAX], host_id[128];
    struct err err = {0};
    int wait_status = 0, host_dir = -1;
    /* First of all: what it starts is in the groups from its first moment. */
    int e = cgroup_enter(m->target->cgroup, getpid(), &err);
    e = e != 0 ? e : hostns_enter(c, hostname, &err);
    if (e == 0 && own.hostname == NULL && hostname[0] != '\0') {
        own.hostname = hostname;
    }
    if (e == 0 && c->process.terminal) {
        e = console_open(setup->console_socket, c->process.rows, c->process.cols, &err);
    }
    if (setup->console_socket >= 0) {
        (void)close(setup->console_socket); /* the master is sent */
    }
    int found = e != 0 ? e : pod_find(m->target, m->kind, &host_dir, host_id, &err);
    e = found < 0    ? found
        : found == 1 ? run_joined(m, c, setup, host_dir, host_id, &wait_status, &err)
                     : run_sandbox(m, c, setup, &wait_status, &err);
    if (e != 0 && !m->created) {
        background_fail(&m->link, &err);
    }
    if (e != 0) {
        /* The sandbox is gone, killed for want of memory more often than not, and all programs with
         * it: for those outside the container was killed. */
        wait_status = SIGKILL;
        monitor_exited(m, wait_status);
    }
    _exit(follow_exit_code(wait_status));
}

int sentry_create(const struct isolation_target *target, const struct isolation_setup *setup,
                  pid_t *out_pid, struct err *err) {
    int e = fields_check(target->c, setup->warn, setup->arg, err);
    return e != 0 ? e : sandbox_create(target, setup, &g_sandbox_sentry, out_pid, err);
}

int sandbox_create(const struct isolation_target *target, const struct isolation_setup *setup,
                   const struct sandbox_kind *kind, pid_t *out_pid, struct err *err) {
    struct monitor_process m = {.target = target, .setup = setup, .kind = kind};
    const int keep[] = {target->state_dir, setup->log_fd, setup->console_socket};
    int e = background_fork(keep, ARRAY_COUNT(keep), setup->preserve_fds, &m.link, err);
    if (e != 0) {
        return e;
    }
    if (m.link.pid == 0) {
        monitor_main(&m, setup);
    }
    e = background_await(&m.link, NULL, err);
    if (e == 0 && setup->on_namespaces != NULL) {
        e = setup->on_namespaces(setup->arg, m.link.pid, err);
    }
    e = e != 0 ? e : background_go(&m.link, err);
    e = e != 0 ? e : background_await(&m.link, NULL, err);
    if (e != 0) {
        background_end(&m.link);
        return e;
    }
    (void)close(m.link.link); /* all is told */
    *out_pid = m.link.pid;
    return 0;
}
