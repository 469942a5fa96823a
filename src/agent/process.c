/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that the host asked for, from their making to their end: see agent.h. */
#include "agent/agent.h"

#include "host/cleanup.h"
#include "host/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

struct process *process_find(struct agent *a, const char *container, const char *exec_id) {
    for (uint32_t i = 0; i < AGENT_PROCESSES; i++) {
        struct process *p = &a->processes[i];
        if (p->used && strcmp(p->container, container) == 0 && strcmp(p->exec_id, exec_id) == 0) {
            return p;
        }
    }
    return NULL;
}

void process_forget(struct agent *a, struct process *p) {
    cleanup_fd_fn(&p->pidfd);
    cleanup_fd_fn(&p->master);
    cleanup_fd_fn(&p->link);
    free(p->record);
    if (p->is_init && p->cgroup[0] != '\0') {
        (void)rmdir(p->cgroup); /* what a container left in it stays with the machine */
    }
    *p = (struct process){.pidfd = -1, .master = -1, .link = -1};
}

static struct process *process_new(struct agent *a) {
    for (uint32_t i = 0; i < AGENT_PROCESSES; i++) {
        if (!a->processes[i].used) {
            a->processes[i] = (struct process){.used = true, .pidfd = -1, .master = -1, .link = -1};
            return &a->processes[i];
        }
    }
    return NULL;
}

/* ---- making one ---- */

/* Everything that a start needs until the process is on its way. */
struct launch {
    struct ctl_create c, container;
    struct process *p, *init; /* init: EXEC, of the container */
    struct process *host; /* CREATE: the one whose namespaces `shared` are the container's too */
    uint64_t shared;
    int link[2]; /* ours, theirs */
    int pipes[3][2];
    int cgroup;
};

static void launch_close(struct launch *l) {
    for (int i = 0; i < 2; i++) {
        cleanup_fd_fn(&l->link[i]);
        for (int k = 0; k < 3; k++) {
            cleanup_fd_fn(&l->pipes[k][i]);
        }
    }
    cleanup_fd_fn(&l->cgroup);
}

static int open_streams(struct launch *l, struct err *err) {
    const struct moat_ctl_create *f = l->c.fixed;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, l->link) != 0) {
        return err_sys(err, -errno, "cannot make a socket pair in the guest");
    }
    for (int k = 0; k < 3 && (f->flags & MOAT_PROC_TERMINAL) == 0; k++) {
        if (pipe2(l->pipes[k], O_CLOEXEC) != 0) {
            return err_sys(err, -errno, "cannot make a pipe in the guest");
        }
        /* So that the program can open /dev/stdout, whoever it runs as. */
        (void)fchown(l->pipes[k][k == 0 ? 0 : 1], f->uid, f->gid);
    }
    return 0;
}

/* The container's group, made for its first process. */
static int open_group(struct launch *l, struct err *err) {
    struct process *p = l->p;
    if (p->is_init) {
        (void)snprintf(p->cgroup, sizeof(p->cgroup), AGENT_CGROUPS "/%s", p->container); /* fits */
        if (mkdir(p->cgroup, 0755) != 0 && errno != EEXIST) {
            return err_sys(err, -errno, "cannot make a control group in the guest");
        }
    } else {
        (void)snprintf(p->cgroup, sizeof(p->cgroup), "%s", l->init->cgroup); /* fits */
    }
    l->cgroup = open(p->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->cgroup < 0) {
        return err_sys(err, -errno, "cannot open the control group %s", p->cgroup);
    }
    if (p->is_init && l->c.fixed->limits.pids != 0) {
        cleanup_fd int limit = openat(l->cgroup, "pids.max", O_WRONLY | O_CLOEXEC);
        if (limit < 0 || dprintf(limit, "%llu", (unsigned long long)l->c.fixed->limits.pids) < 0) {
            return err_sys(err, -errno, "cannot limit the container's processes");
        }
    }
    return 0;
}

static noreturn_fn void child(const struct launch *l) {
    struct runner r = {.c = &l->c,
                       .container = l->p->is_init ? &l->c : &l->container,
                       .is_exec = !l->p->is_init,
                       .link = l->link[1],
                       .stdio = {l->pipes[0][0], l->pipes[1][1], l->pipes[2][1]}};
    runner_main(&r);
}

static pid_t clone_into(const struct launch *l, uint64_t flags) {
    struct clone_args args = {.flags = flags | CLONE_INTO_CGROUP,
                              .exit_signal = (flags & CLONE_PARENT) == 0 ? SIGCHLD : 0,
                              .cgroup = (uint64_t)l->cgroup};
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int clone_new(struct launch *l, struct err *err) {
    pid_t pid = clone_into(l, NAMESPACES);
    if (pid == 0) {
        child(l);
    }
    l->p->pid = pid;
    return pid > 0 ? 0 : err_sys(err, -errno, "cannot make the container's namespaces");
}

/* A helper enters the container's namespaces and makes our child in them: nothing of the agent
 * itself is ever inside. */
static noreturn_fn void helper_main(const struct launch *l, int report) {
    pid_t pid = -1;
    const struct process *host = l->init != NULL ? l->init : l->host;
    uint64_t enter = l->init != NULL ? NAMESPACES : l->shared;
    if (setns(host->pidfd, (int)enter) == 0) {
        pid = clone_into(l, CLONE_PARENT | (NAMESPACES & ~enter));
        if (pid == 0) {
            child(l);
        }
    }
    int value = pid > 0 ? pid : -errno;
    (void)!write(report, &value, sizeof(value)); /* the agent takes the end of the pipe for -EIO */
    _exit(0);
}

static int clone_in_namespaces(struct launch *l, struct err *err) {
    int report[2], value = -EIO;
    if (pipe2(report, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe in the guest");
    }
    pid_t helper = fork();
    if (helper == 0) {
        helper_main(l, report[1]);
    }
    (void)close(report[1]); /* the helper's */
    if (helper > 0 && read(report[0], &value, sizeof(value)) != sizeof(value)) {
        value = -EIO;
    }
    (void)close(report[0]); /* only read */
    if (helper > 0) {
        (void)waitpid(helper, NULL, 0); /* it has written its last word */
    }
    l->p->pid = value > 0 ? value : 0;
    return value > 0 ? 0 : err_sys(err, value, "cannot enter the container's namespaces");
}

static int hand_streams(struct agent *a, struct launch *l, uint32_t stream, struct err *err) {
    int e = 0;
    for (uint32_t k = 0; k < 3 && e == 0 && l->pipes[k][0] >= 0; k++) {
        e = mux_open(&a->mux, stream + k, steal_fd(&l->pipes[k][k == 0 ? 1 : 0]), k == 0);
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot connect the streams of the process");
}

static int launch_run(struct agent *a, struct launch *l, uint32_t stream, struct err *err) {
    static bool files;
    int e = 0;
    if (!files && a->export_count > 0) {
        e = boot_files(err);
        files = e == 0;
    }
    if (e == 0 && a->disk != MOAT_AGENT_DISK_NONE) {
        e = disk_mount(a->disk, err);
        a->disk = e == 0 ? MOAT_AGENT_DISK_NONE : a->disk;
    }
    e = e != 0 ? e : open_streams(l, err);
    e = e != 0 ? e : open_group(l, err);
    bool joins = l->init != NULL || l->shared != 0;
    e = e != 0 ? e : joins ? clone_in_namespaces(l, err) : clone_new(l, err);
    if (e != 0) {
        return e;
    }
    l->p->pidfd = (int)syscall(SYS_pidfd_open, l->p->pid, 0);
    if (l->p->pidfd < 0) {
        e = err_sys(err, -errno, "cannot hold on to the process");
    }
    e = e != 0 ? e : hand_streams(a, l, stream, err);
    l->p->link = steal_fd(&l->link[0]);
    if (e != 0) {
        (void)kill(l->p->pid, SIGKILL); /* reaped, and reported to nobody */
    }
    return e;
}

static int copy_ids(struct launch *l, struct err *err) {
    const char *container = ctl_string(&l->c, l->c.fixed->container);
    const char *exec_id = ctl_string(&l->c, l->c.fixed->exec_id);
    struct process *p = l->p;
    if (strlen(container) >= sizeof(p->container) || strlen(exec_id) >= sizeof(p->exec_id) ||
        container[0] == '\0' || container[0] == '.' || strchr(container, '/') != NULL) {
        return err_set(err, -EINVAL, "the container's id cannot be used");
    }
    memcpy(p->container, container, strlen(container) + 1);
    memcpy(p->exec_id, exec_id, strlen(exec_id) + 1);
    return 0;
}

static uint64_t shared_namespaces(uint32_t share_flags) {
    return ((share_flags & MOAT_SHARE_PID) != 0 ? (uint64_t)CLONE_NEWPID : 0) |
           ((share_flags & MOAT_SHARE_IPC) != 0 ? (uint64_t)CLONE_NEWIPC : 0) |
           ((share_flags & MOAT_SHARE_UTS) != 0 ? (uint64_t)CLONE_NEWUTS : 0);
}

/* Who is there already, and for an EXEC whose process it becomes. */
static int check_place(struct agent *a, struct launch *l, struct err *err) {
    const struct moat_ctl_create *f = l->c.fixed;
    const char *container = ctl_string(&l->c, f->container);
    const char *exec_id = ctl_string(&l->c, f->exec_id);
    bool is_exec = f->h.type == MOAT_CTL_EXEC;
    if (process_find(a, container, exec_id) != NULL) {
        return err_set(err, -EEXIST, "the container is there already");
    }
    l->init = is_exec ? process_find(a, container, "") : NULL;
    if (is_exec && (l->init == NULL || l->init->pid <= 0 || !l->init->started)) {
        return err_set(err, -ESRCH, "container not running");
    }
    l->shared = is_exec ? 0 : shared_namespaces(f->share_flags);
    l->host = l->shared != 0 ? process_find(a, ctl_string(&l->c, f->share), "") : NULL;
    if (l->shared != 0 && (l->host == NULL || l->host->pid <= 0)) {
        return err_set(err, -ESRCH, "the container whose namespaces it shares is not running");
    }
    if (is_exec != (exec_id[0] != '\0')) {
        return err_set(err, -EINVAL, "a request without the id that it needs");
    }
    l->p = process_new(a);
    return l->p != NULL ? 0 : err_set(err, -EAGAIN, "more than %u processes", AGENT_PROCESSES);
}

int process_create(struct agent *a, const void *record, size_t size, uint32_t stream,
                   struct err *err) {
    struct launch l = {.link = {-1, -1}, .pipes = {{-1, -1}, {-1, -1}, {-1, -1}}, .cgroup = -1};
    cleanup_free void *copy = malloc(size);
    if (copy == NULL) {
        return err_sys(err, -ENOMEM, "cannot take the request");
    }
    memcpy(copy, record, size);
    if (ctl_create_parse(copy, size, &l.c) != 0 || stream % 3 != 0 ||
        stream >= MOAT_AGENT_STREAMS) {
        return err_set(err, -EINVAL, "a request that makes no sense");
    }
    int e = check_place(a, &l, err);
    if (e != 0) {
        return e;
    }
    l.p->is_init = l.init == NULL;
    l.p->stream = stream;
    l.p->terminal = (l.c.fixed->flags & MOAT_PROC_TERMINAL) != 0;
    l.p->request = l.c.fixed->h.id;
    l.p->pids_limit = l.c.fixed->limits.pids;
    e = copy_ids(&l, err);
    if (e == 0 && l.init != NULL) {
        struct moat_ctl_header h;
        memcpy(&h, l.init->record, sizeof(h));
        e = ctl_create_parse(l.init->record, h.size, &l.container);
    }
    e = e != 0 ? e : launch_run(a, &l, stream, err);
    launch_close(&l);
    if (e != 0) {
        process_forget(a, l.p);
    } else if (l.p->is_init) {
        l.p->record = steal_ptr(&copy);
    }
    return e;
}

/* ---- until it runs ---- */

int process_start(struct agent *a, struct process *p, uint32_t request) {
    if (p->started || p->link < 0 || p->early_start != 0) {
        return -EINVAL;
    }
    if (p->request != 0) { /* the host did not wait for the end of CREATE */
        p->early_start = request;
        return 0;
    }
    p->request = request;
    p->started = true;
    return msg_send(p->link, "s", 1, NULL, 0, false) == 0 ? 0 : -ESRCH;
}

static void answer(struct agent *a, struct process *p, int error, const char *message) {
    uint32_t id = p->request, early = p->early_start;
    p->request = p->early_start = 0;
    if (id != 0) {
        agent_reply(a, id, error, message, p->is_init ? 1 : p->pid, NULL, 0);
    }
    if (early != 0) {
        int e = error != 0 ? error : process_start(a, p, early);
        if (e != 0) {
            agent_reply(a, early, e, message, 0, NULL, 0);
        }
    }
}

static int take_terminal(struct agent *a, struct process *p, int master) {
    int in = fcntl(master, F_DUPFD_CLOEXEC, 3);
    int out = fcntl(master, F_DUPFD_CLOEXEC, 3);
    p->master = master;
    if (in < 0 || out < 0) {
        cleanup_fd_fn(&in);
        cleanup_fd_fn(&out);
        return -EMFILE;
    }
    int e = mux_open(&a->mux, p->stream, in, true);
    int f = mux_open(&a->mux, p->stream + 1, out, false);
    return e != 0 ? e : f;
}

static void link_ready(struct agent *a, struct process *p, int *fds, size_t fd_count) {
    int e = 0;
    if (p->terminal) {
        e = fd_count == 1 ? take_terminal(a, p, steal_fd(&fds[0])) : -EPROTO;
    }
    if (e != 0) {
        (void)kill(p->pid, SIGKILL); /* it waits for us */
        answer(a, p, e, "cannot connect the terminal");
    } else if (p->is_init) {
        answer(a, p, 0, "");
    } else { /* an exec runs at once; it is answered when it does */
        uint32_t id = p->request;
        p->request = 0;
        e = process_start(a, p, id);
        if (e != 0) {
            answer(a, p, e, "the process died while it was set up");
        }
    }
}

void process_link(struct agent *a, struct process *p) {
    struct err said = {0};
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    ssize_t n = msg_recv(p->link, &said, sizeof(said), fds, &fd_count, true);
    if (n == -EAGAIN) {
        return;
    }
    if (n == (ssize_t)sizeof(said) && said.code == 0) {
        link_ready(a, p, fds, fd_count);
    } else if (n == (ssize_t)sizeof(said)) {
        said.msg[sizeof(said.msg) - 1] = '\0';
        answer(a, p, said.code, said.msg);
        p->started = p->started && p->is_init; /* an exec that never ran has no exit to report */
    } else {
        answer(a, p, p->started ? 0 : -EIO, p->started ? "" : "the process died while set up");
        cleanup_fd_fn(&p->link);
        p->link = -1;
    }
    for (size_t i = 0; i < fd_count; i++) {
        cleanup_fd_fn(&fds[i]);
    }
}

/* ---- its end ---- */

static void report_exit(struct agent *a, struct process *p, int status) {
    struct moat_ctl_exit event;
    memset(&event, 0, sizeof(event));
    event.ref.h = (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_EVENT_EXIT,
                                           sizeof(event), 0};
    memcpy(event.ref.container, p->container, sizeof(event.ref.container));
    memcpy(event.ref.exec_id, p->exec_id, sizeof(event.ref.exec_id));
    event.pid = p->is_init ? 1 : p->pid;
    event.status = status;
    if (mux_send(&a->mux, MOAT_AGENT_RECORD, 0, &event, sizeof(event)) != 0) {
        boot_off("the host does not read");
    }
}

static void ended(struct agent *a, struct process *p, int status) {
    /* What it has said so far goes out before the news of its end. */
    for (uint32_t k = 1; k < 3; k++) {
        if (mux_drain(&a->mux, p->stream + k) < 0) {
            boot_off("the host does not read");
        }
    }
    bool told = p->is_init || p->started;
    answer(a, p, -EIO, "the process died while it was set up");
    if (told) {
        report_exit(a, p, status);
    }
    p->pid = 0;
    if (p->destroy != 0) {
        agent_reply(a, p->destroy, 0, "", 0, NULL, 0);
    }
    if (!p->is_init || p->destroy != 0) {
        process_forget(a, p);
    }
}

void process_reap(struct agent *a) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        for (uint32_t i = 0; i < AGENT_PROCESSES; i++) {
            struct process *p = &a->processes[i];
            if (p->used && p->pid == pid) {
                while (p->link >= 0) {
                    struct pollfd link = {.fd = p->link, .events = POLLIN};
                    if (poll(&link, 1, 0) != 1) {
                        break; /* a child of it holds the other end */
                    }
                    process_link(a, p); /* its last words, and their end */
                }
                ended(a, p, status);
                break;
            }
        }
    }
}
