/* SPDX-License-Identifier: Apache-2.0 */
/* moat check: whether this host can run each isolation, what is missing, and what mends it. */
#include "cli/checks.h"
#include "cli/cli.h"
#include "cli/parse.h"
#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct check_options {
    const char *format;
};

static const struct cli_option g_check_options[] = {
    {"format", 'f', OPT_TEXT, offsetof(struct check_options, format), "text|json", "how to print"},
    {0},
};

static const char *const g_states[] = {
    [CHECK_OK] = "ok", [CHECK_LIMITED] = "limited", [CHECK_MISSING] = "missing"};

/* The last word: does it run?  moat itself says why not. */
static void try_run(struct check_list *list) {
    char *const argv[] = {(char *)(uintptr_t) "moat",
                          (char *)(uintptr_t) "do",
                          (char *)(uintptr_t) "--isolation",
                          (char *)(uintptr_t)list->isolation,
                          (char *)(uintptr_t) "--",
                          (char *)(uintptr_t) "/bin/sh",
                          (char *)(uintptr_t) "-c",
                          (char *)(uintptr_t) ":",
                          NULL};
    posix_spawn_file_actions_t actions;
    char text[256] = "";
    int out[2], status = 0;
    size_t used = 0;
    pid_t pid = -1;
    if (pipe2(out, O_CLOEXEC) != 0) {
        return;
    }
    (void)posix_spawn_file_actions_init(&actions); /* cannot fail with glibc, as the next */
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], 2);
    int e = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions); /* cannot fail */
    (void)close(out[1]);                              /* the child's */
    for (ssize_t n; e == 0 && used < sizeof(text) - 1 &&
                    (n = read(out[0], text + used, sizeof(text) - 1 - used)) > 0;) {
        used += (size_t)n;
    }
    (void)close(out[0]); /* read-only */
    if (e == 0) {
        (void)waitpid(pid, &status, 0); /* our child */
    }
    text[strcspn(text, "\n")] = '\0';
    if (e == 0 && status == 0) {
        (void)check_add(list, "a container runs", CHECK_OK, "/bin/sh -c : in a sandbox of its own");
    } else {
        (void)check_add(list, "a container runs", CHECK_MISSING, "%s",
                        e != 0            ? strerror(e)
                        : text[0] != '\0' ? text
                                          : "the try ended without a word");
    }
}

static void print_text(const struct check_list *list) {
    printf("%s: %s\n", list->isolation,
           check_usable(list) ? "runs here"
           : list->offered    ? "does not run here"
                              : "not part of this moat; what it will need:");
    for (size_t i = 0; i < list->count; i++) {
        const struct check *c = &list->items[i];
        printf("  %-8s %s: %s\n", g_states[c->state], c->name, c->detail);
        if (c->mend[0] != '\0') {
            printf("           mend: %s\n", c->mend);
        }
    }
}

/* Without memory a member is missing. */
static struct json_object *to_json(const struct check_list *list) {
    struct json_object *o = json_object_new_object(), *all = json_object_new_array();
    for (size_t i = 0; i < list->count; i++) {
        const struct check *c = &list->items[i];
        struct json_object *one = json_object_new_object();
        (void)json_object_object_add(one, "name", json_object_new_string(c->name));
        (void)json_object_object_add(one, "state", json_object_new_string(g_states[c->state]));
        (void)json_object_object_add(one, "detail", json_object_new_string(c->detail));
        if (c->mend[0] != '\0') {
            (void)json_object_object_add(one, "mend", json_object_new_string(c->mend));
        }
        (void)json_object_array_add(all, one);
    }
    (void)json_object_object_add(o, "isolation", json_object_new_string(list->isolation));
    (void)json_object_object_add(o, "runs", json_object_new_boolean(check_usable(list)));
    (void)json_object_object_add(o, "checks", all);
    return o;
}

static int run_check(const struct cli_globals *globals, void *options, int argc, char **argv,
                     struct err *err) {
    static const char *const formats[] = {"text", "json", NULL};
    static void (*const fill[])(struct check_list *) = {checks_sentry, checks_native, checks_vm};
    static struct check_list lists[ARRAY_COUNT(fill)];
    const struct check_options *o = options;
    int format = parse_choice(o->format, "--format", formats, err);
    if (format < 0) {
        return EXIT_USAGE;
    }
    struct json_object *all = format == 1 ? json_object_new_array() : NULL;
    for (size_t i = 0; i < ARRAY_COUNT(fill); i++) {
        fill[i](&lists[i]);
        checks_settings(&lists[i]);
        if (check_usable(&lists[i])) {
            try_run(&lists[i]);
        }
        if (format == 1) {
            (void)json_object_array_add(all, to_json(&lists[i])); /* see to_json */
        } else {
            print_text(&lists[i]);
        }
    }
    if (format == 1) {
        printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
        json_object_put(all);
    }
    return check_usable(&lists[0]) ? 0 : 1;
}

const struct cli_command g_cmd_check = {
    .name = "check",
    .synopsis = "[--format text|json]",
    .summary = "tell whether this host can run each isolation, and what mends it",
    .description = "Each line is a thing that an isolation needs: ok, limited (it runs, with less) "
                   "or missing.  Where something can be done about it, the next line says what.  "
                   "Exits with 0 when isolation sentry runs.",
    .options = g_check_options,
    .options_size = sizeof(struct check_options),
    .min_args = 0,
    .max_args = 0,
    .args_help = "",
    .run = run_check,
};
