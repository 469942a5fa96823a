/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.seccomp compiled to a classic BPF program: see seccomp.h.
 *
 * libseccomp resolves the names of system calls; the program is our own, because the time to make
 * one and to install it counts at every start.  Neighbouring numbers with the same action are one
 * range, and a binary search over the ranges finds the action: an engine's list of 400 calls
 * becomes some 150 instructions.
 *
 * Rules of one call: those with arguments are asked in the order of the list, then the first
 * without. Where the default is not permissive, numbers above all those of the list answer ENOSYS
 * instead of the default action: a C library takes it for an older kernel and does without, as it
 * would not with EPERM.
 */
#include "oci/seccomp.h"

#include "host/cleanup.h"
#include "oci/seccomp_build.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#define ARCHS_MAX      16
#define ARG_MAX        6u
#define X32_BIT        0x40000000u /* asm/unistd.h, __X32_SYSCALL_BIT */
#define AUDIT_OF(arch) ((arch) == SCMP_ARCH_X32 ? SCMP_ARCH_X86_64 : (arch))

/* One rule for one call; socket(2) and others have a second way in on x86, which its own number and
 * first argument name (linux/net.h, linux/ipc.h). */
struct call {
    uint32_t number;
    uint32_t order; /* rules in the order of the list */
    const struct oci_seccomp_rule *rule;
    uint32_t way; /* 0, or the first argument */
};

struct range {
    uint32_t start;
    bpf_label target;
};

/* Code that a rule has already; calls that it names together share it. */
struct shared {
    bool valid;
    bpf_label otherwise, label;
};

struct compiler {
    const struct oci_seccomp *s;
    struct shared *shared; /* for each rule */
    struct bpf_build b;
    struct call *calls;
    size_t count, cap;
    struct range *ranges;
    size_t range_count;
    bpf_label fallback; /* the default action */
};

/* own: their direct numbers on x86 (asm/unistd_32.h), which libseccomp hides behind others; 0:
 * none. */
static const struct {
    const char *name;
    uint32_t number, way, own;
} g_second_ways[] = {
    {"socket", 102, 1, 359},      {"bind", 102, 2, 361},        {"connect", 102, 3, 362},
    {"listen", 102, 4, 363},      {"accept", 102, 5, 0},        {"getsockname", 102, 6, 367},
    {"getpeername", 102, 7, 368}, {"socketpair", 102, 8, 360},  {"send", 102, 9, 0},
    {"recv", 102, 10, 0},         {"sendto", 102, 11, 369},     {"recvfrom", 102, 12, 371},
    {"shutdown", 102, 13, 373},   {"setsockopt", 102, 14, 366}, {"getsockopt", 102, 15, 365},
    {"sendmsg", 102, 16, 370},    {"recvmsg", 102, 17, 372},    {"accept4", 102, 18, 364},
    {"recvmmsg", 102, 19, 337},   {"sendmmsg", 102, 20, 345},   {"semop", 117, 1, 0},
    {"semget", 117, 2, 393},      {"semctl", 117, 3, 394},      {"semtimedop", 117, 4, 0},
    {"msgsnd", 117, 11, 400},     {"msgrcv", 117, 12, 401},     {"msgget", 117, 13, 399},
    {"msgctl", 117, 14, 402},     {"shmat", 117, 21, 397},      {"shmdt", 117, 22, 398},
    {"shmget", 117, 23, 395},     {"shmctl", 117, 24, 396},
};

/* ---- which calls ---- */

static void add_call(struct compiler *k, uint32_t number, const struct oci_seccomp_rule *rule,
                     uint32_t order, uint32_t way) {
    if (k->count == k->cap) {
        size_t cap = k->cap == 0 ? 1024 : k->cap * 2;
        struct call *grown = reallocarray(k->calls, cap, sizeof(*grown));
        if (grown == NULL) {
            k->b.error = -ENOMEM;
            return;
        }
        k->calls = grown;
        k->cap = cap;
    }
    k->calls[k->count++] = (struct call){number, order, rule, way};
}

static void add_name(struct compiler *k, uint32_t arch, const char *name,
                     const struct oci_seccomp_rule *rule, uint32_t order) {
    int number = seccomp_syscall_resolve_name_arch(arch, name);
    if (number >= 0) {
        uint32_t bit = arch == SCMP_ARCH_X32 ? X32_BIT : 0;
        add_call(k, (uint32_t)number | bit, rule, order, 0);
    }
    for (size_t i = 0; arch == SCMP_ARCH_X86 && i < ARRAY_COUNT(g_second_ways); i++) {
        if (strcmp(g_second_ways[i].name, name) != 0) {
            continue;
        }
        if (number < 0 && g_second_ways[i].own != 0) {
            add_call(k, g_second_ways[i].own, rule, order, 0);
        }
        /* Arguments of the second way lie in memory, so only rules without any can mean it. */
        if (rule->arg_count == 0) {
            add_call(k, g_second_ways[i].number, rule, order, g_second_ways[i].way);
        }
    }
}

static int by_number(const void *a, const void *b) {
    const struct call *x = a, *y = b;
    return x->number != y->number ? (x->number < y->number ? -1 : 1)
                                  : (x->order < y->order ? -1 : x->order > y->order);
}

/* All calls that the list names on one architecture, sorted. */
static void collect(struct compiler *k, uint32_t arch, struct err *err) {
    const struct oci_seccomp *s = k->s;
    for (size_t i = 0; i < s->rule_count && k->b.error == 0; i++) {
        const struct oci_seccomp_rule *rule = &s->rules[i];
        for (size_t n = 0; n < rule->arg_count; n++) {
            if (rule->args[n].index >= ARG_MAX) {
                k->b.error = err_set(err, -EINVAL,
                                     "linux.seccomp.syscalls[%zu].args[%zu].index is past 5", i, n);
                return;
            }
        }
        for (size_t n = 0; n < rule->names.count; n++) {
            add_name(k, arch, rule->names.items[n], rule, (uint32_t)i);
        }
    }
}

/* ---- what happens to one call ---- */

/* An argument that is named twice means alternatives, as engines' profiles use it; otherwise all
 * must match. */
static bool names_twice(const struct oci_seccomp_rule *rule) {
    uint32_t seen = 0;
    for (size_t i = 0; i < rule->arg_count; i++) {
        if ((seen & 1u << rule->args[i].index) != 0) {
            return true;
        }
        seen |= 1u << rule->args[i].index;
    }
    return false;
}

static bpf_label rule_label(struct compiler *k, const struct call *call, bpf_label otherwise) {
    const struct oci_seccomp_rule *rule = call->rule;
    bpf_label action = build_return(&k->b, rule->action), at;
    if (call->way != 0) {
        const struct oci_seccomp_arg way = {.value = call->way, .op = SCMP_CMP_EQ};
        return build_compare(&k->b, &way, action, otherwise);
    }
    struct shared *shared = &k->shared[call->order];
    if (shared->valid && shared->otherwise == otherwise) {
        return shared->label;
    }
    bool any = names_twice(rule);
    at = any ? otherwise : action;
    for (size_t i = rule->arg_count; i > 0; i--) {
        at = any ? build_compare(&k->b, &rule->args[i - 1], action, at)
                 : build_compare(&k->b, &rule->args[i - 1], at, otherwise);
    }
    *shared = (struct shared){true, otherwise, at};
    return at;
}

/* The code for calls[first ... last], all of one number. */
static bpf_label call_label(struct compiler *k, size_t first, size_t last) {
    bpf_label at = k->fallback;
    for (size_t i = first; i <= last; i++) {
        if (k->calls[i].rule->arg_count == 0 && k->calls[i].way == 0) {
            at = build_return(&k->b, k->calls[i].rule->action);
            break;
        }
    }
    for (size_t i = last + 1; i > first; i--) {
        const struct call *call = &k->calls[i - 1];
        if (call->rule->arg_count > 0 || call->way != 0) {
            at = rule_label(k, call, at);
        }
    }
    return at;
}

/* ---- the search ---- */

static void add_range(struct compiler *k, uint32_t start, bpf_label target) {
    struct range *last = k->range_count > 0 ? &k->ranges[k->range_count - 1] : NULL;
    if (last != NULL && last->start == start) {
        last->target = target;
        k->range_count--; /* it may be one with the range before now */
        add_range(k, start, target);
    } else if (last == NULL || last->target != target) {
        k->ranges[k->range_count++] = (struct range){start, target};
    }
}

static bpf_label search(struct compiler *k, size_t low, size_t high) {
    if (low == high) {
        return k->ranges[low].target;
    }
    size_t middle = (low + high + 1) / 2;
    bpf_label right = search(k, middle, high), left = search(k, low, middle - 1);
    return build_jump(&k->b, BPF_JGE, k->ranges[middle].start, right, left);
}

static bool is_permissive(uint32_t action) {
    switch (action & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_USER_NOTIF:
        return true;
    default:
        return false;
    }
}

/* Numbers from `from` to below `limit` that the list names, and what lies between them. */
static void add_ranges(struct compiler *k, uint32_t from, uint32_t limit) {
    uint32_t next = from;
    add_range(k, from, k->fallback);
    for (size_t i = 0; i < k->count;) {
        size_t last = i;
        while (last + 1 < k->count && k->calls[last + 1].number == k->calls[i].number) {
            last++;
        }
        uint32_t number = k->calls[i].number;
        if (number >= from && number < limit) {
            bpf_label target = call_label(k, i, last);
            add_range(k, number, target);
            next = number + 1;
            add_range(k, next, k->fallback);
        }
        i = last + 1;
    }
    if (next > from && next < limit && !is_permissive(k->s->default_action)) {
        add_range(k, next, build_return(&k->b, SECCOMP_RET_ERRNO | ENOSYS));
    }
}

/* The part for one of the kernel's architectures; x32 shares x86-64's. */
static bpf_label arch_label(struct compiler *k, uint32_t arch, bool x32, struct err *err) {
    k->count = 0;
    k->range_count = 0;
    collect(k, arch, err);
    if (x32) {
        collect(k, SCMP_ARCH_X32, err);
    }
    if (k->count > 0) {
        qsort(k->calls, k->count, sizeof(*k->calls), by_number);
    }
    free(k->ranges);
    k->ranges = calloc(2 * k->count + 8, sizeof(*k->ranges));
    if (k->ranges == NULL) {
        k->b.error = -ENOMEM;
    }
    if (k->b.error != 0) {
        return 0;
    }
    k->fallback = build_return(&k->b, k->s->default_action);
    bool split = arch == SCMP_ARCH_X86_64;
    add_ranges(k, 0, split ? X32_BIT : UINT32_MAX);
    if (split && x32) {
        add_ranges(k, X32_BIT, UINT32_MAX);
    } else if (split) {
        add_range(k, X32_BIT, build_return(&k->b, SECCOMP_RET_KILL_THREAD));
    }
    build_goto(&k->b, search(k, 0, k->range_count - 1));
    return build_load(&k->b, offsetof(struct seccomp_data, nr));
}

/* The native one first, then those of the list; each of the kernel's once. */
static size_t list_archs(const struct oci_seccomp *s, uint32_t archs[ARCHS_MAX], bool *out_x32) {
    size_t count = 0;
    archs[count++] = seccomp_arch_native();
    *out_x32 = false;
    for (size_t i = 0; i < s->architecture_count; i++) {
        uint32_t arch = AUDIT_OF(s->architectures[i]);
        bool known = false;
        *out_x32 = *out_x32 || s->architectures[i] == SCMP_ARCH_X32;
        for (size_t n = 0; n < count; n++) {
            known = known || archs[n] == arch;
        }
        if (!known && arch != SCMP_ARCH_NATIVE && count < ARCHS_MAX) {
            archs[count++] = arch;
        }
    }
    return count;
}

static void compile(struct compiler *k, struct err *err) {
    uint32_t archs[ARCHS_MAX];
    bpf_label labels[ARCHS_MAX];
    bool x32;
    size_t count = list_archs(k->s, archs, &x32);
    bpf_label other = build_return(&k->b, SECCOMP_RET_KILL_THREAD);
    for (size_t i = count; i > 0 && k->b.error == 0; i--) {
        labels[i - 1] = arch_label(k, archs[i - 1], x32 && archs[i - 1] == SCMP_ARCH_X86_64, err);
    }
    for (size_t i = count; i > 0 && k->b.error == 0; i--) {
        other = build_jump(&k->b, BPF_JEQ, archs[i - 1], labels[i - 1], other);
    }
    (void)build_load(&k->b, offsetof(struct seccomp_data, arch)); /* the program's beginning */
}

int seccomp_compile(const struct oci_seccomp *s, struct seccomp_program *out, struct err *err) {
    struct compiler k = {.s = s};
    *out = (struct seccomp_program){0};
    k.shared = calloc(s->rule_count + 1, sizeof(*k.shared));
    if (k.shared == NULL) {
        return err_sys(err, -ENOMEM, "linux.seccomp");
    }
    compile(&k, err);
    int e = k.b.error;
    if (e == 0 && k.b.count > BPF_MAXINSNS) {
        e = -E2BIG;
    }
    out->code = e == 0 ? calloc(k.b.count, sizeof(*out->code)) : NULL;
    if (e == 0 && out->code == NULL) {
        e = -ENOMEM;
    }
    for (size_t i = 0; i < k.b.count && e == 0; i++) {
        out->code[i] = k.b.code[k.b.count - 1 - i];
    }
    out->count = e == 0 ? (uint16_t)k.b.count : 0;
    for (size_t i = 0; i < s->rule_count && e == 0; i++) {
        out->notify = out->notify || s->rules[i].action == SCMP_ACT_NOTIFY;
    }
    free(k.b.code);
    free(k.calls);
    free(k.shared);
    free(k.ranges);
    return e == 0 ? 0 : err_sys(err, e, "linux.seccomp: cannot compile the filter");
}
