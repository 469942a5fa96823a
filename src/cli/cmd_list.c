/* SPDX-License-Identifier: Apache-2.0 */
/* moat list: the containers of a state folder. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "runtime/lifecycle.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct list_options {
    const char *format;
    bool quiet;
};

static const struct cli_option g_list_options[] = {
    {"format", 'f', OPT_TEXT, offsetof(struct list_options, format), "table|json", "how to print"},
    {"quiet", 'q', OPT_FLAG, offsetof(struct list_options, quiet), NULL, "ids only"},
    {0},
};

static void print_row(const struct container_state *s, const struct list_options *o) {
    if (o->quiet) {
        printf("%s\n", s->id);
    } else {
        printf("%-24s %-8d %-10s %-22s %s\n", s->id, s->status == STATUS_STOPPED ? 0 : s->pid,
               state_status_text(s->status), s->created, s->bundle);
    }
}

static int run_list(const struct cli_globals *globals, void *options, int argc, char **argv,
                    struct err *err) {
    static const char *const formats[] = {"table", "json", NULL};
    const struct list_options *o = options;
    int format = parse_choice(o->format, "--format", formats, err);
    if (format < 0) {
        return 2;
    }
    struct json_object *all = json_object_new_array();
    DIR *d = opendir(globals->root);
    if (d == NULL && errno != ENOENT) {
        (void)err_sys(err, -errno, "cannot read the state folder %s",
                      globals->root); /* the caller reports it */
        json_object_put(all);
        return 1;
    }
    if (format == 0 && !o->quiet) {
        printf("%-24s %-8s %-10s %-22s %s\n", "ID", "PID", "STATUS", "CREATED", "BUNDLE");
    }
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        struct err skipped = {0};
        struct container_state state;
        int dir;
        /* A container that is just being deleted is none any more. */
        if (e->d_name[0] == '.' ||
            state_find(globals->root, e->d_name, &state, &dir, &skipped) != 0) {
            continue;
        }
        (void)close(dir); /* read-only */
        if (format == 1) {
            (void)json_object_array_add(
                all, state_to_json(&state)); /* without memory the row is missing */
        } else {
            print_row(&state, o);
        }
        state_free(&state);
    }
    if (d != NULL) {
        (void)closedir(d); /* read-only */
    }
    if (format == 1) {
        printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN));
    }
    json_object_put(all);
    return 0;
}

const struct cli_command g_cmd_list = {
    .name = "list",
    .synopsis = "[options]",
    .summary = "list containers",
    .options = g_list_options,
    .options_size = sizeof(struct list_options),
    .min_args = 0,
    .max_args = 0,
    .args_help = "",
    .run = run_list,
};
