/* SPDX-License-Identifier: Apache-2.0 */
/* moat features: what this build can do, as engines ask for it; with --syscalls the table of the
 * application kernel's system calls, with --host what it chooses on this host. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "oci/features.h"
#include "sandbox/probe.h"

#include <errno.h>

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

struct features_options {
    const char *format;
    bool syscalls, host;
};

static const struct cli_option g_features_options[] = {
    {"format", 'f', OPT_TEXT, offsetof(struct features_options, format), "table|json",
     "how to print the table of system calls"},
    {"syscalls", 0, OPT_FLAG, offsetof(struct features_options, syscalls), NULL,
     "show the system calls of the application kernel, one by one"},
    {"host", 0, OPT_FLAG, offsetof(struct features_options, host), NULL,
     "show which hand-over the application kernel takes on this host, and why"},
    {0},
};

struct syscall_row {
    int number;
    const char *name, *support, *note;
};

#define SYSCALL(nr, name, flags, support, format, note) {nr, #name, #support, note},
#define SYSCALL_NONE(nr, name)                          {nr, #name, "NONE", ""},
static const struct syscall_row g_rows[] = {
#include "sentry/arch/x86_64/syscalls.def"
};
#undef SYSCALL
#undef SYSCALL_NONE

static const char *support_text(const char *support) {
    return support[0] == 'F' ? "full" : support[0] == 'P' ? "partial" : "none";
}

static void print_json(void) {
    struct json_object *top = json_object_new_object();
    struct json_object *calls = json_object_new_array();
    for (size_t i = 0; i < ARRAY_COUNT(g_rows); i++) {
        struct json_object *row = json_object_new_object();
        /* Without memory a member is missing; nothing else can be done here. */
        (void)json_object_object_add(row, "number", json_object_new_int(g_rows[i].number));
        (void)json_object_object_add(row, "name", json_object_new_string(g_rows[i].name));
        (void)json_object_object_add(row, "support",
                                     json_object_new_string(support_text(g_rows[i].support)));
        (void)json_object_object_add(row, "note", json_object_new_string(g_rows[i].note));
        (void)json_object_array_add(calls, row);
    }
    (void)json_object_object_add(top, "syscalls", calls);
    printf("%s\n", json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY));
    json_object_put(top);
}

static int print_features(struct err *err) {
    char isolations[128] = "";
    for (size_t i = 0; g_isolations[i] != NULL; i++) {
        size_t used = strlen(isolations);
        (void)snprintf(isolations + used, sizeof(isolations) - used, "%s%s", i > 0 ? "," : "",
                       g_isolations[i]->name); /* fits */
    }
    struct json_object *features = oci_features(isolations);
    if (features == NULL) {
        (void)err_sys(err, -ENOMEM, "cannot list the features");
        return 1;
    }
    printf("%s\n", json_object_to_json_string_ext(features, JSON_C_TO_STRING_PRETTY |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(features);
    return 0;
}

static void print_table(void) {
    size_t supported = 0;
    printf(
        "System calls of the application kernel (isolation sentry, x86-64):\n%-5s %-26s %-8s %s\n",
        "NR", "NAME", "SUPPORT", "NOTE");
    for (size_t i = 0; i < ARRAY_COUNT(g_rows); i++) {
        supported += g_rows[i].support[0] != 'N';
        printf("%-5d %-26s %-8s %s\n", g_rows[i].number, g_rows[i].name,
               support_text(g_rows[i].support), g_rows[i].note);
    }
    printf("%zu of %zu supported; the others answer ENOSYS and are logged once.\n", supported,
           ARRAY_COUNT(g_rows));
}

static int run_features(const struct cli_globals *globals, void *options, int argc, char **argv,
                        struct err *err) {
    static const char *const formats[] = {"table", "json", NULL};
    const struct features_options *o = options;
    int format = parse_choice(o->format, "--format", formats, err);
    if (format < 0) {
        return EXIT_USAGE;
    }
    if (o->host) {
        char text[256];
        if (sandbox_probe(text, sizeof(text), err) != 0) {
            return 1;
        }
        printf("systrap %s\n", text);
        return 0;
    }
    if (!o->syscalls) {
        return print_features(err);
    }
    if (format == 1) {
        print_json();
    } else {
        print_table();
    }
    return 0;
}

const struct cli_command g_cmd_features = {
    .name = "features",
    .synopsis = "[options]",
    .summary = "show what this build supports",
    .options = g_features_options,
    .options_size = sizeof(struct features_options),
    .min_args = 0,
    .max_args = 0,
    .args_help = "",
    .run = run_features,
};
