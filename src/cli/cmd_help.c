/* SPDX-License-Identifier: Apache-2.0 */
/* moat help: what --help says, for one command or all, and as a manual page. */
#include "cli/cli.h"

#include <errno.h>

struct help_options {
    bool man;
};

static const struct cli_option g_help_options[] = {
    {"man", 0, OPT_FLAG, offsetof(struct help_options, man), NULL,
     "print the manual page moat(8): moat help --man | man -l -"},
    {0},
};

static int run_help(const struct cli_globals *globals, void *options, int argc, char **argv,
                    struct err *err) {
    const struct help_options *o = options;
    if (o->man) {
        cli_print_man();
        return 0;
    }
    if (argc == 0) {
        cli_print_usage();
        return 0;
    }
    const struct cli_command *c = cli_find_command(argv[0]);
    if (c == NULL) {
        (void)err_set(err, -EINVAL, "unknown command '%s': 'moat help' lists the commands",
                      argv[0]); /* the caller reports it */
        return EXIT_USAGE;
    }
    cli_print_help(c);
    return 0;
}

const struct cli_command g_cmd_help = {
    .name = "help",
    .synopsis = "[--man] [COMMAND]",
    .summary = "list the commands, or tell more about one",
    .options = g_help_options,
    .options_size = sizeof(struct help_options),
    .min_args = 0,
    .max_args = 1,
    .args_help = "",
    .run = run_help,
};
