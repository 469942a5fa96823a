/* SPDX-License-Identifier: Apache-2.0 */
/* "process": config.md "Process", "POSIX process", "Linux Process" and "User". */
#include "oci/config_parts.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX 65536u /* NGROUPS_MAX, setgroups(2) */

/* ---- user ---- */

static int read_groups(const struct oci_reader *r, const struct oci_node *n,
                       const struct oci_field *f, void *out) {
    struct container_process *p = out;
    int e = oci_expect(r, n, json_type_array);
    size_t count = e == 0 ? json_object_array_length(n->value) : 0;
    if (count > GROUPS_MAX) {
        return oci_fail(r, n, -E2BIG, "has %zu groups, at most %u are allowed", count, GROUPS_MAX);
    }
    if (e != 0 || count == 0) {
        return e;
    }
    p->groups = calloc(count, sizeof(*p->groups));
    if (p->groups == NULL) {
        return oci_fail(r, n, -ENOMEM, "no memory");
    }
    const struct oci_field id = {.max = UINT32_MAX - 1};
    for (; p->group_count < count && e == 0; p->group_count++) {
        struct oci_node element = oci_element(n, p->group_count);
        e = oci_read_u32(r, &element, &id, &p->groups[p->group_count]);
    }
    return e;
}

static int read_umask(const struct oci_reader *r, const struct oci_node *n,
                      const struct oci_field *f, void *out) {
    struct container_process *p = out;
    p->umask_set = true;
    return oci_read_u32(r, n, f, out);
}

static const struct oci_field g_user_fields[] = {
    {.name = "uid",
     .read = oci_read_u32,
     .offset = offsetof(struct container_process, uid),
     .max = UINT32_MAX - 1},
    {.name = "gid",
     .read = oci_read_u32,
     .offset = offsetof(struct container_process, gid),
     .max = UINT32_MAX - 1},
    {.name = "umask",
     .read = read_umask,
     .offset = offsetof(struct container_process, umask),
     .max = 0777},
    {.name = "additionalGids", .read = read_groups},
    {.name = "username", .read = oci_read_foreign, .note = "is for another platform, ignored"},
    {0},
};

/* ---- capabilities and limits ---- */

/* Engines name capabilities that are newer than this build: a warning then, as runc's. */
static int read_caps(const struct oci_reader *r, const struct oci_node *n,
                     const struct oci_field *f, void *out) {
    uint64_t *set = (uint64_t *)((char *)out + f->offset);
    int e = oci_expect(r, n, json_type_array);
    size_t count = e == 0 ? json_object_array_length(n->value) : 0;
    for (size_t i = 0; i < count && e == 0; i++) {
        struct oci_node element = oci_element(n, i);
        const char *name = "";
        e = oci_text(r, &element, OCI_TEXT_MAX, &name);
        int cap = e == 0 ? oci_capability(name) : -1;
        if (cap >= 0) {
            *set |= 1ull << cap;
        } else if (e == 0) {
            oci_warn(r, &element, "unknown capability '%.60s', left out", name);
        }
    }
    return e;
}

static const struct oci_field g_caps_fields[] = {
    {.name = "effective", .read = read_caps, .offset = offsetof(struct container_caps, effective)},
    {.name = "permitted", .read = read_caps, .offset = offsetof(struct container_caps, permitted)},
    {.name = "inheritable",
     .read = read_caps,
     .offset = offsetof(struct container_caps, inheritable)},
    {.name = "bounding", .read = read_caps, .offset = offsetof(struct container_caps, bounding)},
    {.name = "ambient", .read = read_caps, .offset = offsetof(struct container_caps, ambient)},
    {0},
};

static void warn_caps(const struct oci_reader *r, const struct oci_node *n, uint64_t bits,
                      const char *why) {
    for (const struct oci_name *at = g_oci_capabilities; at->name != NULL; at++) {
        if ((bits >> at->value & 1) != 0) {
            oci_warn(r, n, "%s %s", at->name, why);
        }
    }
}

/* capabilities(7): effective is part of permitted, ambient of permitted and inheritable. */
static int check_caps(const struct oci_reader *r, const struct oci_node *n, void *object) {
    struct container_caps *caps = object;
    struct oci_node effective = oci_member(n, "effective"), ambient = oci_member(n, "ambient");
    uint64_t excess = caps->effective & ~caps->permitted;
    if (excess != 0) {
        return oci_fail(r, &effective, -EINVAL, "holds %s, which permitted does not hold",
                        oci_name_of(g_oci_capabilities, (uint64_t)__builtin_ctzll(excess)));
    }
    uint64_t lost = caps->ambient & ~(caps->permitted & caps->inheritable);
    warn_caps(r, &ambient, lost, "is not in both permitted and inheritable, left out");
    caps->ambient &= ~lost;
    return 0;
}

static const struct oci_field g_rlimit_fields[] = {
    {.name = "type",
     .read = oci_read_name,
     .offset = offsetof(struct container_rlimit, resource),
     .names = g_oci_rlimits,
     .required = true},
    {.name = "soft",
     .read = oci_read_u64,
     .offset = offsetof(struct container_rlimit, cur),
     .required = true},
    {.name = "hard",
     .read = oci_read_u64,
     .offset = offsetof(struct container_rlimit, max),
     .required = true},
    {0},
};

static int check_rlimit(const struct oci_reader *r, const struct oci_node *n, void *object) {
    const struct container_rlimit *limit = object;
    return limit->cur <= limit->max
               ? 0
               : oci_fail(r, n, -EINVAL, "soft (%llu) is larger than hard (%llu)",
                          (unsigned long long)limit->cur, (unsigned long long)limit->max);
}

/* ---- scheduling ---- */

static int read_scheduler_flags(const struct oci_reader *r, const struct oci_node *n,
                                const struct oci_field *f, void *out) {
    struct oci_scheduler *s = out;
    int e = oci_expect(r, n, json_type_array);
    size_t count = e == 0 ? json_object_array_length(n->value) : 0;
    for (size_t i = 0; i < count && e == 0; i++) {
        struct oci_node element = oci_element(n, i);
        const struct oci_field flag = {.names = g_oci_scheduler_flags};
        uint32_t value = 0;
        e = oci_read_name(r, &element, &flag, &value);
        s->flags |= value;
    }
    return e;
}

#define SCHEDULER(text, reader, field)                                                             \
    .name = text, .read = reader, .offset = offsetof(struct oci_scheduler, field)
static const struct oci_field g_scheduler_fields[] = {
    {SCHEDULER("policy", oci_read_name, policy), .names = g_oci_schedulers, .required = true},
    {SCHEDULER("nice", oci_read_i32, nice), .min = -20, .max = 19},
    {SCHEDULER("priority", oci_read_i32, priority), .max = 99},
    {SCHEDULER("flags", read_scheduler_flags, flags)},
    {SCHEDULER("runtime", oci_read_u64, runtime)},
    {SCHEDULER("deadline", oci_read_u64, deadline)},
    {SCHEDULER("period", oci_read_u64, period)},
    {0},
};

/* sched_setattr(2): which members belong to which policy. */
static int check_scheduler(const struct oci_reader *r, const struct oci_node *n, void *object) {
    struct oci_scheduler *s = object;
    bool real_time = s->policy == SCHED_FIFO || s->policy == SCHED_RR;
    s->set = true;
    if (s->nice != 0 && s->policy != SCHED_NORMAL && s->policy != SCHED_BATCH) {
        struct oci_node at = oci_member(n, "nice");
        return oci_fail(r, &at, -EINVAL, "belongs to SCHED_OTHER and SCHED_BATCH alone");
    }
    if (real_time != (s->priority != 0)) {
        struct oci_node at = oci_member(n, "priority");
        return oci_fail(r, &at, -EINVAL,
                        real_time ? "must lie between 1 and 99 for this policy"
                                  : "belongs to SCHED_FIFO and SCHED_RR alone");
    }
    if (s->policy != SCHED_DEADLINE && (s->runtime | s->deadline | s->period) != 0) {
        return oci_fail(r, n, -EINVAL,
                        "runtime, deadline and period belong to SCHED_DEADLINE alone");
    }
    if (s->policy == SCHED_DEADLINE && (s->runtime == 0 || s->runtime > s->deadline ||
                                        (s->period != 0 && s->deadline > s->period))) {
        return oci_fail(r, n, -EINVAL,
                        "SCHED_DEADLINE needs 0 < runtime <= deadline <= period (in nanoseconds)");
    }
    return 0;
}

static const struct oci_field g_io_priority_fields[] = {
    {.name = "class",
     .read = oci_read_name,
     .offset = offsetof(struct oci_io_priority, class),
     .names = g_oci_io_classes,
     .required = true},
    {.name = "priority",
     .read = oci_read_u32,
     .offset = offsetof(struct oci_io_priority, priority),
     .max = 7},
    {0},
};

static int check_io_priority(const struct oci_reader *r, const struct oci_node *n, void *object) {
    ((struct oci_io_priority *)object)->set = true;
    return 0;
}

/* A list of CPUs, "0-3,7": cpuset(7) "List format". */
static bool is_cpu_list(const char *text) {
    for (;;) {
        char *end;
        if (*text < '0' || *text > '9') {
            return false;
        }
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (*end == '-' && end[1] >= '0' && end[1] <= '9') {
            last = strtoul(end + 1, &end, 10);
        }
        if (last < first || last > 65535 || (*end != '\0' && *end != ',')) {
            return false;
        }
        if (*end == '\0') {
            return true;
        }
        text = end + 1;
    }
}

static int read_cpu_list(const struct oci_reader *r, const struct oci_node *n,
                         const struct oci_field *f, void *out) {
    const char *text = "";
    int e = oci_text(r, n, 4096, &text);
    if (e != 0 || text[0] == '\0') {
        return e;
    }
    if (!is_cpu_list(text)) {
        return oci_fail(r, n, -EINVAL, "'%.60s' is no list of CPUs such as 0-3,7", text);
    }
    return oci_copy(r, n, text, (char **)((char *)out + f->offset));
}

static const struct oci_field g_affinity_fields[] = {
    {.name = "initial",
     .read = read_cpu_list,
     .offset = offsetof(struct oci_cpu_affinity, initial)},
    {.name = "final", .read = read_cpu_list, .offset = offsetof(struct oci_cpu_affinity, final)},
    {0},
};

/* ---- the process ---- */

static int read_oom_score(const struct oci_reader *r, const struct oci_node *n,
                          const struct oci_field *f, void *out) {
    struct container_process *p = out;
    p->oom_score_adj_set = true;
    return oci_read_i32(r, n, f, out);
}

static const struct oci_field g_console_fields[] = {
    {.name = "height", .read = oci_read_u16, .offset = offsetof(struct container_process, rows)},
    {.name = "width", .read = oci_read_u16, .offset = offsetof(struct container_process, cols)},
    {0},
};

#define PROCESS(text, reader, field)                                                               \
    .name = text, .read = reader, .offset = offsetof(struct container_process, field)
const struct oci_field g_process_fields[] = {
    {PROCESS("terminal", oci_read_bool, terminal)},
    {.name = "consoleSize", .read = oci_read_object, .fields = g_console_fields},
    {PROCESS("cwd", oci_read_path, cwd), .required = true},
    {PROCESS("env", oci_read_texts, env)},
    {PROCESS("args", oci_read_texts, args)},
    {.name = "commandLine", .read = oci_read_foreign, .note = "is for another platform, ignored"},
    {PROCESS("rlimits", oci_read_array, rlimits),
     .count_offset = offsetof(struct container_process, rlimit_count),
     .item_size = sizeof(struct container_rlimit), .fields = g_rlimit_fields, .check = check_rlimit,
     .max = 64},
    {PROCESS("noNewPrivileges", oci_read_bool, no_new_privs)},
    {PROCESS("apparmorProfile", oci_read_text, apparmor_profile), .max = 4096},
    {PROCESS("selinuxLabel", oci_read_text, selinux_label), .max = 4096},
    {PROCESS("capabilities", oci_read_object, caps), .fields = g_caps_fields, .check = check_caps},
    {PROCESS("oomScoreAdj", read_oom_score, oom_score_adj), .min = -1000, .max = 1000},
    {PROCESS("scheduler", oci_read_object, scheduler), .fields = g_scheduler_fields,
     .check = check_scheduler},
    {PROCESS("ioPriority", oci_read_object, io_priority), .fields = g_io_priority_fields,
     .check = check_io_priority},
    {PROCESS("execCPUAffinity", oci_read_object, cpu_affinity), .fields = g_affinity_fields},
    {.name = "user", .read = oci_read_object, .fields = g_user_fields},
    {0},
};

void oci_process_init(void *process) {
    ((struct container_process *)process)->umask = 022;
}

/* "rlimits": the same type twice is an error. */
static int check_rlimits(const struct oci_reader *r, const struct oci_node *n,
                         const struct container_process *p) {
    uint64_t seen = 0;
    for (size_t i = 0; i < p->rlimit_count; i++) {
        uint64_t bit = 1ull << p->rlimits[i].resource;
        if ((seen & bit) != 0) {
            struct oci_node list = oci_member(n, "rlimits"), at = oci_element(&list, i);
            return oci_fail(r, &at, -EINVAL, "%s is given twice",
                            oci_name_of(g_oci_rlimits, p->rlimits[i].resource));
        }
        seen |= bit;
    }
    return 0;
}

struct env_entry {
    const char *text;
    size_t name_len, index;
};

static int compare_env(const void *a, const void *b) {
    const struct env_entry *x = a, *y = b;
    size_t shorter = x->name_len < y->name_len ? x->name_len : y->name_len;
    int order = memcmp(x->text, y->text, shorter);
    if (order == 0 && x->name_len != y->name_len) {
        order = x->name_len < y->name_len ? -1 : 1;
    }
    return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

/* Of a name that is set twice the last counts, whichever a program would look at. */
static int drop_repeated_env(struct strlist *env) {
    if (env->count < 2) {
        return 0;
    }
    struct env_entry *sorted = calloc(env->count, sizeof(*sorted));
    if (sorted == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < env->count; i++) {
        sorted[i] = (struct env_entry){env->items[i], strcspn(env->items[i], "="), i};
    }
    qsort(sorted, env->count, sizeof(*sorted), compare_env);
    for (size_t i = 0; i + 1 < env->count; i++) {
        if (sorted[i].name_len == sorted[i + 1].name_len &&
            memcmp(sorted[i].text, sorted[i + 1].text, sorted[i].name_len) == 0) {
            free(env->items[sorted[i].index]);
            env->items[sorted[i].index] = NULL;
        }
    }
    free(sorted);
    size_t kept = 0;
    for (size_t i = 0; i < env->count; i++) {
        if (env->items[i] != NULL) {
            env->items[kept++] = env->items[i];
        }
    }
    env->count = kept;
    env->items[kept] = NULL;
    return 0;
}

static int check_env(const struct oci_reader *r, const struct oci_node *n,
                     struct container_process *p) {
    struct oci_node list = oci_member(n, "env");
    for (size_t i = 0; i < p->env.count; i++) {
        const char *text = p->env.items[i];
        if (text[0] == '=' || strchr(text, '=') == NULL) {
            struct oci_node at = oci_element(&list, i);
            return oci_fail(r, &at, -EINVAL, "'%.60s' is not of the form NAME=VALUE", text);
        }
    }
    return drop_repeated_env(&p->env) == 0 ? 0 : oci_fail(r, &list, -ENOMEM, "no memory");
}

int oci_process_check(const struct oci_reader *r, const struct oci_node *n, void *process) {
    struct container_process *p = process;
    if (p->args.count == 0 || p->args.items[0][0] == '\0') {
        struct oci_node at = oci_member(n, "args");
        return oci_fail(r, &at, -EINVAL, "is missing or empty: it names the program to run");
    }
    int e = check_rlimits(r, n, p);
    return e != 0 ? e : check_env(r, n, p);
}
