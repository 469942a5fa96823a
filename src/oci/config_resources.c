/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "linux.resources", of config.json and of `update --resources`: config-linux.md "Control groups".
 *
 * Engines write 0 where nothing was asked for (an update of Docker's does so for each limit that it
 * does not change); a limit for which 0 makes no sense is therefore absent when it is 0.
 */
#include "oci/config_parts.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define DEVICE_NUMBER_MAX UINT32_MAX
#define WEIGHT_MIN        1 /* 10 on v1, 1 for io.bfq.weight; the group says so if it is too little */
#define WEIGHT_MAX        1000

#define RESOURCE(text, reader, field)                                                              \
    .name = text, .read = reader, .offset = offsetof(struct cgroup_resources, field)

/* ---- devices ---- */

static int read_rule_type(const struct oci_reader *r, const struct oci_node *n,
                          const struct oci_field *f, void *out) {
    const char *text = "";
    int e = oci_text(r, n, OCI_TEXT_MAX, &text);
    if (e == 0 && text[0] != '\0') {
        if (strlen(text) != 1 || strchr("abc", text[0]) == NULL) {
            return oci_fail(r, n, -EINVAL, "'%.20s' is not known; it can be a, b, c", text);
        }
        ((struct cgroup_device_rule *)out)->type = text[0];
    }
    return e;
}

static int read_access(const struct oci_reader *r, const struct oci_node *n,
                       const struct oci_field *f, void *out) {
    struct cgroup_device_rule *rule = out;
    const char *text = "";
    int e = oci_text(r, n, OCI_TEXT_MAX, &text);
    if (e != 0 || text[0] == '\0') {
        return e;
    }
    if (strspn(text, "rwm") != strlen(text)) {
        return oci_fail(r, n, -EINVAL, "'%.20s' must consist of r, w and m", text);
    }
    rule->read = strchr(text, 'r') != NULL;
    rule->write = strchr(text, 'w') != NULL;
    rule->mknod = strchr(text, 'm') != NULL;
    return 0;
}

#define RULE(text, reader, field)                                                                  \
    .name = text, .read = reader, .offset = offsetof(struct cgroup_device_rule, field)
static const struct oci_field g_rule_fields[] = {
    {RULE("allow", oci_read_bool, allow), .required = true},
    {.name = "type", .read = read_rule_type},
    {RULE("major", oci_read_i64, major), .min = -1, .max = DEVICE_NUMBER_MAX},
    {RULE("minor", oci_read_i64, minor), .min = -1, .max = DEVICE_NUMBER_MAX},
    {.name = "access", .read = read_access},
    {0},
};

static void init_rule(void *object) {
    *(struct cgroup_device_rule *)object = (struct cgroup_device_rule){
        .type = 'a', .major = -1, .minor = -1, .read = true, .write = true, .mknod = true};
}

/* ---- memory, cpu, pids ---- */

static int read_oom_killer(const struct oci_reader *r, const struct oci_node *n,
                           const struct oci_field *f, void *out) {
    ((struct cgroup_resources *)out)->memory.disable_oom_killer_set = true;
    return oci_read_bool(r, n, f, out);
}

static int read_hierarchy(const struct oci_reader *r, const struct oci_node *n,
                          const struct oci_field *f, void *out) {
    ((struct cgroup_resources *)out)->memory.use_hierarchy_set = true;
    return oci_read_bool(r, n, f, out);
}

static const struct oci_field g_memory_fields[] = {
    {RESOURCE("limit", oci_read_limit_i64, memory.limit), .min = -1},
    {RESOURCE("reservation", oci_read_limit_i64, memory.reservation), .min = -1},
    {RESOURCE("swap", oci_read_limit_i64, memory.swap), .min = -1},
    {RESOURCE("kernel", oci_read_limit_i64, memory.kernel), .min = -1},
    {RESOURCE("kernelTCP", oci_read_limit_i64, memory.kernel_tcp), .min = -1},
    {RESOURCE("swappiness", oci_read_set_u64, memory.swappiness), .max = 100},
    {RESOURCE("disableOOMKiller", read_oom_killer, memory.disable_oom_killer)},
    {RESOURCE("useHierarchy", read_hierarchy, memory.use_hierarchy)},
    {RESOURCE("checkBeforeUpdate", oci_read_bool, memory.check_before_update)},
    {0},
};

/* cpuset(7) "List format" reaches a kernel file as it is: digits, commas and hyphens alone. */
static int read_set_list(const struct oci_reader *r, const struct oci_node *n,
                         const struct oci_field *f, void *out) {
    const char *text = "";
    int e = oci_text(r, n, 4096, &text);
    if (e != 0 || text[0] == '\0') {
        return e;
    }
    if (!isdigit((unsigned char)text[0]) || strspn(text, "0123456789,-") != strlen(text)) {
        return oci_fail(r, n, -EINVAL, "'%.60s' is no list such as 0-3,7", text);
    }
    return oci_copy(r, n, text, (char **)((char *)out + f->offset));
}

static const struct oci_field g_cpu_fields[] = {
    {RESOURCE("shares", oci_read_limit_u64, cpu.shares), .max = 262144},
    {RESOURCE("quota", oci_read_limit_i64, cpu.quota), .min = -1},
    {RESOURCE("burst", oci_read_set_u64, cpu.burst)},
    {RESOURCE("period", oci_read_limit_u64, cpu.period)},
    {RESOURCE("realtimeRuntime", oci_read_limit_i64, cpu.realtime_runtime), .min = -1},
    {RESOURCE("realtimePeriod", oci_read_limit_u64, cpu.realtime_period)},
    {RESOURCE("cpus", read_set_list, cpu.cpus)},
    {RESOURCE("mems", read_set_list, cpu.mems)},
    {RESOURCE("idle", oci_read_set_i64, cpu.idle), .max = 1},
    {0},
};

static const struct oci_field g_pids_fields[] = {
    {RESOURCE("limit", oci_read_limit_i64, pids), .min = -1},
    {0},
};

/* ---- block I/O ---- */

#define BLOCK(text, reader, field)                                                                 \
    .name = text, .read = reader, .offset = offsetof(struct cgroup_block_device, field)
#define BLOCK_NUMBERS                                                                              \
    {BLOCK("major", oci_read_i64, major), .max = DEVICE_NUMBER_MAX, .required = true}, {           \
        BLOCK("minor", oci_read_i64, minor), .max = DEVICE_NUMBER_MAX, .required = true            \
    }

static const struct oci_field g_weight_fields[] = {
    BLOCK_NUMBERS,
    {BLOCK("weight", oci_read_limit_u64, weight), .min = WEIGHT_MIN, .max = WEIGHT_MAX},
    {BLOCK("leafWeight", oci_read_limit_u64, leaf_weight), .min = WEIGHT_MIN, .max = WEIGHT_MAX},
    {0},
};

static const struct oci_field g_throttle_fields[] = {
    BLOCK_NUMBERS,
    {BLOCK("rate", oci_read_u64, rate), .required = true},
    {0},
};

#define BLOCK_LIST(text, field, members)                                                           \
    RESOURCE(text, oci_read_array, block.field.items),                                             \
        .count_offset = offsetof(struct cgroup_resources, block.field.count),                      \
        .item_size = sizeof(struct cgroup_block_device), .fields = members, .max = 1024

static const struct oci_field g_block_fields[] = {
    {RESOURCE("weight", oci_read_limit_u64, block.weight), .min = WEIGHT_MIN, .max = WEIGHT_MAX},
    {RESOURCE("leafWeight", oci_read_limit_u64, block.leaf_weight), .min = WEIGHT_MIN,
     .max = WEIGHT_MAX},
    {BLOCK_LIST("weightDevice", weight_device, g_weight_fields)},
    {BLOCK_LIST("throttleReadBpsDevice", read_bps, g_throttle_fields)},
    {BLOCK_LIST("throttleWriteBpsDevice", write_bps, g_throttle_fields)},
    {BLOCK_LIST("throttleReadIOPSDevice", read_iops, g_throttle_fields)},
    {BLOCK_LIST("throttleWriteIOPSDevice", write_iops, g_throttle_fields)},
    {0},
};

/* ---- pages, network, rdma, unified ---- */

/* "64KB", "2MB", "1GB": it becomes part of a file name. */
static int read_page_size(const struct oci_reader *r, const struct oci_node *n,
                          const struct oci_field *f, void *out) {
    const char *text = "";
    int e = oci_text(r, n, 16, &text);
    size_t digits = strspn(text, "0123456789");
    if (e == 0 && (digits == 0 || strlen(text + digits) != 2 ||
                   strchr("KMG", text[digits]) == NULL || text[digits + 1] != 'B')) {
        e = oci_fail(r, n, -EINVAL, "'%.16s' is no page size such as 2MB or 1GB", text);
    }
    return e != 0 ? e : oci_copy(r, n, text, &((struct cgroup_hugepage *)out)->page_size);
}

static const struct oci_field g_hugepage_fields[] = {
    {.name = "pageSize", .read = read_page_size, .required = true},
    {.name = "limit",
     .read = oci_read_u64,
     .offset = offsetof(struct cgroup_hugepage, limit),
     .required = true},
    {0},
};

/* Names that become the first word of a line written to a kernel file. */
static int check_word(const struct oci_reader *r, const struct oci_node *n, const char *word) {
    for (const char *c = word; *c != '\0'; c++) {
        if (!isgraph((unsigned char)*c)) {
            return oci_fail(r, n, -EINVAL, "must not hold blanks or control characters");
        }
    }
    return word[0] != '\0' ? 0 : oci_fail(r, n, -EINVAL, "must not be empty");
}

static int read_word(const struct oci_reader *r, const struct oci_node *n,
                     const struct oci_field *f, void *out) {
    const char *text = "";
    int e = oci_text(r, n, f->max, &text);
    e = e != 0 ? e : check_word(r, n, text);
    return e != 0 ? e : oci_copy(r, n, text, (char **)((char *)out + f->offset));
}

static const struct oci_field g_priority_fields[] = {
    {.name = "name",
     .read = read_word,
     .offset = offsetof(struct cgroup_net_prio, name),
     .max = 15,
     .required = true},
    {.name = "priority",
     .read = oci_read_u32,
     .offset = offsetof(struct cgroup_net_prio, priority),
     .required = true},
    {0},
};

static const struct oci_field g_network_fields[] = {
    {RESOURCE("classID", oci_read_set_u64, net_class), .max = UINT32_MAX},
    {RESOURCE("priorities", oci_read_array, net_prio),
     .count_offset = offsetof(struct cgroup_resources, net_prio_count),
     .item_size = sizeof(struct cgroup_net_prio), .fields = g_priority_fields, .max = 1024},
    {0},
};

#define RDMA(text, field)                                                                          \
    .name = text, .read = oci_read_set_u64, .offset = offsetof(struct cgroup_rdma, field),         \
    .max = INT32_MAX
static const struct oci_field g_rdma_fields[] = {
    {RDMA("hcaHandles", handles)},
    {RDMA("hcaObjects", objects)},
    {0},
};

static int begin_map(const struct oci_reader *r, const struct oci_node *n,
                     const struct oci_field *f, size_t item_size, size_t *out_count, void **out) {
    int e = oci_expect(r, n, json_type_object);
    *out_count = e == 0 ? (size_t)json_object_object_length(n->value) : 0;
    if (*out_count > f->max) {
        return oci_fail(r, n, -E2BIG, "has %zu members, at most %llu are allowed", *out_count,
                        (unsigned long long)f->max);
    }
    *out = *out_count > 0 ? calloc(*out_count, item_size) : NULL;
    return e != 0 || *out_count == 0 || *out != NULL ? e : oci_fail(r, n, -ENOMEM, "no memory");
}

static int read_rdma(const struct oci_reader *r, const struct oci_node *n,
                     const struct oci_field *f, void *out) {
    struct cgroup_resources *res = out;
    size_t count = 0;
    void *items = NULL;
    int e = begin_map(r, n, f, sizeof(*res->rdma), &count, &items);
    res->rdma = items;
    if (count == 0 || e != 0) {
        return e;
    }
    struct json_object_iterator at = json_object_iter_begin(n->value);
    for (; res->rdma_count < count && e == 0; json_object_iter_next(&at)) {
        struct oci_node member = oci_member(n, json_object_iter_peek_name(&at));
        struct cgroup_rdma *device = &res->rdma[res->rdma_count++];
        e = check_word(r, &member, member.key);
        e = e != 0 ? e : oci_copy(r, &member, member.key, &device->device);
        e = e != 0 ? e : oci_read_members(r, &member, f->fields, device);
    }
    return e;
}

/* "Unified": each key is one file of the group's folder, never one of another folder; writing to
 * cgroup.* would move or kill processes. */
static int check_unified_key(const struct oci_reader *r, const struct oci_node *n,
                             const char *key) {
    int e = check_word(r, n, key);
    if (e == 0 && (strchr(key, '/') != NULL || key[0] == '.' || strchr(key, '.') == NULL)) {
        e = oci_fail(r, n, -EINVAL, "is no name of a file such as memory.high");
    }
    if (e == 0 && strncmp(key, "cgroup.", 7) == 0 && strcmp(key, "cgroup.max.depth") != 0 &&
        strcmp(key, "cgroup.max.descendants") != 0) {
        e = oci_fail(r, n, -EINVAL, "is moat's own to write");
    }
    return e;
}

static int read_unified(const struct oci_reader *r, const struct oci_node *n,
                        const struct oci_field *f, void *out) {
    struct cgroup_resources *res = out;
    size_t count = 0;
    void *items = NULL;
    int e = begin_map(r, n, f, sizeof(*res->unified), &count, &items);
    res->unified = items;
    if (count == 0 || e != 0) {
        return e;
    }
    struct json_object_iterator at = json_object_iter_begin(n->value);
    for (; res->unified_count < count && e == 0; json_object_iter_next(&at)) {
        struct oci_node member = oci_member(n, json_object_iter_peek_name(&at));
        struct cgroup_unified *file = &res->unified[res->unified_count++];
        const char *text = "";
        e = check_unified_key(r, &member, member.key);
        e = e != 0 ? e : oci_text(r, &member, OCI_TEXT_MAX, &text);
        e = e != 0 ? e : oci_copy(r, &member, member.key, &file->key);
        e = e != 0 ? e : oci_copy(r, &member, text, &file->value);
    }
    return e;
}

/* ---- the section ---- */

const struct oci_field g_resources_fields[] = {
    {RESOURCE("devices", oci_read_array, devices),
     .count_offset = offsetof(struct cgroup_resources, device_count),
     .item_size = sizeof(struct cgroup_device_rule), .fields = g_rule_fields, .init = init_rule,
     .max = 4096},
    {.name = "memory", .read = oci_read_object, .fields = g_memory_fields},
    {.name = "cpu", .read = oci_read_object, .fields = g_cpu_fields},
    {.name = "pids", .read = oci_read_object, .fields = g_pids_fields},
    {.name = "blockIO", .read = oci_read_object, .fields = g_block_fields},
    {RESOURCE("hugepageLimits", oci_read_array, hugepages),
     .count_offset = offsetof(struct cgroup_resources, hugepage_count),
     .item_size = sizeof(struct cgroup_hugepage), .fields = g_hugepage_fields, .max = 64},
    {.name = "network", .read = oci_read_object, .fields = g_network_fields},
    {.name = "rdma", .read = read_rdma, .fields = g_rdma_fields, .max = 256},
    {.name = "unified", .read = read_unified, .max = 256},
    {0},
};
