/* SPDX-License-Identifier: Apache-2.0 */
/* moat start: let a created container's process run. */
#include "cli/cli.h"
#include "runtime/lifecycle.h"

static const struct cli_option g_no_options[] = {{0}};

static int run_start(const struct cli_globals *globals, void *options, int argc, char **argv,
                     struct err *err) {
    const struct runtime rt = cli_runtime(globals);
    return lifecycle_start(&rt, argv[0], err) == 0 ? 0 : 1;
}

const struct cli_command g_cmd_start = {
    .name = "start",
    .synopsis = "ID",
    .summary = "start a created container",
    .options = g_no_options,
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_start,
};
