/* SPDX-License-Identifier: Apache-2.0 */
/* Limits as properties of a scope (systemd.resource-control(5)): see cgroup_systemd.h. */
#include "host/cgroup_systemd.h"

#include "host/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPUS_MAX      8192u
#define CPU_PERIOD_US 100000u

void scope_property(struct dbus_body *b, const char *name, const char *signature) {
    dbus_put_struct(b);
    dbus_put_text(b, name);
    dbus_put_signature(b, signature);
}

void scope_property_text(struct dbus_body *b, const char *name, const char *value) {
    scope_property(b, name, "s");
    dbus_put_text(b, value);
}

void scope_property_bool(struct dbus_body *b, const char *name, bool value) {
    scope_property(b, name, "b");
    dbus_put_u32(b, value);
}

static void property_u64(struct dbus_body *b, const char *name, uint64_t value) {
    scope_property(b, name, "t");
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
    scope_property(b, name, "ay");
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

void scope_put_limits(struct dbus_body *b, const struct cgroup_resources *r, bool v2) {
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
int scope_put_devices(struct dbus_body *b, const struct cgroup_resources *r, struct err *err) {
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
    scope_property_text(b, "DevicePolicy", "strict");
    scope_property(b, "DeviceAllow", "a(ss)");
    size_t array = dbus_begin_array(b, 8);
    for (size_t i = 0; i < count; i++) {
        if (rules[i].allow) {
            put_device(b, &rules[i], rules[i].type);
        }
    }
    dbus_end_array(b, array, 8);
    return 0;
}
