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
#define EARLY_MAX         16u /* jobs that end before the answer that names ours */
#define CPUS_MAX          8192u
#define CPU_PERIOD_US     100000u

/* ---- the connection ---- */

static int manager_connect(struct dbus *d, bool user, struct err *err) {
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
    return dbus_connect(d, path, TIMEOUT_S, err);
}

/* ---- properties ---- */

static void property(struct dbus_body *b, const char *name, const char *signature) {
    dbus_put_struct(b);
    dbus_put_text(b, name);
    dbus_put_signature(b, signature);
}

static void property_text(struct dbus_body *b, const char *name, const char *value) {
    property(b, name, "s");
    dbus_put_text(b, value);
}

static void property_bool(struct dbus_body *b, const char *name, bool value) {
    property(b, name, "b");
    dbus_put_u32(b, value);
}

static void property_u64(struct dbus_body *b, const char *name, uint64_t value) {
    property(b, name, "t");
    dbus_put_u64(b, value);
}

/* "0-2,7" as a bit field, the lowest CPU in the lowest bit of the first byte. */
static void property_set(struct dbus_body *b, const char *name, const char *list) {
    uint8_t bits[CPUS_MAX / 8] = {0};
    unsigned long last = 0;
    for (const char *p = list; *p >= '0' && *p <= '9';) {
        char *end;
        unsigned long from = strtoul(p, &end, 10), to = from;
        if (*end == '-') {
            to = strtoul(end + 1, &end, 10);
        }
        for (unsigned long i = from; i <= to && i < CPUS_MAX; i++) {
            bits[i / 8] |= (uint8_t)(1u << i % 8);
            last = MAX(last, i);
        }
        p = end + (*end == ',');
    }
    property(b, name, "ay");
    size_t array = dbus_begin_array(b, 1);
    for (unsigned long i = 0; i <= last / 8; i++) {
        dbus_put_u8(b, bits[i]);
    }
    dbus_end_array(b, array, 1);
}

static uint64_t or_infinity(int64_t v) {
    return v < 0 ? UINT64_MAX : (uint64_t)v;
}

static void put_memory(struct dbus_body *b, const struct cgroup_resources *r, bool v2) {
    int64_t limit = r->memory.limit.set ? r->memory.limit.value : 0, swap;
    bool write = false;
    struct err ignored = {0}; /* what is wrong with it is said where the files are written */
    if (limit != 0) {
        property_u64(b, v2 ? "MemoryMax" : "MemoryLimit", or_infinity(limit));
    }
    if (v2 && r->memory.reservation.set && r->memory.reservation.value != 0) {
        property_u64(b, "MemoryLow", or_infinity(r->memory.reservation.value));
    }
    if (v2 && r->memory.swap.set &&
        cg_swap_of_memsw(r->memory.swap.value, limit, &swap, &write, &ignored) == 0 && write) {
        property_u64(b, "MemorySwapMax", or_infinity(swap));
    }
}

/* systemd keeps a share of a CPU in whole percents: rounded up, so that no group inside is refused
 * what it may have. */
static void put_cpu(struct dbus_body *b, const struct cgroup_resources *r, bool v2) {
    uint64_t shares = r->cpu.shares.set ? r->cpu.shares.value : 0;
    uint64_t period = r->cpu.period.set ? r->cpu.period.value : 0;
    int64_t quota = r->cpu.quota.set ? r->cpu.quota.value : 0;
    if (shares != 0) {
        property_u64(b, v2 ? "CPUWeight" : "CPUShares", v2 ? cg_weight_of_shares(shares) : shares);
    }
    if (period != 0) {
        property_u64(b, "CPUQuotaPeriodUSec", period);
    }
    if (quota != 0) {
        uint64_t per_second = UINT64_MAX;
        period = period != 0 ? period : CPU_PERIOD_US;
        if (quota > 0 && !ckd_mul(&per_second, (uint64_t)quota, 1000000u)) {
            per_second = (per_second / period + 9999) / 10000 * 10000;
        }
        property_u64(b, "CPUQuotaPerSecUSec", per_second);
    }
    if (r->cpu.cpus != NULL && r->cpu.cpus[0] != '\0') {
        property_set(b, "AllowedCPUs", r->cpu.cpus);
    }
    if (r->cpu.mems != NULL && r->cpu.mems[0] != '\0') {
        property_set(b, "AllowedMemoryNodes", r->cpu.mems);
    }
}

static void put_limits(struct dbus_body *b, const struct cgroup_resources *r, bool v2) {
    put_memory(b, r, v2);
    put_cpu(b, r, v2);
    if (r->pids.set && r->pids.value != 0) {
        property_u64(b, "TasksMax", or_infinity(r->pids.value));
    }
    if (r->block.weight.set && r->block.weight.value != 0) {
        property_u64(b, v2 ? "IOWeight" : "BlockIOWeight",
                     v2 ? cg_io_weight_of_blkio(r->block.weight.value) : r->block.weight.value);
    }
}

/* The name in /proc/devices (proc(5)) of a kind's major number. */
static bool driver_name(char type, int64_t major, char out[48]) {
    FILE *f = fopen("/proc/devices", "re");
    char line[128], name[48];
    bool in = false, found = false;
    long long number;
    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        if (strstr(line, "devices:") != NULL) {
            in = line[0] == (type == 'b' ? 'B' : 'C');
        } else if (in && sscanf(line, "%lld %47s", &number, name) == 2 && number == major) {
            (void)snprintf(out, 48, "%s", name); /* the same size */
            found = true;
        }
    }
    if (f != NULL) {
        (void)fclose(f); /* only read */
    }
    return found;
}

/* One row of DeviceAllow. */
static void put_device(struct dbus_body *b, const struct cg_device *d, char type) {
    char node[64], name[48] = "*", access[4];
    const char *kind = type == 'b' ? "block" : "char";
    if (d->major >= 0 && d->minor >= 0) {
        (void)snprintf(node, sizeof(node), "/dev/%s/%d:%d", kind, (int)d->major, (int)d->minor);
    } else if (d->major < 0 || driver_name(type, d->major, name)) {
        (void)snprintf(node, sizeof(node), "%s-%s", kind, name); /* fits */
    } else {
        return; /* no driver has the number now */
    }
    (void)snprintf(access, sizeof(access), "%s%s%s", d->access & CG_DEV_READ ? "r" : "",
                   d->access & CG_DEV_WRITE ? "w" : "", d->access & CG_DEV_MKNOD ? "m" : "");
    dbus_put_struct(b);
    dbus_put_text(b, node);
    dbus_put_text(b, access);
}

/*
 * systemd rewrites the v1 controller's list when it reloads, so it is told what to write; in v2 the
 * group's own program stays, and systemd adds none of its own.
 */
static int put_devices(struct dbus_body *b, const struct cgroup_resources *r, struct err *err) {
    cleanup_free struct cg_device *rules = NULL;
    size_t count;
    bool everything = false;
    int e = cg_devices_list(r, &rules, &count, err);
    for (size_t i = 0; e == 0 && i < count; i++) {
        everything = rules[i].type == 'a' ? rules[i].allow : everything;
    }
    if (e != 0 || everything) {
        return e;
    }
    property_text(b, "DevicePolicy", "strict");
    property(b, "DeviceAllow", "a(ss)");
    size_t array = dbus_begin_array(b, 8);
    for (size_t i = 0; i < count; i++) {
        if (rules[i].allow) {
            put_device(b, &rules[i], rules[i].type);
        }
    }
    dbus_end_array(b, array, 8);
    return 0;
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
    property_text(b, "Description", "moat container");
    property_text(b, "Slice", slice);
    property_bool(b, "Delegate", true);
    property_bool(b, "DefaultDependencies", false);
    property_text(b, "CollectMode", "inactive-or-failed");
    property_bool(b, "MemoryAccounting", true);
    property_bool(b, "CPUAccounting", true);
    property_bool(b, v2 ? "IOAccounting" : "BlockIOAccounting", true);
    property_bool(b, "TasksAccounting", true);
    property(b, "PIDs", "au");
    size_t pids = dbus_begin_array(b, 4);
    dbus_put_u32(b, (uint32_t)pid);
    dbus_end_array(b, pids, 4);
    put_limits(b, r, v2);
    int e = v2 ? 0 : put_devices(b, r, err);
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
    e = e != 0 ? e : manager_connect(&d, options->rootless, err);
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
    put_limits(b, resources, cg->mode == CGROUP_V2);
    if (b->len == empty) {
        return 0; /* nothing that systemd keeps */
    }
    dbus_end_array(b, array, 8);
    int e = manager_connect(&d, cg->rootless, err);
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
    int e = manager_connect(&d, cg->rootless, err);
    if (e != 0) {
        return e;
    }
    e = run_job(&d, "StopUnit", "ss", b, "stop the scope", &why);
    reset_failed(&d, cg->unit);
    dbus_close(&d);
    /* The scope of a container whose processes are gone has ended by itself. */
    return e == 0 || e == -ENOENT ? 0 : err_set(err, e, "%s (unit %s)", why.msg, cg->unit);
}
