/* SPDX-License-Identifier: Apache-2.0 */
/* What other commands ask of a container's monitor: see sentry.h. */
#include "sandbox/sentry.h"

#include "host/cleanup.h"
#include "oci/ctlmsg.h"
#include "sandbox/client.h"
#include "sandbox/inside_hooks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

int sentry_connect(const struct isolation_target *target, struct err *err) {
    const char *id = target->c->id;
    bool frozen = false;
    int e = cgroup_is_frozen(target->cgroup, &frozen, err);
    if (e == 0 && frozen) {
        e = err_set(err, -EBUSY, "container %s is paused, and its kernel with it: moat resume %s",
                    id, id);
    }
    return e != 0 ? e : client_connect(target->state_dir, id, err);
}

int sentry_request(const struct isolation_target *target, struct moat_ctl_ref *record, size_t len,
                   uint16_t type, void *reply, size_t reply_max, struct err *err) {
    const char *id = target->c->id;
    int e = ctlmsg_ref(record, type, (uint32_t)len, 1, id, NULL);
    if (e != 0) {
        return err_sys(err, e, "container id '%s'", id);
    }
    cleanup_fd int sock = sentry_connect(target, err);
    return sock < 0 ? sock
                    : client_request(sock, record, len, NULL, 0, reply, reply_max, NULL, err);
}

int sentry_start(const struct isolation_target *target, struct err *err) {
    struct moat_ctl_reply reply;
    struct moat_ctl_ref msg;
    struct err ignored = {0};
    int e = inside_hooks_run(target, err);
    if (e != 0) {
        (void)sentry_kill(target, SIGKILL, false, &ignored); /* the hook's failure is told */
        return e;
    }
    return sentry_request(target, &msg, sizeof(msg), MOAT_CTL_START, &reply, sizeof(reply), err);
}

int sentry_kill(const struct isolation_target *target, int signo, bool all, struct err *err) {
    struct moat_ctl_reply reply;
    struct moat_ctl_signal msg;
    msg.signo = (uint32_t)signo;
    msg.all = all;
    struct err why = {0};
    int e =
        sentry_request(target, &msg.ref, sizeof(msg), MOAT_CTL_SIGNAL, &reply, sizeof(reply), &why);
    /* The monitor may end with the container that the signal ends, before it has answered. */
    bool ended = e == -ECONNRESET || e == -EPIPE || e == -EPROTO;
    if (e == 0 || (ended && signo == SIGKILL)) {
        return 0;
    }
    return err_set(err, ended ? -ESRCH : e, "%s", ended ? "container not running" : why.msg);
}

static struct json_object *process_json(const struct moat_ctl_ps_entry *from) {
    struct moat_ctl_ps_entry p = *from;
    struct json_object *o = json_object_new_object();
    p.comm[sizeof(p.comm) - 1] = '\0';
    p.cmdline[sizeof(p.cmdline) - 1] = '\0';
    if (o == NULL) {
        return NULL;
    }
    /* An add that fails leaves the member out. */
    (void)json_object_object_add(o, "pid", json_object_new_int(p.pid));
    (void)json_object_object_add(o, "ppid", json_object_new_int(p.ppid));
    (void)json_object_object_add(o, "uid", json_object_new_int64(p.uid));
    (void)json_object_object_add(o, "cpuSeconds", json_object_new_uint64(p.cpu_ns / 1000000000u));
    (void)json_object_object_add(o, "comm", json_object_new_string(p.comm));
    (void)json_object_object_add(o, "cmdline",
                                 json_object_new_string(p.cmdline[0] != '\0' ? p.cmdline : p.comm));
    return o;
}

int sentry_ps(const struct isolation_target *target, struct moat_ctl_ps_entry **out,
              size_t *out_count, struct err *err) {
    struct moat_ctl_ref msg;
    struct moat_ctl_reply fixed;
    cleanup_free char *reply = malloc(MOAT_CTL_MSG_MAX);
    cleanup_free void *entries = malloc(MOAT_CTL_MSG_MAX);
    if (reply == NULL || entries == NULL) {
        return err_sys(err, -ENOMEM, "cannot list the processes");
    }
    int e = sentry_request(target, &msg, sizeof(msg), MOAT_CTL_PS, reply, MOAT_CTL_MSG_MAX, err);
    if (e != 0) {
        return e;
    }
    memcpy(&fixed, reply, sizeof(fixed));
    if (fixed.data_size > fixed.h.size - sizeof(fixed)) {
        return err_set(err, -EPROTO, "the container's monitor sent a broken list");
    }
    memcpy(entries, reply + sizeof(fixed), fixed.data_size);
    *out = steal_ptr(&entries);
    *out_count = fixed.data_size / sizeof(**out);
    return 0;
}

int sentry_processes(const struct isolation_target *target, struct json_object **out,
                     struct err *err) {
    cleanup_free struct moat_ctl_ps_entry *entries = NULL;
    size_t count = 0;
    struct json_object *all = json_object_new_array();
    int e = all != NULL ? sentry_ps(target, &entries, &count, err)
                        : err_sys(err, -ENOMEM, "cannot list the processes");
    for (size_t i = 0; e == 0 && i < count; i++) {
        e = json_object_array_add(all, process_json(&entries[i])) == 0
                ? 0
                : err_sys(err, -ENOMEM, "cannot list the processes");
    }
    if (e != 0) {
        json_object_put(all);
        return e;
    }
    *out = all;
    return 0;
}

int sentry_pause(const struct isolation_target *target, bool paused, struct err *err) {
    struct moat_ctl_reply reply;
    struct moat_ctl_ref msg;
    return sentry_request(target, &msg, sizeof(msg), paused ? MOAT_CTL_PAUSE : MOAT_CTL_RESUME,
                          &reply, sizeof(reply), err);
}

/* The sandbox dies with its monitor, and a container that joined one with its own. */
int sentry_destroy(const struct isolation_target *target, struct err *err) {
    static const char *const files[] = {"control.sock", "exit",   "exit.new",  "pod",
                                        "pod-first",    "joined", "hook-state"};
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        if (unlinkat(target->state_dir, files[i], 0) != 0 && errno != ENOENT) {
            return err_sys(err, -errno, "cannot remove %s/%s", target->state_path, files[i]);
        }
    }
    return 0;
}
