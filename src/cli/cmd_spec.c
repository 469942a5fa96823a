/* SPDX-License-Identifier: Apache-2.0 */
/* moat spec: write a first config.json. */
#include "cli/cli.h"
#include "oci/config.h"

struct spec_options {
    const char *bundle;
    bool rootless;
};

static const struct cli_option g_spec_options[] = {
    {"bundle", 'b', OPT_TEXT, offsetof(struct spec_options, bundle), "DIR",
     "where to write it (default: here)"},
    {"rootless", 0, OPT_FLAG, offsetof(struct spec_options, rootless), NULL,
     "for an ordinary user: a user namespace with this user as root, the caller's network"},
    {0},
};

static int run_spec(const struct cli_globals *globals, void *options, int argc, char **argv,
                    struct err *err) {
    const struct spec_options *o = options;
    const char *bundle = o->bundle != NULL ? o->bundle : ".";
    return oci_config_write_default(bundle, o->rootless, err) == 0 ? 0 : 1;
}

const struct cli_command g_cmd_spec = {
    .name = "spec",
    .synopsis = "[options]",
    .summary = "write a config.json to begin with",
    .options = g_spec_options,
    .options_size = sizeof(struct spec_options),
    .min_args = 0,
    .max_args = 0,
    .args_help = "",
    .run = run_spec,
};
