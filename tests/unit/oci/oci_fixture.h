/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of src/oci share: a configuration that has every field, changed in one place. */
#ifndef MOAT_TEST_OCI_FIXTURE_H
#define MOAT_TEST_OCI_FIXTURE_H

#include "check.h"
#include "oci/config.h"

#include <json-c/json.h>

/* What a parse said. */
struct outcome {
    int code;
    struct err err;
    char warnings[4096]; /* one a line */
};

/* A fresh copy of the rich configuration; the caller puts it. */
struct json_object *fixture_copy(const struct json_object *rich);
struct json_object *fixture_load(const char *path);
/* Replaces what stands at `path` ("linux.devices[0].path") by the JSON `text`, or adds it; NULL
 * removes it. */
void fixture_set(struct json_object *config, const char *path, const char *text);
void fixture_replace(struct json_object *config, const char *path, struct json_object *value,
                     bool delete);
/* Parses with bundle "/usr"; *c is the caller's to free. */
struct outcome fixture_parse(struct json_object *config, struct container *c);

#endif
