/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One more process in a sandbox: a monitor of its own asks the container's monitor for it, forwards
 * signals and window sizes, and ends with its exit code.
 */
#include "sandbox/sentry.h"

#include "host/cleanup.h"
#include "host/msg.h"
#include "host/terminal.h"
#include "oci/ctlmsg.h"
#include "sandbox/background.h"
#include "sandbox/client.h"
#include "sandbox/console.h"
#include "sandbox/follow.h"
#include "sandbox/monitor.h"
#include "sandbox/title.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

struct exec_monitor {
    const struct container *c;
    const struct container_process *process;
    const struct sandbox_kind *kind;
    char exec_id[64];
    struct follow follow;
    struct background link;
};

/* Asks the container's monitor for the process; its exit event may come before the reply. */
static int begin(struct exec_monitor *m, int state_dir, uint32_t preserve,
                 struct moat_ctl_exit *event, struct err *err) {
    static const int fds[MSG_FDS_MAX] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct follow *f = &m->follow;
    struct moat_ctl_reply reply;
    cleanup_free void *record = NULL;
    size_t len = 0;
    f->sock = client_connect(state_dir, m->c->id, err);
    f->signals = f->sock < 0 ? -1 : monitor_signals(true, err);
    if (f->signals < 0) {
        return f->sock < 0 ? f->sock : f->signals;
    }
    const struct ctlmsg_create in = {
        .c = m->c, .p = m->process, .exec_id = m->exec_id, .request_id = 1};
    int e = m->kind->record(&in, &record, &len, err);
    return e != 0 ? e
                  : client_request(f->sock, record, len, fds, 3 + preserve, &reply, sizeof(reply),
                                   event, err);
}

static noreturn_fn void monitor_main(struct exec_monitor *m, const struct isolation_target *target,
                                     const struct isolation_setup *setup) {
    const struct container_process *p = m->process;
    struct moat_ctl_exit event = {.status = 0};
    struct termios ignored; /* the terminal is our own and goes with us */
    struct err err = {0};
    int e = cgroup_enter(target->cgroup, getpid(), &err);
    if (e == 0 && p->terminal) {
        e = console_open(setup->console_socket, p->rows, p->cols, &err);
    }
    e = e == 0 && p->terminal ? terminal_raw(0, &ignored, &err) : e;
    e = e != 0 ? e
               : begin(m, target->state_dir, MIN(setup->preserve_fds, (uint32_t)MSG_FDS_MAX - 3),
                       &event, &err);
    if (e != 0) {
        background_fail(&m->link, &err);
    }
    const int *left[] = {&target->state_dir, &setup->console_socket, &setup->log_fd};
    for (size_t i = 0; i < ARRAY_COUNT(left); i++) {
        if (*left[i] >= 0) {
            (void)close(*left[i]); /* not needed any more */
        }
    }
    if (!p->terminal) {
        background_null_stdio(); /* the streams are the process's alone from here on */
    }
    title_set(&p->args);
    (void)background_tell(&m->link, 0); /* the process runs, whoever listens */
    (void)close(m->link.link);
    e = follow_is_end(&m->follow, &event) ? 0 : follow_to_end(&m->follow, &event, &err);
    /* A sandbox that is gone took the process with it, as SIGKILL does. */
    _exit(e != 0 ? 128 + SIGKILL : follow_exit_code(event.status));
}

int sentry_exec(const struct isolation_target *target, struct container_process *process,
                const struct isolation_setup *setup, pid_t *out_pid, struct err *err) {
    return sandbox_exec(target, process, setup, &g_sandbox_sentry, out_pid, err);
}

int sandbox_exec(const struct isolation_target *target, struct container_process *process,
                 const struct isolation_setup *setup, const struct sandbox_kind *kind,
                 pid_t *out_pid, struct err *err) {
    struct exec_monitor m = {.c = target->c, .process = process, .kind = kind};
    const int keep[] = {target->state_dir, setup->log_fd, setup->console_socket};
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    (void)snprintf(m.exec_id, sizeof(m.exec_id), "%d-%lld-%ld", (int)getpid(),
                   (long long)now.tv_sec, now.tv_nsec); /* fits */
    m.follow = (struct follow){.container = target->c->id,
                               .exec_id = m.exec_id,
                               .sock = -1,
                               .signals = -1,
                               .terminal = process->terminal,
                               .next_id = 2};
    int e = background_fork(keep, ARRAY_COUNT(keep), setup->preserve_fds, &m.link, err);
    if (e != 0) {
        return e;
    }
    if (m.link.pid == 0) {
        monitor_main(&m, target, setup);
    }
    e = background_await(&m.link, NULL, err);
    if (e != 0) {
        background_end(&m.link);
        return e;
    }
    (void)close(m.link.link); /* all is told */
    *out_pid = m.link.pid;
    return 0;
}
