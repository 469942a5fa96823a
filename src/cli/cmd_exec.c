/* SPDX-License-Identifier: Apache-2.0 */
/* moat exec: one more process in a running container. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "host/cleanup.h"
#include "oci/config.h"
#include "runtime/exec.h"

#include <errno.h>
#include <string.h>

struct exec_options {
    const char *process, *cwd, *user, *pid_file;
    struct strlist env;
    bool tty, detach;
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
    EXEC_OPT(pid_file, "pid-file", 0, OPT_TEXT, "FILE",
             "write the process's pid inside the container there"),
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

static int run_exec(const struct cli_globals *globals, void *options, int argc, char **argv,
                    struct err *err) {
    const struct exec_options *o = options;
    struct container_process p = {0};
    int wait_status = 0;
    int e = o->process != NULL ? oci_process_load(o->process, &p, err)
                               : from_command_line(&p, o, argc, argv, err);
    const struct runtime_exec how = {
        .root = globals->root, .id = argv[0], .detach = o->detach, .pid_file = o->pid_file};
    int usage = e != 0;
    e = e != 0 ? e : runtime_exec(&how, &p, &wait_status, err);
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
