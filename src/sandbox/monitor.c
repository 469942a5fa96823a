/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's event loop, and the Sentry's side of it: see monitor.h. */
#include "sandbox/monitor.h"

#include "host/cleanup.h"
#include "oci/ctlmsg.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a monitor in the foreground forwards: the caller's shell keeps job control. */
static const int g_polite[] = {SIGTERM, SIGINT,  SIGHUP, SIGQUIT,  SIGUSR1, SIGUSR2,
                               SIGALRM, SIGCONT, SIGPWR, SIGWINCH, SIGCHLD};
/* Faults of its own end it. */
static const int g_own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

int monitor_signals(bool all, struct err *err) {
    sigset_t set;
    if (all) {
        (void)sigfillset(&set); /* cannot fail, as the calls below with valid numbers */
        for (size_t i = 0; i < ARRAY_COUNT(g_own); i++) {
            (void)sigdelset(&set, g_own[i]);
        }
    } else {
        (void)sigemptyset(&set);
        for (size_t i = 0; i < ARRAY_COUNT(g_polite); i++) {
            (void)sigaddset(&set, g_polite[i]);
        }
    }
    sigset_t blocked = set;
    (void)sigaddset(&blocked, SIGPIPE); /* a peer that is gone shows as EPIPE */
    (void)sigdelset(&set, SIGPIPE);
    (void)sigprocmask(all ? SIG_SETMASK : SIG_BLOCK, &blocked, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : err_sys(err, -errno, "cannot make a signal descriptor");
}

int monitor_init(struct monitor *m, const struct sandbox_kind *kind, struct sandbox *sandbox,
                 const char *container_id, bool all_signals, struct err *err) {
    *m = (struct monitor){.kind = kind,
                          .sandbox = sandbox,
                          .container_id = container_id,
                          .listen_fd = -1,
                          .terminal_fd = -1,
                          .bell = {.proc = -1, .limit_fd = -1, .usage_fd = -1},
                          .next_id = 1000};
    list_init(&m->joined);
    m->signal_fd = monitor_signals(all_signals, err);
    return m->signal_fd >= 0 ? 0 : m->signal_fd;
}

void monitor_close(struct monitor *m) {
    clients_close(m);
    cleanup_fd_fn(&m->signal_fd);
    cleanup_fd_fn(&m->listen_fd);
}

/* ---- the Sentry's side ---- */

static void note_exit(struct monitor *m, const struct moat_ctl_exit *event) {
    if (event->ref.exec_id[0] == '\0' && strcmp(event->ref.container, m->container_id) == 0 &&
        !m->exited) {
        m->exited = true;
        m->exit_status = event->status;
        if (m->on_exit != NULL) {
            m->on_exit(m->arg, event->status);
        }
    }
    clients_tell_exit(m, event);
}

/* One record of the Sentry: 1 when it was the reply to `wait_id` (copied to out_reply), 0
 * otherwise, or -errno. */
static int sentry_record(struct monitor *m, uint32_t wait_id, struct moat_ctl_reply *out_reply) {
    static union {
        char bytes[MOAT_CTL_MSG_MAX];
        struct moat_ctl_reply reply;
    } buf;
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    ssize_t n = msg_recv(m->sandbox->control_fd, &buf, sizeof(buf), fds, &fd_count, false);
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
    memcpy(&h, &buf, sizeof(h));
    if (h.magic != MOAT_CTL_MAGIC || h.version != MOAT_CTL_VERSION || h.size != (uint32_t)n) {
        return -EPROTO;
    }
    if (h.type == MOAT_CTL_EVENT_EXIT && (size_t)n == sizeof(struct moat_ctl_exit)) {
        struct moat_ctl_exit event;
        memcpy(&event, &buf, sizeof(event));
        event.ref.container[sizeof(event.ref.container) - 1] = '\0';
        event.ref.exec_id[sizeof(event.ref.exec_id) - 1] = '\0';
        note_exit(m, &event);
    } else if (h.type == MOAT_CTL_EVENT_OOM && (size_t)n == sizeof(struct moat_ctl_oom)) {
        oom_bell_ring(&m->bell); /* whichever container of the pod it was: the memory is one */
    } else if (h.type == MOAT_CTL_REPLY && (size_t)n >= sizeof(struct moat_ctl_reply)) {
        if (h.id == wait_id && wait_id != 0) {
            memcpy(out_reply, &buf, sizeof(*out_reply));
            out_reply->message[sizeof(out_reply->message) - 1] = '\0';
            return 1;
        }
        clients_reply(m, &buf.reply, (size_t)n);
    }
    return 0;
}

static int no_answer(const struct monitor *m, int e, struct err *err) {
    if (e == -EPROTO) {
        return err_set(err, e,
                       "moat and the program that is %s are of different builds: install or build "
                       "both anew",
                       m->kind->noun);
    }
    return err_sys(err, e, "%s does not answer (its log says why: --debug --log FILE)",
                   m->kind->noun);
}

int monitor_send(struct monitor *m, const void *record, size_t len, const int *fds, size_t fd_count,
                 struct err *err) {
    int e = msg_send(m->sandbox->control_fd, record, len, fds, fd_count, false);
    return e == 0 ? 0 : no_answer(m, e, err);
}

int monitor_await(struct monitor *m, uint32_t id, struct err *err) {
    struct moat_ctl_reply reply;
    int e = 0;
    while (e == 0) {
        e = sentry_record(m, id, &reply);
    }
    if (e < 0) {
        return no_answer(m, e, err);
    }
    if (reply.error != 0) {
        int code = reply.error < 0 && reply.error >= -4095 ? reply.error : -EPROTO;
        return err_set(err, code, "%s", reply.message[0] != '\0' ? reply.message : strerror(-code));
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
    struct moat_ctl_winsize msg;
    if (ctlmsg_winsize(&msg, m->terminal_fd, m->next_id++, m->container_id, NULL) == 0) {
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
        if (si.ssi_signo == SIGWINCH && m->terminal_fd >= 0) {
            send_winsize(m);
        } else if (si.ssi_signo != SIGCHLD && m->forward_signals) {
            forward_signal(m, si.ssi_signo);
        }
    }
}

/* ---- the loop ---- */

/* By SIGKILL, as the host's OOM killer does: the container has ended so, and its engine, which
 * listens for the OOM event itself, expects that status. */
static bool sentry_was_killed(struct monitor *m) {
    struct moat_ctl_exit end = {.status = SIGKILL};
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, m->sandbox->sentry_pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    siginfo_t si = {0};
    /* Its descriptors close before it can be waited for. */
    if (pidfd < 0 || poll(&p, 1, 5000) != 1 ||
        waitid(P_PID, (id_t)m->sandbox->sentry_pid, &si, WEXITED | WNOWAIT | WNOHANG) != 0 ||
        si.si_code != CLD_KILLED || si.si_status != SIGKILL ||
        ctlmsg_ref(&end.ref, MOAT_CTL_EVENT_EXIT, sizeof(end), 0, m->container_id, NULL) != 0) {
        return false;
    }
    note_exit(m, &end);
    return true;
}

int monitor_run(struct monitor *m, struct err *err) {
    enum { P_SENTRY, P_SIGNAL, P_LISTEN, P_NETWORK, P_CLIENTS };
    struct pollfd *polls = NULL;
    uint32_t room = 0;
    int e = 0;
    while (!m->exited && e == 0) {
        uint32_t clients = m->client_count;
        if (polls == NULL || room < m->client_capacity) {
            room = m->client_capacity;
            struct pollfd *grown = realloc(polls, (P_CLIENTS + room) * sizeof(*polls));
            if (grown == NULL) {
                e = err_sys(err, -ENOMEM, "the monitor has no memory");
                break;
            }
            polls = grown;
        }
        polls[P_SENTRY] = (struct pollfd){.fd = m->sandbox->control_fd, .events = POLLIN};
        polls[P_SIGNAL] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
        polls[P_LISTEN] = (struct pollfd){.fd = m->listen_fd, .events = POLLIN};
        polls[P_NETWORK] = (struct pollfd){
            .fd = m->sandbox->network != NULL ? m->sandbox->network_watch : -1, .events = POLLIN};
        for (uint32_t i = 0; i < clients; i++) {
            /* One request at a time each: the next one waits in the socket. */
            polls[P_CLIENTS + i] = (struct pollfd){
                .fd = m->clients[i].fd, .events = m->clients[i].pending_id == 0 ? POLLIN : 0};
        }
        if (poll(polls, P_CLIENTS + clients, -1) < 0) {
            continue; /* EINTR */
        }
        if (polls[P_SIGNAL].revents != 0) {
            take_signals(m);
        }
        if (polls[P_SENTRY].revents != 0) {
            struct moat_ctl_reply ignored;
            e = sentry_record(m, 0, &ignored);
            if (e < 0 && sentry_was_killed(m)) {
                e = 0;
                break;
            }
            if (e < 0) {
                e = err_sys(err, e, "%s ended unexpectedly (its log says why: --debug --log FILE)",
                            m->kind->noun);
            }
        }
        if (polls[P_NETWORK].revents != 0) {
            m->sandbox->network->refresh(m->sandbox);
        }
        for (uint32_t i = clients; i-- > 0;) {
            if (polls[P_CLIENTS + i].revents != 0) {
                clients_serve(m, i); /* the last client takes the place of one that goes */
            }
        }
        if (polls[P_LISTEN].revents != 0) {
            clients_accept(m);
        }
    }
    free(polls);
    return e;
}
