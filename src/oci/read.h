/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON by tables: an object's known members, their types and their ranges stand in an array
 * of struct oci_field, and one walk fills a struct, checks it and names the JSON path of what is
 * wrong.  The tables are also the list of keys that docs/oci.md is held against.
 *
 * Trust boundary: the JSON is hostile.  Everything is bounded by the size of the text, by its depth
 * (json.c), and by the maxima of the tables; texts from it are made printable in messages.
 *
 * A member that is null counts as absent.  A member no table knows is ignored with a warning, as
 * config.md "Extensibility" demands.
 */
#ifndef MOAT_OCI_READ_H
#define MOAT_OCI_READ_H

#include "host/err.h"
#include "oci/config.h"
#include "oci/names.h"

#include <json-c/json.h>
#include <stddef.h>

struct oci_reader {
    const struct oci_reading *how;
    struct err *err;
    uint32_t *warnings; /* given so far */
};

/* A value and where it stands. */
struct oci_node {
    const struct oci_node *up; /* NULL: the whole document */
    const char *key;           /* NULL: element `index` of an array */
    size_t index;
    struct json_object *value;
};

struct oci_field {
    const char *name;
    /* Checks n's value and stores it at f->offset of `out`.  0 or -errno with r->err. */
    int (*read)(const struct oci_reader *r, const struct oci_node *n, const struct oci_field *f,
                void *out);
    size_t offset;
    int64_t min;  /* numbers */
    uint64_t max; /* numbers: 0 means the type's; texts: bytes; lists: elements */
    bool required;
    const struct oci_field *fields; /* members of the object, or of an array's elements */
    size_t item_size, count_offset; /* arrays */
    const struct oci_name *names;   /* enumerations */
    const char *note;               /* unsupported members: why */
    void (*init)(void *object);     /* before the members of one object or element are read */
    int (*check)(const struct oci_reader *r, const struct oci_node *n, void *object); /* after */
};

#define OCI_TEXT_MAX 65536u
#define OCI_LIST_MAX 65536u

/* Reads the members of an object into `out`; checks what is required. */
must_check int oci_read_members(const struct oci_reader *r, const struct oci_node *n,
                                const struct oci_field *fields, void *out);

/* Readers for the tables.  What each stores: */
#define OCI_READER(name)                                                                           \
    must_check int name(const struct oci_reader *r, const struct oci_node *n,                      \
                        const struct oci_field *f, void *out)
OCI_READER(oci_read_bool);      /* bool */
OCI_READER(oci_read_u16);       /* uint16_t */
OCI_READER(oci_read_u32);       /* uint32_t */
OCI_READER(oci_read_i32);       /* int32_t */
OCI_READER(oci_read_u64);       /* uint64_t */
OCI_READER(oci_read_i64);       /* int64_t */
OCI_READER(oci_read_set_u64);   /* struct cgroup_u64 */
OCI_READER(oci_read_set_i64);   /* struct cgroup_i64 */
OCI_READER(oci_read_limit_u64); /* likewise; engines write 0 for "no limit given" */
OCI_READER(oci_read_limit_i64); /* likewise */
OCI_READER(oci_read_text);      /* char *, NULL when empty */
OCI_READER(oci_read_path);      /* likewise, absolute */
OCI_READER(oci_read_texts);     /* struct strlist */
OCI_READER(oci_read_paths);     /* likewise, each absolute */
OCI_READER(oci_read_name);      /* uint32_t, one of f->names */
OCI_READER(oci_read_pairs);     /* struct oci_key_values: an object of texts */
OCI_READER(oci_read_object);    /* the struct at f->offset, by f->fields */
OCI_READER(oci_read_array);     /* f->item_size elements and their size_t at f->count_offset */
OCI_READER(oci_read_foreign);   /* nothing: a warning with f->note */

/* Building blocks of further readers. */
must_check int oci_fail(const struct oci_reader *r, const struct oci_node *n, int code,
                        const char *format, ...) printf_like(4, 5);
void oci_warn(const struct oci_reader *r, const struct oci_node *n, const char *format, ...)
    printf_like(3, 4);
must_check int oci_expect(const struct oci_reader *r, const struct oci_node *n,
                          enum json_type type);
/* The text of a string without NUL bytes, at most `max` bytes; lives as long as the node. */
must_check int oci_text(const struct oci_reader *r, const struct oci_node *n, uint64_t max,
                        const char **out);
/* A new copy of a text. */
must_check int oci_copy(const struct oci_reader *r, const struct oci_node *n, const char *text,
                        char **out);
struct oci_node oci_element(const struct oci_node *array, size_t index);
struct oci_node oci_member(const struct oci_node *object, const char *key);

#endif
