/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a process that sets itself up: see life.h.
 *
 * The process is cloned straight into its new namespaces.  Only where namespaces with a path must
 * be entered before a user namespace, or for the children of a process (pid), a helper is cloned
 * first: it joins, clones the process as its sibling (CLONE_PARENT), tells its pid, and ends.
 */
#include "host/cleanup.h"
#include "native/life.h"
#include "native/lsm.h"
#include "native/namespaces.h"
#include "native/protect.h"
#include "native/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int copy_env(struct spawn *s) {
    const struct strlist *env = &s->in.process->env;
    int e = 0;
    for (size_t i = 0; i < env->count && e == 0; i++) {
        e = strlist_add(&s->setup.env, env->items[i]);
    }
    s->setup.keep_fds = s->in.how->preserve_fds;
    if (e == 0 && s->setup.env.items == NULL) { /* execve wants a list, also an empty one */
        s->setup.env.items = calloc(1, sizeof(char *));
        e = s->setup.env.items != NULL ? 0 : -ENOMEM;
    }
    return e;
}

/* cgroup v1 is entered by the process itself, v2 by being cloned into it; with systemd, and for an
 * ordinary user, who may not be let into all of them, the parent does it and knows how. */
static void choose_groups(struct spawn *s) {
    const struct cgroup *cg = s->in.cgroup;
    bool mixed = cg != NULL && (cg->mode == CGROUP_V1 || cg->mode == CGROUP_HYBRID);
    if (!mixed || cg->systemd || cg->rootless || geteuid() != 0 || s->in.helper) {
        return;
    }
    s->own_groups = *cg;
    s->own_groups.count = 0;
    for (size_t i = 0; i < cg->count; i++) {
        if (cg->at[i].name[0] != '\0') {
            s->own_groups.at[s->own_groups.count++] = cg->at[i];
        }
    }
    s->in.own_groups = &s->own_groups;
}

/* The folder of cgroup v2 for CLONE_INTO_CGROUP; *out_needed when there is one. */
static int open_group(const struct spawn *s, bool *out_needed) {
    struct err ignored = {0};
    int fd = s->in.cgroup != NULL && !s->in.helper ? cgroup_open(s->in.cgroup, &ignored) : -ENOTSUP;
    *out_needed = fd != -ENOTSUP;
    return fd;
}

int spawn_begin(struct spawn *s, struct err *err) {
    s->sync[0] = s->sync[1] = -1;
    s->setup.sync = s->setup.start_listen = s->setup.report = s->setup.root = -1;
    s->setup.null = s->setup.lsm_fd = s->setup.lsm_key_fd = s->setup.proc.root = -1;
    s->setup.mount_label = lsm_mount_label(s->in.c);
    s->setup.c = s->in.c;
    s->setup.process = s->in.process;
    s->setup.how = s->in.how;
    s->setup.cgroup = s->in.cgroup;
    s->setup.seccomp = &s->seccomp;
    s->setup.user_namespace = s->in.c->linux_.namespaces[NS_USER].set;
    int e = protect_binary(err);
    s->in.protect_inside = e == -EPERM && err->code == 0;
    if (e != 0 && !s->in.protect_inside) {
        return e;
    }
    e = procfs_open(&s->setup.proc, err);
    s->in.proc = &s->setup.proc;
    choose_groups(s);
    if (e == 0 && copy_env(s) != 0) {
        e = err_sys(err, -ENOMEM, "process.env");
    }
    if (e == 0 && s->in.c->linux_.seccomp.set) {
        e = seccomp_compile(&s->in.c->linux_.seccomp, &s->seccomp, err);
    }
    if (e == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->sync) != 0) {
        e = err_sys(err, -errno, "cannot make a socket");
    }
    return e;
}

void spawn_end(struct spawn *s) {
    setup_plan_free(&s->plan);
    seccomp_program_free(&s->seccomp);
    strlist_free(&s->setup.env);
    cleanup_fd_fn(&s->sync[0]);
    cleanup_fd_fn(&s->sync[1]);
    procfs_close(&s->setup.proc);
}

void spawn_kill(struct spawn *s) {
    if (s->pid > 0) {
        (void)kill(s->pid, SIGKILL); /* a child that nobody waited for: the number is its own */
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        s->pid = 0;
    }
}

/* ---- the process ---- */

/* signal(7): what is blocked and what is ignored outlives execve. */
void spawn_reset_signals(void) {
    const struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int signo = 1; signo <= SIGRTMAX; signo++) {
        (void)sigaction(signo, &plain, NULL); /* fails for those that cannot be changed */
    }
    (void)sigemptyset(&none); /* cannot fail */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static noreturn_fn void process_main(struct spawn *s) {
    struct err err = {0};
    struct setup *setup = &s->setup;
    (void)close(s->sync[0]); /* the runtime's end */
    setup->sync = setup->report = s->sync[1];
    spawn_reset_signals();
    (void)umask(022);                       /* cannot fail */
    (void)setup_run(setup, &s->plan, &err); /* returns only with an error */
    if (setup->report >= 0) {
        (void)!sync_send(setup->report, SYNC_FAILED, 0, &err); /* else the exit status tells */
    }
    _exit(127);
}

/* ---- the helper ---- */

static int helper_join(const struct oci_linux *l, struct err *err) {
    int fds[NS_KINDS];
    bool joined[NS_KINDS] = {false};
    int e = 0;
    for (int kind = 0; kind < NS_KINDS; kind++) {
        const struct oci_namespace_entry *ns = &l->namespaces[kind];
        fds[kind] = -1;
        if (ns->set && ns->path != NULL && e == 0) {
            fds[kind] = namespace_open(ns->path, (enum oci_namespace)kind, err);
            e = fds[kind] < 0 ? fds[kind] : 0;
        }
    }
    /* First with the caller's rights, then with those that the user namespace gives. */
    for (int round = 0; round < 2 && e == 0; round++) {
        for (int kind = 0; kind < NS_KINDS; kind++) {
            if (fds[kind] < 0 || joined[kind] || kind == NS_USER || kind == NS_MOUNT) {
                continue;
            }
            joined[kind] = setns(fds[kind], (int)namespace_flag((enum oci_namespace)kind)) == 0;
            if (!joined[kind] && (round > 0 || fds[NS_USER] < 0)) {
                return err_sys(err, -errno, "cannot join the %s namespace %s",
                               namespace_name((enum oci_namespace)kind), l->namespaces[kind].path);
            }
        }
        if (round == 0 && fds[NS_USER] >= 0 && setns(fds[NS_USER], CLONE_NEWUSER) != 0) {
            return err_sys(err, -errno, "cannot join the user namespace %s",
                           l->namespaces[NS_USER].path);
        }
    }
    if (e == 0 && fds[NS_MOUNT] >= 0 && setns(fds[NS_MOUNT], CLONE_NEWNS) != 0) {
        e = err_sys(err, -errno, "cannot join the mount namespace %s",
                    l->namespaces[NS_MOUNT].path);
    }
    return e; /* the helper's descriptors end with it */
}

/* exec by an ordinary user: the pid namespace can be entered from the user namespace alone. */
static int helper_join_target(const struct spawn *s, struct err *err) {
    return setns(s->in.target_pidfd, CLONE_NEWUSER | CLONE_NEWPID) == 0
               ? 0
               : err_sys(err, -errno, "cannot join the container's user and pid namespaces");
}

static noreturn_fn void helper_main(struct spawn *s) {
    struct err err = {0};
    int e = s->join_early != 0 ? helper_join_target(s, &err) : helper_join(&s->in.c->linux_, &err);
    if (e == 0) {
        pid_t pid = namespaces_clone(s->namespaces, CLONE_PARENT, -1);
        if (pid == 0) {
            process_main(s);
        }
        e = pid < 0 ? err_sys(&err, pid, "cannot clone the container's process")
                    : sync_send(s->sync[1], SYNC_CHILD, pid, NULL);
    }
    if (e != 0) {
        (void)!sync_send(s->sync[1], SYNC_FAILED, 0, &err); /* the exit status tells it too */
    }
    _exit(e == 0 ? 0 : 1);
}

static int await_helper(struct spawn *s, pid_t helper, struct err *err) {
    struct sync_record r;
    int e = sync_recv(s->sync[0], &r);
    while (waitpid(helper, NULL, 0) < 0 && errno == EINTR) {
    }
    if (e > 0 && r.type == SYNC_CHILD && r.value > 0) {
        s->pid = r.value;
        return 0;
    }
    return e > 0 && r.type == SYNC_FAILED
               ? err_set(err, r.err.code, "%s", r.err.msg)
               : err_set(err, -EIO, "the helper that joins namespaces died");
}

int spawn_clone(struct spawn *s, struct err *err) {
    bool helper = s->in.helper, unified;
    cleanup_fd int group = open_group(s, &unified);
    /* Nobody inside may look into it before its own program runs; ptrace(2), PTRACE_MODE_READ.  An
     * ordinary user's mappings need it dumpable, and come before anything hostile is near. */
    if ((geteuid() == 0 || s->in.target_pidfd >= 0) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return err_sys(err, -errno, "cannot become undumpable");
    }
    pid_t pid = namespaces_clone(helper ? 0 : s->namespaces, 0, group);
    bool inside = !unified || (pid >= 0 && group >= 0);
    s->groups_filled =
        inside && (s->in.own_groups != NULL || (unified && s->in.cgroup->count == 1));
    if (pid < 0 && group >= 0) { /* a group that may not be cloned into is entered afterwards */
        pid = namespaces_clone(s->namespaces, 0, -1);
    }
    if (pid == 0) {
        if (helper) {
            helper_main(s);
        }
        process_main(s);
    }
    if (pid < 0) {
        return err_sys(err, pid, "cannot clone the container's process with its namespaces");
    }
    cleanup_fd_fn(&s->sync[1]);
    s->sync[1] = -1;
    if (helper) {
        return await_helper(s, pid, err);
    }
    s->pid = pid;
    return 0;
}
