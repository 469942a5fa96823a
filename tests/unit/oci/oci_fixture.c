/* SPDX-License-Identifier: Apache-2.0 */
/* See oci_fixture.h. */
#include "oci_fixture.h"

#include <string.h>

struct json_object *fixture_load(const char *path) {
    struct json_object *o = json_object_from_file(path);
    if (o == NULL) {
        fprintf(stderr, "cannot load %s\n", path);
        exit(1);
    }
    return o;
}

struct json_object *fixture_copy(const struct json_object *rich) {
    struct json_object *copy = NULL;
    CHECK(json_object_deep_copy((struct json_object *)(uintptr_t)rich, &copy, NULL) == 0);
    return copy;
}

/* Takes one step of a path off *path: a member's name, or "[index]" as a number. */
static bool next_step(const char **path, char *name, size_t size, size_t *index) {
    const char *at = *path;
    bool element = *at == '[' && at[1] != '"';
    if (element) {
        *index = strtoul(at + 1, (char **)(uintptr_t)path, 10);
        (*path)++; /* the ']' */
        return true;
    }
    bool quoted = *at == '[';
    at += quoted ? 2 : *at == '.';
    size_t len = strcspn(at, quoted ? "\"" : ".[");
    CHECK(len < size);
    memcpy(name, at, len);
    name[len] = '\0';
    *path = at + len + (quoted ? 2 : 0);
    return false;
}

void fixture_replace(struct json_object *config, const char *path, struct json_object *value,
                     bool delete) {
    struct json_object *at = config;
    for (;;) {
        char name[128];
        size_t index = 0;
        bool element = next_step(&path, name, sizeof(name), &index);
        if (*path == '\0' && element) {
            CHECK(delete ? json_object_array_del_idx(at, index, 1) == 0
                         : json_object_array_put_idx(at, index, value) == 0);
            return;
        }
        if (*path == '\0') {
            if (delete) {
                json_object_object_del(at, name);
            } else {
                CHECK(json_object_object_add(at, name, value) == 0);
            }
            return;
        }
        at = element ? json_object_array_get_idx(at, index) : json_object_object_get(at, name);
        CHECK(at != NULL);
    }
}

void fixture_set(struct json_object *config, const char *path, const char *text) {
    struct json_object *value = NULL;
    if (text != NULL) {
        value = json_tokener_parse(text);
        CHECK(value != NULL || strcmp(text, "null") == 0);
    }
    fixture_replace(config, path, value, text == NULL);
}

static void note(void *arg, const char *message) {
    struct outcome *o = arg;
    size_t used = strlen(o->warnings);
    (void)snprintf(o->warnings + used, sizeof(o->warnings) - used, "%s\n", message);
}

struct outcome fixture_parse(struct json_object *config, struct container *c) {
    struct outcome o = {0};
    const struct oci_reading how = {.bundle = "/usr", .warn = note, .arg = &o};
    const char *text = json_object_to_json_string_ext(config, JSON_C_TO_STRING_PLAIN);
    o.code = oci_config_parse(&how, text, strlen(text), c, &o.err);
    CHECK((o.code != 0) == (o.err.code != 0));
    return o;
}
