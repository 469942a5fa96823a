/* SPDX-License-Identifier: Apache-2.0 */
/* moat kill: send a signal to a container. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "runtime/lifecycle.h"

struct kill_options {
    bool all;
};

static const struct cli_option g_kill_options[] = {
    {"all", 'a', OPT_FLAG, offsetof(struct kill_options, all), NULL,
     "signal every process of the container"},
    {0},
};

static int run_kill(const struct cli_globals *globals, void *options, int argc, char **argv,
                    struct err *err) {
    const struct kill_options *o = options;
    int signo = parse_signal(argc > 1 ? argv[1] : "TERM", err);
    if (signo < 0) {
        return EXIT_USAGE;
    }
    const struct runtime rt = cli_runtime(globals);
    return lifecycle_kill(&rt, argv[0], signo, o->all, err) == 0 ? 0 : 1;
}

const struct cli_command g_cmd_kill = {
    .name = "kill",
    .synopsis = "[--all] ID [SIGNAL]",
    .summary = "send a signal (default TERM) to a container's process",
    .options = g_kill_options,
    .options_size = sizeof(struct kill_options),
    .min_args = 1,
    .max_args = 2,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_kill,
};
