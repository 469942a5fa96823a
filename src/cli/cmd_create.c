/* SPDX-License-Identifier: Apache-2.0 */
/* moat create and moat run: a container from an OCI bundle, in the background or in the foreground.
 */
#include "cli/bundle.h"
#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/service.h"
#include "host/cleanup.h"
#include "sandbox/sentry.h"

#include <errno.h>
#include <string.h>

struct create_options {
    const char *bundle, *pid_file, *console_socket, *pidfd_socket, *handover, *isolation, *overlay;
    uint32_t preserve_fds;
    bool strace, detach, keep, no_pivot, no_new_keyring, no_subreaper;
};

#define CREATE_OPT(field, name, letter, kind, arg, help)                                           \
    { name, letter, kind, offsetof(struct create_options, field), arg, help }
/* The options of both commands. */
#define CREATE_OPTS                                                                                \
    CREATE_OPT(bundle, "bundle", 'b', OPT_TEXT, "DIR",                                             \
               "folder with config.json (default: the working directory)"),                        \
        CREATE_OPT(isolation, "isolation", 0, OPT_TEXT, "sentry|native|vm|vm+sentry",              \
                   "the wall: application kernel, or namespaces"),                                 \
        CREATE_OPT(pid_file, "pid-file", 0, OPT_TEXT, "FILE",                                      \
                   "write the pid of the container's process there"),                              \
        CREATE_OPT(console_socket, "console-socket", 0, OPT_TEXT, "PATH",                          \
                   "unix socket that gets the terminal's master"),                                 \
        CREATE_OPT(pidfd_socket, "pidfd-socket", 0, OPT_TEXT, "PATH",                              \
                   "unix socket that gets a pidfd of the container's process"),                    \
        CREATE_OPT(preserve_fds, "preserve-fds", 0, OPT_U32, "N",                                  \
                   "pass N descriptors, from 3 on, to the process"),                               \
        CREATE_OPT(no_pivot, "no-pivot", 0, OPT_FLAG, NULL,                                        \
                   "do not use pivot_root (native; for a root on initramfs)"),                     \
        CREATE_OPT(no_new_keyring, "no-new-keyring", 0, OPT_FLAG, NULL,                            \
                   "keep the caller's session keyring (native)"),                                  \
        CREATE_OPT(strace, "strace", 0, OPT_FLAG, NULL, "log every system call (sentry)"),         \
        CREATE_OPT(overlay, "overlay", 0, OPT_TEXT, "none|memory",                                 \
                   "where writes to the root go: to it (default), or to memory (sentry)"),         \
        CREATE_OPT(handover, "handover", 0, OPT_TEXT, "auto|notify|trap|post",                     \
                   "systrap's way into the kernel (sentry)")

static const struct cli_option g_create_options[] = {CREATE_OPTS, {0}};

static const struct cli_option g_run_options[] = {
    CREATE_OPTS,
    CREATE_OPT(detach, "detach", 'd', OPT_FLAG, NULL, "leave it running in the background"),
    CREATE_OPT(keep, "keep", 0, OPT_FLAG, NULL, "do not delete it when it has ended"),
    CREATE_OPT(no_subreaper, "no-subreaper", 0, OPT_FLAG, NULL,
               "do not adopt processes that the container leaves behind"),
    {0},
};

/*
 * By option, else as the settings and annotations have it.  The default is what runtime.md means by
 * a root: engines copy from it, commit it and start it again, and find there what the container
 * wrote.
 */
static int choose_overlay(const struct create_options *o, const struct isolation_ops *isolation,
                          struct container *c, struct err *err) {
    static const char *const modes[] = {"none", "memory", NULL};
    int mode = parse_choice(o->overlay, "--overlay", modes, err);
    if (mode >= 0 && o->overlay != NULL) {
        c->overlay = mode == 1 ? OVERLAY_MEMORY : OVERLAY_NONE;
    }
    /* Nothing is written to a read-only root, and mount points that it lacks lie in memory; native
     * makes them in the root, as other runtimes of its kind, and saves the overlay. */
    if (c->root_readonly && isolation == &g_isolation_sentry) {
        c->overlay = OVERLAY_MEMORY;
    }
    if (mode >= 0 && c->root_image != NULL) {
        if (o->overlay != NULL && mode == 0) {
            return err_set(err, -EINVAL,
                           "--overlay none needs a folder as root: a disk image is never written "
                           "to");
        }
        c->overlay = OVERLAY_MEMORY;
    }
    return mode < 0 ? mode : 0;
}

/* Reads the bundle and what the options say; *out_text stays in use by *how. */
static int prepare(const struct cli_globals *globals, const struct runtime *rt,
                   const struct create_options *o, const char *id, struct container *c,
                   struct lifecycle_create *how, char **out_text, struct err *err) {
    static const char *const handovers[] = {"auto", "notify", "trap", "post", NULL};
    *how = (struct lifecycle_create){.id = id,
                                     .pid_file = o->pid_file,
                                     .console_socket = o->console_socket,
                                     .console_fd = -1,
                                     .pidfd_socket = o->pidfd_socket,
                                     .preserve_fds = o->preserve_fds,
                                     .no_pivot = o->no_pivot,
                                     .no_new_keyring = o->no_new_keyring};
    int handover = parse_choice(o->handover, "--handover", handovers, err);
    int e = handover < 0 ? handover
                         : bundle_read(globals, rt, o->bundle, o->isolation, c, how, out_text, err);
    e = e != 0 ? e : choose_overlay(o, how->isolation, c, err);
    if (e != 0) {
        return e;
    }
    c->strace = o->strace;
    c->handover = o->handover != NULL ? (uint32_t)handover : c->handover;
    e = service_listen_fds(&c->process, &how->preserve_fds, err);
    e = e != 0 ? e : service_check_fds(how->preserve_fds, err);
    return e != 0 ? e : service_notify(rt, strcmp(how->isolation->name, "native") == 0, c, err);
}

static int create_background(const struct runtime *rt, const struct create_options *o,
                             struct container *c, const struct lifecycle_create *how,
                             struct err *err) {
    pid_t pid;
    int e = bundle_check_console(c, o->console_socket, true, err);
    return e != 0 ? e : lifecycle_create(rt, c, how, &pid, err);
}

static int run_create(const struct cli_globals *globals, void *options, int argc, char **argv,
                      struct err *err) {
    const struct create_options *o = options;
    struct runtime rt = cli_runtime(globals);
    struct container c = {0};
    struct lifecycle_create how;
    cleanup_free char *text = NULL;
    int e = prepare(globals, &rt, o, argv[0], &c, &how, &text, err);
    e = e != 0 ? e : cli_open_log(globals, o->strace, &rt.log_fd, err);
    e = e != 0 ? e : create_background(&rt, o, &c, &how, err);
    container_free(&c);
    return e == 0 ? 0 : 1;
}

static int run_run(const struct cli_globals *globals, void *options, int argc, char **argv,
                   struct err *err) {
    const struct create_options *o = options;
    struct runtime rt = cli_runtime(globals);
    struct container c = {0};
    struct lifecycle_create how;
    cleanup_free char *text = NULL;
    struct err ignored = {0};
    int wait_status = 0;
    int e = prepare(globals, &rt, o, argv[0], &c, &how, &text, err);
    e = e != 0 ? e : cli_open_log(globals, o->strace, &rt.log_fd, err);
    if (e == 0 && o->detach) {
        e = create_background(&rt, o, &c, &how, err);
        if (e == 0 && (e = lifecycle_start(&rt, argv[0], err)) != 0) {
            (void)lifecycle_delete(&rt, argv[0], true, &ignored); /* the start is what failed */
        }
    } else if (e == 0) {
        const struct bundle_foreground foreground = {.subreaper = !o->no_subreaper,
                                                     .keep = o->keep};
        e = bundle_check_console(&c, o->console_socket, false, err);
        e = e != 0 ? e : bundle_run(&rt, &foreground, &c, &how, &wait_status, err);
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
    .options = g_run_options,
    .options_size = sizeof(struct create_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .run = run_run,
};
