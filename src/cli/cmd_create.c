/* SPDX-License-Identifier: Apache-2.0 */
/* moat create and moat run: a container from an OCI bundle, in the background or in the foreground.
 */
#include "cli/cli.h"
#include "cli/parse.h"
#include "host/cleanup.h"
#include "oci/config.h"
#include "runtime/lifecycle.h"
#include "sandbox/foreground.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

struct create_options {
    const char *bundle, *pid_file, *console_socket, *handover;
    bool strace, overlay_none, detach, no_pivot, no_new_keyring;
};

#define CREATE_OPT(field, name, letter, kind, arg, help)                                           \
    { name, letter, kind, offsetof(struct create_options, field), arg, help }

static const struct cli_option g_create_options[] = {
    CREATE_OPT(bundle, "bundle", 'b', OPT_TEXT, "DIR",
               "folder with config.json (default: the working directory)"),
    CREATE_OPT(pid_file, "pid-file", 0, OPT_TEXT, "FILE",
               "write the pid of the container's monitor there"),
    CREATE_OPT(console_socket, "console-socket", 0, OPT_TEXT, "PATH",
               "unix socket that gets the terminal's master"),
    CREATE_OPT(strace, "strace", 0, OPT_FLAG, NULL, "log every system call"),
    CREATE_OPT(overlay_none, "write-through", 0, OPT_FLAG, NULL,
               "write to the root file system itself, not to memory"),
    CREATE_OPT(handover, "handover", 0, OPT_TEXT, "auto|notify|trap",
               "systrap's way into the kernel"),
    CREATE_OPT(detach, "detach", 'd', OPT_FLAG, NULL, "run: leave it running in the background"),
    CREATE_OPT(no_pivot, "no-pivot", 0, OPT_FLAG, NULL,
               "accepted for engines; has no meaning here"),
    CREATE_OPT(no_new_keyring, "no-new-keyring", 0, OPT_FLAG, NULL,
               "accepted for engines; has no meaning here"),
    {0},
};

static int prepare(const struct cli_globals *globals, const struct create_options *o,
                   const char *id, struct container *c, struct lifecycle_create *how,
                   struct err *err) {
    static char bundle[PATH_MAX];
    static const char *const handovers[] = {"auto", "notify", "trap", NULL};
    int e = state_check_id(id, err);
    int handover = e != 0 ? e : parse_choice(o->handover, "--handover", handovers, err);
    if (handover < 0) {
        return handover;
    }
    const char *given = o->bundle != NULL ? o->bundle : ".";
    if (realpath(given, bundle) == NULL) {
        return err_sys(err, -errno, "--bundle %s", given);
    }
    e = oci_config_load(bundle, c, err);
    if (e != 0) {
        return e;
    }
    c->id = strdup(id);
    c->overlay = o->overlay_none ? OVERLAY_NONE : OVERLAY_MEMORY;
    c->strace = o->strace;
    c->handover = (uint32_t)handover;
    *how = (struct lifecycle_create){.root = globals->root,
                                     .bundle = bundle,
                                     .id = id,
                                     .pid_file = o->pid_file,
                                     .console_socket = o->console_socket,
                                     .isolation = &g_isolation_sentry,
                                     .log_fd = -1,
                                     .debug = globals->debug,
                                     .log_json = globals->log_format != NULL &&
                                                 strcmp(globals->log_format, "json") == 0};
    if (globals->log != NULL && (globals->debug || o->strace)) {
        how->log_fd = open(globals->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (how->log_fd < 0) {
            return err_sys(err, -errno, "cannot open the log %s", globals->log);
        }
    }
    return c->id != NULL ? 0 : err_sys(err, -ENOMEM, "cannot describe the container");
}

static int run_create(const struct cli_globals *globals, void *options, int argc, char **argv,
                      struct err *err) {
    struct container c = {0};
    struct lifecycle_create how;
    int e = prepare(globals, options, argv[0], &c, &how, err);
    e = e != 0 ? e : lifecycle_create(&c, &how, err);
    container_free(&c);
    return e == 0 ? 0 : 1;
}

static void terminal_size(struct container_process *p) {
    struct winsize ws;
    if (p->terminal && ioctl(0, TIOCGWINSZ, &ws) == 0) {
        p->rows = ws.ws_row;
        p->cols = ws.ws_col;
    }
}

static int run_run(const struct cli_globals *globals, void *options, int argc, char **argv,
                   struct err *err) {
    const struct create_options *o = options;
    struct container c = {0};
    struct lifecycle_create how;
    int wait_status = 0;
    int e = prepare(globals, o, argv[0], &c, &how, err);
    if (e == 0 && o->detach) {
        e = lifecycle_create(&c, &how, err);
        e = e != 0 ? e : lifecycle_start(globals->root, argv[0], err);
    } else if (e == 0) {
        terminal_size(&c.process);
        e = lifecycle_run(&c, &how, &wait_status, err);
    }
    container_free(&c);
    return e == 0 ? exit_status_of(wait_status) : 1;
}

const struct cli_command g_cmd_create = {
    .name = "create",
    .synopsis = "[options] ID",
    .summary = "make a container from a bundle; its process waits for start",
    .options = g_create_options,
    .options_size = sizeof(struct create_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .run = run_create,
};

const struct cli_command g_cmd_run = {
    .name = "run",
    .synopsis = "[options] ID",
    .summary = "make, start and wait for a container from a bundle",
    .options = g_create_options,
    .options_size = sizeof(struct create_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .run = run_run,
};
