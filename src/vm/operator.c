/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and restoring machines: see operator.h. */
#include "vm/operator.h"

#include "host/cleanup.h"
#include "moat/agent.h"
#include "vm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONTROL = 3, FAILURE, STATE, KEPT };

void operation_init(struct operation *o) {
    *o = (struct operation){
        .from = {-1, -1}, .state = -1, .ram = {-1, -1}, .monitor = {-1, -1}, .failure = {-1, -1}};
}

void operation_close(struct operation *o) {
    int *fds[] = {&o->state, &o->monitor[0], &o->monitor[1], &o->failure[0], &o->failure[1]};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        cleanup_fd_fn(fds[i]);
    }
    template_close(&o->from);
    ram_close(&o->ram);
    operation_init(o);
}

static int open_state(struct operation *o, enum hypervisor_mode mode, struct err *err) {
    if (mode == HYPERVISOR_RESTORE) {
        return template_open(o->place, &o->from, err);
    }
    o->state = memfd_create("state", MFD_CLOEXEC);
    return o->state >= 0 ? 0 : err_sys(err, -errno, "cannot make a file in memory");
}

int operation_open(struct operation *o, const struct hypervisor_ops *hypervisor,
                   enum hypervisor_mode mode, struct hypervisor_config *config, uid_t user,
                   struct err *err) {
    int e = template_place(hypervisor, config, o->place, err);
    e = e != 0 ? e : open_state(o, mode, err);
    e = e != 0 ? e : ram_open(config->memory, user, &o->ram, err);
    if (e == 0 && (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, o->monitor) != 0 ||
                   pipe2(o->failure, O_CLOEXEC | O_NONBLOCK) != 0)) {
        e = err_sys(err, -errno, "cannot make a socket pair");
    }
    if (e != 0) {
        operation_close(o);
        return e;
    }
    config->mode = mode;
    config->control_fd = o->monitor[1];
    return 0;
}

static void keep_only(const struct operation *o) {
    int control = fcntl(o->monitor[0], F_DUPFD_CLOEXEC, 1000); /* above the numbers they get */
    int failure = fcntl(o->failure[1], F_DUPFD_CLOEXEC, 1000);
    int state = fcntl(o->from.state, F_DUPFD_CLOEXEC, 1000);
    (void)dup3(control, CONTROL, O_CLOEXEC); /* a failed one shows at its first use */
    (void)dup3(failure, FAILURE, O_CLOEXEC);
    (void)dup3(state, STATE, O_CLOEXEC);
    (void)close_range(KEPT, ~0u, 0); /* valid flags */
}

/* Until the guest runs all here is ours; from then on only what jail_bridge_calls lists. */
static int restore(const struct operation *o, const struct hypervisor_ops *hypervisor,
                   const struct hypervisor_config *config, uid_t user, struct err *err) {
    int e = ram_fill(&o->ram, o->from.memory, err);
    keep_only(o);
    if (e == 0 && unshare(CLONE_NEWNS) != 0) {
        e = err_sys(err, -errno, "cannot unshare the operator's mounts");
    }
    e = e != 0 ? e : jail_empty_root(err);
    e = e != 0 ? e : jail_drop(user, err);
    e = e != 0 ? e : hypervisor->restore(CONTROL, STATE, config, err);
    e = e != 0 ? e : jail_bridge_calls(err);
    return e != 0 ? e : hypervisor->run(err);
}

/* The monitor's answers and events are of no use any more. */
static void serve(void) {
    static char dropped[4096];
    ssize_t n;
    do {
        n = read(CONTROL, dropped, sizeof(dropped));
    } while (n > 0 || (n < 0 && errno == EINTR));
}

/* Short enough for the control protocol. */
static void tell(const struct operation *o, const struct err *err) {
    char text[190];
    int n = snprintf(text, sizeof(text), "template %s: %.80s (remove its folder, it is made anew)",
                     strrchr(o->place, '/') + 1, err->msg);
    (void)!write(FAILURE, text, MIN((size_t)n, sizeof(text) - 1)); /* else the end tells */
}

noreturn_fn void operator_restore(const struct operation *o,
                                  const struct hypervisor_ops *hypervisor,
                                  const struct hypervisor_config *config, uid_t user) {
    struct err err = {0};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
        restore(o, hypervisor, config, user, &err) != 0) {
        tell(o, &err);
        hypervisor->quit(CONTROL);
        _exit(1);
    }
    serve();
    _exit(0);
}

/* A frame without a container: nothing hostile has run there yet. */
static int await_hello(int agent, struct err *err) {
    struct {
        struct moat_agent_frame frame;
        struct moat_agent_hello hello;
    } said;
    ssize_t n = recv(agent, &said, sizeof(said), MSG_WAITALL);
    return n == (ssize_t)sizeof(said) && said.frame.kind == MOAT_AGENT_HELLO &&
                   said.hello.version == MOAT_AGENT_VERSION
               ? 0
               : err_set(err, -EPROTO,
                         "the machine did not start ('moat guest build' makes its image anew)");
}

int operator_save(const struct operation *o, const struct hypervisor_ops *hypervisor, int agent,
                  struct err *err) {
    int e = await_hello(agent, err);
    return e != 0 ? e : hypervisor->save(o->monitor[0], o->state, err);
}
