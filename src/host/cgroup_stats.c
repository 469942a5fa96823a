/* SPDX-License-Identifier: Apache-2.0 */
/* The statistics of a container's groups: see cgroup.h and cgroup_stats.h. */
#include "host/cgroup_stats.h"

#include "host/cleanup.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 4096u /* lines of a flat-keyed file */

void stat_add(struct json_object *o, const char *key, struct json_object *value) {
    if (o == NULL || value == NULL || json_object_object_add(o, key, value) != 0) {
        json_object_put(value);
    }
}

void stat_u64(struct json_object *o, const char *key, uint64_t value) {
    stat_add(o, key, json_object_new_uint64(value));
}

uint64_t stat_file(int dir, const char *file) {
    uint64_t v = 0;
    return cg_read_u64(dir, file, &v) == 0 ? v : 0;
}

struct json_object *stat_object(struct json_object *o, const char *key) {
    struct json_object *child = json_object_new_object();
    if (o == NULL || child == NULL || json_object_object_add(o, key, child) != 0) {
        json_object_put(child);
        return NULL;
    }
    return child;
}

void stat_entry(struct json_object *o, const char *key, uint64_t limit, uint64_t usage,
                uint64_t max, uint64_t failcnt) {
    struct json_object *e = stat_object(o, key);
    stat_u64(e, "limit", limit);
    stat_u64(e, "usage", usage);
    stat_u64(e, "max", max);
    stat_u64(e, "failcnt", failcnt);
}

void stat_keys(struct json_object *o, const char *text) {
    const char *p = text;
    for (unsigned n = 0; n < KEYS_MAX && *p != '\0'; n++) {
        char key[128];
        unsigned long long value;
        if (sscanf(p, "%127s %llu", key, &value) == 2) {
            stat_u64(o, key, value);
        }
        p += strcspn(p, "\n");
        p += *p == '\n';
    }
}

void stat_block(struct json_object *list, uint64_t major, uint64_t minor, const char *op,
                uint64_t value) {
    struct json_object *e = json_object_new_object();
    stat_u64(e, "major", major);
    stat_u64(e, "minor", minor);
    stat_add(e, "op", json_object_new_string(op));
    stat_u64(e, "value", value);
    if (e == NULL || list == NULL || json_object_array_add(list, e) != 0) {
        json_object_put(e);
    }
}

/* some avg10=0.00 avg60=0.00 avg300=0.00 total=0 */
void stat_psi(struct json_object *o, int dir, const char *file) {
    cleanup_free char *text = NULL;
    if (cg_read_all(dir, file, &text) != 0) {
        return; /* a kernel without it, or the file switched off */
    }
    struct json_object *psi = stat_object(o, "psi");
    const char *p = text;
    for (int n = 0; n < 2 && *p != '\0'; n++) {
        char kind[8], avg[3][16];
        unsigned long long total;
        if (sscanf(p, "%7s avg10=%15[0-9.] avg60=%15[0-9.] avg300=%15[0-9.] total=%llu", kind,
                   avg[0], avg[1], avg[2], &total) == 5) {
            struct json_object *one = stat_object(psi, kind);
            stat_add(one, "avg10", json_object_new_double_s(strtod(avg[0], NULL), avg[0]));
            stat_add(one, "avg60", json_object_new_double_s(strtod(avg[1], NULL), avg[1]));
            stat_add(one, "avg300", json_object_new_double_s(strtod(avg[2], NULL), avg[2]));
            stat_u64(one, "total", total);
        }
        p += strcspn(p, "\n");
        p += *p == '\n';
    }
}

void stat_hugepages(void (*each)(struct json_object *o, int dir, const char *size),
                    struct json_object *o, int dir) {
    DIR *d = opendir("/sys/kernel/mm/hugepages");
    const struct dirent *entry;
    while (d != NULL && (entry = readdir(d)) != NULL) {
        unsigned long long kb;
        char size[32];
        if (sscanf(entry->d_name, "hugepages-%llukB", &kb) != 1 || kb == 0) {
            continue;
        }
        bool gb = kb >= 1048576, mb = kb >= 1024;
        (void)snprintf(size, sizeof(size), "%llu%s",
                       gb   ? kb / 1048576
                       : mb ? kb / 1024
                            : kb,
                       gb   ? "GB"
                       : mb ? "MB"
                            : "KB"); /* fits */
        each(o, dir, size);
    }
    if (d != NULL) {
        (void)closedir(d); /* only read */
    }
}

/* ---- the whole ---- */

/* Opens the controller's v1 folder, or v2's when there is none; *out_v2 which.  -ENOENT: neither.
 */
static int open_either(const struct cgroup *cg, const char *v1, bool *out_v2) {
    int fd = cg_open_at(cg, v1);
    *out_v2 = fd < 0;
    return fd >= 0 ? fd : cg_open_at(cg, "");
}

static void part_cpu(const struct cgroup *cg, struct json_object *cpu) {
    bool v2;
    cleanup_fd int acct = open_either(cg, "cpuacct", &v2);
    cleanup_fd int v1_cpu = cg_open_at(cg, "cpu");
    cleanup_fd int unified = cg_open_at(cg, "");
    if (v2) {
        stat_v2_cpu(cpu, acct);
    } else {
        stat_v1_cpuacct(cpu, acct);
    }
    if (v1_cpu >= 0) {
        stat_v1_cpu(cpu, v1_cpu);
    }
    if (unified >= 0) {
        stat_psi(cpu, unified, "cpu.pressure");
    }
}

static void part_memory(const struct cgroup *cg, struct json_object *memory) {
    bool v2;
    cleanup_fd int dir = open_either(cg, "memory", &v2);
    cleanup_fd int unified = cg_open_at(cg, "");
    if (v2) {
        stat_v2_memory(memory, dir);
    } else {
        stat_v1_memory(memory, dir);
    }
    if (unified >= 0) {
        stat_psi(memory, unified, "memory.pressure");
    }
}

static void part_pids(const struct cgroup *cg, struct json_object *pids) {
    bool v2;
    uint64_t limit = 0;
    cleanup_fd int dir = open_either(cg, "pids", &v2);
    if (dir < 0 || cg_has(dir, "pids.current")) {
        limit = stat_file(dir, "pids.max");
        stat_u64(pids, "current", stat_file(dir, "pids.current"));
    } else {
        struct cg_pids in = {0}; /* the controller is not enabled: processes are counted */
        (void)cg_pids_collect(dir, &in, NULL);
        stat_u64(pids, "current", in.count);
        cg_pids_free(&in);
    }
    stat_u64(pids, "limit", limit == UINT64_MAX ? 0 : limit);
}

static void part_blkio(const struct cgroup *cg, struct json_object *blkio) {
    bool v2;
    cleanup_fd int dir = open_either(cg, "blkio", &v2);
    cleanup_fd int unified = cg_open_at(cg, "");
    if (v2) {
        stat_v2_io(blkio, dir);
    } else {
        stat_v1_blkio(blkio, dir);
    }
    if (unified >= 0) {
        stat_psi(blkio, unified, "io.pressure");
    }
}

struct json_object *cgroup_stats(const struct cgroup *cg) {
    bool v2;
    struct json_object *o = json_object_new_object();
    if (o == NULL) {
        return NULL;
    }
    part_cpu(cg, stat_object(o, "cpu"));
    struct json_object *cpuset = stat_object(o, "cpuset");
    cleanup_fd int set = cg_open_at(cg, "cpuset");
    if (set >= 0) {
        stat_v1_cpuset(cpuset, set);
    }
    part_memory(cg, stat_object(o, "memory"));
    part_pids(cg, stat_object(o, "pids"));
    part_blkio(cg, stat_object(o, "blkio"));
    struct json_object *hugetlb = stat_object(o, "hugetlb");
    cleanup_fd int huge = open_either(cg, "hugetlb", &v2);
    if (huge >= 0) {
        stat_hugepages(v2 ? stat_v2_hugetlb : stat_v1_hugetlb, hugetlb, huge);
    }
    (void)stat_object(o, "intel_rdt");
    (void)json_object_object_add(o, "network_interfaces", NULL); /* the isolation knows them */
    return o;
}
