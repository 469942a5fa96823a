/* SPDX-License-Identifier: Apache-2.0 */
/* moat restore: a container from a checkpoint, in the background or in the foreground. */
#include "cli/bundle.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/parse.h"
#include "host/cleanup.h"

#include <errno.h>

struct restore_options {
    struct image_options image;
    const char *bundle, *isolation, *pid_file, *console_socket, *lsm_profile, *lsm_context;
    bool detach, no_pivot, no_subreaper;
};

#define RESTORE_OPT(field, name, letter, kind, arg, help)                                          \
    { name, letter, kind, offsetof(struct restore_options, field), arg, help }

static const struct cli_option g_restore_options[] = {
    RESTORE_OPT(image.image, "image-path", 0, OPT_TEXT, "DIR", "where checkpoint wrote it"),
    RESTORE_OPT(image.work, "work-path", 0, OPT_TEXT, "DIR", "where logs of CRIU go"),
    RESTORE_OPT(bundle, "bundle", 'b', OPT_TEXT, "DIR", "folder with config.json"),
    RESTORE_OPT(isolation, "isolation", 0, OPT_TEXT, "sentry|native|vm|vm+sentry", "the wall"),
    RESTORE_OPT(pid_file, "pid-file", 0, OPT_TEXT, "FILE", "write the pid there"),
    RESTORE_OPT(console_socket, "console-socket", 0, OPT_TEXT, "PATH",
                "unix socket that gets the terminal's master"),
    RESTORE_OPT(detach, "detach", 'd', OPT_FLAG, NULL, "leave it running in the background"),
    RESTORE_OPT(image.tcp, "tcp-established", 0, OPT_FLAG, NULL, "with open TCP connections"),
    RESTORE_OPT(image.unix_sockets, "ext-unix-sk", 0, OPT_FLAG, NULL,
                "with unix sockets to the outside"),
    RESTORE_OPT(image.shell_job, "shell-job", 0, OPT_FLAG, NULL, "with a terminal of the outside"),
    RESTORE_OPT(image.file_locks, "file-locks", 0, OPT_FLAG, NULL, "with file locks"),
    RESTORE_OPT(image.lazy_pages, "lazy-pages", 0, OPT_FLAG, NULL,
                "fetch memory when it is touched"),
    RESTORE_OPT(image.cgroups_mode, "manage-cgroups-mode", 0, OPT_TEXT, "soft|full|strict|ignore",
                "how control groups are kept"),
    RESTORE_OPT(image.empty_ns, "empty-ns", 0, OPT_LIST, "NAMESPACE",
                "a namespace that was not kept"),
    RESTORE_OPT(image.auto_dedup, "auto-dedup", 0, OPT_FLAG, NULL,
                "drop memory when it was restored"),
    RESTORE_OPT(no_pivot, "no-pivot", 0, OPT_FLAG, NULL, "do not use pivot_root"),
    RESTORE_OPT(no_subreaper, "no-subreaper", 0, OPT_FLAG, NULL,
                "do not adopt processes that the container leaves behind"),
    RESTORE_OPT(lsm_profile, "lsm-profile", 0, OPT_TEXT, "KIND:LABEL", "LSM profile"),
    RESTORE_OPT(lsm_context, "lsm-mount-context", 0, OPT_TEXT, "LABEL", "LSM label of mounts"),
    {0},
};

static int read_options(const struct cli_globals *globals, const struct restore_options *o,
                        struct isolation_image *out, struct err *err) {
    int e = image_read(globals, &o->image, false, out, err);
    out->lsm_profile = o->lsm_profile;
    out->lsm_mount_context = o->lsm_context;
    return e;
}

static int run_restore(const struct cli_globals *globals, void *options, int argc, char **argv,
                       struct err *err) {
    const struct restore_options *o = options;
    struct runtime rt = cli_runtime(globals);
    struct container c = {0};
    struct isolation_image image = {.status_fd = -1};
    struct lifecycle_create how = {.id = argv[0],
                                   .pid_file = o->pid_file,
                                   .console_socket = o->console_socket,
                                   .console_fd = -1,
                                   .no_pivot = o->no_pivot};
    const struct bundle_foreground foreground = {.subreaper = !o->no_subreaper};
    cleanup_free char *text = NULL;
    int wait_status = 0;
    pid_t pid;
    int e = read_options(globals, o, &image, err);
    e = e != 0 ? e : bundle_read(globals, &rt, o->bundle, o->isolation, &c, &how, &text, err);
    e = e != 0 ? e : bundle_check_console(&c, o->console_socket, o->detach, err);
    how.image = &image;
    if (e == 0 && o->detach) {
        e = lifecycle_create(&rt, &c, &how, &pid, err);
    } else if (e == 0) {
        e = bundle_run(&rt, &foreground, &c, &how, &wait_status, err);
    }
    container_free(&c);
    return e == 0 ? exit_status_of(wait_status) : 1;
}

const struct cli_command g_cmd_restore = {
    .name = "restore",
    .synopsis = "[options] ID",
    .summary = "make a container from a checkpoint, where its isolation can",
    .description =
        "Isolation native can, by CRIU; an isolation that cannot says so. The bundle is the one "
        "that the container was made from, or has the same root and volumes.",
    .options = g_restore_options,
    .options_size = sizeof(struct restore_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .run = run_restore,
};
