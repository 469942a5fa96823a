/* SPDX-License-Identifier: Apache-2.0 */
/* Running a container in the foreground: see foreground.h. */
#include "sandbox/foreground.h"

#include "host/cgroup_reserve.h"
#include "host/cleanup.h"
#include "host/terminal.h"
#include "moat/control.h"
#include "oci/ctlmsg.h"
#include "sandbox/monitor.h"
#include "sandbox/victim.h"
#include "sandbox/sentry.h"

#include <seccomp.h>

enum { ID_CREATE = 1, ID_START };

static int send_create(struct monitor *m, const struct container *c, const struct foreground *run,
                       struct err *err) {
    const struct ctlmsg_create in = {.c = c,
                                     .p = &c->process,
                                     .request_id = ID_CREATE,
                                     .state_json = run->state_json,
                                     .no_new_keyring = run->no_new_keyring};
    cleanup_free void *create = NULL;
    int fds[MSG_FDS_MAX];
    size_t len = 0;
    uint32_t fd_count = 3 + MIN(run->preserve_fds, (uint32_t)MSG_FDS_MAX - 3);
    int e = run->kind->record(&in, &create, &len, err);
    for (uint32_t i = 0; i < fd_count; i++) {
        fds[i] = i < 3 ? run->stdio[i] : (int)i;
    }
    return e != 0 ? e : monitor_send(m, create, len, fds, fd_count, err);
}

int create_record(const struct ctlmsg_create *in, void **out, size_t *out_len, struct err *err) {
    /* There is one architecture inside; each further one costs its compilation. */
    static uint32_t own[] = {SCMP_ARCH_X86_64};
    struct oci_seccomp s = in->c->linux_.seccomp; /* its parts stay the container's */
    struct seccomp_program program = {.code = NULL};
    struct ctlmsg_create with = *in;
    s.architectures = own;
    s.architecture_count = ARRAY_COUNT(own);
    bool filter = s.set && in->exec_id == NULL;
    int e = filter ? seccomp_compile(&s, &program, err) : 0;
    if (e == 0 && filter) {
        with.seccomp = &program;
    }
    e = e != 0 ? e : ctlmsg_create(&with, out, out_len, err);
    seccomp_program_free(&program);
    return e;
}

static int send_start(struct monitor *m, const struct container *c, struct err *err) {
    struct moat_ctl_ref start;
    int e = ctlmsg_ref(&start, MOAT_CTL_START, sizeof(start), ID_START, c->id, NULL);
    return e != 0 ? err_sys(err, e, "container id '%s'", c->id)
                  : monitor_send(m, &start, sizeof(start), NULL, 0, err);
}

/* With nobody to tell in between, START goes out with CREATE: a turn less to wait for.  The Sentry
 * answers in order, and refuses to start what it could not create. */
static int create_process(struct monitor *m, const struct container *c,
                          const struct foreground *run, uint32_t asked, struct err *err) {
    bool at_once = run->on_created == NULL && !run->wait_start;
    int e = send_create(m, c, run, err);
    if (e == 0 && at_once) {
        e = send_start(m, c, err);
    }
    e = e != 0 || asked == 0 ? e : monitor_await(m, asked, err);
    e = e != 0 ? e : monitor_await(m, ID_CREATE, err);
    if (e == 0 && run->on_created != NULL) {
        e = run->on_created(run->arg, err);
    }
    if (e != 0 || run->wait_start) {
        return e;
    }
    if (!at_once) {
        e = send_start(m, c, err);
    }
    return e != 0 ? e : monitor_await(m, ID_START, err);
}

/* The part between a running sandbox and its end. */
static int serve(struct monitor *m, const struct container *c, const struct foreground *run,
                 const struct victim *victim, struct err *err) {
    struct termios saved;
    uint32_t asked = 0;
    m->forward_signals = true;
    m->listen_fd = run->listen_fd;
    m->on_exit = run->on_exit;
    m->arg = run->arg;
    if (c->process.terminal) {
        int e = terminal_raw(run->stdio[0], &saved, err);
        if (e != 0) {
            return e;
        }
        m->terminal_fd = run->stdio[0];
    }
    int e = run->on_sandbox != NULL ? run->on_sandbox(run->arg, err) : 0;
    if (e == 0 && m->sandbox->network != NULL) {
        e = m->sandbox->network->attach(m->sandbox, run->log_fd, &asked, err);
    }
    e = e != 0 ? e : create_process(m, c, run, asked, err);
    if (e == 0 && run->cgroup != NULL && run->kind->has_stubs) {
        victim_after(victim, m->sandbox); /* the Sentry has made its zygotes long since */
    }
    e = e != 0 ? e : monitor_run(m, err);
    if (c->process.terminal) {
        terminal_restore(run->stdio[0], &saved);
    }
    return e;
}

int foreground_run(const struct container *c, const struct foreground *run, int *out_wait_status,
                   struct err *err) {
    const struct sandbox_options options = {.log_fd = run->log_fd,
                                            .debug = run->debug,
                                            .log_json = run->log_json,
                                            .pod = run->pod,
                                            .network_entered = run->network_entered};
    struct sandbox sandbox;
    struct victim victim = {.proc = -1};
    struct monitor m;
    int e = monitor_init(&m, run->kind, &sandbox, c->id, run->background, err);
    if (e != 0) {
        return e;
    }
    if (run->cgroup != NULL && run->kind->has_stubs) {
        victim_before(&c->process, &victim);
    }
    e = run->kind->start(c, &options, &sandbox, err);
    if (e == 0) {
        if (run->cgroup != NULL) {
            (void)cgroup_reserve_start(run->cgroup); /* a Sentry without it dies a little easier */
        }
        oom_bell_open(run->cgroup, &m.bell);
        e = serve(&m, c, run, &victim, err);
        *out_wait_status = m.exit_status;
        sandbox_kill(&sandbox);
        oom_bell_close(&m.bell);
        if (sandbox.network != NULL) {
            sandbox.network->detach(&sandbox);
        }
    }
    monitor_close(&m);
    return e;
}

const struct sandbox_kind g_sandbox_sentry = {.isolation = "sentry",
                                              .noun = "the Sentry",
                                              .start = sandbox_start,
                                              .record = create_record,
                                              .has_stubs = true};

static int sentry_run(const struct container *c, const struct isolation_run *run,
                      int *out_wait_status, struct err *err) {
    const struct foreground f = {.kind = &g_sandbox_sentry,
                                 .stdio = run->stdio,
                                 .log_fd = run->log_fd,
                                 .debug = run->debug,
                                 .log_json = run->log_json,
                                 .listen_fd = -1};
    return foreground_run(c, &f, out_wait_status, err);
}

const struct isolation_ops g_isolation_sentry = {
    .name = "sentry",
    .run = sentry_run,
    .create = sentry_create,
    .start = sentry_start,
    .kill = sentry_kill,
    .exec = sentry_exec,
    .processes = sentry_processes,
    .pause = sentry_pause,
    .host_limits = sentry_host_limits,
    .update = sentry_update,
    .stats = sentry_stats,
    .destroy = sentry_destroy,
};
