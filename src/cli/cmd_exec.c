/* SPDX-License-Identifier: Apache-2.0 */
/* moat exec: one more process in a running container. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/service.h"
#include "host/cleanup.h"
#include "oci/config.h"
#include "oci/names.h"
#include "host/attend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* What runc ends with when the process could not be run. */
#define EXIT_EXEC_FAILED 255

struct exec_options {
    const char *process, *cwd, *user, *pid_file, *console_socket, *pidfd_socket, *apparmor,
        *process_label;
    struct strlist env, gids, caps, cgroups;
    uint32_t preserve_fds;
    bool tty, detach, ignore_paused, no_new_privs;
};

#define EXEC_OPT(field, name, letter, kind, arg, help)                                             \
    { name, letter, kind, offsetof(struct exec_options, field), arg, help }

static const struct cli_option g_exec_options[] = {
    EXEC_OPT(process, "process", 'p', OPT_TEXT, "FILE",
             "process object (JSON) that says what to run; the options for it do not apply then"),
    EXEC_OPT(cwd, "cwd", 0, OPT_TEXT, "DIR", "working directory inside (default: the container's)"),
    EXEC_OPT(env, "env", 'e', OPT_LIST, "K=V", "add to the container's environment"),
    EXEC_OPT(user, "user", 'u', OPT_TEXT, "UID[:GID]",
             "identity inside (default: the container's)"),
    EXEC_OPT(gids, "additional-gids", 'g', OPT_LIST, "GID", "one more group"),
    EXEC_OPT(caps, "cap", 'c', OPT_LIST, "CAP", "one more capability, such as CAP_NET_ADMIN"),
    EXEC_OPT(no_new_privs, "no-new-privs", 0, OPT_FLAG, NULL,
             "never gain privileges by executing a program"),
    EXEC_OPT(apparmor, "apparmor", 0, OPT_TEXT, "PROFILE", "AppArmor profile"),
    EXEC_OPT(process_label, "process-label", 0, OPT_TEXT, "LABEL", "SELinux label"),
    EXEC_OPT(tty, "tty", 't', OPT_FLAG, NULL, "give it a terminal"),
    EXEC_OPT(detach, "detach", 'd', OPT_FLAG, NULL, "do not wait for its end"),
    EXEC_OPT(pid_file, "pid-file", 0, OPT_TEXT, "FILE", "write the process's pid there"),
    EXEC_OPT(console_socket, "console-socket", 0, OPT_TEXT, "PATH",
             "unix socket that gets the terminal's master"),
    EXEC_OPT(pidfd_socket, "pidfd-socket", 0, OPT_TEXT, "PATH",
             "unix socket that gets a pidfd of the process"),
    EXEC_OPT(preserve_fds, "preserve-fds", 0, OPT_U32, "N",
             "pass N descriptors, from 3 on, to the process"),
    EXEC_OPT(cgroups, "cgroup", 0, OPT_LIST, "[CONTROLLER:]PATH",
             "run it in an existing group below the container's"),
    EXEC_OPT(ignore_paused, "ignore-paused", 0, OPT_FLAG, NULL, "also in a paused container"),
    {0},
};

static int add_groups(struct container_process *p, const struct strlist *gids, struct err *err) {
    size_t count = p->group_count + gids->count;
    uint32_t *groups = realloc(p->groups, (count + 1) * sizeof(*groups));
    if (groups == NULL) {
        return err_sys(err, -ENOMEM, "--additional-gids");
    }
    p->groups = groups;
    for (size_t i = 0; i < gids->count; i++) {
        int e = parse_number(gids->items[i], "--additional-gids", &groups[p->group_count], err);
        if (e != 0) {
            return e;
        }
        p->group_count++;
    }
    return 0;
}

/* As runc: into every set but the inheritable one. */
static int add_caps(struct container_process *p, const struct strlist *caps, struct err *err) {
    for (size_t i = 0; i < caps->count; i++) {
        int cap = oci_capability(caps->items[i]);
        if (cap < 0) {
            return err_set(err, -EINVAL, "--cap '%s' is no capability: CAP_NET_ADMIN is one",
                           caps->items[i]);
        }
        uint64_t bit = UINT64_C(1) << cap;
        p->caps.bounding |= bit;
        p->caps.permitted |= bit;
        p->caps.effective |= bit;
        p->caps.ambient |= (p->caps.inheritable & bit) != 0 ? bit : 0;
    }
    return 0;
}

static int set_text(char **field, const char *value) {
    char *copy = value == NULL ? NULL : strdup(value);
    if (copy != NULL) {
        free(*field);
        *field = copy;
    }
    return value != NULL && copy == NULL ? -ENOMEM : 0;
}

/* The container's own process (in *p), changed as the options say. */
static int change_process(struct container_process *p, const struct exec_options *o, int argc,
                          char **argv, struct err *err) {
    int e = 0;
    strlist_free(&p->args);
    for (int i = 1; i < argc && e == 0; i++) {
        e = strlist_add(&p->args, argv[i]);
    }
    for (size_t i = 0; i < o->env.count && e == 0; i++) {
        e = strlist_set_env(&p->env, o->env.items[i]);
    }
    e = e != 0 ? e : set_text(&p->cwd, o->cwd);
    e = e != 0 ? e : set_text(&p->apparmor_profile, o->apparmor);
    e = e != 0 ? e : set_text(&p->selinux_label, o->process_label);
    if (e != 0) {
        return err_sys(err, e, "cannot describe the process");
    }
    p->terminal = o->tty;
    p->rows = p->cols = 0;
    p->no_new_privs = p->no_new_privs || o->no_new_privs;
    e = o->user != NULL ? parse_user(o->user, &p->uid, &p->gid, err) : 0;
    e = e != 0 ? e : add_groups(p, &o->gids, err);
    return e != 0 ? e : add_caps(p, &o->caps, err);
}

static int check_options(const struct exec_options *o, int argc, struct err *err) {
    if (o->process == NULL && argc < 2) {
        return err_set(err, -EINVAL, "exec: the command to run is missing (or --process FILE)");
    }
    if (o->cwd != NULL && o->cwd[0] != '/') {
        return err_set(err, -EINVAL, "--cwd takes an absolute path, not '%s'", o->cwd);
    }
    for (size_t i = 0; i < o->env.count; i++) {
        if (strchr(o->env.items[i], '=') == NULL || o->env.items[i][0] == '=') {
            return err_set(err, -EINVAL, "--env takes NAME=VALUE, not '%s'", o->env.items[i]);
        }
    }
    return 0;
}

/* The process to run: from --process, or the container's with changes.  *c keeps what it holds. */
static int find_process(const struct runtime *rt, const struct handle *h,
                        const struct exec_options *o, int argc, char **argv, struct container *c,
                        struct err *err) {
    char path[64];
    if (o->process != NULL) {
        const struct oci_reading how = {
            .bundle = h->state.bundle, .warn = rt->warn, .arg = rt->arg};
        return oci_process_read(&how, o->process, &c->process, err);
    }
    /* Read once more: h->c stays as the container was created. */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/config.json", h->dir); /* fits */
    int e = oci_config_load_saved(path, h->state.bundle, c, err);
    return e != 0 ? e : change_process(&c->process, o, argc, argv, err);
}

/* --cgroup: the group below the container's that the process goes to instead. */
static int choose_cgroup(struct cgroup *cg, const struct strlist *choices, struct err *err) {
    for (size_t i = 0; i < choices->count; i++) {
        const char *text = choices->items[i], *colon = strchr(text, ':');
        const char *path = colon != NULL ? colon + 1 : text;
        size_t len = colon != NULL ? (size_t)(colon - text) : 0, used = 0;
        if (strstr(path, "..") != NULL) {
            return err_set(err, -EINVAL, "--cgroup '%s': a path below the container's group", text);
        }
        for (size_t k = 0; k < cg->count; k++) {
            if (colon == NULL ||
                (strlen(cg->at[k].name) == len && strncmp(cg->at[k].name, text, len) == 0)) {
                size_t have = strlen(cg->at[k].dir);
                int n = snprintf(cg->at[k].dir + have, sizeof(cg->at[k].dir) - have, "%s%s",
                                 path[0] == '/' ? "" : "/", path);
                if (n < 0 || (size_t)n >= sizeof(cg->at[k].dir) - have) {
                    return err_set(err, -ENAMETOOLONG, "--cgroup '%s': the path is too long", text);
                }
                used++;
            }
        }
        if (used == 0) {
            return err_set(err, -ENOENT, "--cgroup '%s': the container has no such controller",
                           text);
        }
    }
    return 0;
}

/* Runs it in `h`, and waits for its end unless it is detached. */
static int exec_in(const struct runtime *rt, struct handle *h, struct container_process *p,
                   const struct exec_options *o, int *out_wait_status, struct err *err) {
    struct lifecycle_exec how = {.id = h->state.id,
                                 .pid_file = o->pid_file,
                                 .console_socket = o->console_socket,
                                 .pidfd_socket = o->pidfd_socket,
                                 .console_fd = -1,
                                 .preserve_fds = o->preserve_fds,
                                 .ignore_paused = o->ignore_paused};
    bool pump = p->terminal && o->console_socket == NULL;
    struct attend attend = {-1, {-1, -1}};
    struct winsize ws;
    pid_t pid;
    if (p->terminal && o->detach && o->console_socket == NULL) {
        return err_set(err, -EINVAL,
                       "exec: a detached process with a terminal needs --console-socket");
    }
    if (pump && ioctl(0, TIOCGWINSZ, &ws) == 0) {
        p->rows = ws.ws_row;
        p->cols = ws.ws_col;
    }
    int e = service_listen_fds(p, &how.preserve_fds, err);
    e = e != 0 ? e : service_check_fds(how.preserve_fds, err);
    if (e != 0) {
        return e;
    }
    e = o->detach ? 0 : attend_begin(&attend, pump, err);
    how.console_fd = attend.console[1];
    e = e != 0 ? e : lifecycle_exec(rt, h, p, &how, &pid, err);
    if (e == 0 && !o->detach) {
        e = attend_run(&attend, pid, out_wait_status, err);
    }
    attend_end(&attend);
    return e;
}

static int run_exec(const struct cli_globals *globals, void *options, int argc, char **argv,
                    struct err *err) {
    static struct handle h;
    static struct cgroup cgroup;
    const struct exec_options *o = options;
    struct runtime rt = cli_runtime(globals);
    struct container source = {0};
    int wait_status = 0;
    if (check_options(o, argc, err) != 0) {
        return EXIT_USAGE;
    }
    int e = handle_open(&rt, argv[0], HANDLE_CONFIG, &h, err);
    e = e != 0 ? e : cli_open_log(globals, false, &rt.log_fd, err);
    e = e != 0 ? e : find_process(&rt, &h, o, argc, argv, &source, err);
    if (e == 0 && o->cgroups.count > 0) {
        cgroup = h.state.cgroup;
        h.target.cgroup = &cgroup;
        e = choose_cgroup(&cgroup, &o->cgroups, err);
    }
    e = e != 0 ? e : exec_in(&rt, &h, &source.process, o, &wait_status, err);
    handle_close(&h);
    container_free(&source);
    return e == 0 ? exit_status_of(wait_status) : EXIT_EXEC_FAILED;
}

const struct cli_command g_cmd_exec = {
    .name = "exec",
    .synopsis = "[options] ID CMD [ARG...]",
    .summary = "run one more process in a running container",
    .options = g_exec_options,
    .options_size = sizeof(struct exec_options),
    .min_args = 1,
    .max_args = -1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_exec,
};
