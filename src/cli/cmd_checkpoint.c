/* SPDX-License-Identifier: Apache-2.0 */
/* moat checkpoint: write the state of a running container to a folder, where its isolation can. */
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct checkpoint_options {
    struct image_options image;
    const char *parent, *page_server, *status_fd;
    bool leave_running, pre_dump;
};

#define CHECKPOINT_OPT(field, name, kind, arg, help)                                               \
    { name, 0, kind, offsetof(struct checkpoint_options, field), arg, help }

static const struct cli_option g_checkpoint_options[] = {
    CHECKPOINT_OPT(image.image, "image-path", OPT_TEXT, "DIR",
                   "where to write it (default: checkpoint)"),
    CHECKPOINT_OPT(image.work, "work-path", OPT_TEXT, "DIR", "where logs of CRIU go"),
    CHECKPOINT_OPT(parent, "parent-path", OPT_TEXT, "DIR", "an earlier pre-dump"),
    CHECKPOINT_OPT(leave_running, "leave-running", OPT_FLAG, NULL, "let the container go on"),
    CHECKPOINT_OPT(image.tcp, "tcp-established", OPT_FLAG, NULL, "with open TCP connections"),
    CHECKPOINT_OPT(image.unix_sockets, "ext-unix-sk", OPT_FLAG, NULL,
                   "with unix sockets to the outside"),
    CHECKPOINT_OPT(image.shell_job, "shell-job", OPT_FLAG, NULL, "with a terminal of the outside"),
    CHECKPOINT_OPT(image.file_locks, "file-locks", OPT_FLAG, NULL, "with file locks"),
    CHECKPOINT_OPT(pre_dump, "pre-dump", OPT_FLAG, NULL, "memory only, and let it go on"),
    CHECKPOINT_OPT(image.lazy_pages, "lazy-pages", OPT_FLAG, NULL,
                   "memory is fetched by the restore"),
    CHECKPOINT_OPT(status_fd, "status-fd", OPT_TEXT, "FD", "tells when lazy pages are ready"),
    CHECKPOINT_OPT(page_server, "page-server", OPT_TEXT, "HOST:PORT", "where memory goes"),
    CHECKPOINT_OPT(image.cgroups_mode, "manage-cgroups-mode", OPT_TEXT, "soft|full|strict|ignore",
                   "how control groups are kept"),
    CHECKPOINT_OPT(image.empty_ns, "empty-ns", OPT_LIST, "NAMESPACE",
                   "a namespace that is not kept"),
    CHECKPOINT_OPT(image.auto_dedup, "auto-dedup", OPT_FLAG, NULL, "drop memory that a parent has"),
    {0},
};

/* "ADDRESS:PORT"; *out_address is cut in place. */
static int read_page_server(char *text, struct isolation_image *out, struct err *err) {
    char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text) {
        return err_set(err, -EINVAL, "--page-server is ADDRESS:PORT, not '%s'", text);
    }
    int e = parse_number(colon + 1, "--page-server", &out->page_server_port, err);
    if (e == 0 && (out->page_server_port == 0 || out->page_server_port > 65535)) {
        e = err_set(err, -EINVAL, "--page-server: '%s' is no port", colon + 1);
    }
    *colon = '\0';
    out->page_server = text;
    return e;
}

static int read_status_fd(const char *text, struct isolation_image *out, struct err *err) {
    uint32_t fd = 0;
    int e = parse_number(text, "--status-fd", &fd, err);
    if (e == 0 && (fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0)) {
        e = err_set(err, -EBADF, "--status-fd: descriptor %s is not open", text);
    }
    out->status_fd = (int)fd;
    return e;
}

/* It is kept in the image as it is given, so it has to be right beside the image. */
static int check_parent(const char *parent, int image, struct err *err) {
    struct stat st;
    if (parent[0] == '/') {
        return err_set(err, -EINVAL, "--parent-path %s must be relative to the image's folder",
                       parent);
    }
    if (fstatat(image, parent, &st, 0) != 0 || !S_ISDIR(st.st_mode)) {
        return err_set(err, -ENOENT, "--parent-path %s is no folder beside the image", parent);
    }
    return 0;
}

static int read_options(const struct cli_globals *globals, const struct checkpoint_options *o,
                        struct isolation_image *out, struct err *err) {
    int e = image_read(globals, &o->image, true, out, err);
    if (e == 0 && o->page_server != NULL) {
        e = read_page_server((char *)(uintptr_t)o->page_server, out, err); /* of argv */
    }
    if (e == 0 && o->status_fd != NULL) {
        e = read_status_fd(o->status_fd, out, err);
    }
    if (e == 0 && o->parent != NULL) {
        int image = open(out->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        e = check_parent(o->parent, image, err);
        (void)close(image); /* only looked at */
    }
    out->parent = o->parent;
    out->leave_running = o->leave_running;
    out->pre_dump = o->pre_dump;
    return e;
}

static int run_checkpoint(const struct cli_globals *globals, void *options, int argc, char **argv,
                          struct err *err) {
    const struct runtime rt = cli_runtime(globals);
    struct isolation_image image = {.status_fd = -1};
    int e = read_options(globals, options, &image, err);
    e = e != 0 ? e : lifecycle_checkpoint(&rt, argv[0], &image, err);
    return e == 0 ? 0 : 1;
}

const struct cli_command g_cmd_checkpoint = {
    .name = "checkpoint",
    .synopsis = "[options] ID",
    .summary = "write a running container's state to a folder, where its isolation can",
    .description =
        "Isolation native can, by CRIU. The container ends and is deleted, unless it is to go on "
        "(--leave-running, --pre-dump); when it fails, it goes on too. An isolation that cannot "
        "says so.",
    .options = g_checkpoint_options,
    .options_size = sizeof(struct checkpoint_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_checkpoint,
};
