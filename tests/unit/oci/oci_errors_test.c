/* SPDX-License-Identifier: Apache-2.0 */
/* One change to a sound config.json, and what is said about it: errors and warnings begin with the
 * JSON path; what is sound stays accepted. */
#include "oci_fixture.h"

#include <string.h>

struct change {
    const char *path, *value; /* value NULL: removed */
    const char *said;         /* how the error or warning begins; NULL: accepted in silence */
    bool warned;
};

static const struct change g_changes[] = {
#define BAD(path, value, said)    {path, value, said, false},
#define WARNED(path, value, said) {path, value, said, true},
#define GOOD(path, value)         {path, value, NULL, false},
#include "oci_changes.def"
};

static void run(const struct json_object *rich, const struct change *c) {
    struct json_object *config = fixture_copy(rich);
    struct container container = {0};
    fixture_set(config, c->path, c->value);
    struct outcome o = fixture_parse(config, &container);
    const char *said = c->warned ? o.warnings : o.err.msg;
    size_t len = c->said == NULL ? 0 : strlen(c->said);
    bool ok = c->said == NULL ? o.code == 0 && o.warnings[0] == '\0'
              : c->warned     ? o.code == 0 && strncmp(said, c->said, len) == 0 && said[len] == '\n'
                              : o.code != 0 && strcmp(said, c->said) == 0;
    if (!ok) {
        fprintf(stderr, "%s = %s\n  wanted: %s\n  error: %s\n  warnings: %s\n", c->path,
                c->value == NULL ? "(removed)" : c->value, c->said == NULL ? "(accepted)" : c->said,
                o.err.msg, o.warnings);
        exit(1);
    }
    container_free(&container);
    json_object_put(config);
}

/* Texts that are no JSON, or not the kind that is taken. */
static void test_texts(void) {
    static const struct {
        const char *text, *said;
    } texts[] = {
        {"", "config.json is not valid JSON: it ends too early, at byte 0"},
        {"{\"a\":", "config.json is not valid JSON: it ends too early, at byte 5"},
        {"null\n", "config.json is not valid JSON: it is null at byte 5"},
        {"[]", "must be an object, not an array"},
        {"{} {}", "config.json is not valid JSON: unexpected character at byte 3"},
        {"{'a':1}", "config.json is not usable: names in single quotes are not JSON"},
        {"{\"a\":18446744073709551616}",
         "config.json is not usable: a number does not fit into 64 bits"},
        {"{\"a\":[-9223372036854775809]}",
         "config.json is not usable: a number does not fit into 64 bits"},
        {"{\"a\":\"\\\\\",\"b\":99999999999999999999}",
         "config.json is not usable: a number does not fit into 64 bits"},
        {"{\"a\":\"\\\"99999999999999999999\"}", "ociVersion: is missing"},
        {"{\"a\":99999999999999999999e3}", "ociVersion: is missing"},
        {"{\"a\":\"\xff\"}", "config.json is not valid JSON: invalid utf-8 string at byte 6"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        const struct oci_reading how = {.bundle = "/"};
        struct container c = {0};
        struct err err = {0};
        CHECK(oci_config_parse(&how, texts[i].text, strlen(texts[i].text), &c, &err) < 0);
        if (strcmp(err.msg, texts[i].said) != 0) {
            fprintf(stderr, "%s\n  wanted: %s\n  got: %s\n", texts[i].text, texts[i].said, err.msg);
            exit(1);
        }
        container_free(&c);
    }
}

/* A flood of unknown members is one bounded list of warnings, and nothing in them drives a
 * terminal. */
static void test_flood(const struct json_object *rich) {
    struct json_object *config = fixture_copy(rich);
    struct container c = {0};
    for (int i = 0; i < 1000; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "odd\x1b[%d", i);
        CHECK(json_object_object_add(config, name, json_object_new_int(1)) == 0);
    }
    struct outcome o = fixture_parse(config, &c);
    size_t lines = 0;
    for (const char *at = o.warnings; *at != '\0'; at++) {
        lines += *at == '\n';
        CHECK(*at != '\x1b');
    }
    CHECK(o.code == 0 && lines <= 65);
    container_free(&c);
    json_object_put(config);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    struct json_object *rich = fixture_load(argv[1]);
    for (size_t i = 0; i < ARRAY_COUNT(g_changes); i++) {
        run(rich, &g_changes[i]);
    }
    test_texts();
    test_flood(rich);
    json_object_put(rich);
    return 0;
}
