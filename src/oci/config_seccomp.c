/* SPDX-License-Identifier: Apache-2.0 */
/* "linux.seccomp": config-linux.md "Seccomp". */
#include "oci/config_parts.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>

#define ERRNO_MAX 4095u /* the kernel's MAX_ERRNO */

/* ---- rules ---- */

#define ARG(text, reader, field)                                                                   \
    .name = text, .read = reader, .offset = offsetof(struct oci_seccomp_arg, field)
static const struct oci_field g_arg_fields[] = {
    {ARG("index", oci_read_u32, index), .max = 5, .required = true},
    {ARG("value", oci_read_u64, value), .required = true},
    {ARG("valueTwo", oci_read_u64, value_two)},
    {ARG("op", oci_read_name, op), .names = g_oci_seccomp_operators, .required = true},
    {0},
};

static int read_names(const struct oci_reader *r, const struct oci_node *n,
                      const struct oci_field *f, void *out) {
    struct oci_seccomp_rule *rule = out;
    int e = oci_read_texts(r, n, f, out);
    for (size_t i = 0; i < rule->names.count && e == 0; i++) {
        if (rule->names.items[i][0] == '\0') {
            struct oci_node at = oci_element(n, i);
            e = oci_fail(r, &at, -EINVAL, "must not be empty");
        }
    }
    return e;
}

/* Read by finish_action, together with "action": here only the range. */
static int check_errno(const struct oci_reader *r, const struct oci_node *n,
                       const struct oci_field *f, void *out) {
    const struct oci_field value = {.max = f->max};
    uint32_t ignored = 0;
    return oci_read_u32(r, n, &value, &ignored);
}

#define RULE(text, reader, field)                                                                  \
    .name = text, .read = reader, .offset = offsetof(struct oci_seccomp_rule, field)
static const struct oci_field g_rule_fields[] = {
    {RULE("names", read_names, names), .max = 4096, .required = true},
    {RULE("action", oci_read_name, action), .names = g_oci_seccomp_actions, .required = true},
    {.name = "errnoRet", .read = check_errno, .max = UINT16_MAX},
    {RULE("args", oci_read_array, args),
     .count_offset = offsetof(struct oci_seccomp_rule, arg_count),
     .item_size = sizeof(struct oci_seccomp_arg), .fields = g_arg_fields, .max = 64},
    {0},
};

/* Adds the error number, EPERM unless told otherwise, to the actions that have one. */
static int finish_action(const struct oci_reader *r, const struct oci_node *n, const char *member,
                         uint32_t *action) {
    struct oci_node at = oci_member(n, member);
    uint64_t number = at.value != NULL ? json_object_get_uint64(at.value) : EPERM;
    if (*action == SCMP_ACT_ERRNO(0)) {
        if (number > ERRNO_MAX) {
            return oci_fail(r, &at, -ERANGE, "must be an error number, at most %u", ERRNO_MAX);
        }
        *action = SCMP_ACT_ERRNO((uint32_t)number);
    } else if (*action == SCMP_ACT_TRACE(0)) {
        *action = SCMP_ACT_TRACE((uint32_t)number);
    } else if (at.value != NULL && number != 0) {
        return oci_fail(r, &at, -EINVAL, "belongs to SCMP_ACT_ERRNO and SCMP_ACT_TRACE alone");
    }
    return 0;
}

static int check_rule(const struct oci_reader *r, const struct oci_node *n, void *object) {
    struct oci_seccomp_rule *rule = object;
    if (rule->names.count == 0) {
        struct oci_node at = oci_member(n, "names");
        return oci_fail(r, &at, -EINVAL, "must name a system call at least");
    }
    for (size_t i = 0; rule->action == SCMP_ACT_NOTIFY && i < rule->names.count; i++) {
        if (strcmp(rule->names.items[i], "write") == 0) {
            /* The listener's descriptor is handed on after the filter is in place, by writing. */
            return oci_fail(r, n, -EINVAL, "SCMP_ACT_NOTIFY cannot be used for 'write'");
        }
    }
    return finish_action(r, n, "errnoRet", &rule->action);
}

/* ---- lists of names ---- */

static int read_architectures(const struct oci_reader *r, const struct oci_node *n,
                              const struct oci_field *f, void *out) {
    struct oci_seccomp *s = out;
    int e = oci_expect(r, n, json_type_array);
    size_t count = e == 0 ? json_object_array_length(n->value) : 0;
    if (count > f->max) {
        return oci_fail(r, n, -E2BIG, "has %zu elements, at most %llu are allowed", count,
                        (unsigned long long)f->max);
    }
    if (count == 0) {
        return e;
    }
    s->architectures = calloc(count, sizeof(*s->architectures));
    if (s->architectures == NULL) {
        return oci_fail(r, n, -ENOMEM, "no memory");
    }
    const struct oci_field name = {.names = g_oci_seccomp_archs};
    for (; s->architecture_count < count && e == 0; s->architecture_count++) {
        struct oci_node element = oci_element(n, s->architecture_count);
        e = oci_read_name(r, &element, &name, &s->architectures[s->architecture_count]);
    }
    return e;
}

static int read_flags(const struct oci_reader *r, const struct oci_node *n,
                      const struct oci_field *f, void *out) {
    struct oci_seccomp *s = out;
    int e = oci_expect(r, n, json_type_array);
    size_t count = e == 0 ? json_object_array_length(n->value) : 0;
    const struct oci_field name = {.names = g_oci_seccomp_flags};
    for (size_t i = 0; i < count && e == 0; i++) {
        struct oci_node element = oci_element(n, i);
        uint32_t flag = 0;
        e = oci_read_name(r, &element, &name, &flag);
        s->flags |= flag;
    }
    return e;
}

/* ---- the section ---- */

#define SECCOMP(text, reader, field)                                                               \
    .name = text, .read = reader, .offset = offsetof(struct oci_seccomp, field)
const struct oci_field g_seccomp_fields[] = {
    {SECCOMP("defaultAction", oci_read_name, default_action), .names = g_oci_seccomp_actions,
     .required = true},
    {.name = "defaultErrnoRet", .read = check_errno, .max = UINT16_MAX},
    {.name = "architectures", .read = read_architectures, .max = 64},
    {.name = "flags", .read = read_flags},
    {SECCOMP("listenerPath", oci_read_path, listener_path)},
    {SECCOMP("listenerMetadata", oci_read_text, listener_metadata)},
    {SECCOMP("syscalls", oci_read_array, rules),
     .count_offset = offsetof(struct oci_seccomp, rule_count),
     .item_size = sizeof(struct oci_seccomp_rule), .fields = g_rule_fields, .check = check_rule,
     .max = 8192},
    {0},
};

int oci_seccomp_check(const struct oci_reader *r, const struct oci_node *n, void *seccomp) {
    struct oci_seccomp *s = seccomp;
    bool notify = false;
    s->set = true;
    if (s->default_action == SCMP_ACT_NOTIFY) {
        struct oci_node at = oci_member(n, "defaultAction");
        return oci_fail(r, &at, -EINVAL,
                        "SCMP_ACT_NOTIFY cannot be the default: nothing could answer");
    }
    for (size_t i = 0; i < s->rule_count; i++) {
        notify = notify || s->rules[i].action == SCMP_ACT_NOTIFY;
    }
    struct oci_node path = oci_member(n, "listenerPath"), data = oci_member(n, "listenerMetadata");
    if (notify && s->listener_path == NULL) {
        return oci_fail(r, &path, -EINVAL, "is missing: SCMP_ACT_NOTIFY needs who answers");
    }
    if (s->listener_metadata != NULL && s->listener_path == NULL) {
        return oci_fail(r, &data, -EINVAL, "is given without listenerPath");
    }
    if (s->listener_path != NULL && !notify) {
        oci_warn(r, &path, "no system call has SCMP_ACT_NOTIFY, ignored");
    }
    return finish_action(r, n, "defaultErrnoRet", &s->default_action);
}
