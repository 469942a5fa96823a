/* SPDX-License-Identifier: Apache-2.0 */
/* moat do: run one command in a sandbox of its own. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "host/cleanup.h"
#include "moat/boot.h"
#include "native/native.h"
#include "sandbox/sentry.h"
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct do_options {
    const char *rootfs, *isolation, *platform, *network, *overlay, *cwd, *user, *memory, *hostname,
        *handover;
    struct strlist volumes, env;
    bool strace, terminal;
};

#define DO_OPT(field, letter, kind, arg, help)                                                     \
    { #field, letter, kind, offsetof(struct do_options, field), arg, help }

static const struct cli_option g_do_options[] = {
    DO_OPT(rootfs, 0, OPT_TEXT, "DIR|IMAGE",
           "root file system (default: the host's own, never written to); a disk image with "
           "isolation vm"),
    DO_OPT(isolation, 0, OPT_TEXT, "sentry|native|vm|vm+sentry",
           "the wall: application kernel, namespaces, or a virtual machine"),
    DO_OPT(platform, 0, OPT_TEXT, "auto|systrap", "how the application kernel runs programs"),
    DO_OPT(network, 0, OPT_TEXT, "none|host", "no network, or the host's (native isolation)"),
    DO_OPT(overlay, 0, OPT_TEXT, "memory|none",
           "keep writes to the root in memory, or write them through"),
    DO_OPT(strace, 0, OPT_FLAG, NULL, "log every system call (to standard error, or --log)"),
    {"volume", 'v', OPT_LIST, offsetof(struct do_options, volumes), "SRC:DST[:ro]",
     "mount a folder or file of the host"},
    DO_OPT(env, 'e', OPT_LIST, "K=V", "set an environment variable"),
    DO_OPT(cwd, 'w', OPT_TEXT, "DIR", "working directory inside (default /)"),
    DO_OPT(user, 'u', OPT_TEXT, "UID[:GID]", "identity inside (default 0:0)"),
    DO_OPT(memory, 'm', OPT_TEXT, "SIZE", "limit of the sandbox's memory, such as 512m"),
    DO_OPT(hostname, 0, OPT_TEXT, "NAME", "host name inside (default moat)"),
    DO_OPT(terminal, 't', OPT_FLAG, NULL,
           "give the command a terminal (standard input must be one)"),
    DO_OPT(handover, 0, OPT_TEXT, "auto|notify|trap|post",
           "systrap's way into the kernel (default: measured)"),
    {0},
};

static int set_environment(struct container_process *p, const struct do_options *o,
                           struct err *err) {
    static const char *const defaults[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
    };
    int e = 0;
    for (size_t i = 0; i < ARRAY_COUNT(defaults) && e == 0; i++) {
        e = strlist_set_env(&p->env, defaults[i]);
    }
    const char *term = getenv("TERM");
    if (p->terminal && e == 0) {
        char text[128];
        (void)snprintf(text, sizeof(text), "TERM=%s",
                       term != NULL ? term : "xterm"); /* a cut name is unknown anyway */
        e = strlist_set_env(&p->env, text);
    }
    for (size_t i = 0; i < o->env.count && e == 0; i++) {
        if (strchr(o->env.items[i], '=') == NULL || o->env.items[i][0] == '=') {
            return err_set(err, -EINVAL, "--env takes NAME=VALUE, not '%s'", o->env.items[i]);
        }
        e = strlist_set_env(&p->env, o->env.items[i]);
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot build the environment");
}

static int set_root(struct container *c, const struct do_options *o, struct err *err) {
    char path[PATH_MAX];
    struct stat st;
    const char *root = o->rootfs != NULL ? o->rootfs : "/";
    static const char *const modes[] = {"memory", "none", NULL};
    int overlay = parse_choice(o->overlay, "--overlay", modes, err);
    if (overlay < 0) {
        return overlay;
    }
    if (o->rootfs == NULL && overlay == OVERLAY_NONE) {
        return err_set(err, -EINVAL,
                       "--overlay none needs --rootfs: the host's own root is never written to");
    }
    if (realpath(root, path) == NULL || stat(path, &st) != 0) {
        return err_sys(err, -errno, "--rootfs %s", root);
    }
    c->overlay = (enum overlay_mode)overlay;
    c->rootfs = strdup(path);
    if (!S_ISDIR(st.st_mode)) {
        c->root_image = strdup(path);
        c->root_image_base = strdup("/");
    }
    return c->rootfs != NULL && (c->root_image == NULL || c->root_image_base != NULL)
               ? 0
               : err_sys(err, -ENOMEM, "--rootfs");
}

static int set_terminal(struct container_process *p, struct err *err) {
    struct winsize ws;
    if (!isatty(0)) {
        return err_set(
            err, -ENOTTY,
            "-t needs a terminal on standard input: leave it out when input is redirected");
    }
    p->terminal = true;
    if (ioctl(0, TIOCGWINSZ, &ws) == 0) {
        p->rows = ws.ws_row;
        p->cols = ws.ws_col;
    }
    return 0;
}

static int set_process(struct container *c, const struct do_options *o, int argc, char **argv,
                       struct err *err) {
    struct container_process *p = &c->process;
    int e = o->terminal ? set_terminal(p, err) : 0;
    if (e == 0 && o->user != NULL) {
        e = parse_user(o->user, &p->uid, &p->gid, err);
    }
    if (e == 0 && o->cwd != NULL && o->cwd[0] != '/') {
        e = err_set(err, -EINVAL, "--cwd takes an absolute path, not '%s'", o->cwd);
    }
    if (e != 0) {
        return e;
    }
    uint64_t caps = container_caps_all();
    p->caps = (struct container_caps){.bounding = caps};
    if (p->uid == 0) {
        p->caps.effective = caps;
        p->caps.permitted = caps;
    }
    p->umask = 022;
    p->cwd = strdup(o->cwd != NULL ? o->cwd : "/");
    for (int i = 0; i < argc && e == 0; i++) {
        e = strlist_add(&p->args, argv[i]);
    }
    if (p->cwd == NULL || e != 0) {
        return err_sys(err, -ENOMEM, "cannot take over the command");
    }
    return set_environment(p, o, err);
}

static int set_limits(struct container *c, const struct do_options *o, struct err *err) {
    static const char *const networks[] = {"none", "host", NULL};
    static const char *const platforms[] = {"auto", "systrap", NULL};
    static const char *const handovers[] = {"auto", "notify", "trap", "post", NULL};
    int network = parse_choice(o->network, "--network", networks, err);
    int platform = parse_choice(o->platform, "--platform", platforms, err);
    int handover = parse_choice(o->handover, "--handover", handovers, err);
    if (network < 0 || platform < 0 || handover < 0) {
        return -EINVAL;
    }
    c->network = (enum network_mode)network;
    c->platform = o->platform != NULL ? (enum platform_choice)platform : c->platform;
    c->handover = o->handover != NULL ? (uint32_t)handover : c->handover;
    c->strace = o->strace;
    if (o->memory != NULL) {
        int e = parse_size(o->memory, "--memory", &c->memory_limit, err);
        if (e == 0 && c->memory_limit < 16 * MIB) {
            e = err_set(err, -EINVAL, "--memory %s is too little: a sandbox needs 16m or more",
                        o->memory);
        }
        if (e != 0) {
            return e;
        }
    }
    if (o->hostname != NULL && (o->hostname[0] == '\0' || strlen(o->hostname) > 63)) {
        return err_set(err, -EINVAL, "--hostname takes 1 to 63 characters");
    }
    return 0;
}

static int build_container(struct container *c, const struct do_options *o, int argc, char **argv,
                           struct err *err) {
    char id[32];
    (void)snprintf(id, sizeof(id), "do-%d", (int)getpid()); /* fits */
    c->id = strdup(id);
    c->hostname = strdup(o->hostname != NULL ? o->hostname : "moat");
    if (c->id == NULL || c->hostname == NULL) {
        return err_sys(err, -ENOMEM, "cannot describe the container");
    }
    int e = set_limits(c, o, err);
    e = e != 0 ? e : set_root(c, o, err);
    e = e != 0 ? e : set_process(c, o, argc, argv, err);
    for (size_t i = 0; i < o->volumes.count && e == 0; i++) {
        e = parse_volume(o->volumes.items[i], c, err);
    }
    return e;
}

static int open_log(const struct cli_globals *globals, const struct do_options *o,
                    struct err *err) {
    if (globals->log != NULL) {
        int fd = open(globals->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        return fd >= 0 ? fd : err_sys(err, -errno, "cannot open the log %s", globals->log);
    }
    return o->strace || globals->debug ? fcntl(2, F_DUPFD_CLOEXEC, 3) : -1;
}

static int check_root(const struct container *c, const struct isolation_ops *isolation,
                      struct err *err) {
    if (c->root_image == NULL) {
        return 0;
    }
    if (strncmp(isolation->name, "vm", 2) != 0) {
        return err_set(err, -ENOTDIR,
                       "--rootfs %s is not a folder: unpack the image first (a disk image, erofs "
                       "or ext4, can be the root with --isolation vm)",
                       c->rootfs);
    }
    return c->overlay == OVERLAY_MEMORY
               ? 0
               : err_set(err, -EINVAL,
                         "--overlay none needs a folder as root: a disk image is never written to");
}

static int check_network(const struct container *c, const struct isolation_ops *isolation,
                         struct err *err) {
    if (isolation != &g_isolation_native && c->network == NETWORK_HOST) {
        return err_set(
            err, -EOPNOTSUPP,
            "--network host needs --isolation native: the other walls have no access to the host's "
            "network yet");
    }
    return 0;
}

static int run_do(const struct cli_globals *globals, void *options, int argc, char **argv,
                  struct err *err) {
    const struct do_options *o = options;
    const struct isolation_ops *isolation = NULL;
    const int stdio[3] = {0, 1, 2};
    struct container c = {0};
    int wait_status = 0;
    int e = cli_apply_settings(globals, o->isolation, "/", &c, &isolation, err);
    e = e != 0 ? e : build_container(&c, o, argc, argv, err);
    e = e != 0 ? e : check_root(&c, isolation, err);
    e = e != 0 ? e : check_network(&c, isolation, err);
    int status = 2;
    if (e == 0) {
        cleanup_fd int log_fd = open_log(globals, o, err);
        const struct isolation_run run = {.stdio = stdio,
                                          .log_fd = log_fd,
                                          .debug = globals->debug,
                                          .log_json = globals->log_format != NULL &&
                                                      strcmp(globals->log_format, "json") == 0};
        e = err->code != 0 ? err->code : isolation->run(&c, &run, &wait_status, err);
        /* As shells say it: not found, not executable, anything else. */
        status = e == 0                          ? exit_status_of(wait_status)
                 : e == -ENOENT                  ? 127
                 : e == -EACCES || e == -ENOEXEC ? 126
                                                 : 1;
    }
    container_free(&c);
    return status;
}

const struct cli_command g_cmd_do = {
    .name = "do",
    .synopsis = "[options] [--] CMD [ARG...]",
    .summary = "run one command in a sandbox",
    .options = g_do_options,
    .options_size = sizeof(struct do_options),
    .min_args = 1,
    .max_args = -1,
    .args_help = "the command to run",
    .run = run_do,
};
