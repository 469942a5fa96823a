/* SPDX-License-Identifier: Apache-2.0 */
/* moat ps: the processes inside a container, with the pids they have there. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "host/cleanup.h"
#include "runtime/lifecycle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct ps_options {
    const char *format;
};

static const struct cli_option g_ps_options[] = {
    {"format", 'f', OPT_TEXT, offsetof(struct ps_options, format), "table|json", "how to print"},
    {0},
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

/* Of the host: what engines show as the container's processes. */
static int host_pids(const struct handle *h, pid_t **out_pids, size_t *out_count, struct err *err) {
    if (h->state.cgroup.count > 0) {
        return cgroup_pids(&h->state.cgroup, out_pids, out_count, err);
    }
    *out_pids = malloc(sizeof(pid_t));
    if (*out_pids == NULL) {
        return err_sys(err, -ENOMEM, "cannot list the processes");
    }
    (*out_pids)[0] = h->state.pid;
    *out_count = h->state.status == STATUS_STOPPED ? 0 : 1;
    return 0;
}

static int print_pids(const struct handle *h, struct err *err) {
    size_t count = 0;
    pid_t *pids = NULL;
    int e = host_pids(h, &pids, &count, err);
    if (e != 0) {
        return e;
    }
    printf("[");
    for (size_t i = 0; i < count; i++) {
        printf("%s%d", i > 0 ? "," : "", (int)pids[i]);
    }
    printf("]\n");
    free(pids);
    return 0;
}

static int run_ps(const struct cli_globals *globals, void *options, int argc, char **argv,
                  struct err *err) {
    static const char *const formats[] = {"table", "json", NULL};
    static struct handle h;
    const struct ps_options *o = options;
    const struct runtime rt = cli_runtime(globals);
    int format = parse_choice(o->format, "--format", formats, err);
    if (format < 0) {
        return 2;
    }
    int e = handle_open(&rt, argv[0], 0, &h, err);
    if (e == 0 && format == 1) {
        e = print_pids(&h, err);
    } else if (e == 0) {
        e = print_inside(&h, err);
    }
    handle_close(&h);
    return e == 0 ? 0 : 1;
}

const struct cli_command g_cmd_ps = {
    .name = "ps",
    .synopsis = "[options] ID",
    .summary = "list the processes inside a container",
    .options = g_ps_options,
    .options_size = sizeof(struct ps_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .run = run_ps,
};
