/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create and start: see life.h.
 *
 * A created container's process has finished everything that needs the runtime, and waits on
 * `start.sock` in the state folder, a listening socket that it was born with.  `start` connects;
 * the connection ends when the program runs, or brings the reason why it does not.  A container is
 * started once: the listener is closed by the first connection.
 */
#include "host/cleanup.h"
#include "native/life.h"
#include "native/namespaces.h"
#include "native/rdt.h"
#include "native/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define START_SOCKET "start.sock"
#define STATE_FILE   "hooks.json" /* what a seccomp agent is told of the container */

static void start_address(int dir, struct sockaddr_un *out) {
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/" START_SOCKET,
                   dir); /* fits */
}

static int listen_start(int dir, struct err *err) {
    struct sockaddr_un addr;
    start_address(dir, &addr);
    cleanup_fd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    mode_t old = umask(077);
    bool ok = sock >= 0 && bind(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
              listen(sock, 1) == 0;
    int saved = errno;
    (void)umask(old); /* cannot fail */
    return ok ? steal_fd(&sock) : err_sys(err, -saved, "cannot make the container's start socket");
}

/* A helper joins what has a path, where the process itself could not any more. */
static bool needs_helper(const struct oci_linux *l) {
    bool paths = false;
    for (int kind = 0; kind < NS_KINDS; kind++) {
        paths = paths || (l->namespaces[kind].set && l->namespaces[kind].path != NULL);
    }
    return (paths && l->namespaces[NS_USER].set) || l->namespaces[NS_PID].path != NULL;
}

/* start, another command, needs it to introduce a seccomp listener to its agent. */
static int keep_state(int dir, const char *state_json, struct err *err) {
    size_t len = strlen(state_json);
    cleanup_fd int fd = openat(dir, STATE_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, state_json, len) == (ssize_t)len
               ? 0
               : err_sys(err, -errno, "cannot keep the container's state");
}

static int create_process(struct spawn *s, const struct isolation_target *target, struct err *err) {
    int e = spawn_begin(s, err);
    if (e == 0 && !s->in.early) {
        s->setup.start_listen = listen_start(target->state_dir, err);
        e = s->setup.start_listen < 0 ? s->setup.start_listen : 0;
    }
    if (e == 0 && s->seccomp.notify && !s->in.early) {
        e = keep_state(target->state_dir, s->in.how->state_json, err);
    }
    e = e != 0 ? e : plan_container(&s->in, &s->plan, err);
    e = e != 0 ? e : rdt_make(target, err);
    e = e != 0 ? e : spawn_clone(s, err);
    e = e != 0 ? e : rdt_enter(target, s->pid, err);
    if (s->setup.start_listen >= 0) {
        (void)close(s->setup.start_listen); /* the process has it */
    }
    e = e != 0 ? e : spawn_serve(s, target, err);
    if (e != 0) {
        spawn_kill(s);
    }
    return e;
}

int native_create(const struct isolation_target *target, const struct isolation_setup *how,
                  pid_t *out_pid, struct err *err) {
    static struct spawn s; /* large; one a process */
    struct err ignored = {0};
    const struct oci_linux *l = &target->c->linux_;
    memset(&s, 0, sizeof(s));
    s.in = (struct plan_input){.c = target->c,
                               .process = &target->c->process,
                               .how = how,
                               .cgroup = target->cgroup,
                               .helper = needs_helper(l),
                               .early = target->state_dir < 0,
                               .target_pidfd = -1};
    s.namespaces = namespaces_new(l) & ~plan_late_namespaces(l);
    int e = create_process(&s, target, err);
    *out_pid = s.pid;
    spawn_end(&s);
    if (e != 0 && target->state_dir >= 0) {
        (void)unlinkat(target->state_dir, START_SOCKET, 0); /* it may not exist yet */
        (void)unlinkat(target->state_dir, STATE_FILE, 0);
        (void)!rdt_remove(target, &ignored); /* the first failure is what is told */
    }
    return e;
}

/* ---- start ---- */

static int hand_over(const struct isolation_target *target, int number, struct err *err) {
    char json[16384];
    cleanup_fd int fd = openat(target->state_dir, STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, json, sizeof(json) - 1);
    if (n < 0) {
        return err_sys(err, -errno, "cannot read what was kept for the seccomp agent");
    }
    json[n] = '\0';
    return listener_hand_over(target->c, json, target->pid, number, err);
}

static int await_program(const struct isolation_target *target, int sock, struct err *err) {
    for (;;) {
        struct sync_record r;
        int n = sync_recv(sock, &r);
        if (n <= 0) {
            return n == 0 ? 0 : err_sys(err, n, "cannot listen to the container's process");
        }
        int e = r.type == SYNC_FAILED
                    ? err_set(err, r.err.code < 0 ? r.err.code : -EIO, "%s", r.err.msg)
                : r.type == SYNC_LISTENER ? hand_over(target, r.value, err)
                                          : 0;
        if (e != 0) {
            return e;
        }
    }
}

int native_start(const struct isolation_target *target, struct err *err) {
    struct sockaddr_un addr;
    start_address(target->state_dir, &addr);
    cleanup_fd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        return errno == ECONNREFUSED || errno == ENOENT
                   ? err_set(err, -ESRCH,
                             "container not running: its process has ended, or was "
                             "started before")
                   : err_sys(err, -errno, "cannot speak to the container's process");
    }
    int e = await_program(target, sock, err);
    (void)unlinkat(target->state_dir, START_SOCKET, 0); /* destroy tries again */
    return e;
}

int native_destroy(const struct isolation_target *target, struct err *err) {
    static const char *const files[] = {START_SOCKET, STATE_FILE};
    struct err ignored = {0};
    if (target->pid > 0) {
        (void)native_kill(target, SIGKILL, false, &ignored); /* mostly it is gone already */
    }
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        if (unlinkat(target->state_dir, files[i], 0) != 0 && errno != ENOENT) {
            return err_sys(err, -errno, "cannot remove %s/%s", target->state_path, files[i]);
        }
    }
    return rdt_remove(target, err);
}
