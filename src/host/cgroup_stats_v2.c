/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics from the files of cgroup v2 (kernel documentation, admin-guide/cgroup-v2.rst), under
 * the names that v1 gave them. */
#include "host/cgroup_stats.h"

#include "host/cleanup.h"

#include <stdio.h>
#include <string.h>

#define LINES_MAX 4096u

void stat_v2_cpu(struct json_object *cpu, int dir) {
    cleanup_free char *text = NULL;
    static const struct {
        const char *file, *key;
        uint64_t scale; /* to nanoseconds */
    } rows[] = {
        {"usage_usec", "total", 1000},
        {"system_usec", "kernel", 1000},
        {"user_usec", "user", 1000},
        {"nr_periods", "periods", 1},
        {"nr_throttled", "throttledPeriods", 1},
        {"throttled_usec", "throttledTime", 1000},
    };
    struct json_object *usage = stat_object(cpu, "usage");
    struct json_object *throttling = stat_object(cpu, "throttling");
    int e = cg_read_all(dir, "cpu.stat", &text);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint64_t v = 0;
        if (e == 0) {
            (void)cg_key_u64(text, rows[i].file, &v); /* zero without it */
        }
        stat_u64(i < 3 ? usage : throttling, rows[i].key, v * rows[i].scale);
    }
}

static uint64_t event(int dir, const char *file, const char *key) {
    uint64_t v = 0;
    return cg_read_key(dir, file, key, &v) == 0 ? v : 0;
}

void stat_v2_memory(struct json_object *memory, int dir) {
    cleanup_free char *text = NULL;
    uint64_t file = 0, kernel = 0, limit = stat_file(dir, "memory.max"), swap_limit = 0;
    uint64_t usage = stat_file(dir, "memory.current"), swap = stat_file(dir, "memory.swap.current");
    uint64_t fails = event(dir, "memory.events", "max");
    stat_entry(memory, "usage", limit, usage, stat_file(dir, "memory.peak"), fails);
    /* v1 counts memory and swap together. */
    if (cg_read_u64(dir, "memory.swap.max", &swap_limit) != 0) {
        stat_entry(memory, "swap", 0, 0, 0, 0); /* swap is not counted */
    } else {
        bool none = limit == UINT64_MAX || swap_limit == UINT64_MAX;
        stat_entry(memory, "swap", none ? UINT64_MAX : limit + swap_limit, usage + swap, 0,
                   event(dir, "memory.swap.events", "fail"));
    }
    struct json_object *raw = stat_object(memory, "raw");
    if (cg_read_all(dir, "memory.stat", &text) == 0) {
        stat_keys(raw, text);
        (void)cg_key_u64(text, "file", &file);
        (void)cg_key_u64(text, "kernel", &kernel); /* since Linux 5.18 */
    }
    stat_entry(memory, "kernel", 0, kernel, 0, 0);
    stat_entry(memory, "kernelTCP", 0, 0, 0, 0);
    stat_u64(memory, "cache", file);
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" */
static void io_line(struct json_object *bytes, struct json_object *count, const char *line,
                    size_t len) {
    static const struct {
        const char *key, *op;
        bool bytes;
    } rows[] = {
        {"rbytes", "Read", true}, {"wbytes", "Write", true}, {"dbytes", "Discard", true},
        {"rios", "Read", false},  {"wios", "Write", false},  {"dios", "Discard", false},
    };
    unsigned long long major, minor, value;
    char text[512];
    (void)snprintf(text, sizeof(text), "%.*s", (int)MIN(len, sizeof(text) - 1), line); /* cut */
    if (sscanf(text, "%llu:%llu", &major, &minor) != 2) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), " %s=", rows[i].key); /* fits */
        const char *at = strstr(text, key);
        if (at != NULL && sscanf(at + strlen(key), "%llu", &value) == 1) {
            stat_block(rows[i].bytes ? bytes : count, major, minor, rows[i].op, value);
        }
    }
}

void stat_v2_io(struct json_object *blkio, int dir) {
    cleanup_free char *text = NULL;
    struct json_object *bytes = json_object_new_array(), *count = json_object_new_array();
    if (cg_read_all(dir, "io.stat", &text) == 0) {
        const char *p = text;
        for (unsigned n = 0; n < LINES_MAX && *p != '\0'; n++) {
            size_t len = strcspn(p, "\n");
            io_line(bytes, count, p, len);
            p += len + (p[len] == '\n');
        }
    }
    stat_add(blkio, "ioServiceBytesRecursive", bytes);
    stat_add(blkio, "ioServicedRecursive", count);
}

void stat_v2_hugetlb(struct json_object *hugetlb, int dir, const char *size) {
    char file[96];
    (void)snprintf(file, sizeof(file), "hugetlb.%s.rsvd.current", size); /* fits */
    if (!cg_has(dir, file)) {
        (void)snprintf(file, sizeof(file), "hugetlb.%s.current", size);
    }
    if (!cg_has(dir, file)) {
        return; /* the controller is not enabled */
    }
    struct json_object *o = stat_object(hugetlb, size);
    stat_u64(o, "usage", stat_file(dir, file));
    (void)snprintf(file, sizeof(file), "hugetlb.%s.events", size);
    stat_u64(o, "max", 0);
    stat_u64(o, "failcnt", event(dir, file, "max"));
}
