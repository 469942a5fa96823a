/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over JSON objects and arrays, and its messages: see read.h. */
#include "oci/read.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATH_TEXT_MAX 256
#define WARNINGS_MAX  64u

/* ---- where something stands ---- */

static bool plain_key(const char *key) {
    for (const char *c = key; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '_') {
            return false;
        }
    }
    return key[0] != '\0';
}

/* Appends as much of the path as fits; returns the length used. */
static size_t path_text(const struct oci_node *n, char *text, size_t size) {
    if (n->up == NULL) {
        text[0] = '\0';
        return 0;
    }
    size_t used = path_text(n->up, text, size);
    int more;
    if (n->key == NULL) {
        more = snprintf(text + used, size - used, "[%zu]", n->index);
    } else if (plain_key(n->key)) {
        more = snprintf(text + used, size - used, "%s%s", used > 0 ? "." : "", n->key);
    } else {
        more = snprintf(text + used, size - used, "[\"%.100s\"]", n->key);
    }
    used += more > 0 ? (size_t)more : 0;
    return used < size ? used : size - 1;
}

/* Texts of the JSON go to terminals and logs. */
static void make_printable(char *text) {
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text)) {
            *text = '?';
        }
    }
}

static void compose(const struct oci_node *n, char *message, size_t size, const char *format,
                    va_list args) {
    char where[PATH_TEXT_MAX], what[512];
    (void)path_text(n, where, sizeof(where));
    (void)vsnprintf(what, sizeof(what), format, args); /* a cut message is still a message */
    int used = snprintf(message, size, "%s%s", where, where[0] != '\0' ? ": " : ""); /* fits */
    (void)snprintf(message + used, size - (size_t)used, "%s", what);
    make_printable(message);
}

int oci_fail(const struct oci_reader *r, const struct oci_node *n, int code, const char *format,
             ...) {
    char message[768];
    va_list args;
    va_start(args, format);
    compose(n, message, sizeof(message), format, args);
    va_end(args);
    return err_set(r->err, code, "%s", message);
}

void oci_warn(const struct oci_reader *r, const struct oci_node *n, const char *format, ...) {
    char message[768];
    if (r->how->warn == NULL || *r->warnings > WARNINGS_MAX) {
        return;
    }
    if ((*r->warnings)++ == WARNINGS_MAX) {
        r->how->warn(r->how->arg, "config.json: further warnings are left out");
        return;
    }
    va_list args;
    va_start(args, format);
    compose(n, message, sizeof(message), format, args);
    va_end(args);
    r->how->warn(r->how->arg, message);
}

/* ---- values ---- */

static const char *type_text(enum json_type type) {
    switch (type) {
    case json_type_null:
        return "null";
    case json_type_boolean:
        return "true or false";
    case json_type_double:
        return "a fraction";
    case json_type_int:
        return "a whole number";
    case json_type_object:
        return "an object";
    case json_type_array:
        return "an array";
    default:
        return "a string";
    }
}

int oci_expect(const struct oci_reader *r, const struct oci_node *n, enum json_type type) {
    enum json_type have = json_object_get_type(n->value);
    if (have != type) {
        return oci_fail(r, n, -EINVAL, "must be %s, not %s", type_text(type), type_text(have));
    }
    return 0;
}

int oci_text(const struct oci_reader *r, const struct oci_node *n, uint64_t max, const char **out) {
    int e = oci_expect(r, n, json_type_string);
    if (e != 0) {
        return e;
    }
    size_t len = (size_t)json_object_get_string_len(n->value);
    *out = json_object_get_string(n->value);
    if (strlen(*out) != len) {
        return oci_fail(r, n, -EINVAL, "must not hold a NUL byte");
    }
    if (len > max) {
        return oci_fail(r, n, -ENAMETOOLONG, "is %zu bytes long, at most %llu are allowed", len,
                        (unsigned long long)max);
    }
    return 0;
}

int oci_copy(const struct oci_reader *r, const struct oci_node *n, const char *text, char **out) {
    free(*out);
    *out = strdup(text);
    return *out != NULL ? 0 : oci_fail(r, n, -ENOMEM, "no memory");
}

/* ---- objects and arrays ---- */

struct oci_node oci_element(const struct oci_node *array, size_t index) {
    return (struct oci_node){
        .up = array, .index = index, .value = json_object_array_get_idx(array->value, index)};
}

struct oci_node oci_member(const struct oci_node *object, const char *key) {
    struct oci_node n = {.up = object, .key = key};
    (void)json_object_object_get_ex(object->value, key, &n.value); /* absent: NULL */
    return n;
}

static const struct oci_field *find_field(const struct oci_field *fields, const char *name) {
    for (const struct oci_field *f = fields; f->name != NULL; f++) {
        if (strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

static int check_required(const struct oci_reader *r, const struct oci_node *n,
                          const struct oci_field *fields) {
    for (const struct oci_field *f = fields; f->name != NULL; f++) {
        struct oci_node member = oci_member(n, f->name);
        if (f->required && member.value == NULL) {
            return oci_fail(r, &member, -EINVAL, "is missing");
        }
    }
    return 0;
}

int oci_read_members(const struct oci_reader *r, const struct oci_node *n,
                     const struct oci_field *fields, void *out) {
    int e = oci_expect(r, n, json_type_object);
    if (e != 0) {
        return e;
    }
    struct json_object_iterator at = json_object_iter_begin(n->value);
    struct json_object_iterator end = json_object_iter_end(n->value);
    for (; e == 0 && !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
        struct oci_node member = oci_member(n, json_object_iter_peek_name(&at));
        const struct oci_field *f = find_field(fields, member.key);
        if (f == NULL) {
            oci_warn(r, &member, "is not known and has no effect");
        } else if (member.value != NULL) {
            e = f->read(r, &member, f, out);
        }
    }
    return e != 0 ? e : check_required(r, n, fields);
}

static int read_struct(const struct oci_reader *r, const struct oci_node *n,
                       const struct oci_field *f, void *object) {
    if (f->init != NULL) {
        f->init(object);
    }
    int e = oci_read_members(r, n, f->fields, object);
    return e == 0 && f->check != NULL ? f->check(r, n, object) : e;
}

int oci_read_object(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                    void *out) {
    return read_struct(r, n, f, (char *)out + f->offset);
}

int oci_read_array(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                   void *out) {
    int e = oci_expect(r, n, json_type_array);
    if (e != 0) {
        return e;
    }
    size_t count = json_object_array_length(n->value);
    uint64_t max = f->max != 0 ? f->max : OCI_LIST_MAX;
    if (count > max) {
        return oci_fail(r, n, -E2BIG, "has %zu elements, at most %llu are allowed", count,
                        (unsigned long long)max);
    }
    if (count == 0) {
        return 0;
    }
    char *items = calloc(count, f->item_size);
    if (items == NULL) {
        return oci_fail(r, n, -ENOMEM, "no memory");
    }
    /* Stored first: what a failing element owns is freed with the container. */
    memcpy((char *)out + f->offset, &items, sizeof(items));
    for (size_t i = 0; i < count && e == 0; i++) {
        struct oci_node element = oci_element(n, i);
        size_t filled = i + 1;
        memcpy((char *)out + f->count_offset, &filled, sizeof(filled));
        e = read_struct(r, &element, f, items + i * f->item_size);
    }
    return e;
}
