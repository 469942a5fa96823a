/* SPDX-License-Identifier: Apache-2.0 */
/* moat exec: one more process in a running container. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "host/cleanup.h"
#include "oci/config.h"
#include "runtime/attend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

struct exec_options {
    const char *process, *cwd, *user, *pid_file, *console_socket, *pidfd_socket;
    struct strlist env;
    uint32_t preserve_fds;
    bool tty, detach, ignore_paused;
};

#define EXEC_OPT(field, name, letter, kind, arg, help)                                             \
    { name, letter, kind, offsetof(struct exec_options, field), arg, help }

static const struct cli_option g_exec_options[] = {
    EXEC_OPT(process, "process", 'p', OPT_TEXT, "FILE",
             "process object (JSON) that says what to run"),
    EXEC_OPT(cwd, "cwd", 0, OPT_TEXT, "DIR", "working directory inside (default /)"),
    EXEC_OPT(user, "user", 'u', OPT_TEXT, "UID[:GID]", "identity inside (default 0:0)"),
    EXEC_OPT(env, "env", 'e', OPT_LIST, "K=V", "set an environment variable"),
    EXEC_OPT(tty, "tty", 't', OPT_FLAG, NULL, "give it a terminal (standard input must be one)"),
    EXEC_OPT(detach, "detach", 'd', OPT_FLAG, NULL, "do not wait for its end"),
    EXEC_OPT(pid_file, "pid-file", 0, OPT_TEXT, "FILE", "write the process's pid there"),
    EXEC_OPT(console_socket, "console-socket", 0, OPT_TEXT, "PATH",
             "unix socket that gets the terminal's master"),
    EXEC_OPT(pidfd_socket, "pidfd-socket", 0, OPT_TEXT, "PATH",
             "unix socket that gets a pidfd of the process"),
    EXEC_OPT(preserve_fds, "preserve-fds", 0, OPT_U32, "N",
             "pass N descriptors, from 3 on, to the process"),
    EXEC_OPT(ignore_paused, "ignore-paused", 0, OPT_FLAG, NULL, "also in a paused container"),
    {0},
};

static int from_command_line(struct container_process *p, const struct exec_options *o, int argc,
                             char **argv, struct err *err) {
    int e = 0;
    if (argc < 2) {
        return err_set(err, -EINVAL, "exec: the command to run is missing (or --process FILE)");
    }
    if (o->user != NULL) {
        e = parse_user(o->user, &p->uid, &p->gid, err);
    }
    if (e == 0 && o->cwd != NULL && o->cwd[0] != '/') {
        e = err_set(err, -EINVAL, "--cwd takes an absolute path, not '%s'", o->cwd);
    }
    p->umask = 022;
    p->caps.bounding = container_caps_all();
    p->caps.effective = p->caps.permitted = p->uid == 0 ? p->caps.bounding : 0;
    for (int i = 1; i < argc && e == 0; i++) {
        e = strlist_add(&p->args, argv[i]);
    }
    e = e != 0 ? e
               : strlist_add(&p->env,
                             "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for (size_t i = 0; i < o->env.count && e == 0; i++) {
        e = strlist_set_env(&p->env, o->env.items[i]);
    }
    p->cwd = strdup(o->cwd != NULL ? o->cwd : "/");
    p->terminal = o->tty;
    return e == 0 && p->cwd == NULL ? -ENOMEM : e;
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
    int e = o->detach ? 0 : attend_begin(&attend, pump, err);
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
    const struct exec_options *o = options;
    const struct runtime rt = cli_runtime(globals);
    struct container_process p = {0};
    int wait_status = 0;
    int e = o->process != NULL ? oci_process_load(o->process, &p, err)
                               : from_command_line(&p, o, argc, argv, err);
    int usage = e != 0;
    if (e == 0) {
        e = handle_open(&rt, argv[0], HANDLE_CONFIG, &h, err);
        e = e != 0 ? e : exec_in(&rt, &h, &p, o, &wait_status, err);
        handle_close(&h);
    }
    container_process_free(&p);
    if (e == 0) {
        return exit_status_of(wait_status);
    }
    return usage ? 2 : e == -ENOENT ? 127 : e == -EACCES ? 126 : 1;
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
    .run = run_exec,
};
