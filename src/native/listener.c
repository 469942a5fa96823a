/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing a seccomp listener to its agent: config-linux.md "The Container Process State".
 *
 * The process that installs the filter may be unable to make any call afterwards, so another one
 * fetches the descriptor (pidfd_getfd(2)) whose number the process told before.
 */
#include "host/cleanup.h"
#include "host/msg.h"
#include "native/life.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#define WAIT_NS 20000 /* between two looks; the filter is installed a few calls after the word */

static bool is_listener(int fd) {
    uint64_t id = 0;
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0 || errno == ENOENT;
}

static int fetch(pid_t pid, int number, struct err *err) {
    const struct timespec pause = {.tv_nsec = WAIT_NS};
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        return err_sys(err, -errno, "the container's process has ended");
    }
    for (;;) {
        cleanup_fd int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
        if (fd >= 0 && is_listener(fd)) {
            return steal_fd(&fd);
        }
        if (fd < 0 && errno != EBADF) { /* ESRCH: it ended before */
            return err_sys(err, -errno, "cannot fetch the seccomp listener");
        }
        (void)nanosleep(&pause, NULL); /* an early return is one look more */
    }
}

static struct json_object *message(const struct container *c, const char *state_json, pid_t pid) {
    struct json_object *o = json_object_new_object(), *fds = json_object_new_array();
    struct json_object *state = json_tokener_parse(state_json);
    if (state != NULL) {
        (void)json_object_object_add(state, "pid",
                                     json_object_new_int(pid)); /* no memory: absent */
    }
    (void)json_object_array_add(fds, json_object_new_string("seccompFd"));
    (void)json_object_object_add(o, "ociVersion", json_object_new_string("1.2.0"));
    (void)json_object_object_add(o, "fds", fds);
    (void)json_object_object_add(o, "pid", json_object_new_int(pid));
    const char *metadata = c->linux_.seccomp.listener_metadata;
    if (metadata != NULL) {
        (void)json_object_object_add(o, "metadata", json_object_new_string(metadata));
    }
    (void)json_object_object_add(o, "state", state);
    return o;
}

int listener_hand_over(const struct container *c, const char *state_json, pid_t pid, int number,
                       struct err *err) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *path = c->linux_.seccomp.listener_path;
    if (path == NULL || strlen(path) >= sizeof(addr.sun_path)) {
        return err_set(
            err, -EINVAL,
            "linux.seccomp.listenerPath is missing or too long: SCMP_ACT_NOTIFY needs an "
            "agent");
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    cleanup_fd int listener = fetch(pid, number, err);
    cleanup_fd int sock = listener < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0) {
        return listener;
    }
    if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        return err_sys(err, -errno, "linux.seccomp.listenerPath: cannot connect to %s", path);
    }
    struct json_object *o = message(c, state_json, pid);
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    int e = msg_send(sock, text, strlen(text), &listener, 1, false);
    json_object_put(o);
    return e == 0 ? 0 : err_sys(err, e, "linux.seccomp.listenerPath: cannot send to %s", path);
}
