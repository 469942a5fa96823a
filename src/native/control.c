/* SPDX-License-Identifier: Apache-2.0 */
/* Signals to a native container, one more process in it, and its processes: see life.h. */
#include "host/cleanup.h"
#include "native/life.h"
#include "native/namespaces.h"
#include "native/rdt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

int native_start_time(const struct procfs *proc, pid_t pid, uint64_t *out) {
    char path[32], text[1024];
    (void)snprintf(path, sizeof(path), "%d/stat", (int)pid); /* fits */
    int n = procfs_read(proc, path, text, sizeof(text));
    const char *start = n > 0 ? procfs_stat_field(text, 22) : NULL;
    if (start == NULL) {
        return -ESRCH;
    }
    *out = strtoull(start, NULL, 10);
    return 0;
}

int native_pidfd(const struct isolation_target *target, struct err *err) {
    struct procfs proc;
    uint64_t now = 0;
    cleanup_fd int fd = target->pid > 0 ? (int)syscall(SYS_pidfd_open, target->pid, 0) : -1;
    int e = fd >= 0 ? procfs_open(&proc, err) : -ESRCH;
    if (e == 0) {
        /* The number was looked at while the descriptor held its process. */
        e = native_start_time(&proc, target->pid, &now);
        procfs_close(&proc);
    }
    if (e == 0 && target->pid_start != 0 && now != target->pid_start) {
        e = -ESRCH;
    }
    return e == 0 ? steal_fd(&fd) : err_set(err, e, "container not running: %s", target->c->id);
}

int native_kill(const struct isolation_target *target, int signo, bool all, struct err *err) {
    if (all && target->cgroup != NULL && target->cgroup->count > 0) {
        return cgroup_signal(target->cgroup, signo, err);
    }
    /* Without groups: the end of the first process of a pid namespace ends all the others. */
    cleanup_fd int fd = native_pidfd(target, err);
    if (fd < 0) {
        return fd;
    }
    return syscall(SYS_pidfd_send_signal, fd, signo, NULL, 0) == 0
               ? 0
               : err_sys(err, -errno, "cannot send signal %d", signo);
}

/* ---- exec ---- */

/* The filter lets a process that has it clone another, tell of it, and end. */
static bool filter_lets_clone(const struct seccomp_program *filter) {
    static const int needed[] = {SYS_clone, SYS_sendto, SYS_exit_group, SYS_setsid, SYS_ioctl};
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        if (seccomp_decide(filter, needed[i], CLONE_PARENT) != SECCOMP_RET_ALLOW) {
            return false;
        }
    }
    return true;
}

/*
 * A process of the container that may trace others (CAP_SYS_PTRACE) sees everything in its pid
 * namespace, so that is entered at the very end.  Not with a filter that would forbid it then, nor
 * with one whose listener the runtime has to fetch from a process that it knows.
 */
static bool enters_late(const struct spawn *s) {
    bool filter = s->in.c->linux_.seccomp.set;
    return !filter ||
           (!s->seccomp.notify && (s->in.process->no_new_privs || filter_lets_clone(&s->seccomp)));
}

static int enter_early(struct spawn *s, struct err *err) {
    if (geteuid() != 0) { /* only from the user namespace: by a helper */
        s->in.helper = true;
        s->join_early = CLONE_NEWPID;
        return 0;
    }
    /* For the children of this process alone: pid_namespaces(7). */
    return setns(s->in.target_pidfd, CLONE_NEWPID) == 0
               ? 0
               : err_sys(err, -errno, "cannot join the container's pid namespace");
}

static int exec_process(struct spawn *s, const struct isolation_target *target, struct err *err) {
    bool own = (namespaces_of(&target->c->linux_) & CLONE_NEWPID) != 0;
    int e = spawn_check_room(s->in.cgroup, err);
    e = e != 0 ? e : spawn_begin(s, err);
    s->in.enter_late = e == 0 && own && enters_late(s);
    if (e == 0 && own && !s->in.enter_late) {
        e = enter_early(s, err);
    }
    e = e != 0 ? e : plan_exec(&s->in, &s->plan, err);
    e = e != 0 ? e : spawn_clone(s, err);
    e = e != 0 ? e : rdt_enter(target, s->pid, err);
    e = e != 0 ? e : spawn_serve(s, target, err);
    if (e != 0) {
        spawn_kill(s);
    }
    return e;
}

int native_exec(const struct isolation_target *target, struct container_process *process,
                const struct isolation_setup *how, pid_t *out_pid, struct err *err) {
    static struct spawn s; /* large; one a process */
    cleanup_fd int pidfd = native_pidfd(target, err);
    if (pidfd < 0) {
        return pidfd;
    }
    memset(&s, 0, sizeof(s));
    s.in = (struct plan_input){.c = target->c,
                               .process = process,
                               .how = how,
                               .cgroup = target->cgroup,
                               .early = true,
                               .target_pidfd = pidfd};
    int e = exec_process(&s, target, err);
    *out_pid = s.pid;
    spawn_end(&s);
    return e;
}

/* ---- ps ---- */

static struct json_object *describe(const struct procfs *proc, pid_t pid) {
    char path[32], text[4096], comm[64] = "";
    unsigned int uid = 0;
    int ppid = 0;
    (void)snprintf(path, sizeof(path), "%d/status", (int)pid); /* fits, as the next */
    if (procfs_read(proc, path, text, sizeof(text)) <= 0) {
        return NULL; /* it has ended */
    }
    const char *line = strstr(text, "\nPPid:"), *ids = strstr(text, "\nUid:");
    (void)sscanf(text, "Name:\t%63[^\n]", comm); /* stays empty else */
    ppid = line != NULL ? atoi(line + 6) : 0;
    uid = ids != NULL ? (unsigned int)strtoul(ids + 5, NULL, 10) : 0;
    (void)snprintf(path, sizeof(path), "%d/cmdline", (int)pid);
    int n = procfs_read(proc, path, text, sizeof(text));
    for (int i = 0; i + 1 < n; i++) {
        text[i] = text[i] == '\0' ? ' ' : text[i];
    }
    struct json_object *o = json_object_new_object();
    if (o != NULL) {
        (void)json_object_object_add(o, "pid", json_object_new_int(pid)); /* no memory: left out */
        (void)json_object_object_add(o, "ppid", json_object_new_int(ppid));
        (void)json_object_object_add(o, "uid", json_object_new_int64(uid));
        (void)json_object_object_add(o, "comm", json_object_new_string(comm));
        (void)json_object_object_add(o, "cmdline", json_object_new_string(n > 0 ? text : comm));
    }
    return o;
}

/* The host's numbers, as other runtimes print them: engines look them up in the host's /proc. */
int native_processes(const struct isolation_target *target, struct json_object **out,
                     struct err *err) {
    cleanup_free pid_t *pids = NULL;
    pid_t alone = target->pid;
    struct procfs proc;
    size_t count = 0;
    int e = target->cgroup != NULL && target->cgroup->count > 0
                ? cgroup_pids(target->cgroup, &pids, &count, err)
                : 0;
    e = e != 0 ? e : procfs_open(&proc, err);
    if (e != 0) {
        return e;
    }
    *out = json_object_new_array();
    const pid_t *list = pids != NULL ? pids : &alone;
    count = pids != NULL ? count : 1;
    for (size_t i = 0; i < count && *out != NULL; i++) {
        struct json_object *o = describe(&proc, list[i]);
        if (o != NULL) {
            (void)json_object_array_add(*out, o); /* no memory: left out */
        }
    }
    procfs_close(&proc);
    return *out != NULL ? 0 : err_sys(err, -ENOMEM, "cannot list the processes");
}
