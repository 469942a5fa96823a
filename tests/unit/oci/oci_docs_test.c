/* SPDX-License-Identifier: Apache-2.0 */
/* docs/oci.md and the reader agree: each key stands in the table once, with a word for each
 * isolation, and no row is about a key that the reader does not know.  Likewise the options of
 * mounts, and the keys of docs/configuration.md. */
#include "check.h"

#include "oci/config.h"
#include "oci/names.h"
#include "oci/settings.h"

#include <errno.h>
#include <string.h>

#define TEXT_MAX 262144

static char g_text[TEXT_MAX];
static unsigned g_keys;

static void load(const char *path) {
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    size_t len = fread(g_text, 1, TEXT_MAX - 1, f);
    CHECK(len > 0 && len < TEXT_MAX - 1);
    g_text[len] = '\0';
    (void)fclose(f); /* only read */
}

static void fail(const char *what, const char *key) {
    fprintf(stderr, "%s: %s\n", key, what);
    exit(1);
}

/* "| `key` | native | sentry |" */
static void check_row(void *arg, const char *key) {
    char row[300];
    int len = snprintf(row, sizeof(row), "\n| `%s` |", key);
    const char *at = strstr(g_text, row);
    if (at == NULL) {
        fail("has no row in docs/oci.md", key);
    }
    if (strstr(at + 1, row) != NULL) {
        fail("has two rows in docs/oci.md", key);
    }
    const char *native = at + len, *bar = strchr(native, '|');
    const char *end = strchr(native, '\n');
    if (bar == NULL || end == NULL || bar > end || bar - native < 4 || end - bar < 6) {
        fail("needs a word for native and one for sentry", key);
    }
    g_keys++;
}

/* Rows below "## Fields". */
static unsigned count_rows(void) {
    unsigned rows = 0;
    const char *at = strstr(g_text, "\n## Fields\n");
    CHECK(at != NULL);
    while ((at = strstr(at, "\n| `")) != NULL) {
        rows++;
        at++;
    }
    return rows;
}

/* Options with a leading r are described as a group. */
static void check_options(void) {
    const char *section = strstr(g_text, "\n## Mount options\n");
    CHECK(section != NULL);
    for (const struct oci_mount_option *o = g_oci_mount_options; o->name != NULL; o++) {
        char quoted[40];
        bool tree = o->kind == OPTION_TREE || o->kind == OPTION_TREE_CLEAR;
        (void)snprintf(quoted, sizeof(quoted), "`%s`", o->name + (tree ? 1 : 0)); /* fits */
        if (strstr(section, quoted) == NULL) {
            fail("is not among the mount options of docs/oci.md", o->name);
        }
    }
}

/* Each key of the file's table is one that the reader takes: its own default is accepted. */
static void check_settings(void) {
    unsigned rows = 0;
    const char *at = g_text;
    while ((at = strstr(at, "\n| `")) != NULL) {
        char key[40] = "", value[40] = "", line[100];
        at += 4;
        CHECK(sscanf(at, "%39[^`]` | `%39[^`]`", key, value) == 2);
        (void)snprintf(line, sizeof(line), "%s = %s\n", key, value); /* fits */
        struct settings s;
        struct err err = {0};
        if (settings_parse("moat.conf", line, strlen(line), &s, &err) != 0) {
            fail(err.msg, key);
        }
        rows++;
    }
    struct settings s;
    struct err err = {0};
    CHECK(settings_parse("x", "?=", 2, &s, &err) == -EINVAL);
    unsigned known = 1; /* the message lists the keys, with commas between */
    for (const char *c = strstr(err.msg, "it can be"); *c != '\0'; c++) {
        known += *c == ',';
    }
    CHECK(rows == known);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    load(argv[1]);
    oci_config_keys(check_row, NULL);
    CHECK(g_keys > 200 && count_rows() == g_keys);
    check_options();
    load(argv[2]);
    check_settings();
    return 0;
}
