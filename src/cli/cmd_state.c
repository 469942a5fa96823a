/* SPDX-License-Identifier: Apache-2.0 */
/* moat state: what is known of a container, as the runtime specification's JSON. */
#include "cli/cli.h"
#include "runtime/lifecycle.h"

#include <stdio.h>
#include <unistd.h>

static const struct cli_option g_no_options[] = {{0}};

static int run_state(const struct cli_globals *globals, void *options, int argc, char **argv,
                     struct err *err) {
    struct container_state state;
    int dir;
    if (state_find(globals->root, argv[0], &state, &dir, err) != 0) {
        return 1;
    }
    (void)close(dir); /* read-only */
    struct json_object *o = state_to_json(&state);
    if (o != NULL) { /* without memory the member is missing */
        (void)json_object_object_add(o, "owner",
                                     json_object_new_string(cli_owner_name(state.owner)));
    }
    printf("%s\n",
           json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                 JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    state_free(&state);
    return 0;
}

const struct cli_command g_cmd_state = {
    .name = "state",
    .synopsis = "ID",
    .summary = "show the state of a container",
    .options = g_no_options,
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_state,
};
