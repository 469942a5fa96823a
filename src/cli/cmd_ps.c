/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moat ps: the processes of a container.  As JSON they are the host's pids, which engines ask for;
 * as a table the isolation's own view where it has one, or the host's ps(1) with the options given.
 */
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

struct ps_options {
    const char *format;
};

static const struct cli_option g_ps_options[] = {
    {"format", 'f', OPT_TEXT, offsetof(struct ps_options, format), "table|json", "how to print"},
    {0},
};

struct pids {
    pid_t *items;
    size_t count;
};

static const char *text_of(struct json_object *o, const char *name) {
    struct json_object *v = NULL;
    return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : "";
}

static int print_inside(struct handle *h, struct err *err) {
    struct json_object *all = NULL;
    int e = h->ops->processes(&h->target, &all, err);
    if (e != 0) {
        return e;
    }
    printf("%-8s %-8s %-8s %s\n", "UID", "PID", "PPID", "CMD");
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *p = json_object_array_get_idx(all, i);
        printf("%-8s %-8s %-8s %s\n", text_of(p, "uid"), text_of(p, "pid"), text_of(p, "ppid"),
               text_of(p, "cmdline"));
    }
    json_object_put(all);
    return 0;
}

static int host_pids(const struct handle *h, struct pids *out, struct err *err) {
    if (h->state.cgroup.count > 0) {
        return cgroup_pids(&h->state.cgroup, &out->items, &out->count, err);
    }
    out->items = malloc(sizeof(pid_t)); /* without groups only the first is known */
    if (out->items == NULL) {
        return err_sys(err, -ENOMEM, "cannot list the processes");
    }
    out->items[0] = h->state.pid;
    out->count = h->state.status == STATUS_STOPPED ? 0 : 1;
    return 0;
}

static void print_json(const struct pids *pids) {
    printf("[");
    for (size_t i = 0; i < pids->count; i++) {
        printf("%s%d", i > 0 ? "," : "", (int)pids->items[i]);
    }
    printf("]\n");
}

/* ---- ps(1) of the host ---- */

/* Which word of the heading is PID, counted from 0; -1: none. */
static int pid_column(const char *heading) {
    int column = 0;
    for (const char *p = heading + strspn(heading, " \n"); *p != '\0'; column++) {
        size_t len = strcspn(p, " \n");
        if (len == 3 && strncmp(p, "PID", 3) == 0) {
            return column;
        }
        p += len + strspn(p + len, " \n");
    }
    return -1;
}

static bool line_is_ours(const char *line, int column, const struct pids *pids) {
    const char *p = line + strspn(line, " ");
    for (int i = 0; i < column; i++) {
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
    long pid = strtol(p, NULL, 10);
    for (size_t i = 0; i < pids->count; i++) {
        if (pids->items[i] == pid) {
            return true;
        }
    }
    return false;
}

static int filter(FILE *from, const struct pids *pids, struct err *err) {
    cleanup_free char *line = NULL;
    size_t size = 0;
    if (getline(&line, &size, from) <= 0) {
        return err_set(err, -EIO, "ps printed nothing: see what it said above");
    }
    int column = pid_column(line);
    if (column < 0) {
        return err_set(err, -EINVAL, "ps printed no PID column: choose options that print it");
    }
    fputs(line, stdout);
    while (getline(&line, &size, from) > 0) {
        if (line_is_ours(line, column, pids)) {
            fputs(line, stdout);
        }
    }
    return 0;
}

/* `options` (none: -ef) choose the columns, as runc's do. */
static int print_host(char **options, int count, const struct pids *pids, struct err *err) {
    char *argv[64] = {(char *)(uintptr_t) "ps", (char *)(uintptr_t) "-ef"};
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    int out[2];
    if (count > 60) {
        return err_set(err, -E2BIG, "too many options for ps");
    }
    for (int i = 0; i < count; i++) {
        argv[i + 1] = options[i];
    }
    if (pipe2(out, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    (void)posix_spawn_file_actions_init(&actions); /* cannot fail with glibc, as the next */
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    int e = -posix_spawnp(&pid, "ps", &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions); /* cannot fail */
    (void)close(out[1]);                              /* the child's */
    FILE *from = fdopen(out[0], "re");
    if (e != 0 || from == NULL) {
        e = err_sys(err, e != 0 ? e : -ENOMEM,
                    "cannot run ps (is procps installed? --format json works without)");
    } else {
        e = filter(from, pids, err);
    }
    if (from != NULL) {
        (void)fclose(from); /* read-only */
    }
    if (pid > 0) {
        (void)waitpid(pid, NULL, 0); /* its output tells enough */
    }
    return e;
}

static int run_ps(const struct cli_globals *globals, void *options, int argc, char **argv,
                  struct err *err) {
    static const char *const formats[] = {"table", "json", NULL};
    static struct handle h;
    const struct ps_options *o = options;
    const struct runtime rt = cli_runtime(globals);
    struct pids pids = {0};
    int format = parse_choice(o->format, "--format", formats, err);
    if (format < 0) {
        return EXIT_USAGE;
    }
    int e = handle_open(&rt, argv[0], 0, &h, err);
    if (e == 0 && format == 0 && argc == 1 && h.ops->processes != NULL) {
        e = print_inside(&h, err);
    } else if (e == 0) {
        e = host_pids(&h, &pids, err);
        if (e == 0 && format == 1) {
            print_json(&pids);
        } else if (e == 0) {
            e = print_host(argv + 1, argc - 1, &pids, err);
        }
    }
    free(pids.items);
    handle_close(&h);
    return e == 0 ? 0 : 1;
}

const struct cli_command g_cmd_ps = {
    .name = "ps",
    .synopsis = "[options] ID [PS-OPTION...]",
    .summary = "list the processes of a container",
    .options = g_ps_options,
    .options_size = sizeof(struct ps_options),
    .min_args = 1,
    .max_args = -1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_ps,
};
