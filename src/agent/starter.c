/* SPDX-License-Identifier: Apache-2.0 */
/* Making a process of a container: see starter.h. */
#include "agent/starter.h"

#include "agent/agent.h"
#include "agent/inside.h"
#include "host/cleanup.h"
#include "host/msg.h"
#include "host/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#define FIRST_FD 3 /* behind the standard streams: the link, then the namespaces to join */

static void warn(void *arg, const char *message) {
    boot_log(LOG_WARNING, message);
}

/* Descriptors 0 to 2 as the program will have them, what the work takes, and nothing else. */
static int place_descriptors(const struct starter_job *j, struct err *err) {
    int want[FIRST_FD + 1 + NS_KINDS];
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    size_t count = 0;
    for (int i = 0; i < FIRST_FD; i++) {
        want[count++] = j->stdio[i] >= 0 ? j->stdio[i] : null_fd;
    }
    want[count++] = j->link;
    for (int kind = 0; kind < NS_KINDS; kind++) {
        want[count++] = j->box->joined[kind];
    }
    for (size_t i = 0; i < count; i++) {
        want[i] = want[i] >= 0 ? fcntl(want[i], F_DUPFD_CLOEXEC, 1000) : -1;
    }
    for (size_t i = 0; i < count; i++) {
        int flags = i < FIRST_FD ? 0 : O_CLOEXEC;
        if (want[i] >= 0 && dup3(want[i], (int)i, flags) < 0) {
            return err_sys(err, -errno, "cannot place descriptor %zu", i);
        }
        if (want[i] < 0) {
            (void)close((int)i); /* whatever it was */
        }
    }
    (void)close_range((unsigned int)count, ~0u, 0); /* cannot fail on this range */
    return 0;
}

/* Namespaces of another container, by the descriptors that hold them now. */
static int name_namespaces(struct box *b, struct err *err) {
    for (int kind = 0; kind < NS_KINDS; kind++) {
        struct oci_namespace_entry *n = &b->carried.c.linux_.namespaces[kind];
        if (b->joined[kind] >= 0) {
            n->set = true;
            if (asprintf(&n->path, "/proc/self/fd/%d", FIRST_FD + 1 + kind) < 0) {
                return err_sys(err, -ENOMEM, "cannot share a namespace");
            }
        }
    }
    return 0;
}

static bool send_report(const struct err *err, pid_t pid, int master) {
    struct starter_report report;
    memset(&report, 0, sizeof(report));
    report.err = *err;
    report.pid = pid;
    return msg_send(FIRST_FD, &report, sizeof(report), &master, master >= 0 ? 1 : 0, false) == 0;
}

static int make(const struct starter_job *j, struct isolation_target *target,
                struct isolation_setup *how, struct err *err) {
    pid_t pid = 0;
    int e = j->process == NULL ? g_inside.create(target, how, &pid, err)
                               : g_inside.exec(target, j->process, how, &pid, err);
    target->pid = pid;
    return e;
}

/* False when the process ends before it is to be started, or the agent has lost interest. */
static bool await_start(pid_t pid) {
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd polls[2] = {{.fd = FIRST_FD, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    char byte;
    while (pidfd >= 0 && poll(polls, 2, -1) < 0 && errno == EINTR) {
    }
    return polls[0].revents != 0 && recv(FIRST_FD, &byte, 1, MSG_DONTWAIT) == 1;
}

noreturn_fn void starter_main(const struct starter_job *j) {
    struct box *b = j->box;
    const struct container_process *p = j->process != NULL ? j->process : &b->carried.c.process;
    struct err err = {0};
    int console[2] = {-1, -1}, master = -1;
    g_carried = &b->carried;
    int e = place_descriptors(j, &err);
    e = e != 0 ? e : name_namespaces(b, &err);
    if (e == 0 && p->terminal &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, console) != 0) {
        e = err_sys(&err, -errno, "cannot make a socket pair in the guest");
    }
    int dir = e == 0 ? open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    struct isolation_setup how = {.bundle = "/",
                                  .state_json = b->carried.state_json,
                                  .log_fd = -1,
                                  .console_socket = console[1],
                                  .no_new_keyring = b->carried.no_new_keyring,
                                  .whole_memory = true,
                                  .warn = warn};
    struct isolation_target target = box_target(b);
    target.state_dir = dir;
    e = e != 0 ? e : make(j, &target, &how, &err);
    if (e == 0 && p->terminal) {
        master = terminal_receive_master(console[0], &err);
        e = master < 0 ? master : 0;
    }
    bool told = send_report(&err, target.pid, master);
    if (e != 0 || !told) {
        if (target.pid > 0 && target.pid != b->pid) {
            (void)kill(target.pid, SIGKILL); /* nobody has it */
        }
        _exit(1);
    }
    cleanup_fd_fn(&master);
    if (j->process == NULL && await_start(target.pid) && g_inside.start(&target, &err) != 0) {
        (void)send_report(&err, target.pid, -1); /* else the exit tells */
    }
    _exit(0);
}
