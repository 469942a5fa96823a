/* SPDX-License-Identifier: Apache-2.0 */
/* moat list: the containers of a state folder. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "runtime/lifecycle.h"

#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* From passwd(5) alone: moat is linked statically, where other sources of names cannot be loaded.
 */
static const char *owner_name(uint32_t uid) {
    static char name[64]; /* of the last one asked for: mostly all have the same */
    static uint32_t known = UINT32_MAX;
    if (uid == known && name[0] != '\0') {
        return name;
    }
    known = uid;
    FILE *file = fopen("/etc/passwd", "re");
    (void)snprintf(name, sizeof(name), "#%u", uid); /* fits */
    for (const struct passwd *who; file != NULL && (who = fgetpwent(file)) != NULL;) {
        if (who->pw_uid == uid) {
            (void)snprintf(name, sizeof(name), "%s", who->pw_name); /* a cut name is still one */
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file); /* read-only */
    }
    return name;
}

static void print_row(const struct container_state *s, const struct list_options *o) {
    if (o->quiet) {
        printf("%s\n", s->id);
    } else {
        printf("%-24s %-8d %-10s %-30s %-30s %s\n", s->id, s->status == STATUS_STOPPED ? 0 : s->pid,
               state_status_text(s->status), s->bundle, s->created, owner_name(s->owner));
    }
}

/* Without memory a member or the row is missing. */
static void add_row(struct json_object *all, const struct container_state *s) {
    struct json_object *row = state_to_json(s);
    if (row != NULL) {
        (void)json_object_object_add(row, "owner", json_object_new_string(owner_name(s->owner)));
        (void)json_object_array_add(all, row);
    }
}

static void list_folder(const struct cli_globals *globals, const struct list_options *o,
                        struct dirent *const *entries, int count, struct json_object *all) {
    static struct container_state state;
    for (int i = 0; i < count; i++) {
        struct err skipped = {0};
        int dir;
        /* A container that is just being made or deleted has no state (any more). */
        if (entries[i]->d_name[0] == '.' ||
            state_find(globals->root, entries[i]->d_name, &state, &dir, &skipped) != 0) {
            continue;
        }
        (void)close(dir); /* read-only */
        if (all != NULL) {
            add_row(all, &state);
        } else {
            print_row(&state, o);
        }
        state_free(&state);
    }
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int run_list(const struct cli_globals *globals, void *options, int argc, char **argv,
                    struct err *err) {
    static const char *const formats[] = {"table", "json", NULL};
    const struct list_options *o = options;
    int format = parse_choice(o->format, "--format", formats, err);
    if (format < 0) {
        return EXIT_USAGE;
    }
    struct dirent **entries = NULL;
    int count = scandir(globals->root, &entries, NULL, by_name);
    if (count < 0 && errno != ENOENT) {
        (void)err_sys(err, -errno, "cannot read the state folder %s",
                      globals->root); /* the caller reports it */
        return 1;
    }
    struct json_object *all = format == 1 && !o->quiet ? json_object_new_array() : NULL;
    if (all == NULL && !o->quiet) {
        printf("%-24s %-8s %-10s %-30s %-30s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED",
               "OWNER");
    }
    list_folder(globals, o, entries, count, all);
    while (count > 0) {
        free(entries[--count]);
    }
    free(entries);
    if (all != NULL) {
        printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN));
        json_object_put(all);
    }
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
