/* SPDX-License-Identifier: Apache-2.0 */
/* Monitors and the commands that make them: see background.h. */
#include "sandbox/background.h"

#include "host/cleanup.h"
#include "host/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* From the monitor; a failure has err.code. */
struct report {
    int value;
    struct err err;
};

static int compare_fds(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

static void close_others(const int *keep, size_t keep_count, uint32_t preserve, int link) {
    int kept[16] = {link};
    size_t count = 1;
    unsigned int from = 3 + preserve;
    for (size_t i = 0; i < keep_count && count < ARRAY_COUNT(kept); i++) {
        kept[count++] = keep[i];
    }
    qsort(kept, count, sizeof(kept[0]), compare_fds);
    for (size_t i = 0; i < count; i++) {
        if (kept[i] > (int)from) {
            (void)close_range(from, (unsigned int)kept[i] - 1, 0); /* cannot fail on valid ranges */
        }
        if (kept[i] >= (int)from) {
            from = (unsigned int)kept[i] + 1;
        }
    }
    (void)close_range(from, ~0u, 0);
}

int background_fork(const int *keep, size_t keep_count, uint32_t preserve, struct background *out,
                    struct err *err) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return err_sys(err, -errno, "cannot make a socket pair");
    }
    pid_t pid = fork();
    int saved = -errno;
    if (pid == 0) {
        close_others(keep, keep_count, preserve, pair[1]);
        (void)setsid();    /* a forked child is no group leader: cannot fail */
        (void)!chdir("/"); /* a working directory that stays in use is no reason to fail */
        *out = (struct background){.link = pair[1]};
        return 0;
    }
    (void)close(pair[1]); /* the monitor's */
    if (pid < 0) {
        (void)close(pair[0]); /* unused */
        return err_sys(err, saved, "cannot fork the monitor");
    }
    *out = (struct background){.link = pair[0], .pid = pid};
    return 0;
}

void background_null_stdio(void) {
    cleanup_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null_fd >= 0; fd++) {
        (void)dup2(null_fd, fd); /* at worst the stream stays open until the end */
    }
}

int background_tell(const struct background *b, int value) {
    const struct report r = {.value = value};
    return msg_send(b->link, &r, sizeof(r), NULL, 0, false);
}

void background_fail(const struct background *b, const struct err *err) {
    const struct report r = {.err = *err};
    (void)msg_send(b->link, &r, sizeof(r), NULL, 0, false); /* else the end of the link tells it */
    _exit(1);
}

int background_wait_go(const struct background *b) {
    char byte;
    int fds[MSG_FDS_MAX];
    size_t count = 0;
    ssize_t n = msg_recv(b->link, &byte, 1, fds, &count, false);
    return n == 1 ? 0 : n == 0 ? -EPIPE : (int)n;
}

int background_await(const struct background *b, int *out_value, struct err *err) {
    struct report r;
    int fds[MSG_FDS_MAX];
    size_t count = 0;
    ssize_t n = msg_recv(b->link, &r, sizeof(r), fds, &count, false);
    if (n != (ssize_t)sizeof(r)) {
        return err_set(err, -EIO, "the container's monitor died while it was set up");
    }
    if (r.err.code != 0) {
        r.err.msg[sizeof(r.err.msg) - 1] = '\0';
        return err_set(err, r.err.code, "%s", r.err.msg);
    }
    if (out_value != NULL) {
        *out_value = r.value;
    }
    return 0;
}

int background_go(const struct background *b, struct err *err) {
    int e = msg_send(b->link, "g", 1, NULL, 0, false);
    return e == 0 ? 0 : err_sys(err, e, "the container's monitor died while it was set up");
}

void background_end(const struct background *b) {
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, b->pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    (void)close(b->link);
    (void)poll(&p, 1, 5000);     /* it takes the sandbox apart */
    (void)kill(b->pid, SIGKILL); /* our child: it exists until it is reaped */
    while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR) {
    }
}
