/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See inside_hooks.h.  Source: config.md "StartContainer Hooks": the path is one of the container,
 * and so are the process's identity and rights.
 */
#include "sandbox/inside_hooks.h"

#include "host/cleanup.h"
#include "host/clock.h"
#include "host/memfd.h"
#include "oci/ctlmsg.h"
#include "sandbox/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define STATE_MAX   65536
#define OUTPUT_KEPT 256

struct run {
    const struct isolation_target *target;
    const struct oci_hook *hook;
    char exec_id[32];
    int sock, input, output;
};

int inside_hooks_keep(const struct isolation_target *target, const char *state_json,
                      struct err *err) {
    if (target->c->hooks[HOOK_START_CONTAINER].count == 0) {
        return 0;
    }
    size_t len = strlen(state_json);
    cleanup_fd int fd = openat(target->state_dir, "hook-state",
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, state_json, len) == (ssize_t)len
               ? 0
               : err_sys(err, -errno, "cannot keep the state for startContainer hooks");
}

/* A file with the state as of now, to be read from its start. */
static int state_file(const struct isolation_target *target, struct err *err) {
    cleanup_fd int kept =
        openat(target->state_dir, "hook-state", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_free char *text = calloc(1, STATE_MAX);
    ssize_t n = kept < 0 || text == NULL ? -1 : read(kept, text, STATE_MAX - 1);
    struct json_object *o = n < 0 ? NULL : json_tokener_parse(text);
    if (o == NULL) {
        return err_set(err, -EINVAL, "the state for startContainer hooks is lost");
    }
    (void)json_object_object_add(o, "pid", json_object_new_int(1)); /* else as it was */
    (void)json_object_object_add(o, "status", json_object_new_string("created"));
    const char *out = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    int fd = memfd_make("moat-hook-state", out, strlen(out));
    json_object_put(o);
    return fd >= 0 ? fd : err_sys(err, fd, "cannot lay down the state for startContainer hooks");
}

/* args[0] is the path: what a program is called by cannot be given apart. */
static int hook_args(const struct oci_hook *hook, struct strlist *out) {
    int e = strlist_add(out, hook->path);
    for (size_t i = 1; e == 0 && i < hook->args.count; i++) {
        e = strlist_add(out, hook->args.items[i]);
    }
    return e;
}

static int begin(struct run *r, int error_fd, struct moat_ctl_exit *event, struct err *err) {
    const struct container *c = r->target->c;
    struct container_process p = c->process; /* who it is; its parts stay the container's */
    struct moat_ctl_reply reply;
    struct strlist args = {0};
    cleanup_free void *record = NULL;
    size_t len = 0;
    int e = hook_args(r->hook, &args);
    p.args = args;
    p.env = r->hook->env;
    p.cwd = NULL;
    p.terminal = false;
    const int fds[3] = {r->input, error_fd, error_fd};
    e = e != 0 ? err_sys(err, e, "cannot run the hook %s", r->hook->path)
               : ctlmsg_build_create(c, &p, r->exec_id, 1, &record, &len, err);
    e = e != 0 ? e
               : client_request(r->sock, record, len, fds, 3, &reply, sizeof(reply), event, err);
    strlist_free(&args);
    return e;
}

static bool is_end(const struct run *r, const struct moat_ctl_exit *event) {
    return event->ref.h.magic == MOAT_CTL_MAGIC &&
           strncmp(event->ref.exec_id, r->exec_id, sizeof(event->ref.exec_id)) == 0;
}

static int wait_end(const struct run *r, struct moat_ctl_exit *event, struct err *err) {
    int64_t deadline = clock_now_ms() + (int64_t)r->hook->timeout_s * 1000;
    while (!is_end(r, event)) {
        struct pollfd p = {.fd = r->sock, .events = POLLIN};
        int64_t left = r->hook->timeout_s == 0 ? -1 : MAX(deadline - clock_now_ms(), (int64_t)0);
        int n = poll(&p, 1, (int)MIN(left, (int64_t)INT32_MAX));
        if (n == 0) {
            return err_set(err, -ETIME, "the hook %s passed its timeout of %u s and was killed",
                           r->hook->path, r->hook->timeout_s);
        }
        int e = n < 0 ? 0 : client_next_exit(r->sock, event, err);
        if (e < 0) {
            return e;
        }
    }
    return 0;
}

static int judge(const struct run *r, int status, struct err *err) {
    char tail[OUTPUT_KEPT + 1] = "", buf[4096];
    size_t have = 0;
    ssize_t n;
    if (status == 0) {
        return 0;
    }
    while ((n = read(r->output, buf, sizeof(buf))) > 0) {
        size_t take = MIN((size_t)n, (size_t)OUTPUT_KEPT), stay = MIN(have, OUTPUT_KEPT - take);
        memmove(tail, tail + have - stay, stay);
        memcpy(tail + stay, buf + n - take, take);
        have = stay + take;
    }
    tail[have] = '\0';
    int e = WIFSIGNALED(status) ? err_set(err, -ECANCELED, "the hook %s was killed by signal %d",
                                          r->hook->path, WTERMSIG(status))
                                : err_set(err, -ECANCELED, "the hook %s failed with exit status %d",
                                          r->hook->path, WEXITSTATUS(status));
    if (have > 0) {
        err_append(err, "; its output ends with: %s", tail);
    }
    return e;
}

static void kill_hook(const struct run *r) {
    struct moat_ctl_signal msg = {.signo = SIGKILL};
    struct moat_ctl_reply reply;
    struct err ignored = {0};
    if (ctlmsg_ref(&msg.ref, MOAT_CTL_SIGNAL, sizeof(msg), 2, r->target->c->id, r->exec_id) == 0) {
        msg.signo = SIGKILL;
        /* It may have ended by now. */
        (void)client_request(r->sock, &msg, sizeof(msg), NULL, 0, &reply, sizeof(reply), NULL,
                             &ignored);
    }
}

static int run_one(const struct isolation_target *target, const struct oci_hook *hook, size_t index,
                   struct err *err) {
    struct moat_ctl_exit event = {.status = 0};
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    cleanup_fd int output = pipe_fds[0];
    cleanup_fd int input = state_file(target, err);
    cleanup_fd int sock = input < 0 ? -1 : client_connect(target->state_dir, target->c->id, err);
    struct run r = {.target = target, .hook = hook, .sock = sock, .input = input, .output = output};
    (void)fcntl(output, F_SETFL, O_NONBLOCK);                        /* cannot fail on a pipe */
    (void)snprintf(r.exec_id, sizeof(r.exec_id), "hook-%zu", index); /* fits */
    int e = input < 0 ? input : sock < 0 ? sock : begin(&r, pipe_fds[1], &event, err);
    (void)close(pipe_fds[1]); /* the hook's */
    if (e == 0) {
        e = wait_end(&r, &event, err);
        if (e == -ETIME) {
            kill_hook(&r);
        }
    }
    return e != 0 ? e : judge(&r, event.status, err);
}

int inside_hooks_run(const struct isolation_target *target, struct err *err) {
    const struct oci_hook_list *list = &target->c->hooks[HOOK_START_CONTAINER];
    int e = 0;
    for (size_t i = 0; e == 0 && i < list->count; i++) {
        e = run_one(target, &list->items[i], i, err);
    }
    return e;
}
