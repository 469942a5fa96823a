/* SPDX-License-Identifier: Apache-2.0 */
/* Typed access to json-c values with errors that name the path. */
#ifndef MOAT_OCI_JSON_H
#define MOAT_OCI_JSON_H

#include "host/err.h"
#include "host/strlist.h"

#include <json-c/json.h>

/* The text of a regular file, or of standard input ("-"), of at most 4 MiB; the caller frees it. */
must_check int json_text_load(const char *path, char **out_text, size_t *out_len, struct err *err);
/* One strict JSON value (RFC 8259) whose whole numbers fit into 64 bits; `what` names it in
 * messages; the caller puts the object. */
must_check int json_parse(const char *text, size_t len, const char *what, struct json_object **out,
                          struct err *err);
/* Both. */
must_check int json_load(const char *path, struct json_object **out, struct err *err);
/* Members: a missing one (or null) leaves *out as it was; a wrong type is an error naming
 * `path`.`name`. */
must_check int json_get_object(struct json_object *o, const char *path, const char *name,
                               struct json_object **out, struct err *err);
must_check int json_get_array(struct json_object *o, const char *path, const char *name,
                              struct json_object **out, struct err *err);
must_check int json_get_text(struct json_object *o, const char *path, const char *name,
                             const char **out, struct err *err);
must_check int json_get_bool(struct json_object *o, const char *path, const char *name, bool *out,
                             struct err *err);
must_check int json_get_u64(struct json_object *o, const char *path, const char *name, uint64_t max,
                            uint64_t *out, struct err *err);
/* Appends an array of strings. */
must_check int json_get_texts(struct json_object *o, const char *path, const char *name,
                              struct strlist *out, struct err *err);

#endif
