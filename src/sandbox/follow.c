/* SPDX-License-Identifier: Apache-2.0 */
/* Following a process to its end: see follow.h. */
#include "sandbox/follow.h"

#include "host/msg.h"
#include "oci/ctlmsg.h"
#include "sandbox/client.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void send_winsize(struct follow *f) {
    struct moat_ctl_winsize msg;
    if (ctlmsg_winsize(&msg, 0, f->next_id++, f->container, f->exec_id) == 0) {
        (void)msg_send(f->sock, &msg, sizeof(msg), NULL, 0, true); /* the next size follows */
    }
}

static void forward(struct follow *f) {
    struct signalfd_siginfo si;
    while (read(f->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        struct moat_ctl_signal msg = {.signo = si.ssi_signo};
        if (si.ssi_signo == SIGCHLD) {
            continue;
        }
        if (si.ssi_signo == SIGWINCH && f->terminal) {
            send_winsize(f);
        } else if (ctlmsg_ref(&msg.ref, MOAT_CTL_SIGNAL, sizeof(msg), f->next_id++, f->container,
                              f->exec_id) == 0) {
            msg.signo = si.ssi_signo;
            (void)msg_send(f->sock, &msg, sizeof(msg), NULL, 0, true); /* EPIPE shows in the wait */
        }
    }
}

bool follow_is_end(const struct follow *f, const struct moat_ctl_exit *event) {
    return event->ref.h.magic == MOAT_CTL_MAGIC &&
           strncmp(event->ref.exec_id, f->exec_id, sizeof(event->ref.exec_id)) == 0 &&
           strncmp(event->ref.container, f->container, sizeof(event->ref.container)) == 0;
}

int follow_to_end(struct follow *f, struct moat_ctl_exit *event, struct err *err) {
    for (;;) {
        struct pollfd polls[2] = {{.fd = f->sock, .events = POLLIN},
                                  {.fd = f->signals, .events = POLLIN}};
        if (poll(polls, 2, -1) < 0) {
            continue; /* EINTR */
        }
        if (polls[1].revents != 0) {
            forward(f);
        }
        if (polls[0].revents != 0) {
            int e = client_next_exit(f->sock, event, err);
            if (e < 0) {
                return e;
            }
            if (e == 1 && follow_is_end(f, event)) {
                return 0;
            }
        }
    }
}

int follow_exit_code(int wait_status) {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
