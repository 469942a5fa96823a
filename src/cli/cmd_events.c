/* SPDX-License-Identifier: Apache-2.0 */
/* moat events: statistics and out-of-memory events of a container as JSON lines. */
#include "cli/cli.h"
#include "runtime/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_MS     5000u
#define INTERVAL_MS_MAX (24.0 * 3600 * 1000)

struct events_options {
    const char *interval;
    bool stats;
};

static const struct cli_option g_events_options[] = {
    {"interval", 0, OPT_TEXT, offsetof(struct events_options, interval), "DURATION",
     "how often statistics are shown, such as 500ms or 1m30s (default 5s)"},
    {"stats", 0, OPT_FLAG, offsetof(struct events_options, stats), NULL,
     "show the statistics once and end"},
    {0},
};

static double unit_ms(const char *unit, size_t len) {
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"\xc2\xb5s", 1e-3}, {"ms", 1},
                 {"s", 1000},  {"m", 60000}, {"h", 3600000}};
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (strlen(units[i].name) == len && memcmp(units[i].name, unit, len) == 0) {
            return units[i].ms;
        }
    }
    return -1;
}

/* Numbers with units one behind the other, as Go's time.ParseDuration takes them. */
static int parse_duration(const char *text, uint64_t *out_ms, struct err *err) {
    double total = 0;
    const char *p = text;
    bool good = *p != '\0';
    while (good && *p != '\0') {
        char *end;
        good = (*p >= '0' && *p <= '9') || *p == '.';
        double n = good ? strtod(p, &end) : 0;
        size_t len = good ? strcspn(end, "0123456789.") : 0;
        double ms = len > 0 ? unit_ms(end, len) : -1;
        good = ms > 0;
        total += good ? n * ms : 0;
        p = good ? end + len : p;
    }
    if (!good || total <= 0 || total > INTERVAL_MS_MAX) {
        return err_set(err, -EINVAL,
                       "--interval takes a duration above zero such as 500ms, 5s or 1m30s, not "
                       "'%s'",
                       text);
    }
    *out_ms = total < 1 ? 1 : (uint64_t)total;
    return 0;
}

static int print_event(void *arg, struct json_object *event, struct err *err) {
    const char *text = json_object_to_json_string_ext(event, JSON_C_TO_STRING_PLAIN);
    bool ok = text != NULL && printf("%s\n", text) > 0 && fflush(stdout) == 0;
    json_object_put(event);
    return ok ? 0 : err_sys(err, -EIO, "cannot write the event");
}

static int run_events(const struct cli_globals *globals, void *options, int argc, char **argv,
                      struct err *err) {
    const struct events_options *o = options;
    const struct runtime rt = cli_runtime(globals);
    uint64_t ms = INTERVAL_MS;
    if (o->interval != NULL && parse_duration(o->interval, &ms, err) != 0) {
        return 2;
    }
    int e = o->stats ? lifecycle_stats(&rt, argv[0], print_event, NULL, err)
                     : lifecycle_events(&rt, argv[0], ms, print_event, NULL, err);
    return e == 0 ? 0 : 1;
}

const struct cli_command g_cmd_events = {
    .name = "events",
    .synopsis = "[--stats] [--interval DURATION] ID",
    .summary = "show statistics and out-of-memory events as JSON lines",
    .options = g_events_options,
    .options_size = sizeof(struct events_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_events,
};
