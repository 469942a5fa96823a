/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building the object of cgroup_stats: the names are those of `runc events --stats`, which
 * containerd's go-runc reads.  Without memory a member is missing, and what cannot be read is zero.
 */
#ifndef MOAT_HOST_CGROUP_STATS_H
#define MOAT_HOST_CGROUP_STATS_H

#include "host/cgroup_internal.h"

void stat_add(struct json_object *o, const char *key, struct json_object *value);
void stat_u64(struct json_object *o, const char *key, uint64_t value);
/* The number in a file, 0 when there is none. */
uint64_t stat_file(int dir, const char *file);
/* A new object below o. */
struct json_object *stat_object(struct json_object *o, const char *key);
/* {"limit", "usage", "max", "failcnt"} below o. */
void stat_entry(struct json_object *o, const char *key, uint64_t limit, uint64_t usage,
                uint64_t max, uint64_t failcnt);
/* Every "key number" line of text as a member of o. */
void stat_keys(struct json_object *o, const char *text);
/* {"major", "minor", "op", "value"} at the end of a list. */
void stat_block(struct json_object *list, uint64_t major, uint64_t minor, const char *op,
                uint64_t value);
/* FILE of pressure stall information (Documentation/accounting/psi.rst) as o.psi. */
void stat_psi(struct json_object *o, int dir, const char *file);
/* Calls for each size of huge page that the kernel has: "2MB". */
void stat_hugepages(void (*each)(struct json_object *o, int dir, const char *size),
                    struct json_object *o, int dir);

/* Each fills one part from a folder of its controller. */
void stat_v1_cpuacct(struct json_object *cpu, int dir);
void stat_v1_cpu(struct json_object *cpu, int dir);
void stat_v1_cpuset(struct json_object *cpuset, int dir);
void stat_v1_memory(struct json_object *memory, int dir);
void stat_v1_blkio(struct json_object *blkio, int dir);
void stat_v1_hugetlb(struct json_object *hugetlb, int dir, const char *size);
void stat_v2_cpu(struct json_object *cpu, int dir);
void stat_v2_memory(struct json_object *memory, int dir);
void stat_v2_io(struct json_object *blkio, int dir);
void stat_v2_hugetlb(struct json_object *hugetlb, int dir, const char *size);

#endif
