/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of single values: see read.h. */
#include "oci/read.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void *field_at(const struct oci_field *f, void *out) {
    return (char *)out + f->offset;
}

static int range_error(const struct oci_reader *r, const struct oci_node *n, int64_t min,
                       uint64_t max) {
    return oci_fail(r, n, -ERANGE, "is %.40s, must lie between %lld and %llu",
                    json_object_get_string(n->value), (long long)min, (unsigned long long)max);
}

/* A whole number between min and max, in two's complement when it is negative. */
static int integer(const struct oci_reader *r, const struct oci_node *n, int64_t min, uint64_t max,
                   uint64_t *out) {
    int e = oci_expect(r, n, json_type_int);
    if (e != 0) {
        return e;
    }
    int64_t low = json_object_get_int64(n->value);
    uint64_t high = json_object_get_uint64(n->value);
    bool fits = low < 0 ? low >= min : high <= max && (min <= 0 || high >= (uint64_t)min);
    if (!fits) {
        return range_error(r, n, min, max);
    }
    *out = low < 0 ? (uint64_t)low : high;
    return 0;
}

static uint64_t upper(const struct oci_field *f, uint64_t type_max) {
    return f->max != 0 ? f->max : type_max;
}

int oci_read_bool(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                  void *out) {
    int e = oci_expect(r, n, json_type_boolean);
    if (e == 0) {
        *(bool *)field_at(f, out) = json_object_get_boolean(n->value) != 0;
    }
    return e;
}

int oci_read_u16(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                 void *out) {
    uint64_t v = 0;
    int e = integer(r, n, f->min, upper(f, UINT16_MAX), &v);
    if (e == 0) {
        *(uint16_t *)field_at(f, out) = (uint16_t)v;
    }
    return e;
}

int oci_read_u32(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                 void *out) {
    uint64_t v = 0;
    int e = integer(r, n, f->min, upper(f, UINT32_MAX), &v);
    if (e == 0) {
        *(uint32_t *)field_at(f, out) = (uint32_t)v;
    }
    return e;
}

int oci_read_i32(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                 void *out) {
    uint64_t v = 0;
    int e = integer(r, n, f->min, upper(f, INT32_MAX), &v);
    if (e == 0) {
        *(int32_t *)field_at(f, out) = (int32_t)v;
    }
    return e;
}

int oci_read_u64(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                 void *out) {
    uint64_t v = 0;
    int e = integer(r, n, f->min, upper(f, UINT64_MAX), &v);
    if (e == 0) {
        *(uint64_t *)field_at(f, out) = v;
    }
    return e;
}

int oci_read_i64(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                 void *out) {
    uint64_t v = 0;
    int e = integer(r, n, f->min, upper(f, INT64_MAX), &v);
    if (e == 0) {
        *(int64_t *)field_at(f, out) = (int64_t)v;
    }
    return e;
}

int oci_read_set_u64(const struct oci_reader *r, const struct oci_node *n,
                     const struct oci_field *f, void *out) {
    struct cgroup_u64 *v = field_at(f, out);
    int e = integer(r, n, f->min, upper(f, UINT64_MAX), &v->value);
    v->set = e == 0;
    return e;
}

int oci_read_set_i64(const struct oci_reader *r, const struct oci_node *n,
                     const struct oci_field *f, void *out) {
    struct cgroup_i64 *v = field_at(f, out);
    uint64_t value = 0;
    int e = integer(r, n, f->min, upper(f, INT64_MAX), &value);
    v->value = (int64_t)value;
    v->set = e == 0;
    return e;
}

static bool is_zero(const struct oci_node *n) {
    return json_object_get_type(n->value) == json_type_int && json_object_get_int64(n->value) == 0;
}

int oci_read_limit_u64(const struct oci_reader *r, const struct oci_node *n,
                       const struct oci_field *f, void *out) {
    return is_zero(n) ? 0 : oci_read_set_u64(r, n, f, out);
}

int oci_read_limit_i64(const struct oci_reader *r, const struct oci_node *n,
                       const struct oci_field *f, void *out) {
    return is_zero(n) ? 0 : oci_read_set_i64(r, n, f, out);
}

int oci_read_text(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                  void *out) {
    const char *text = "";
    int e = oci_text(r, n, upper(f, OCI_TEXT_MAX), &text);
    if (e == 0 && text[0] == '\0' && f->required) {
        e = oci_fail(r, n, -EINVAL, "must not be empty");
    }
    return e != 0 || text[0] == '\0' ? e : oci_copy(r, n, text, field_at(f, out));
}

static int check_absolute(const struct oci_reader *r, const struct oci_node *n, const char *path) {
    return path[0] == '/' ? 0
                          : oci_fail(r, n, -EINVAL, "is '%.100s', must be an absolute path", path);
}

int oci_read_path(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                  void *out) {
    const char *text = "";
    int e = oci_text(r, n, PATH_MAX - 1, &text);
    if (e != 0 || (text[0] == '\0' && !f->required)) {
        return e;
    }
    e = check_absolute(r, n, text);
    return e != 0 ? e : oci_copy(r, n, text, field_at(f, out));
}

static int read_list(const struct oci_reader *r, const struct oci_node *n,
                     const struct oci_field *f, bool paths, struct strlist *list) {
    int e = oci_expect(r, n, json_type_array);
    size_t count = e == 0 ? json_object_array_length(n->value) : 0;
    if (count > upper(f, OCI_LIST_MAX)) {
        return oci_fail(r, n, -E2BIG, "has %zu elements, at most %llu are allowed", count,
                        (unsigned long long)upper(f, OCI_LIST_MAX));
    }
    for (size_t i = 0; i < count && e == 0; i++) {
        struct oci_node element = oci_element(n, i);
        const char *text = "";
        e = oci_text(r, &element, paths ? PATH_MAX - 1 : UINT32_MAX, &text);
        if (e == 0 && paths) {
            e = check_absolute(r, &element, text);
        }
        if (e == 0 && strlist_add(list, text) != 0) {
            e = oci_fail(r, &element, -ENOMEM, "no memory");
        }
    }
    return e;
}

int oci_read_texts(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                   void *out) {
    return read_list(r, n, f, false, field_at(f, out));
}

int oci_read_paths(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                   void *out) {
    return read_list(r, n, f, true, field_at(f, out));
}

/* "'x' is not known; it can be a, b, c". */
static int unknown_name(const struct oci_reader *r, const struct oci_node *n, const char *text,
                        const struct oci_name *names) {
    char all[400];
    size_t used = 0;
    all[0] = '\0';
    for (const struct oci_name *at = names; at->name != NULL && used < sizeof(all); at++) {
        int more = snprintf(all + used, sizeof(all) - used, "%s%s", used > 0 ? ", " : "", at->name);
        used += more > 0 ? (size_t)more : 0;
    }
    return oci_fail(r, n, -EINVAL, "'%.60s' is not known; it can be %s", text, all);
}

int oci_read_name(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                  void *out) {
    const char *text = "";
    int e = oci_text(r, n, OCI_TEXT_MAX, &text);
    if (e != 0) {
        return e;
    }
    const struct oci_name *found = oci_name_find(f->names, text);
    if (found == NULL) {
        return unknown_name(r, n, text, f->names);
    }
    *(uint32_t *)field_at(f, out) = (uint32_t)found->value;
    return 0;
}

int oci_read_pairs(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                   void *out) {
    struct oci_key_values *list = field_at(f, out);
    int e = oci_expect(r, n, json_type_object);
    size_t count = e == 0 ? (size_t)json_object_object_length(n->value) : 0;
    if (e != 0 || count == 0) {
        return e;
    }
    if (count > upper(f, OCI_LIST_MAX)) {
        return oci_fail(r, n, -E2BIG, "has %zu members, at most %llu are allowed", count,
                        (unsigned long long)upper(f, OCI_LIST_MAX));
    }
    list->items = calloc(count, sizeof(*list->items));
    if (list->items == NULL) {
        return oci_fail(r, n, -ENOMEM, "no memory");
    }
    struct json_object_iterator at = json_object_iter_begin(n->value);
    struct json_object_iterator end = json_object_iter_end(n->value);
    for (; e == 0 && !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
        struct oci_node member = oci_member(n, json_object_iter_peek_name(&at));
        struct oci_key_value *pair = &list->items[list->count++];
        const char *text = "";
        e = member.key[0] != '\0' ? 0 : oci_fail(r, &member, -EINVAL, "the key must not be empty");
        e = e != 0 ? e : oci_text(r, &member, UINT32_MAX, &text);
        e = e != 0 ? e : oci_copy(r, &member, member.key, &pair->key);
        e = e != 0 ? e : oci_copy(r, &member, text, &pair->value);
    }
    return e;
}

int oci_read_foreign(const struct oci_reader *r, const struct oci_node *n,
                     const struct oci_field *f, void *out) {
    oci_warn(r, n, "%s", f->note);
    return 0;
}
