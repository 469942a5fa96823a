/* SPDX-License-Identifier: Apache-2.0 */
/* moat checkpoint: write the state of a running container to a folder, where its isolation can. */
#include "cli/cli.h"
#include "runtime/control.h"

#include <errno.h>

struct checkpoint_options {
    const char *image, *work, *parent, *cgroups_mode, *page_server, *status_fd;
    struct strlist empty_ns;
    bool leave_running, tcp, unix_sockets, shell_job, file_locks, pre_dump, lazy_pages, auto_dedup;
};

#define CHECKPOINT_OPT(field, name, kind, arg, help)                                               \
    { name, 0, kind, offsetof(struct checkpoint_options, field), arg, help }

static const struct cli_option g_checkpoint_options[] = {
    CHECKPOINT_OPT(image, "image-path", OPT_TEXT, "DIR", "where to write it (default: checkpoint)"),
    CHECKPOINT_OPT(work, "work-path", OPT_TEXT, "DIR", "where logs of CRIU go"),
    CHECKPOINT_OPT(parent, "parent-path", OPT_TEXT, "DIR", "an earlier pre-dump"),
    CHECKPOINT_OPT(leave_running, "leave-running", OPT_FLAG, NULL, "let the container go on"),
    CHECKPOINT_OPT(tcp, "tcp-established", OPT_FLAG, NULL, "with open TCP connections"),
    CHECKPOINT_OPT(unix_sockets, "ext-unix-sk", OPT_FLAG, NULL, "with unix sockets to the outside"),
    CHECKPOINT_OPT(shell_job, "shell-job", OPT_FLAG, NULL, "with a terminal of the outside"),
    CHECKPOINT_OPT(file_locks, "file-locks", OPT_FLAG, NULL, "with file locks"),
    CHECKPOINT_OPT(pre_dump, "pre-dump", OPT_FLAG, NULL, "memory only, and let it go on"),
    CHECKPOINT_OPT(lazy_pages, "lazy-pages", OPT_FLAG, NULL, "memory is fetched by the restore"),
    CHECKPOINT_OPT(status_fd, "status-fd", OPT_TEXT, "FD", "tells when lazy pages are ready"),
    CHECKPOINT_OPT(page_server, "page-server", OPT_TEXT, "HOST:PORT", "where memory goes"),
    CHECKPOINT_OPT(cgroups_mode, "manage-cgroups-mode", OPT_TEXT, "soft|full|strict|ignore",
                   "how control groups are kept"),
    CHECKPOINT_OPT(empty_ns, "empty-ns", OPT_LIST, "NAMESPACE", "a namespace that is not kept"),
    CHECKPOINT_OPT(auto_dedup, "auto-dedup", OPT_FLAG, NULL, "drop memory that a parent has"),
    {0},
};

/* What the isolation gets: the options as CRIU spells them. */
static int collect(const struct checkpoint_options *o, struct strlist *out) {
    const struct {
        bool set;
        const char *name;
    } flags[] = {{o->leave_running, "--leave-running"}, {o->tcp, "--tcp-established"},
                 {o->unix_sockets, "--ext-unix-sk"},    {o->shell_job, "--shell-job"},
                 {o->file_locks, "--file-locks"},       {o->pre_dump, "--pre-dump"},
                 {o->lazy_pages, "--lazy-pages"},       {o->auto_dedup, "--auto-dedup"}};
    int e = 0;
    for (size_t i = 0; i < ARRAY_COUNT(flags) && e == 0; i++) {
        e = flags[i].set ? strlist_add(out, flags[i].name) : 0;
    }
    return e;
}

static int run_checkpoint(const struct cli_globals *globals, void *options, int argc, char **argv,
                          struct err *err) {
    const struct checkpoint_options *o = options;
    const struct runtime rt = cli_runtime(globals);
    struct strlist list = {0};
    int e = collect(o, &list);
    e = e != 0 ? err_sys(err, e, "cannot take the options over")
               : lifecycle_checkpoint(&rt, argv[0], o->image != NULL ? o->image : "checkpoint",
                                      &list, err);
    strlist_free(&list);
    return e == 0 ? 0 : 1;
}

const struct cli_command g_cmd_checkpoint = {
    .name = "checkpoint",
    .synopsis = "[options] ID",
    .summary = "write a running container's state to a folder, where its isolation can",
    .description = "An isolation that cannot says so, and the container goes on.",
    .options = g_checkpoint_options,
    .options_size = sizeof(struct checkpoint_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_checkpoint,
};

/* ---- restore ---- */

struct restore_options {
    const char *image, *work, *bundle, *isolation, *pid_file, *console_socket, *cgroups_mode,
        *lsm_profile, *lsm_context;
    struct strlist empty_ns;
    bool detach, tcp, unix_sockets, shell_job, file_locks, lazy_pages, auto_dedup, no_pivot,
        no_subreaper;
};

#define RESTORE_OPT(field, name, letter, kind, arg, help)                                          \
    { name, letter, kind, offsetof(struct restore_options, field), arg, help }

static const struct cli_option g_restore_options[] = {
    RESTORE_OPT(image, "image-path", 0, OPT_TEXT, "DIR", "where checkpoint wrote it"),
    RESTORE_OPT(work, "work-path", 0, OPT_TEXT, "DIR", "where logs of CRIU go"),
    RESTORE_OPT(bundle, "bundle", 'b', OPT_TEXT, "DIR", "folder with config.json"),
    RESTORE_OPT(isolation, "isolation", 0, OPT_TEXT, "sentry|native|vm", "the wall"),
    RESTORE_OPT(pid_file, "pid-file", 0, OPT_TEXT, "FILE", "write the pid there"),
    RESTORE_OPT(console_socket, "console-socket", 0, OPT_TEXT, "PATH",
                "unix socket that gets the terminal's master"),
    RESTORE_OPT(detach, "detach", 'd', OPT_FLAG, NULL, "leave it running in the background"),
    RESTORE_OPT(tcp, "tcp-established", 0, OPT_FLAG, NULL, "with open TCP connections"),
    RESTORE_OPT(unix_sockets, "ext-unix-sk", 0, OPT_FLAG, NULL, "with unix sockets to the outside"),
    RESTORE_OPT(shell_job, "shell-job", 0, OPT_FLAG, NULL, "with a terminal of the outside"),
    RESTORE_OPT(file_locks, "file-locks", 0, OPT_FLAG, NULL, "with file locks"),
    RESTORE_OPT(lazy_pages, "lazy-pages", 0, OPT_FLAG, NULL, "fetch memory when it is touched"),
    RESTORE_OPT(cgroups_mode, "manage-cgroups-mode", 0, OPT_TEXT, "soft|full|strict|ignore",
                "how control groups are kept"),
    RESTORE_OPT(empty_ns, "empty-ns", 0, OPT_LIST, "NAMESPACE", "a namespace that was not kept"),
    RESTORE_OPT(auto_dedup, "auto-dedup", 0, OPT_FLAG, NULL, "drop memory when it was restored"),
    RESTORE_OPT(no_pivot, "no-pivot", 0, OPT_FLAG, NULL, "do not use pivot_root"),
    RESTORE_OPT(no_subreaper, "no-subreaper", 0, OPT_FLAG, NULL,
                "do not adopt processes that the container leaves behind"),
    RESTORE_OPT(lsm_profile, "lsm-profile", 0, OPT_TEXT, "KIND:LABEL", "LSM profile"),
    RESTORE_OPT(lsm_context, "lsm-mount-context", 0, OPT_TEXT, "LABEL", "LSM label of mounts"),
    {0},
};

/* No isolation of this moat has a restore: what checkpoint never wrote cannot be read. */
static int run_restore(const struct cli_globals *globals, void *options, int argc, char **argv,
                       struct err *err) {
    struct err id = {0};
    if (state_check_id(argv[0], &id) != 0) {
        (void)err_set(err, id.code, "%s", id.msg); /* the caller reports it */
        return 1;
    }
    (void)err_set(err, -EOPNOTSUPP,
                  "cannot restore container %s: no isolation of this moat restores a checkpoint",
                  argv[0]); /* likewise */
    return 1;
}

const struct cli_command g_cmd_restore = {
    .name = "restore",
    .synopsis = "[options] ID",
    .summary = "make a container from a checkpoint, where its isolation can",
    .description = "No isolation of this moat can: the command is refused.",
    .options = g_restore_options,
    .options_size = sizeof(struct restore_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .run = run_restore,
};
