/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life cycle of containers: see lifecycle.h.
 *
 * `create` forks a monitor that leaves the caller's session, makes the sandbox, reports success or
 * its struct err over a pipe, and lives until the container's process is gone.
 */
#include "runtime/lifecycle.h"

#include "host/cleanup.h"
#include "runtime/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

/* What the monitor's callbacks need. */
struct lifecycle {
    const struct lifecycle_create *how;
    struct container_state state;
    int dir;    /* of the container */
    int report; /* pipe to the waiting `create`, or -1 */
};

static int listen_control(int dir, struct err *err) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    cleanup_fd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/control.sock",
                   dir); /* fits */
    mode_t old = umask(077);
    bool ok = sock >= 0 && bind(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
              listen(sock, 16) == 0;
    int saved = errno;
    (void)umask(old); /* cannot fail */
    return ok ? steal_fd(&sock)
              : err_sys(err, -saved, "cannot make the container's control socket");
}

static int lifecycle_created(void *arg, struct err *err) {
    struct lifecycle *l = arg;
    l->state.status = l->report >= 0 ? STATUS_CREATED : STATUS_RUNNING;
    int e = state_save(l->dir, &l->state, err);
    if (e == 0 && l->how->pid_file != NULL) {
        e = state_write_pid(l->how->pid_file, l->state.pid, err);
    }
    if (e == 0 && l->report >= 0) {
        static const struct err none;
        (void)!write(l->report, &none, sizeof(none)); /* a caller that is gone waits for nothing */
        (void)close(l->report);
        l->report = -1;
    }
    return e;
}

static void lifecycle_exited(void *arg, int wait_status) {
    struct lifecycle *l = arg;
    struct err ignored = {0};
    l->state.status = STATUS_STOPPED;
    l->state.exited = true;
    l->state.exit_status = wait_status;
    (void)state_save(l->dir, &l->state, &ignored); /* the dead monitor says "stopped" too */
}

static void state_begin(struct container_state *s, const struct lifecycle_create *how) {
    time_t now = time(NULL);
    struct tm tm;
    *s = (struct container_state){.status = STATUS_CREATING, .pid = getpid()};
    (void)snprintf(s->id, sizeof(s->id), "%s", how->id);             /* checked before */
    (void)snprintf(s->bundle, sizeof(s->bundle), "%s", how->bundle); /* a realpath */
    (void)strftime(s->created, sizeof(s->created), "%Y-%m-%dT%H:%M:%SZ",
                   gmtime_r(&now, &tm)); /* fits */
    s->pid_start = state_process_start(s->pid);
}

static int monitor_body(struct container *c, struct lifecycle *l, bool wait_start,
                        int *out_wait_status, struct err *err) {
    const int stdio[3] = {0, 1, 2};
    state_begin(&l->state, l->how);
    int listen_fd = listen_control(l->dir, err);
    int e = listen_fd < 0 ? listen_fd : state_save(l->dir, &l->state, err);
    if (e != 0) {
        cleanup_fd_fn(&listen_fd);
        return e;
    }
    const struct isolation_run run = {.stdio = stdio,
                                      .log_fd = l->how->log_fd,
                                      .debug = l->how->debug,
                                      .log_json = l->how->log_json,
                                      .wait_start = wait_start,
                                      .listen_fd = listen_fd,
                                      .on_created = lifecycle_created,
                                      .on_exit = lifecycle_exited,
                                      .arg = l};
    return l->how->isolation->run(c, &run, out_wait_status, err);
}

static noreturn_fn void monitor_process(struct container *c, struct lifecycle *l) {
    struct err err = {0};
    int wait_status = 0;
    (void)setsid(); /* a forked child is no group leader: cannot fail */
    int e = c->process.terminal ? console_open(l->how->console_socket, &err) : 0;
    e = e != 0 ? e : monitor_body(c, l, true, &wait_status, &err);
    if (e != 0 && l->report >= 0) {
        (void)!write(l->report, &err, sizeof(err)); /* the caller sees the end of the pipe if not */
    }
    _exit(e != 0                     ? 125
          : WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status)
                                     : WEXITSTATUS(wait_status));
}

/* Forks the monitor and waits for its report. */
static int monitor_fork(struct container *c, struct lifecycle *l, struct err *err) {
    struct err theirs = {0};
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    l->report = report[1];
    pid_t pid = fork();
    int saved = -errno;
    if (pid == 0) {
        (void)close(report[0]); /* the caller's end */
        monitor_process(c, l);
    }
    (void)close(report[1]); /* the monitor's end */
    ssize_t n = pid < 0 ? -1 : read(report[0], &theirs, sizeof(theirs));
    (void)close(report[0]); /* read-only pipe */
    if (pid < 0) {
        return err_sys(err, saved, "cannot fork the monitor");
    }
    if (n == sizeof(theirs) && theirs.code == 0) {
        return 0;
    }
    (void)waitpid(pid, NULL, 0); /* it is on its way out */
    theirs.msg[sizeof(theirs.msg) - 1] = '\0';
    return n == sizeof(theirs)
               ? err_set(err, theirs.code, "%s", theirs.msg)
               : err_set(err, -EIO, "the container's monitor died while it was set up");
}

int lifecycle_create(struct container *c, const struct lifecycle_create *how, struct err *err) {
    struct lifecycle l = {.how = how, .report = -1};
    struct err ignored = {0};
    l.dir = state_create_dir(how->root, how->id, err);
    if (l.dir < 0) {
        return l.dir;
    }
    int e = monitor_fork(c, &l, err);
    (void)close(l.dir); /* read-only */
    if (e != 0) {
        (void)state_remove(how->root, how->id, &ignored); /* the failure itself is what is told */
    }
    return e;
}

int lifecycle_run(struct container *c, const struct lifecycle_create *how, int *out_wait_status,
                  struct err *err) {
    struct lifecycle l = {.how = how, .report = -1};
    struct err ignored = {0};
    l.dir = state_create_dir(how->root, how->id, err);
    if (l.dir < 0) {
        return l.dir;
    }
    int e = monitor_body(c, &l, false, out_wait_status, err);
    (void)close(l.dir);                               /* read-only */
    (void)state_remove(how->root, how->id, &ignored); /* the run's own result is what is told */
    return e;
}

/* ---- requests ---- */

static void ref_fill(struct moat_ctl_ref *ref, uint16_t type, size_t size, const char *id) {
    memset(ref, 0, sizeof(*ref));
    ref->h = (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION, type, (uint32_t)size, 1};
    memcpy(ref->container, id, strlen(id) + 1); /* state_check_id bounds it */
}

int lifecycle_start(const char *root, const char *id, struct err *err) {
    struct container_state state;
    struct moat_ctl_reply reply;
    struct moat_ctl_ref msg;
    int dir_fd = -1;
    int e = state_find(root, id, &state, &dir_fd, err);
    cleanup_fd int dir = dir_fd;
    if (e != 0) {
        return e;
    }
    if (state.status != STATUS_CREATED) {
        return err_set(err, -EINVAL, "cannot start container %s: it is %s, not created", id,
                       state_status_text(state.status));
    }
    cleanup_fd int sock = client_connect(dir, id, err);
    if (sock < 0) {
        return sock;
    }
    ref_fill(&msg, MOAT_CTL_START, sizeof(msg), id);
    /* Written before the request: afterwards the monitor may already have written "stopped". */
    state.status = STATUS_RUNNING;
    e = state_save(dir, &state, err);
    e = e != 0 ? e
               : client_request(sock, &msg, sizeof(msg), NULL, 0, &reply, sizeof(reply), NULL, err);
    return e;
}

int lifecycle_kill(const char *root, const char *id, int signo, bool all, struct err *err) {
    struct container_state state;
    struct moat_ctl_reply reply;
    struct moat_ctl_signal msg = {.signo = (uint32_t)signo, .all = all};
    int dir_fd = -1;
    int e = state_find(root, id, &state, &dir_fd, err);
    cleanup_fd int dir = dir_fd;
    if (e != 0) {
        return e;
    }
    if (state.status == STATUS_STOPPED) {
        return err_set(err, -ESRCH, "container not running: %s", id);
    }
    cleanup_fd int sock = client_connect(dir, id, err);
    if (sock < 0) {
        return sock;
    }
    ref_fill(&msg.ref, MOAT_CTL_SIGNAL, sizeof(msg), id);
    return client_request(sock, &msg, sizeof(msg), NULL, 0, &reply, sizeof(reply), NULL, err);
}

/* Kills the monitor, and with it the sandbox, and waits until it is gone. */
static void end_monitor(const struct container_state *state) {
    int pidfd = (int)syscall(SYS_pidfd_open, state->pid, 0);
    if (pidfd >= 0 && state_process_start(state->pid) == state->pid_start) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0); /* it may be gone by now */
        (void)poll(&p, 1, 10000);
    }
    cleanup_fd_fn(&pidfd);
}

int lifecycle_delete(const char *root, const char *id, bool force, struct err *err) {
    struct container_state state;
    struct err missing = {0};
    int dir_fd = -1;
    int e = state_find(root, id, &state, &dir_fd, &missing);
    cleanup_fd_fn(&dir_fd);
    if (e == -ENOENT && force && strstr(missing.msg, "does not exist") != NULL) {
        return 0; /* as runc: forced removal of what is gone is no failure */
    }
    if (e != 0 && !force) {
        return err_set(err, missing.code, "%s", missing.msg);
    }
    if (e == 0 && state.status != STATUS_STOPPED) {
        if (!force && state.status == STATUS_RUNNING) {
            return err_set(
                err, -EBUSY,
                "cannot delete container %s that is not stopped: running (--force kills it)", id);
        }
        end_monitor(&state);
    }
    return state_remove(root, id, err);
}

int lifecycle_wait(const char *root, const char *id, int *out_wait_status, struct err *err) {
    struct container_state state;
    struct moat_ctl_exit event;
    struct err lost = {0};
    int dir_fd = -1;
    int e = state_find(root, id, &state, &dir_fd, err);
    cleanup_fd int dir = dir_fd;
    if (e != 0) {
        return e;
    }
    if (state.status != STATUS_STOPPED) {
        cleanup_fd int sock = client_connect(dir, id, &lost);
        if (sock >= 0 && client_wait_exit(sock, "", &event, &lost) == 0) {
            *out_wait_status = event.status;
            return 0;
        }
        e = state_load(dir, &state, err); /* it ended between the look and the connection */
    }
    if (e == 0 && !state.exited) {
        return err_set(err, -ESRCH,
                       "container %s was killed with its monitor: its exit status is lost", id);
    }
    *out_wait_status = state.exit_status;
    return e;
}
