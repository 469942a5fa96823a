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

/* The Sentry's list, checked against the reply's size. */
static int fetch(const char *root, const char *id, char *reply,
                 const struct moat_ctl_ps_entry **out_entries, size_t *out_count, struct err *err) {
    struct container_state state;
    struct moat_ctl_ref msg = {
        .h = {MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_PS, sizeof(msg), 1}};
    struct moat_ctl_reply fixed;
    int dir_fd = -1;
    int e = state_find(root, id, &state, &dir_fd, err);
    cleanup_fd int dir = dir_fd;
    cleanup_fd int sock = e != 0 ? -1 : client_connect(dir, id, err);
    if (sock < 0) {
        return e != 0 ? e : sock;
    }
    memcpy(msg.container, id, strlen(id) + 1); /* state_find checked its length */
    e = client_request(sock, &msg, sizeof(msg), NULL, 0, reply, MOAT_CTL_MSG_MAX, NULL, err);
    if (e != 0) {
        return e;
    }
    memcpy(&fixed, reply, sizeof(fixed));
    if (fixed.data_size > fixed.h.size - sizeof(fixed)) {
        return err_set(err, -EPROTO, "the container's monitor sent a broken list");
    }
    *out_entries = (const void *)(reply + sizeof(fixed));
    *out_count = fixed.data_size / sizeof(struct moat_ctl_ps_entry);
    return 0;
}

static void print_json(const struct moat_ctl_ps_entry *entries, size_t count) {
    struct json_object *all = json_object_new_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_object_array_add(
            all, json_object_new_int(entries[i].pid)); /* without memory it is missing */
    }
    printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN));
    json_object_put(all);
}

static int run_ps(const struct cli_globals *globals, void *options, int argc, char **argv,
                  struct err *err) {
    static const char *const formats[] = {"table", "json", NULL};
    const struct ps_options *o = options;
    const struct moat_ctl_ps_entry *entries;
    size_t count;
    int format = parse_choice(o->format, "--format", formats, err);
    cleanup_free char *reply = malloc(MOAT_CTL_MSG_MAX);
    if (format < 0) {
        return 2;
    }
    if (reply == NULL || fetch(globals->root, argv[0], reply, &entries, &count, err) != 0) {
        return 1;
    }
    if (format == 1) {
        print_json(entries, count);
        return 0;
    }
    printf("%-8s %-8s %-8s %-10s %s\n", "UID", "PID", "PPID", "TIME", "CMD");
    for (size_t i = 0; i < count; i++) {
        struct moat_ctl_ps_entry e = entries[i];
        e.comm[sizeof(e.comm) - 1] = '\0';
        e.cmdline[sizeof(e.cmdline) - 1] = '\0';
        unsigned long long seconds = e.cpu_ns / 1000000000u;
        printf("%-8u %-8d %-8d %02llu:%02llu:%02llu   %s\n", e.uid, e.pid, e.ppid, seconds / 3600,
               seconds / 60 % 60, seconds % 60, e.cmdline[0] != '\0' ? e.cmdline : e.comm);
    }
    return 0;
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
