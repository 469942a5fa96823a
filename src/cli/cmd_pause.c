/* SPDX-License-Identifier: Apache-2.0 */
/* moat pause, moat resume: stop all processes of a container, and let them go on. */
#include "cli/cli.h"
#include "runtime/control.h"

static const struct cli_option g_no_options[] = {{0}};

static int run_pause(const struct cli_globals *globals, void *options, int argc, char **argv,
                     struct err *err) {
    const struct runtime rt = cli_runtime(globals);
    return lifecycle_pause(&rt, argv[0], true, err) == 0 ? 0 : 1;
}

static int run_resume(const struct cli_globals *globals, void *options, int argc, char **argv,
                      struct err *err) {
    const struct runtime rt = cli_runtime(globals);
    return lifecycle_pause(&rt, argv[0], false, err) == 0 ? 0 : 1;
}

const struct cli_command g_cmd_pause = {
    .name = "pause",
    .synopsis = "ID",
    .summary = "stop all processes of a container",
    .options = g_no_options,
    .options_size = 0,
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_pause,
};

const struct cli_command g_cmd_resume = {
    .name = "resume",
    .synopsis = "ID",
    .summary = "let a paused container's processes go on",
    .options = g_no_options,
    .options_size = 0,
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_resume,
};
