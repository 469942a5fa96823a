/* SPDX-License-Identifier: Apache-2.0 */
/* moat list: the containers of a state folder. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "host/strlist.h"
#include "runtime/lifecycle.h"

#include <dirent.h>
#include <errno.h>
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

#define COLUMNS    6
#define COLUMN_MIN 12 /* with the blanks behind it, as runc's */
#define COLUMN_GAP 3

/* Rows of texts, so that columns can be as wide as what stands in them. */
struct table {
    struct strlist cells;
    size_t width[COLUMNS];
};

/* Without memory the row is cut. */
static void table_add(struct table *t, const char *const cells[COLUMNS]) {
    for (size_t i = 0; i < COLUMNS; i++) {
        t->width[i] = MAX(t->width[i], MAX(strlen(cells[i]) + COLUMN_GAP, (size_t)COLUMN_MIN));
        if (strlist_add(&t->cells, cells[i]) != 0) {
            return;
        }
    }
}

static void table_row(struct table *t, const struct container_state *s) {
    char pid[16];
    (void)snprintf(pid, sizeof(pid), "%d", s->status == STATUS_STOPPED ? 0 : s->pid); /* fits */
    const char *const cells[COLUMNS] = {s->id,     pid,        state_status_text(s->status),
                                        s->bundle, s->created, cli_owner_name(s->owner)};
    table_add(t, cells);
}

static void table_print(const struct table *t) {
    for (size_t i = 0; i < t->cells.count; i++) {
        bool last = i % COLUMNS == COLUMNS - 1;
        printf("%-*s%s", last ? 0 : (int)t->width[i % COLUMNS], t->cells.items[i],
               last ? "\n" : "");
    }
}

/* Without memory a member or the row is missing. */
static void add_row(struct json_object *all, const struct container_state *s) {
    struct json_object *row = state_to_json(s);
    if (row != NULL) {
        (void)json_object_object_add(row, "owner",
                                     json_object_new_string(cli_owner_name(s->owner)));
        (void)json_object_array_add(all, row);
    }
}

static void list_folder(const struct cli_globals *globals, const struct list_options *o,
                        struct dirent *const *entries, int count, struct json_object *all,
                        struct table *table) {
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
        } else if (o->quiet) {
            printf("%s\n", state.id);
        } else {
            table_row(table, &state);
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
    static const char *const heading[COLUMNS] = {"ID",     "PID",     "STATUS",
                                                 "BUNDLE", "CREATED", "OWNER"};
    struct table table = {.width = {0}};
    table_add(&table, heading);
    list_folder(globals, o, entries, count, all, &table);
    if (all == NULL && !o->quiet) {
        table_print(&table);
    }
    strlist_free(&table.cells);
    while (count > 0) {
        free(entries[--count]);
    }
    free(entries);
    if (all != NULL) {
        printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN |
                                                               JSON_C_TO_STRING_NOSLASHESCAPE));
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
