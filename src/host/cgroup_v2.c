/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits in the files of cgroup v2 (kernel documentation, admin-guide/cgroup-v2.rst).  Values that
 * the specification has in terms of v1 are converted (cgroup_convert.c, docs/cgroups.md).
 */
#include "host/cgroup_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LL(x)         ((long long)(x))
#define ULL(x)        ((unsigned long long)(x))
#define CPU_PERIOD_US 100000ull /* the kernel's default */

/* -1 is "max". */
static int set_limit(const struct cg_apply *a, const char *file, int64_t value, struct err *err) {
    return value < 0 ? cg_set(&a->dir, file, err, "max")
                     : cg_set(&a->dir, file, err, "%lld", LL(value));
}

static void left_out(const struct cg_apply *a, bool asked, const char *name) {
    if (asked) {
        cg_warn(a->warn, "linux.resources.%s is left out: cgroup v2 has no such limit", name);
    }
}

/* ---- memory ---- */

/* v1 refuses a limit below what is in use; v2 would kill, so it is looked at here when asked. */
static int memory_check(const struct cg_apply *a, struct err *err) {
    uint64_t usage = 0;
    if (!a->r->memory.check_before_update ||
        cg_read_u64(a->dir.fd, "memory.current", &usage) != 0) {
        return 0;
    }
    const struct cgroup_i64 *const limits[] = {&a->r->memory.swap, &a->r->memory.limit};
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        if (limits[i]->set && limits[i]->value > 0 && (uint64_t)limits[i]->value <= usage) {
            return err_set(err, -EBUSY,
                           "%s %lld is refused: %llu bytes are in use in %s (checkBeforeUpdate is "
                           "set: choose a limit above that)",
                           i == 0 ? "memory+swap limit" : "memory limit", LL(limits[i]->value),
                           ULL(usage), a->dir.path);
        }
    }
    return 0;
}

static int memory_swap(const struct cg_apply *a, struct err *err) {
    int64_t limit = asked_i64(&a->r->memory.limit) ? a->r->memory.limit.value : 0;
    int64_t memsw = asked_i64(&a->r->memory.swap) ? a->r->memory.swap.value : 0, swap;
    uint64_t now = 0;
    bool write;
    if (limit == 0 && memsw > 0 && cg_read_u64(a->dir.fd, "memory.max", &now) == 0) {
        limit = now == UINT64_MAX ? -1 : (int64_t)now; /* an update of the sum alone */
    }
    int e = cg_swap_of_memsw(memsw, limit, &swap, &write, err);
    if (e != 0 || !write) {
        return e;
    }
    if (swap <= 0 && !cg_has(a->dir.fd, "memory.swap.max")) {
        return 0; /* no accounting of swap, and none is asked for */
    }
    return set_limit(a, "memory.swap.max", swap, err);
}

int cg_v2_memory(const struct cg_apply *a, struct err *err) {
    int e = memory_check(a, err);
    e = e != 0 ? e : memory_swap(a, err);
    if (e == 0 && asked_i64(&a->r->memory.limit)) {
        e = set_limit(a, "memory.max", a->r->memory.limit.value, err);
    }
    if (e == 0 && asked_i64(&a->r->memory.reservation)) {
        e = set_limit(a, "memory.low", a->r->memory.reservation.value, err);
    }
    left_out(a, asked_i64(&a->r->memory.kernel), "memory.kernel");
    left_out(a, asked_i64(&a->r->memory.kernel_tcp), "memory.kernelTCP");
    left_out(a, a->r->memory.swappiness.set && a->r->memory.swappiness.value != UINT64_MAX,
             "memory.swappiness");
    left_out(a, a->r->memory.disable_oom_killer_set && a->r->memory.disable_oom_killer,
             "memory.disableOOMKiller");
    left_out(a, a->r->memory.use_hierarchy_set && !a->r->memory.use_hierarchy,
             "memory.useHierarchy=false");
    return e;
}

/* ---- cpu ---- */

/* cpu.max has quota and period together: the one that is not given stays as it is. */
static int cpu_max(const struct cg_apply *a, struct err *err) {
    char now[64] = "", old_quota[24] = "max";
    unsigned long long period = CPU_PERIOD_US;
    (void)cg_read(a->dir.fd, "cpu.max", now, sizeof(now)); /* then the defaults count */
    size_t len = strcspn(now, " ");
    if (len < sizeof(old_quota) && now[len] == ' ') {
        memcpy(old_quota, now, len);
        old_quota[len] = '\0';
        period = strtoull(now + len, NULL, 10);
    }
    if (asked_u64(&a->r->cpu.period)) {
        period = a->r->cpu.period.value;
    }
    if (!asked_i64(&a->r->cpu.quota)) {
        return cg_set(&a->dir, "cpu.max", err, "%s %llu", old_quota, period);
    }
    if (a->r->cpu.quota.value < 0) {
        return cg_set(&a->dir, "cpu.max", err, "max %llu", period);
    }
    return cg_set(&a->dir, "cpu.max", err, "%lld %llu", LL(a->r->cpu.quota.value), period);
}

static int cpu_bandwidth(const struct cg_apply *a, struct err *err) {
    char burst[24] = "";
    int early = 0, e = 0;
    if (a->r->cpu.burst.set && !cg_has(a->dir.fd, "cpu.max.burst")) {
        cg_warn(a->warn, "linux.resources.cpu.burst is left out: this kernel has no cpu.max.burst "
                         "(Linux 5.14 brought it)");
    } else if (a->r->cpu.burst.set) {
        (void)snprintf(burst, sizeof(burst), "%llu", ULL(a->r->cpu.burst.value)); /* fits */
        early = cg_write(a->dir.fd, "cpu.max.burst", burst); /* may have to wait for the quota */
    }
    if (asked_i64(&a->r->cpu.quota) || asked_u64(&a->r->cpu.period)) {
        e = cpu_max(a, err);
    }
    return e == 0 && early != 0 ? cg_set(&a->dir, "cpu.max.burst", err, "%s", burst) : e;
}

int cg_v2_cpu(const struct cg_apply *a, struct err *err) {
    bool idle = a->r->cpu.idle.set && a->r->cpu.idle.value != 0;
    int e = 0;
    if (a->r->cpu.idle.set) {
        e = cg_set(&a->dir, "cpu.idle", err, "%lld", LL(a->r->cpu.idle.value));
    }
    if (e == 0 && !idle && asked_u64(&a->r->cpu.shares)) { /* an idle group takes no weight */
        e = cg_set(&a->dir, "cpu.weight", err, "%llu",
                   ULL(cg_weight_of_shares(a->r->cpu.shares.value)));
    }
    left_out(a, asked_i64(&a->r->cpu.realtime_runtime), "cpu.realtimeRuntime");
    left_out(a, asked_u64(&a->r->cpu.realtime_period), "cpu.realtimePeriod");
    return e != 0 ? e : cpu_bandwidth(a, err);
}

int cg_v2_cpuset(const struct cg_apply *a, struct err *err) {
    int e = 0;
    if (a->r->cpu.cpus != NULL && a->r->cpu.cpus[0] != '\0') {
        e = cg_set(&a->dir, "cpuset.cpus", err, "%s", a->r->cpu.cpus);
    }
    if (e == 0 && a->r->cpu.mems != NULL && a->r->cpu.mems[0] != '\0') {
        e = cg_set(&a->dir, "cpuset.mems", err, "%s", a->r->cpu.mems);
    }
    return e;
}

int cg_v2_pids(const struct cg_apply *a, struct err *err) {
    return set_limit(a, "pids.max", a->r->pids.value, err);
}

/* ---- io ---- */

static int io_weights(const struct cg_apply *a, struct err *err) {
    bool bfq = cg_has(a->dir.fd, "io.bfq.weight");
    int e = 0;
    if (asked_u64(&a->r->block.weight)) {
        uint64_t w = a->r->block.weight.value;
        e = bfq ? cg_set(&a->dir, "io.bfq.weight", err, "%llu", ULL(w))
                : cg_set(&a->dir, "io.weight", err, "%llu", ULL(cg_io_weight_of_blkio(w)));
    }
    for (size_t i = 0; i < a->r->block.weight_device.count && e == 0; i++) {
        const struct cgroup_block_device *d = &a->r->block.weight_device.items[i];
        if (!asked_u64(&d->weight)) {
            continue;
        }
        e = cg_set(&a->dir, bfq ? "io.bfq.weight" : "io.weight", err, "%lld:%lld %llu",
                   LL(d->major), LL(d->minor),
                   ULL(bfq ? d->weight.value : cg_io_weight_of_blkio(d->weight.value)));
    }
    left_out(a, asked_u64(&a->r->block.leaf_weight), "blockIO.leafWeight");
    return e;
}

static int io_throttle(const struct cg_apply *a, const char *key,
                       const struct cgroup_block_list *list, struct err *err) {
    int e = 0;
    for (size_t i = 0; i < list->count && e == 0; i++) {
        const struct cgroup_block_device *d = &list->items[i];
        e = d->rate == 0 ? cg_set(&a->dir, "io.max", err, "%lld:%lld %s=max", LL(d->major),
                                  LL(d->minor), key)
                         : cg_set(&a->dir, "io.max", err, "%lld:%lld %s=%llu", LL(d->major),
                                  LL(d->minor), key, ULL(d->rate));
    }
    return e;
}

int cg_v2_io(const struct cg_apply *a, struct err *err) {
    int e = io_weights(a, err);
    e = e != 0 ? e : io_throttle(a, "rbps", &a->r->block.read_bps, err);
    e = e != 0 ? e : io_throttle(a, "wbps", &a->r->block.write_bps, err);
    e = e != 0 ? e : io_throttle(a, "riops", &a->r->block.read_iops, err);
    return e != 0 ? e : io_throttle(a, "wiops", &a->r->block.write_iops, err);
}

/* ---- the small ones ---- */

int cg_v2_hugetlb(const struct cg_apply *a, struct err *err) {
    return cg_set_hugetlb(a, "max", err);
}

/* One of the map's values: its lines are written one by one, as the kernel takes one a write. */
static int unified_value(const struct cg_apply *a, const char *key, const char *value,
                         struct err *err) {
    int e = 0;
    for (const char *line = value; e == 0 && *line != '\0';) {
        int len = (int)strcspn(line, "\n");
        if (len > 0) {
            e = cg_set(&a->dir, key, err, "%.*s", len, line);
        }
        line += len + (line[len] == '\n');
    }
    return e;
}

int cg_v2_unified(const struct cg_apply *a, struct err *err) {
    int e = 0;
    for (size_t i = 0; i < a->r->unified_count && e == 0; i++) {
        const char *key = a->r->unified[i].key;
        const char *dot = strchr(key, '.');
        if (strchr(key, '/') != NULL || dot == NULL || dot == key) {
            return err_set(err, -EINVAL,
                           "linux.resources.unified: '%.100s' is no file of cgroup v2 "
                           "(CONTROLLER.PARAMETER)",
                           key);
        }
        if (strcmp(key, "cgroup.procs") == 0 || strcmp(key, "cgroup.threads") == 0 ||
            strcmp(key, "cgroup.kill") == 0) {
            return err_set(err, -EINVAL, "linux.resources.unified: %s is no limit", key);
        }
        e = unified_value(a, key, a->r->unified[i].value, err);
    }
    return e;
}
