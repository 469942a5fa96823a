/* SPDX-License-Identifier: Apache-2.0 */
/* moat wait: wait for a container's end and pass its exit status on. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "runtime/lifecycle.h"

static const struct cli_option g_no_options[] = {{0}};

static int run_wait(const struct cli_globals *globals, void *options, int argc, char **argv,
                    struct err *err) {
    const struct runtime rt = cli_runtime(globals);
    int wait_status = 0;
    if (lifecycle_wait(&rt, argv[0], &wait_status, err) != 0) {
        return 1;
    }
    return exit_status_of(wait_status);
}

const struct cli_command g_cmd_wait = {
    .name = "wait",
    .synopsis = "ID",
    .summary = "wait until a container has ended; exits with its status",
    .options = g_no_options,
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_wait,
};
