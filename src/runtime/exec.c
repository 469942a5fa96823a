/* SPDX-License-Identifier: Apache-2.0 */
/* One more process in a running container: see exec.h. */
#include "runtime/exec.h"

#include "host/cleanup.h"
#include "host/msg.h"
#include "host/terminal.h"
#include "oci/ctlmsg.h"
#include "runtime/lifecycle.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>

/* Waiting for the process's end: signals and window sizes go to it meanwhile. */
struct exec_session {
    const char *id;
    char exec_id[64];
    int sock, signals;
    uint32_t next_id;
};

static int block_signals(struct err *err) {
    static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
    sigset_t set;
    (void)sigemptyset(&set); /* cannot fail, as the calls below with valid numbers */
    for (size_t i = 0; i < ARRAY_COUNT(forwarded); i++) {
        (void)sigaddset(&set, forwarded[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : err_sys(err, -errno, "cannot make a signal descriptor");
}

static void send_winsize(struct exec_session *s) {
    struct moat_ctl_winsize msg;
    struct winsize ws;
    memset(&msg, 0, sizeof(msg));
    if (ioctl(0, TIOCGWINSZ, &ws) == 0 &&
        ctlmsg_ref(&msg.ref, MOAT_CTL_WINSIZE, sizeof(msg), s->next_id++, s->id, s->exec_id) == 0) {
        msg.rows = ws.ws_row;
        msg.cols = ws.ws_col;
        (void)msg_send(s->sock, &msg, sizeof(msg), NULL, 0, true); /* the next size follows */
    }
}

static void forward(struct exec_session *s) {
    struct signalfd_siginfo si;
    while (read(s->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        struct moat_ctl_signal msg = {.signo = si.ssi_signo};
        if (si.ssi_signo == SIGWINCH) {
            send_winsize(s);
        } else if (ctlmsg_ref(&msg.ref, MOAT_CTL_SIGNAL, sizeof(msg), s->next_id++, s->id,
                              s->exec_id) == 0) {
            msg.signo = si.ssi_signo;
            (void)msg_send(s->sock, &msg, sizeof(msg), NULL, 0, true); /* EPIPE shows in the wait */
        }
    }
}

static int wait_for_end(struct exec_session *s, struct moat_ctl_exit *event, struct err *err) {
    for (;;) {
        struct pollfd polls[2] = {{.fd = s->sock, .events = POLLIN},
                                  {.fd = s->signals, .events = POLLIN}};
        if (poll(polls, 2, -1) < 0) {
            continue; /* EINTR */
        }
        if (polls[1].revents != 0) {
            forward(s);
        }
        if (polls[0].revents != 0) {
            int e = client_next_exit(s->sock, event, err);
            if (e < 0) {
                return e;
            }
            if (e == 1 && strcmp(event->ref.exec_id, s->exec_id) == 0) {
                return 0;
            }
        }
    }
}

/* Asks the monitor for the process; its exit event may come before the reply. */
static int request(struct exec_session *s, const struct runtime_exec *how,
                   const struct container_process *p, struct moat_ctl_exit *event,
                   struct err *err) {
    static const int stdio[3] = {0, 1, 2};
    const struct container c = {.id = (char *)(uintptr_t)how->id};
    struct moat_ctl_reply reply;
    cleanup_free void *record = NULL;
    size_t len = 0;
    int e = ctlmsg_build_create(&c, p, s->exec_id, 1, &record, &len, err);
    e = e != 0 ? e
               : client_request(s->sock, record, len, stdio, 3, &reply, sizeof(reply), event, err);
    if (e == 0 && how->pid_file != NULL) {
        e = state_write_pid(how->pid_file, reply.pid, err);
    }
    return e;
}

static int run_session(struct exec_session *s, const struct runtime_exec *how,
                       const struct container_process *p, int *out_wait_status, struct err *err) {
    struct moat_ctl_exit event = {.status = 0};
    struct termios saved;
    int e = p->terminal ? terminal_raw(0, &saved, err) : 0;
    if (e != 0) {
        return e;
    }
    e = request(s, how, p, &event, err);
    bool ended = event.ref.h.magic == MOAT_CTL_MAGIC && strcmp(event.ref.exec_id, s->exec_id) == 0;
    if (e == 0 && !how->detach && !ended) {
        e = wait_for_end(s, &event, err);
    }
    if (p->terminal) {
        terminal_restore(0, &saved);
    }
    *out_wait_status = event.status;
    return e;
}

int runtime_exec(const struct runtime_exec *how, struct container_process *p, int *out_wait_status,
                 struct err *err) {
    struct exec_session s = {.id = how->id, .next_id = 2};
    struct container_state state;
    struct timespec now;
    struct winsize ws;
    int dir_fd = -1;
    int e = state_find(how->root, how->id, &state, &dir_fd, err);
    cleanup_fd int dir = dir_fd;
    if (e == 0 && state.status != STATUS_RUNNING) {
        e = err_set(err, -ESRCH, "container not running: %s is %s", how->id,
                    state_status_text(state.status));
    }
    if (e != 0) {
        return e;
    }
    if (p->terminal && ioctl(0, TIOCGWINSZ, &ws) == 0) {
        p->rows = ws.ws_row;
        p->cols = ws.ws_col;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    (void)snprintf(s.exec_id, sizeof(s.exec_id), "%d-%lld-%ld", (int)getpid(),
                   (long long)now.tv_sec, now.tv_nsec);
    cleanup_fd int sock = client_connect(dir, how->id, err);
    cleanup_fd int signals = sock < 0 ? -1 : block_signals(err);
    if (signals < 0) {
        return sock < 0 ? sock : signals;
    }
    s.sock = sock;
    s.signals = signals;
    return run_session(&s, how, p, out_wait_status, err);
}
