/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a container's monitor: see client.h. */
#include "sandbox/client.h"

#include "host/cleanup.h"
#include "host/msg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

int client_listen(int dir, struct err *err) {
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

int client_connect(int dir, const char *id, struct err *err) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    cleanup_fd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/control.sock",
                   dir); /* fits */
    if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        return err_set(err, -ESRCH, "container not running: %s (%s)", id, strerror(errno));
    }
    return steal_fd(&sock);
}

/* One record with a checked header: its length, or -errno. */
static ssize_t receive(int sock, char *buf, struct moat_ctl_header *h) {
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    ssize_t n = msg_recv(sock, buf, MOAT_CTL_MSG_MAX, fds, &fd_count, false);
    for (size_t i = 0; i < fd_count; i++) {
        (void)close(fds[i]); /* none are expected */
    }
    if (n <= 0) {
        return n == 0 ? -EPIPE : n;
    }
    if ((size_t)n < sizeof(*h)) {
        return -EPROTO;
    }
    memcpy(h, buf, sizeof(*h));
    return h->magic == MOAT_CTL_MAGIC && h->size == (uint32_t)n ? n : -EPROTO;
}

int client_request(int sock, const void *record, size_t len, const int *fds, size_t fd_count,
                   void *reply, size_t reply_max, struct moat_ctl_exit *exit_event,
                   struct err *err) {
    cleanup_free char *buf = malloc(MOAT_CTL_MSG_MAX);
    struct moat_ctl_header want, h;
    struct moat_ctl_reply fixed;
    memcpy(&want, record, sizeof(want));
    ssize_t n = buf == NULL ? -ENOMEM : msg_send(sock, record, len, fds, fd_count, false);
    do {
        n = n < 0 ? n : receive(sock, buf, &h);
        if (n == (ssize_t)sizeof(*exit_event) && h.type == MOAT_CTL_EVENT_EXIT &&
            exit_event != NULL) {
            memcpy(exit_event, buf, sizeof(*exit_event));
        }
    } while (n >= 0 && (h.type != MOAT_CTL_REPLY || h.id != want.id));
    if (n < (ssize_t)sizeof(fixed)) {
        return err_sys(err, n < 0 ? (int)n : -EPROTO, "the container's monitor does not answer");
    }
    memcpy(&fixed, buf, sizeof(fixed));
    fixed.message[sizeof(fixed.message) - 1] = '\0';
    if (fixed.error != 0) {
        return err_set(err, fixed.error < 0 ? fixed.error : -EPROTO, "%s",
                       fixed.message[0] != '\0' ? fixed.message : strerror(-fixed.error));
    }
    memcpy(reply, buf, MIN((size_t)n, reply_max));
    return 0;
}

int client_next_exit(int sock, struct moat_ctl_exit *out_event, struct err *err) {
    cleanup_free char *buf = malloc(MOAT_CTL_MSG_MAX);
    struct moat_ctl_header h;
    ssize_t n = buf == NULL ? -ENOMEM : receive(sock, buf, &h);
    if (n < 0) {
        return err_sys(err, (int)n, "lost the container's monitor");
    }
    if (h.type != MOAT_CTL_EVENT_EXIT || n != (ssize_t)sizeof(*out_event)) {
        return 0;
    }
    memcpy(out_event, buf, sizeof(*out_event));
    out_event->ref.exec_id[sizeof(out_event->ref.exec_id) - 1] = '\0';
    return 1;
}
