/* SPDX-License-Identifier: Apache-2.0 */
/* moat delete: forget a container. */
#include "cli/cli.h"
#include "runtime/lifecycle.h"

struct delete_options {
    bool force;
};

static const struct cli_option g_delete_options[] = {
    {"force", 'f', OPT_FLAG, offsetof(struct delete_options, force), NULL,
     "kill it first if it runs"},
    {0},
};

static int run_delete(const struct cli_globals *globals, void *options, int argc, char **argv,
                      struct err *err) {
    const struct delete_options *o = options;
    const struct runtime rt = cli_runtime(globals);
    for (int i = 0; i < argc; i++) {
        if (lifecycle_delete(&rt, argv[i], o->force, err) != 0) {
            return 1;
        }
    }
    return 0;
}

const struct cli_command g_cmd_delete = {
    .name = "delete",
    .synopsis = "[--force] ID...",
    .summary = "delete a stopped container",
    .options = g_delete_options,
    .options_size = sizeof(struct delete_options),
    .min_args = 1,
    .max_args = -1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_delete,
};
