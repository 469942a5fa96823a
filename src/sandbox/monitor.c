/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's event loop: see monitor.h.
 *
 * Trust boundary: records of the Sentry are those of something a guest may have taken over; sizes
 * and types are checked before use, and nothing in them names a host resource.  Clients of the
 * control socket are root's or the owner's (file mode).
 */
#include "sandbox/monitor.h"

#include "host/cleanup.h"
#include "host/msg.h"
#include "moat/control.h"
#include "oci/ctlmsg.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS_MAX 64u

struct monitor_client {
    int fd;
    uint32_t pending_id; /* id that its request has towards the Sentry, 0: none under way */
    uint32_t own_id;     /* id the client gave it */
};

static const int g_forwarded[] = {SIGTERM, SIGINT,  SIGHUP, SIGQUIT,  SIGUSR1, SIGUSR2,
                                  SIGALRM, SIGCONT, SIGPWR, SIGWINCH, SIGCHLD};

int monitor_init(struct monitor *m, struct sandbox *sandbox, const char *container_id,
                 struct err *err) {
    sigset_t set;
    *m = (struct monitor){.sandbox = sandbox,
                          .container_id = container_id,
                          .listen_fd = -1,
                          .signal_fd = -1,
                          .terminal_fd = -1,
                          .next_id = 1000};
    (void)sigemptyset(&set); /* cannot fail */
    for (size_t i = 0; i < ARRAY_COUNT(g_forwarded); i++) {
        (void)sigaddset(&set, g_forwarded[i]); /* valid numbers */
    }
    m->clients = calloc(CLIENTS_MAX, sizeof(*m->clients));
    sigset_t blocked = set;
    (void)sigaddset(&blocked, SIGPIPE); /* a child that is gone shows as EPIPE */
    if (m->clients == NULL || sigprocmask(SIG_BLOCK, &blocked, NULL) != 0) {
        return err_sys(err, -ENOMEM, "cannot prepare the monitor");
    }
    m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signal_fd >= 0 ? 0 : err_sys(err, -errno, "cannot make a signal descriptor");
}

void monitor_close(struct monitor *m) {
    for (uint32_t i = 0; i < m->client_count; i++) {
        cleanup_fd_fn(&m->clients[i].fd);
    }
    free(m->clients);
    m->clients = NULL;
    m->client_count = 0;
    cleanup_fd_fn(&m->signal_fd);
    cleanup_fd_fn(&m->listen_fd);
}

/* ---- the Sentry's side ---- */

static void note_exit(struct monitor *m, const struct moat_ctl_exit *event) {
    if (event->ref.exec_id[0] == '\0' && !m->exited) {
        m->exited = true;
        m->exit_status = event->status;
        if (m->on_exit != NULL) {
            m->on_exit(m->arg, event->status);
        }
    }
    for (uint32_t i = 0; i < m->client_count; i++) {
        /* A client that does not read loses the event, and its connection tells it so. */
        if (msg_send(m->clients[i].fd, event, sizeof(*event), NULL, 0, true) == -EAGAIN) {
            (void)shutdown(m->clients[i].fd, SHUT_RDWR);
        }
    }
}

static void relay_reply(struct monitor *m, struct moat_ctl_reply *reply, size_t len) {
    for (uint32_t i = 0; i < m->client_count; i++) {
        struct monitor_client *c = &m->clients[i];
        if (c->pending_id == reply->h.id) {
            reply->h.id = c->own_id;
            c->pending_id = 0;
            (void)msg_send(c->fd, reply, len, NULL, 0, true); /* a gone client shows in poll */
            return;
        }
    }
}

/* One record of the Sentry: 1 when it was the reply to `wait_id` (copied to out_reply), 0
 * otherwise, or -errno. */
static int sentry_record(struct monitor *m, uint32_t wait_id, struct moat_ctl_reply *out_reply) {
    static char buf[MOAT_CTL_MSG_MAX];
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    ssize_t n = msg_recv(m->sandbox->control_fd, buf, sizeof(buf), fds, &fd_count, false);
    for (size_t i = 0; i < fd_count; i++) {
        (void)close(fds[i]); /* the Sentry has nothing to give */
    }
    if (n <= 0) {
        return n == 0 ? -EPIPE : (int)n;
    }
    struct moat_ctl_header h;
    if ((size_t)n < sizeof(h)) {
        return -EPROTO;
    }
    memcpy(&h, buf, sizeof(h));
    if (h.magic != MOAT_CTL_MAGIC || h.version != MOAT_CTL_VERSION || h.size != (uint32_t)n) {
        return -EPROTO;
    }
    if (h.type == MOAT_CTL_EVENT_EXIT && (size_t)n == sizeof(struct moat_ctl_exit)) {
        struct moat_ctl_exit event;
        memcpy(&event, buf, sizeof(event));
        event.ref.exec_id[sizeof(event.ref.exec_id) - 1] = '\0';
        note_exit(m, &event);
    } else if (h.type == MOAT_CTL_REPLY && (size_t)n >= sizeof(struct moat_ctl_reply)) {
        struct moat_ctl_reply *reply = (void *)buf;
        if (h.id == wait_id) {
            memcpy(out_reply, buf, sizeof(*out_reply));
            out_reply->message[sizeof(out_reply->message) - 1] = '\0';
            return 1;
        }
        relay_reply(m, reply, (size_t)n);
    }
    return 0;
}

static int no_answer(int e, struct err *err) {
    return err_sys(err, e, "the Sentry does not answer (its log says why: --debug --log FILE)");
}

int monitor_send(struct monitor *m, const void *record, size_t len, const int *fds, size_t fd_count,
                 struct err *err) {
    int e = msg_send(m->sandbox->control_fd, record, len, fds, fd_count, false);
    return e == 0 ? 0 : no_answer(e, err);
}

int monitor_await(struct monitor *m, uint32_t id, struct err *err) {
    struct moat_ctl_reply reply;
    int e = 0;
    while (e == 0) {
        e = sentry_record(m, id, &reply);
    }
    if (e < 0) {
        return no_answer(e, err);
    }
    if (reply.error != 0) {
        return err_set(err, reply.error, "%s",
                       reply.message[0] != '\0' ? reply.message : strerror(-reply.error));
    }
    return 0;
}

int monitor_request(struct monitor *m, const void *record, size_t len, const int *fds,
                    size_t fd_count, struct err *err) {
    struct moat_ctl_header h;
    memcpy(&h, record, sizeof(h));
    int e = monitor_send(m, record, len, fds, fd_count, err);
    return e == 0 ? monitor_await(m, h.id, err) : e;
}

/* ---- signals ---- */

static void send_winsize(struct monitor *m) {
    struct winsize ws;
    struct moat_ctl_winsize msg;
    if (m->terminal_fd < 0 || ioctl(m->terminal_fd, TIOCGWINSZ, &ws) != 0) {
        return;
    }
    memset(&msg, 0, sizeof(msg));
    if (ctlmsg_ref(&msg.ref, MOAT_CTL_WINSIZE, sizeof(msg), m->next_id++, m->container_id, NULL) ==
        0) {
        msg.rows = ws.ws_row;
        msg.cols = ws.ws_col;
        msg.xpixel = ws.ws_xpixel;
        msg.ypixel = ws.ws_ypixel;
        (void)msg_send(m->sandbox->control_fd, &msg, sizeof(msg), NULL, 0,
                       true); /* the next size follows */
    }
}

static void forward_signal(struct monitor *m, uint32_t signo) {
    struct moat_ctl_signal msg;
    memset(&msg, 0, sizeof(msg));
    if (ctlmsg_ref(&msg.ref, MOAT_CTL_SIGNAL, sizeof(msg), m->next_id++, m->container_id, NULL) ==
        0) {
        msg.signo = signo;
        (void)msg_send(m->sandbox->control_fd, &msg, sizeof(msg), NULL, 0,
                       true); /* EPIPE shows in the loop */
    }
}

static void take_signals(struct monitor *m) {
    struct signalfd_siginfo si;
    while (read(m->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        if (si.ssi_signo == SIGWINCH) {
            send_winsize(m);
        } else if (si.ssi_signo != SIGCHLD && m->forward_signals) {
            forward_signal(m, si.ssi_signo);
        }
    }
}

/* ---- clients ---- */

static void drop_client(struct monitor *m, uint32_t i) {
    (void)close(m->clients[i].fd); /* a socket */
    m->clients[i] = m->clients[--m->client_count];
}

static void accept_client(struct monitor *m) {
    int fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0 && m->client_count == CLIENTS_MAX) {
        (void)close(fd); /* the client sees the end of the connection and says so */
    } else if (fd >= 0) {
        m->clients[m->client_count++] = (struct monitor_client){.fd = fd};
    }
}

/* False when the client must go. */
static bool client_record(struct monitor *m, struct monitor_client *c) {
    static char buf[MOAT_CTL_MSG_MAX];
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    struct moat_ctl_header h;
    ssize_t n = msg_recv(c->fd, buf, sizeof(buf), fds, &fd_count, true);
    if (n == -EAGAIN) {
        return true;
    }
    bool ok = n >= (ssize_t)sizeof(h) && c->pending_id == 0;
    if (ok) {
        memcpy(&h, buf, sizeof(h));
        ok = h.magic == MOAT_CTL_MAGIC && h.size == (uint32_t)n;
    }
    if (ok) {
        c->own_id = h.id;
        c->pending_id = m->next_id++;
        h.id = c->pending_id;
        memcpy(buf, &h, sizeof(h));
        ok = msg_send(m->sandbox->control_fd, buf, (size_t)n, fds, fd_count, false) == 0;
    }
    for (size_t i = 0; i < fd_count; i++) {
        (void)close(fds[i]); /* passed on */
    }
    return ok;
}

static void serve_clients(struct monitor *m, const struct pollfd *polls) {
    for (uint32_t i = m->client_count; i-- > 0;) {
        if (polls[i].revents != 0 && !client_record(m, &m->clients[i])) {
            drop_client(m, i);
        }
    }
}

/* By SIGKILL, as the host's OOM killer does: the container has ended so, and its engine, which
 * listens for the OOM event itself, expects that status. */
static bool sentry_was_killed(struct monitor *m) {
    const struct moat_ctl_exit end = {.status = SIGKILL};
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, m->sandbox->sentry_pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    siginfo_t si = {0};
    /* Its descriptors close before it can be waited for. */
    if (pidfd < 0 || poll(&p, 1, 5000) != 1 ||
        waitid(P_PID, (id_t)m->sandbox->sentry_pid, &si, WEXITED | WNOWAIT | WNOHANG) != 0 ||
        si.si_code != CLD_KILLED || si.si_status != SIGKILL) {
        return false;
    }
    note_exit(m, &end);
    return true;
}

int monitor_run(struct monitor *m, struct err *err) {
    enum { P_SENTRY, P_SIGNAL, P_LISTEN, P_CLIENTS };
    struct pollfd polls[P_CLIENTS + CLIENTS_MAX];
    while (!m->exited) {
        uint32_t clients = m->client_count;
        polls[P_SENTRY] = (struct pollfd){.fd = m->sandbox->control_fd, .events = POLLIN};
        polls[P_SIGNAL] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
        polls[P_LISTEN] = (struct pollfd){.fd = m->listen_fd, .events = POLLIN};
        for (uint32_t i = 0; i < clients; i++) {
            polls[P_CLIENTS + i] = (struct pollfd){.fd = m->clients[i].fd, .events = POLLIN};
        }
        if (poll(polls, P_CLIENTS + clients, -1) < 0) {
            continue; /* EINTR */
        }
        if (polls[P_SIGNAL].revents != 0) {
            take_signals(m);
        }
        if (polls[P_SENTRY].revents != 0) {
            struct moat_ctl_reply ignored;
            int e = sentry_record(m, 0, &ignored);
            if (e < 0 && sentry_was_killed(m)) {
                break;
            }
            if (e < 0) {
                return err_sys(
                    err, e, "the Sentry ended unexpectedly (its log says why: --debug --log FILE)");
            }
        }
        serve_clients(m, polls + P_CLIENTS);
        if (polls[P_LISTEN].revents != 0) {
            accept_client(m);
        }
    }
    return 0;
}
