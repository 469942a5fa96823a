/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scopes of systemd: see cgroup_systemd.h.  Methods are those of org.freedesktop.systemd1(5), unit
 * properties those of systemd.resource-control(5).
 */
#include "host/cgroup_systemd.h"

#include "host/cleanup.h"
#include "host/dbus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANAGER_PATH      "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"
#define TIMEOUT_S         30
#define STOP_TIMEOUT_S    5
#define EARLY_MAX         16u /* jobs that end before the answer that names ours */

/* ---- the connection ---- */

static int manager_connect(struct dbus *d, bool user, int timeout_s, struct err *err) {
    char path[108] = "/run/systemd/private";
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    if (user &&
        (runtime == NULL || runtime[0] != '/' ||
         snprintf(path, sizeof(path), "%s/systemd/private", runtime) >= (int)sizeof(path))) {
        return err_set(err, -ENOENT,
                       "--systemd-cgroup: XDG_RUNTIME_DIR does not name the folder of the user's "
                       "systemd (log in as the user, or run loginctl enable-linger)");
    }
    if (stat(path, &st) != 0) {
        return err_sys(err, -errno,
                       "--systemd-cgroup: %s is not run by systemd (no socket %s); run without "
                       "--systemd-cgroup",
                       user ? "the user's session" : "this system", path);
    }
    return dbus_connect(d, path, timeout_s, err);
}

/* ---- jobs ---- */

struct jobs {
    char ended[EARLY_MAX][128]; /* paths of jobs that ended, and how */
    char result[EARLY_MAX][32];
    unsigned count;
};

/* JobRemoved(u id, o job, s unit, s result) */
static void note_job(struct jobs *j, struct dbus_message *m) {
    uint32_t id;
    const char *job, *unit, *result;
    if (strcmp(m->member, "JobRemoved") == 0 && dbus_get_u32(m, &id) && dbus_get_text(m, &job) &&
        dbus_get_text(m, &unit) && dbus_get_text(m, &result)) {
        unsigned i = j->count++ % EARLY_MAX;
        (void)snprintf(j->ended[i], sizeof(j->ended[i]), "%s", job); /* a cut one is not ours */
        (void)snprintf(j->result[i], sizeof(j->result[i]), "%s", result);
    }
}

static const char *job_result(const struct jobs *j, const char *job) {
    for (unsigned i = 0; i < MIN(j->count, EARLY_MAX); i++) {
        if (strcmp(j->ended[i], job) == 0) {
            return j->result[i];
        }
    }
    return NULL;
}

/* The reply to `serial`; an error in it is -EIO with its name and text in *err, -EEXIST or -ENOENT
 * for those that callers know. */
static int await_reply(struct dbus *d, uint32_t serial, const char *what, struct jobs *jobs,
                       struct dbus_message *out, struct err *err) {
    for (;;) {
        const char *text = "";
        int e = dbus_next(d, out, err);
        if (e != 0) {
            return e;
        }
        if (out->type == 4) {
            note_job(jobs, out);
        }
        if (out->reply_serial != serial || (out->type != 2 && out->type != 3)) {
            dbus_message_free(out);
            continue;
        }
        if (out->type == 2) {
            return 0;
        }
        e = strstr(out->error, "UnitExists") != NULL     ? -EEXIST
            : strstr(out->error, "NoSuchUnit") != NULL   ? -ENOENT
            : strstr(out->error, "AccessDenied") != NULL ? -EACCES
                                                         : -EIO;
        if (out->signature[0] != 's' || !dbus_get_text(out, &text)) {
            text = out->error;
        }
        (void)err_set(err, e, "systemd refuses to %s: %s", what, text);
        dbus_message_free(out);
        return e;
    }
}

/* A call whose reply is a job, and the job's end. */
static int run_job(struct dbus *d, const char *member, const char *signature,
                   const struct dbus_body *body, const char *what, struct err *err) {
    struct jobs jobs = {.count = 0};
    struct dbus_message m;
    uint32_t serial;
    const char *job, *result;
    char path[128] = "";
    int e = dbus_call(d, MANAGER_PATH, MANAGER_INTERFACE, member, signature, body, &serial, err);
    e = e != 0 ? e : await_reply(d, serial, what, &jobs, &m, err);
    if (e != 0) {
        return e;
    }
    if (dbus_get_text(&m, &job)) {
        (void)snprintf(path, sizeof(path), "%s", job); /* a cut one never ends: an error then */
    }
    dbus_message_free(&m);
    while ((result = job_result(&jobs, path)) == NULL) {
        e = dbus_next(d, &m, err);
        if (e != 0) {
            return e;
        }
        note_job(&jobs, &m);
        dbus_message_free(&m);
    }
    return strcmp(result, "done") == 0
               ? 0
               : err_set(err, -EIO,
                         "systemd could not %s: the job ended as '%s' (journalctl -b "
                         "says more)",
                         what, result);
}

static void reset_failed(struct dbus *d, const char *unit) {
    struct dbus_body *b = calloc(1, sizeof(*b));
    cleanup_free void *owned = b;
    struct jobs jobs = {.count = 0};
    struct dbus_message m;
    struct err ignored = {0};
    uint32_t serial;
    if (b == NULL) {
        return;
    }
    dbus_put_text(b, unit);
    if (dbus_call(d, MANAGER_PATH, MANAGER_INTERFACE, "ResetFailedUnit", "s", b, &serial,
                  &ignored) == 0 &&
        await_reply(d, serial, "reset the unit", &jobs, &m, &ignored) == 0) {
        dbus_message_free(&m);
    }
}

/* ---- names ---- */

static bool good_name(const char *text) {
    return text[0] != '\0' &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.\\-@") ==
               strlen(text);
}

/* slice:prefix:name, or the defaults; *out_slice has room for 256 bytes. */
static int unit_names(const struct cgroup_options *o, char *out_slice, char out_unit[256],
                      struct err *err) {
    char text[768], *rest = text, expanded[1024];
    const char *slice = o->rootless ? "user.slice" : "system.slice", *prefix = "moat";
    const char *name = o->id;
    if (o->path != NULL && o->path[0] != '\0') {
        bool fits = snprintf(text, sizeof(text), "%s", o->path) < (int)sizeof(text);
        const char *one = strsep(&rest, ":"), *two = strsep(&rest, ":");
        name = rest;
        if (!fits || two == NULL || name == NULL || strchr(name, ':') != NULL || !good_name(name) ||
            (two[0] != '\0' && !good_name(two))) {
            return err_set(err, -EINVAL,
                           "with --systemd-cgroup linux.cgroupsPath is slice:prefix:name, not "
                           "'%.200s'",
                           o->path);
        }
        slice = one[0] != '\0' ? one : slice;
        prefix = two;
    }
    int e = cg_slice_expand(slice, expanded, sizeof(expanded), err);
    if (e != 0) {
        return e;
    }
    (void)snprintf(out_slice, 256, "%s", slice); /* cg_slice_expand bounds it */
    int n = snprintf(out_unit, 256, "%s%s%s.scope", prefix, prefix[0] != '\0' ? "-" : "", name);
    return n < 256 ? 0 : err_set(err, -ENAMETOOLONG, "the name of the systemd unit is too long");
}

/* ---- the scope ---- */

static int put_scope(struct dbus_body *b, const char *slice, const char *unit, pid_t pid,
                     const struct cgroup_resources *r, bool v2, struct err *err) {
    dbus_put_text(b, unit);
    dbus_put_text(b, "fail");
    size_t array = dbus_begin_array(b, 8);
    scope_property_text(b, "Description", "moat container");
    scope_property_text(b, "Slice", slice);
    scope_property_bool(b, "Delegate", true);
    scope_property_bool(b, "DefaultDependencies", false);
    scope_property_text(b, "CollectMode", "inactive-or-failed");
    scope_property_bool(b, "MemoryAccounting", true);
    scope_property_bool(b, "CPUAccounting", true);
    scope_property_bool(b, v2 ? "IOAccounting" : "BlockIOAccounting", true);
    scope_property_bool(b, "TasksAccounting", true);
    scope_property(b, "PIDs", "au");
    size_t pids = dbus_begin_array(b, 4);
    dbus_put_u32(b, (uint32_t)pid);
    dbus_end_array(b, pids, 4);
    scope_put_limits(b, r, v2);
    int e = v2 ? 0 : scope_put_devices(b, r, err);
    dbus_end_array(b, array, 8);
    dbus_end_array(b, dbus_begin_array(b, 8), 8); /* no other units with it */
    return e;
}

static int start_scope(struct dbus *d, const char *unit, const struct dbus_body *b,
                       struct err *err) {
    struct err first = {0};
    int e = run_job(d, "StartTransientUnit", "ssa(sv)a(sa(sv))", b, "start the scope", &first);
    if (e == -EEXIST) { /* one that failed and was not collected */
        reset_failed(d, unit);
        first = (struct err){0};
        e = run_job(d, "StartTransientUnit", "ssa(sv)a(sa(sv))", b, "start the scope", &first);
    }
    return e == 0 ? 0 : err_set(err, e, "%s (unit %s)", first.msg, unit);
}

/* Where systemd put the process tells where the scope lies, whatever systemd's own root is. */
static int take_groups(const struct cg_host *host, pid_t pid, struct cgroup *out, struct err *err) {
    char self[64];
    struct cg_host *theirs = calloc(1, sizeof(*theirs));
    cleanup_free void *owned = theirs;
    const char *below = NULL;
    if (theirs == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    (void)snprintf(self, sizeof(self), "/proc/%d/cgroup", pid); /* fits */
    int e = cg_host_read("/proc/self/mountinfo", self, theirs, err);
    for (size_t i = 0; e == 0 && i < theirs->count; i++) {
        const struct cg_hierarchy *h = &theirs->items[i];
        if (strcmp(h->names[0], "name=systemd") == 0 || (h->v2 && below == NULL)) {
            below = h->self;
        }
    }
    const char *last = below == NULL ? NULL : strrchr(below, '/');
    if (e == 0 && (last == NULL || strcmp(last + 1, out->unit) != 0)) {
        return err_set(err, -EIO, "systemd did not put process %d into the scope %s, but %s", pid,
                       out->unit, below == NULL ? "nowhere" : below);
    }
    for (size_t i = 0; e == 0 && i < host->count; i++) {
        e = cg_make_hierarchy(&host->items[i], below, out, true, err);
    }
    if (e == 0) {
        (void)snprintf(out->path, sizeof(out->path), "%s", below); /* shorter */
    }
    return e;
}

int cg_systemd_create(const struct cg_host *host, const struct cgroup_options *options,
                      const struct cgroup_resources *resources, pid_t pid, struct cgroup *out,
                      struct err *err) {
    char slice[256], unit[256];
    bool v2 = host->mode == CGROUP_V2;
    struct dbus d = {.fd = -1};
    struct dbus_body *b = calloc(1, sizeof(*b));
    cleanup_free void *owned = b;
    if (b == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    if (options->rootless && !v2) {
        return err_set(err, -ENOTSUP,
                       "--systemd-cgroup for an ordinary user needs a cgroup v2 host; run without "
                       "it");
    }
    int e = unit_names(options, slice, unit, err);
    e = e != 0 ? e : put_scope(b, slice, unit, pid, resources, v2, err);
    e = e != 0 ? e : manager_connect(&d, options->rootless, TIMEOUT_S, err);
    if (e != 0) {
        return e;
    }
    e = start_scope(&d, unit, b, err);
    dbus_close(&d);
    if (e == 0) {
        out->systemd = true;
        memcpy(out->unit, unit, sizeof(unit));
        e = take_groups(host, pid, out, err);
    }
    return e;
}

int cg_systemd_update(const struct cgroup *cg, const struct cgroup_resources *resources,
                      struct err *err) {
    struct jobs jobs = {.count = 0};
    struct dbus d = {.fd = -1};
    struct dbus_message m;
    uint32_t serial;
    struct dbus_body *b = calloc(1, sizeof(*b));
    cleanup_free void *owned = b;
    if (b == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    dbus_put_text(b, cg->unit);
    dbus_put_u32(b, true); /* for this run of the unit */
    size_t array = dbus_begin_array(b, 8);
    size_t empty = b->len;
    scope_put_limits(b, resources, cg->mode == CGROUP_V2);
    if (b->len == empty) {
        return 0; /* nothing that systemd keeps */
    }
    dbus_end_array(b, array, 8);
    int e = manager_connect(&d, cg->rootless, TIMEOUT_S, err);
    if (e != 0) {
        return e;
    }
    e = dbus_call(&d, MANAGER_PATH, MANAGER_INTERFACE, "SetUnitProperties", "sba(sv)", b, &serial,
                  err);
    e = e != 0 ? e : await_reply(&d, serial, "change the scope", &jobs, &m, err);
    if (e == 0) {
        dbus_message_free(&m);
    }
    dbus_close(&d);
    return e;
}

int cg_systemd_stop(const struct cgroup *cg, struct err *err) {
    struct err why = {0};
    struct dbus d = {.fd = -1};
    struct dbus_body *b = calloc(1, sizeof(*b));
    cleanup_free void *owned = b;
    if (b == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    dbus_put_text(b, cg->unit);
    dbus_put_text(b, "replace");
    int e = manager_connect(&d, cg->rootless, STOP_TIMEOUT_S, err);
    if (e != 0) {
        return e;
    }
    e = run_job(&d, "StopUnit", "ss", b, "stop the scope", &why);
    reset_failed(&d, cg->unit);
    dbus_close(&d);
    /* The scope of a container whose processes are gone has ended by itself, or is about to: then
     * systemd may not answer at all. */
    return e == 0 || e == -ENOENT || e == -ETIMEDOUT
               ? 0
               : err_set(err, e, "%s (unit %s)", why.msg, cg->unit);
}
