/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that the host asked for, from their making to their end: see agent.h. */
#include "agent/agent.h"
#include "agent/inside.h"
#include "agent/starter.h"

#include "host/cleanup.h"
#include "host/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

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
    if (p->box != NULL) {
        box_free(p->box);
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

/* Everything that a start needs until the starter is on its way. */
struct launch {
    const struct moat_agent_create *fixed;
    const void *bytes; /* the container, or the process */
    size_t size;
    struct process *p;
    struct box *box;                  /* new, or of the container whose process it becomes */
    struct container_process process; /* EXEC */
    int link[2];                      /* ours, theirs */
    int pipes[3][2];
};

static void launch_close(struct launch *l) {
    for (int i = 0; i < 2; i++) {
        cleanup_fd_fn(&l->link[i]);
        for (int k = 0; k < 3; k++) {
            cleanup_fd_fn(&l->pipes[k][i]);
        }
    }
    container_process_free(&l->process);
}

static int open_streams(struct launch *l, struct err *err) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, l->link) != 0) {
        return err_sys(err, -errno, "cannot make a socket pair in the guest");
    }
    for (int k = 0; k < 3 && !l->p->terminal; k++) {
        if (pipe2(l->pipes[k], O_CLOEXEC) != 0) {
            return err_sys(err, -errno, "cannot make a pipe in the guest");
        }
    }
    return 0;
}

static int hand_streams(struct agent *a, struct launch *l, uint32_t stream, struct err *err) {
    int e = 0;
    for (uint32_t k = 0; k < 3 && e == 0 && l->pipes[k][0] >= 0; k++) {
        e = mux_open(&a->mux, stream + k, steal_fd(&l->pipes[k][k == 0 ? 1 : 0]), k == 0);
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot connect the streams of the process");
}

static int fork_starter(struct launch *l, struct err *err) {
    const struct starter_job job = {.box = l->box,
                                    .process = l->p->is_init ? NULL : &l->process,
                                    .link = l->link[1],
                                    .stdio = {l->pipes[0][0], l->pipes[1][1], l->pipes[2][1]}};
    pid_t pid = fork();
    if (pid == 0) {
        starter_main(&job);
    }
    return pid > 0 ? 0 : err_sys(err, -errno, "cannot fork in the guest");
}

/* The box of an EXEC is the container's, of a CREATE a new one. */
static int find_box(struct agent *a, struct launch *l, struct err *err) {
    struct process *other = process_find(a, l->fixed->share, "");
    int e = 0;
    if (!l->p->is_init) {
        e = carry_process_read(l->bytes, l->size, &l->process);
        box_drop_labels(&l->process);
        return e == 0 ? 0 : err_set(err, e, "a process that makes no sense");
    }
    l->box = box_make(l->p->container, l->bytes, l->size, err);
    if (l->box == NULL) {
        return err->code;
    }
    l->p->box = l->box;
    if (l->fixed->share_flags != 0 || (g_inside.own_kernel && l->fixed->share[0] != '\0')) {
        e = other != NULL && other->box != NULL
                ? box_join(l->box, other->box, l->fixed->share_flags, err)
                : err_set(err, -ESRCH, "the container to share with is not there");
    }
    return e;
}

static int launch_run(struct agent *a, struct launch *l, struct err *err) {
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
    e = e != 0 ? e : find_box(a, l, err);
    e = e != 0 ? e : open_streams(l, err);
    e = e != 0 ? e : fork_starter(l, err);
    e = e != 0 ? e : hand_streams(a, l, l->p->stream, err);
    if (e == 0) {
        l->p->link = steal_fd(&l->link[0]);
    }
    return e;
}

/* Who is there already, and for an EXEC whose process it becomes. */
static int check_place(struct agent *a, struct launch *l, struct err *err) {
    const struct moat_ctl_ref *ref = &l->fixed->ref;
    bool is_exec = ref->h.type == MOAT_CTL_EXEC;
    if (is_exec != (ref->exec_id[0] != '\0')) {
        return err_set(err, -EINVAL, "a request without the id that it needs");
    }
    if (process_find(a, ref->container, ref->exec_id) != NULL) {
        return err_set(err, -EEXIST, "the container is there already");
    }
    const struct process *init = is_exec ? process_find(a, ref->container, "") : NULL;
    if (is_exec && (init == NULL || init->pid <= 0 || !init->started)) {
        return err_set(err, -ESRCH, "container not running");
    }
    l->p = process_new(a);
    if (l->p == NULL) {
        return err_set(err, -EAGAIN, "more than %u processes", AGENT_PROCESSES);
    }
    l->p->is_init = !is_exec;
    l->box = is_exec ? init->box : NULL;
    memcpy(l->p->container, ref->container, sizeof(ref->container));
    memcpy(l->p->exec_id, ref->exec_id, sizeof(ref->exec_id));
    return 0;
}

int process_create(struct agent *a, const void *record, size_t size, uint32_t stream,
                   struct err *err) {
    struct moat_agent_create fixed;
    struct launch l = {.fixed = &fixed, .link = {-1, -1}, .pipes = {{-1, -1}, {-1, -1}, {-1, -1}}};
    if (size < sizeof(fixed) || stream % 3 != 0 || stream >= MOAT_AGENT_STREAMS) {
        return err_set(err, -EINVAL, "a request that makes no sense");
    }
    memcpy(&fixed, record, sizeof(fixed));
    if (ctl_ref_check(&fixed.ref, size, size) != 0 ||
        memchr(fixed.share, '\0', sizeof(fixed.share)) == NULL) {
        return err_set(err, -EINVAL, "a request whose ids make no sense");
    }
    l.bytes = (const char *)record + sizeof(fixed);
    l.size = size - sizeof(fixed);
    int e = check_place(a, &l, err);
    if (e != 0) {
        return e;
    }
    l.p->stream = stream;
    l.p->terminal = (fixed.flags & MOAT_PROC_TERMINAL) != 0;
    l.p->request = fixed.ref.h.id;
    e = launch_run(a, &l, err);
    launch_close(&l);
    if (e != 0) {
        l.p->request = 0; /* the caller answers */
        process_forget(a, l.p);
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

/* Nothing of it is left: who waits for it is told. */
static void give_up(struct agent *a, struct process *p, int error, const char *message) {
    answer(a, p, error, message);
    process_forget(a, p);
}

/* The process is there.  It stays a child of the starter until that ends. */
static void take_process(struct agent *a, struct process *p, pid_t pid, int *fds, size_t count) {
    int e = 0;
    p->pid = pid;
    p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p->is_init) {
        box_note_process(p->box, pid);
    }
    if (p->terminal) {
        e = count == 1 ? take_terminal(a, p, steal_fd(&fds[0])) : -EPROTO;
    }
    p->started = !p->is_init;
    if (e != 0) {
        (void)kill(pid, SIGKILL);
    }
    answer(a, p, e, e == 0 ? "" : "cannot connect the terminal");
}

void process_link(struct agent *a, struct process *p) {
    struct starter_report said;
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    ssize_t n = msg_recv(p->link, &said, sizeof(said), fds, &fd_count, true);
    if (n == -EAGAIN) {
        return;
    }
    said.err.msg[sizeof(said.err.msg) - 1] = '\0';
    if (n == (ssize_t)sizeof(said) && said.err.code == 0 && p->pid == 0 && said.pid > 0) {
        take_process(a, p, said.pid, fds, fd_count);
    } else if (n == (ssize_t)sizeof(said) && p->pid == 0) {
        give_up(a, p, said.err.code < 0 ? said.err.code : -EIO, said.err.msg);
    } else if (n == (ssize_t)sizeof(said)) { /* it was to start, and will end */
        answer(a, p, said.err.code < 0 ? said.err.code : -EIO, said.err.msg);
    } else if (p->pid == 0) {
        give_up(a, p, -EIO, "the process died while it was set up");
    } else {
        answer(a, p, p->started ? 0 : -EIO, p->started ? "" : "the process died before its start");
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

void process_tell_kills(struct agent *a, struct process *p) {
    struct moat_ctl_oom event;
    memset(&event, 0, sizeof(event));
    event.kills = box_new_kills(p->box);
    event.ref.h = (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_EVENT_OOM,
                                           sizeof(event), 0};
    memcpy(event.ref.container, p->container, sizeof(event.ref.container));
    if (event.kills > 0 && mux_send(&a->mux, MOAT_AGENT_RECORD, 0, &event, sizeof(event)) != 0) {
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
    if (p->is_init) {
        process_tell_kills(a, p);
    }
    answer(a, p, -EIO, "the process died while it was set up");
    if (told) {
        report_exit(a, p, status);
    }
    p->pid = 0;
    if (p->box != NULL) {
        p->box->pid = 0;
    }
    if (p->destroy != 0) {
        agent_reply(a, p->destroy, 0, "", 0, NULL, 0);
    }
    if (!p->is_init || p->destroy != 0) {
        process_forget(a, p);
    }
}

static struct process *find_pid(struct agent *a, pid_t pid) {
    for (uint32_t i = 0; i < AGENT_PROCESSES; i++) {
        if (a->processes[i].used && a->processes[i].pid == pid) {
            return &a->processes[i];
        }
    }
    return NULL;
}

/* All that starters have said so far. */
static void read_links(struct agent *a) {
    for (uint32_t i = 0; i < AGENT_PROCESSES; i++) {
        struct process *p = &a->processes[i];
        struct pollfd link = {.events = POLLIN};
        while (p->used && p->link >= 0 && (link.fd = p->link, poll(&link, 1, 0) == 1)) {
            process_link(a, p);
        }
    }
}

void process_reap(struct agent *a) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        /* A process is ours once its starter has ended, and that has told its number before. */
        read_links(a);
        struct process *p = find_pid(a, pid);
        if (p != NULL) {
            ended(a, p, status);
        }
    }
}
