/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each value of a rich config.json is replaced by each other type, by extreme numbers and strings,
 * and removed.  The parser never crashes (the program runs under sanitizers); a wrong type is an
 * error that names exactly the value's path; any other error names some path.
 */
#include "oci_fixture.h"

#include <string.h>

static const char *const g_values[] = {
    "null",
    "true",
    "1.5",
    "0",
    "-1",
    "1",
    "4294967295",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "\"\"",
    "\"x\"",
    "\"/\"",
    "\"\\u0000\"",
    "\"\\u001b]0;x\\u0007%s%n\"",
    "[]",
    "[\"x\"]",
    "[{}]",
    "{}",
    "{\"x\":\"y\"}",
    "{\"\":null}",
};

static unsigned g_accepted, g_refused;

/* What a path begins with: the parser's own top-level names. */
static bool names_a_path(const char *message) {
    static const char *const tops[] = {"ociVersion",  "process",    "root",
                                       "hostname",    "domainname", "mounts",
                                       "annotations", "linux",      "hooks"};
    size_t len = strcspn(message, ".[:");
    for (size_t i = 0; i < ARRAY_COUNT(tops); i++) {
        if (strlen(tops[i]) == len && strncmp(tops[i], message, len) == 0) {
            return true;
        }
    }
    return false;
}

static void fail(const char *path, const char *value, const struct outcome *o) {
    fprintf(stderr, "%s = %.80s\n  got: %s\n", path, value, o->err.msg);
    exit(1);
}

/* Parses the changed configuration; `is` and `was` are the value's types now and before. */
static void try_config(struct json_object *config, const char *path, const char *value,
                       enum json_type is, enum json_type was) {
    struct container c = {0};
    char wanted[300];
    struct outcome o = fixture_parse(config, &c);
    (void)snprintf(wanted, sizeof(wanted), "%s: must be ", path);
    if (is != json_type_null && is != was && strncmp(o.err.msg, wanted, strlen(wanted)) != 0) {
        fail(path, value, &o);
    }
    if (o.code != 0 && !names_a_path(o.err.msg)) {
        fail(path, value, &o);
    }
    for (const char *at = o.err.msg; *at != '\0'; at++) {
        CHECK(*at >= ' ');
    }
    g_accepted += o.code == 0;
    g_refused += o.code != 0;
    container_free(&c);
}

static void try_values(struct json_object *rich, const char *path, struct json_object *old) {
    enum json_type was = json_object_get_type(old);
    (void)json_object_get(old); /* kept while something else stands there */
    for (size_t i = 0; i < ARRAY_COUNT(g_values); i++) {
        struct json_object *value = json_tokener_parse(g_values[i]);
        enum json_type is = json_object_get_type(value);
        fixture_replace(rich, path, value, false);
        try_config(rich, path, g_values[i], is, was);
    }
    fixture_replace(rich, path, old, false);
    struct json_object *without = fixture_copy(rich);
    fixture_set(without, path, NULL);
    try_config(without, path, "(removed)", json_type_null, was);
    json_object_put(without);
}

static void visit(struct json_object *rich, struct json_object *at, const char *path) {
    char inner[256];
    enum json_type type = json_object_get_type(at);
    if (path[0] != '\0') {
        try_values(rich, path, at);
    }
    if (type == json_type_array) {
        for (size_t i = 0; i < json_object_array_length(at); i++) {
            (void)snprintf(inner, sizeof(inner), "%s[%zu]", path, i);
            visit(rich, json_object_array_get_idx(at, i), inner);
        }
    }
    if (type != json_type_object) {
        return;
    }
    struct json_object_iterator it = json_object_iter_begin(at), end = json_object_iter_end(at);
    for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
        const char *name = json_object_iter_peek_name(&it);
        bool plain = strpbrk(name, "./-") == NULL;
        (void)snprintf(inner, sizeof(inner), plain ? "%s%s%s" : "%s%s[\"%s\"]", path,
                       plain && path[0] != '\0' ? "." : "", name);
        visit(rich, json_object_iter_peek_value(&it), inner);
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    struct json_object *rich = fixture_load(argv[1]);
    visit(rich, rich, "");
    printf("%u refused, %u accepted\n", g_refused, g_accepted);
    CHECK(g_refused > 4000 && g_accepted > 500);
    json_object_put(rich);
    return 0;
}
