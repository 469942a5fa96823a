/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics from the files of cgroup v1 (kernel documentation, admin-guide/cgroup-v1). */
#include "host/cgroup_stats.h"

#include "host/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CPUS_MAX  8192u
#define LINES_MAX 4096u

/* cpuacct.usage_all: "cpu user system", then a line of three numbers for each CPU. */
static void percpu_modes(struct json_object *usage, int dir) {
    cleanup_free char *text = NULL;
    struct json_object *kernel = json_object_new_array(), *user = json_object_new_array();
    if (cg_read_all(dir, "cpuacct.usage_all", &text) == 0) {
        const char *p = strchr(text, '\n');
        for (unsigned n = 0; p != NULL && n < CPUS_MAX; n++, p = strchr(p + 1, '\n')) {
            unsigned long long in_user, in_kernel;
            if (sscanf(p, "\n%*u %llu %llu", &in_user, &in_kernel) == 2) {
                (void)json_object_array_add(user, json_object_new_uint64(in_user));
                (void)json_object_array_add(kernel, json_object_new_uint64(in_kernel));
            }
        }
    }
    stat_add(usage, "percpu_kernel", kernel);
    stat_add(usage, "percpu_user", user);
}

void stat_v1_cpuacct(struct json_object *cpu, int dir) {
    cleanup_free char *text = NULL;
    uint64_t user = 0, system = 0, tick_ns = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
    struct json_object *usage = stat_object(cpu, "usage"), *percpu = json_object_new_array();
    stat_u64(usage, "total", stat_file(dir, "cpuacct.usage"));
    if (cg_read_all(dir, "cpuacct.usage_percpu", &text) == 0) {
        const char *p = text;
        char *end;
        for (unsigned n = 0; n < CPUS_MAX; n++, p = end) {
            uint64_t v = strtoull(p, &end, 10);
            if (end == p) {
                break;
            }
            (void)json_object_array_add(percpu, json_object_new_uint64(v));
        }
    }
    stat_add(usage, "percpu", percpu);
    percpu_modes(usage, dir);
    (void)cg_read_key(dir, "cpuacct.stat", "user", &user); /* zero without it */
    (void)cg_read_key(dir, "cpuacct.stat", "system", &system);
    stat_u64(usage, "kernel", system * tick_ns);
    stat_u64(usage, "user", user * tick_ns);
}

void stat_v1_cpu(struct json_object *cpu, int dir) {
    cleanup_free char *text = NULL;
    struct json_object *throttling = stat_object(cpu, "throttling");
    uint64_t periods = 0, throttled = 0, time = 0;
    if (cg_read_all(dir, "cpu.stat", &text) == 0) {
        (void)cg_key_u64(text, "nr_periods", &periods);
        (void)cg_key_u64(text, "nr_throttled", &throttled);
        (void)cg_key_u64(text, "throttled_time", &time);
    }
    stat_u64(throttling, "periods", periods);
    stat_u64(throttling, "throttledPeriods", throttled);
    stat_u64(throttling, "throttledTime", time);
}

/* "0-2,7" as a list of numbers. */
static struct json_object *ranges(int dir, const char *file) {
    struct json_object *list = json_object_new_array();
    cleanup_free char *text = NULL;
    if (cg_read_all(dir, file, &text) != 0) {
        return list;
    }
    for (const char *p = text; *p >= '0' && *p <= '9';) {
        char *end;
        unsigned long from = strtoul(p, &end, 10), to = from;
        if (*end == '-') {
            to = strtoul(end + 1, &end, 10);
        }
        for (unsigned long i = from; i <= to && i < CPUS_MAX; i++) {
            (void)json_object_array_add(list, json_object_new_uint64(i));
        }
        p = end + (*end == ',');
    }
    return list;
}

void stat_v1_cpuset(struct json_object *cpuset, int dir) {
    static const char *const flags[] = {
        "cpu_exclusive",      "mem_hardwall",       "mem_exclusive",   "memory_migrate",
        "memory_spread_page", "memory_spread_slab", "memory_pressure", "sched_load_balance",
    };
    char text[32];
    stat_add(cpuset, "cpus", ranges(dir, "cpuset.cpus"));
    stat_add(cpuset, "mems", ranges(dir, "cpuset.mems"));
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        char file[64];
        (void)snprintf(file, sizeof(file), "cpuset.%s", flags[i]); /* fits */
        stat_u64(cpuset, flags[i], stat_file(dir, file));
    }
    if (cg_read(dir, "cpuset.sched_relax_domain_level", text, sizeof(text)) == 0) {
        stat_add(cpuset, "sched_relax_domain_level",
                 json_object_new_int64(strtoll(text, NULL, 10)));
    }
}

static void memory_data(struct json_object *memory, const char *key, int dir, const char *prefix) {
    static const char *const suffixes[] = {"limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes",
                                           "failcnt"};
    uint64_t v[4];
    for (size_t i = 0; i < 4; i++) {
        char file[64];
        (void)snprintf(file, sizeof(file), "memory.%s%s", prefix, suffixes[i]); /* fits */
        v[i] = stat_file(dir, file);
    }
    stat_entry(memory, key, v[0], v[1], v[2], v[3]);
}

void stat_v1_memory(struct json_object *memory, int dir) {
    cleanup_free char *text = NULL;
    uint64_t cache = 0;
    memory_data(memory, "usage", dir, "");
    memory_data(memory, "swap", dir, "memsw.");
    memory_data(memory, "kernel", dir, "kmem.");
    memory_data(memory, "kernelTCP", dir, "kmem.tcp.");
    struct json_object *raw = stat_object(memory, "raw");
    if (cg_read_all(dir, "memory.stat", &text) == 0) {
        stat_keys(raw, text);
        (void)cg_key_u64(text, "cache", &cache);
    }
    stat_u64(memory, "cache", cache);
}

/* "8:0 Read 1282048" and "8:0 6792" lines; the closing "Total" is left out. */
static size_t block_list(struct json_object *list, int dir, const char *file) {
    cleanup_free char *text = NULL;
    size_t count = 0;
    if (cg_read_all(dir, file, &text) != 0) {
        return 0;
    }
    const char *p = text;
    for (unsigned n = 0; n < LINES_MAX && *p != '\0'; n++) {
        unsigned long long major, minor, value;
        char op[32] = "";
        if (sscanf(p, "%llu:%llu %31[A-Za-z] %llu", &major, &minor, op, &value) == 4 ||
            sscanf(p, "%llu:%llu %llu", &major, &minor, &value) == 3) {
            stat_block(list, major, minor, op, value);
            count++;
        }
        p += strcspn(p, "\n");
        p += *p == '\n';
    }
    return count;
}

void stat_v1_blkio(struct json_object *blkio, int dir) {
    static const struct {
        const char *key, *suffix;
        bool throttle; /* the throttling layer counts it too */
    } lists[] = {
        {"ioServiceBytesRecursive", "io_service_bytes_recursive", true},
        {"ioServicedRecursive", "io_serviced_recursive", true},
        {"ioQueueRecursive", "io_queued_recursive", false},
        {"ioServiceTimeRecursive", "io_service_time_recursive", false},
        {"ioWaitTimeRecursive", "io_wait_time_recursive", false},
        {"ioMergedRecursive", "io_merged_recursive", false},
        {"ioTimeRecursive", "time_recursive", false},
        {"sectorsRecursive", "sectors_recursive", false},
    };
    static const char *const layers[] = {"bfq.", "", "throttle."};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        struct json_object *list = json_object_new_array();
        size_t found = 0;
        for (size_t k = 0; k < (lists[i].throttle ? 3u : 2u) && found == 0; k++) {
            char file[96];
            (void)snprintf(file, sizeof(file), "blkio.%s%s", layers[k], lists[i].suffix); /* fits */
            found = block_list(list, dir, file);
        }
        stat_add(blkio, lists[i].key, list);
    }
}

void stat_v1_hugetlb(struct json_object *hugetlb, int dir, const char *size) {
    char file[96], prefix[64];
    (void)snprintf(prefix, sizeof(prefix), "hugetlb.%s.rsvd", size); /* fits */
    (void)snprintf(file, sizeof(file), "%s.usage_in_bytes", prefix);
    if (!cg_has(dir, file)) {
        (void)snprintf(prefix, sizeof(prefix), "hugetlb.%s", size);
        (void)snprintf(file, sizeof(file), "%s.usage_in_bytes", prefix);
    }
    struct json_object *o = stat_object(hugetlb, size);
    stat_u64(o, "usage", stat_file(dir, file));
    (void)snprintf(file, sizeof(file), "%s.max_usage_in_bytes", prefix);
    stat_u64(o, "max", stat_file(dir, file));
    (void)snprintf(file, sizeof(file), "%s.failcnt", prefix);
    stat_u64(o, "failcnt", stat_file(dir, file));
}
