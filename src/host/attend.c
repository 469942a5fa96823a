/* SPDX-License-Identifier: Apache-2.0 */
/* In the foreground: see attend.h. */
#include "host/attend.h"

#include "host/cleanup.h"
#include "host/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Input that the container's terminal has not taken yet. */
struct pump {
    int master; /* -1: no terminal */
    bool input_open;
    char pending[4096];
    size_t at, len;
};

int attend_begin(struct attend *a, bool terminal, struct err *err) {
    /* A fault is our own, and job control of the caller's shell stops us, not the container. */
    static const int ours[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP,
                               SIGSYS,  SIGABRT, SIGTSTP, SIGTTIN, SIGTTOU};
    sigset_t set;
    *a = (struct attend){.signals = -1, .console = {-1, -1}};
    if (terminal && isatty(0) == 0) {
        return err_set(err, -ENOTTY,
                       "the process has a terminal, and standard input is none: give "
                       "--console-socket, or no terminal");
    }
    (void)sigfillset(&set); /* cannot fail, as the calls below with valid numbers */
    for (size_t i = 0; i < ARRAY_COUNT(ours); i++) {
        (void)sigdelset(&set, ours[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    a->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (a->signals < 0 ||
        (terminal && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a->console) != 0)) {
        return err_sys(err, -errno, "cannot prepare to wait for the process");
    }
    return 0;
}

void attend_end(struct attend *a) {
    cleanup_fd_fn(&a->signals);
    cleanup_fd_fn(&a->console[0]);
    cleanup_fd_fn(&a->console[1]);
}

static void pass_size(int master) {
    struct winsize ws;
    if (master >= 0 && ioctl(0, TIOCGWINSZ, &ws) == 0) {
        (void)ioctl(master, TIOCSWINSZ, &ws); /* the next size follows */
    }
}

/* 1 when the process has ended. */
static int take_signals(const struct attend *a, pid_t pid, int master, int *out_wait_status) {
    struct signalfd_siginfo si;
    while (read(a->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        switch (si.ssi_signo) {
        case SIGCHLD: /* others may be ours too, as their subreaper */
            for (int status, p; (p = waitpid(-1, &status, WNOHANG)) > 0;) {
                if (p == pid) {
                    *out_wait_status = status;
                    return 1;
                }
            }
            break;
        case SIGPIPE:
            break;
        case SIGWINCH:
            if (master >= 0) {
                pass_size(master);
                break;
            }
            __attribute__((fallthrough));
        default:
            (void)kill(pid, (int)si.ssi_signo); /* it may be gone */
        }
    }
    return 0;
}

static void write_all(int fd, const char *buf, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, buf, len);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            (void)poll(&p, 1, -1); /* somebody made it non-blocking */
        } else if (n < 0 && errno != EINTR) {
            return; /* nobody reads: the container learns nothing of it, as with a closed window */
        }
        buf += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* False at the end of the output. */
static bool pump_output(const struct pump *p) {
    char buf[8192];
    ssize_t n = read(p->master, buf, sizeof(buf));
    if (n > 0) {
        write_all(1, buf, (size_t)n);
    } else if (n == 0) {
        errno = EIO;
    }
    return n > 0;
}

static void pump_input(struct pump *p, short in_events, short out_events) {
    if (p->len == 0 && in_events != 0) {
        ssize_t n = read(0, p->pending, sizeof(p->pending));
        p->input_open = n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
        p->at = 0;
        p->len = n > 0 ? (size_t)n : 0;
    }
    if (p->len > 0 && (in_events | out_events) != 0) {
        ssize_t n = write(p->master, p->pending + p->at, p->len);
        p->at += n > 0 ? (size_t)n : 0;
        p->len -= n > 0 ? (size_t)n : 0;
    }
}

static void serve(const struct attend *a, struct pump *p, pid_t pid, int *out_wait_status) {
    for (;;) {
        struct pollfd polls[3] = {{.fd = a->signals, .events = POLLIN},
                                  {.fd = p->master, .events = POLLIN},
                                  {.fd = -1, .events = POLLIN}};
        if (p->len > 0) {
            polls[1].events |= POLLOUT;
        } else if (p->master >= 0 && p->input_open) {
            polls[2].fd = 0;
        }
        if (poll(polls, 3, -1) < 0) {
            continue; /* EINTR */
        }
        if ((polls[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !pump_output(p) &&
            errno != EAGAIN) {
            cleanup_fd_fn(
                &p->master); /* its last user is gone; the process ends soon or lives on */
            p->master = -1;
            p->len = 0;
        }
        if (p->master >= 0) {
            pump_input(p, polls[2].revents, polls[1].revents & POLLOUT);
        }
        if (polls[0].revents != 0 && take_signals(a, pid, p->master, out_wait_status) == 1) {
            return;
        }
    }
}

int attend_run(struct attend *a, pid_t pid, int *out_wait_status, struct err *err) {
    struct pump p = {.master = -1, .input_open = true};
    struct termios saved;
    bool terminal = a->console[0] >= 0;
    if (terminal) {
        (void)close(a->console[1]); /* the isolation's end: no terminal is the end then */
        a->console[1] = -1;
        p.master = terminal_receive_master(a->console[0], err);
        int e = p.master < 0 ? p.master : terminal_raw(0, &saved, err);
        if (e != 0) {
            cleanup_fd_fn(&p.master);
            return e;
        }
        (void)fcntl(p.master, F_SETFL, O_NONBLOCK); /* cannot fail on a terminal */
        pass_size(p.master);
    }
    serve(a, &p, pid, out_wait_status);
    while (p.master >= 0 && pump_output(&p)) { /* what it wrote last */
    }
    cleanup_fd_fn(&p.master);
    if (terminal) {
        terminal_restore(0, &saved);
    }
    return 0;
}
