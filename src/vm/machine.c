/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a machine: see machine.h.
 *
 * The monitor clones the bridge into new namespaces (pid, mount, network, ipc, uts, cgroup).  The
 * bridge puts the files together, forks the file server (which keeps the rights that serving files
 * takes, and jails itself) and the hypervisor (which is jailed here), jails itself, and serves.
 * Errors come to the monitor over a status pipe that closes when all of them run.
 */
#include "vm/machine_parts.h"

#include "host/cleanup.h"
#include "host/clock.h"
#include "host/msg.h"
#include "host/strlist.h"
#include "vm/bridge.h"
#include "vm/disk.h"
#include "vm/files.h"
#include "vm/hypervisor.h"
#include "vm/image.h"
#include "vm/jail.h"
#include "vm/keeper.h"
#include "vm/net.h"
#include "vm/rootless.h"
#include "vm/operator.h"
#include "vm/share.h"
#include "vm/size.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define MEASURE_NS    4000000ll
#define KEEPER_WAIT_S 30

/* ---- the cycle counter's rate, measured while other things are done ---- */

static long long now_ns(void) {
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC_RAW, &ts); /* cannot fail */
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

void machine_rate_begin(struct machine *m) {
    m->start_ns = now_ns();
    m->start_cycles = __builtin_ia32_rdtsc();
}

static uint64_t rate_khz(const struct machine *m) {
    long long passed = now_ns() - m->start_ns;
    if (passed < MEASURE_NS) {
        const struct timespec rest = {.tv_nsec = MEASURE_NS - passed};
        (void)nanosleep(&rest, NULL); /* woken early, the figure is a bit coarser */
    }
    passed = now_ns() - m->start_ns;
    return (__builtin_ia32_rdtsc() - m->start_cycles) * 1000000u / (uint64_t)passed;
}

/* ---- children of the bridge ---- */

static noreturn_fn void report(int status, const struct err *err) {
    (void)!write(status, err, sizeof(*err)); /* the reader sees the end of the pipe if not */
    _exit(1);
}

/* Standard input and output to /dev/null; errors to the log, where there is one. */
static int set_stdio(const struct machine *m, struct err *err) {
    cleanup_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log_fd = m->options->log_fd >= 0 ? m->options->log_fd : null_fd;
    if (null_fd < 0 || dup2(null_fd, 0) != 0 || dup2(null_fd, 1) != 1 || dup2(log_fd, 2) != 2) {
        return err_sys(err, -errno, "cannot set the standard streams");
    }
    return 0;
}

static noreturn_fn void run_file_server(const struct machine *m) {
    struct err err = {0};
    int e = set_stdio(m, &err);
    if (e == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
        e = err_sys(&err, -errno, "cannot bind the file server to its parent");
    }
    if (e == 0) {
        files_exec(&m->files, &m->share, m->admin[1], &err);
    }
    report(m->status, &err);
}

/* The hooks of the runtime may make the interfaces only now; failures are told there from here. */
static int await_network(struct machine *m, struct err *err) {
    struct net_devices devices = {0};
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    if (m->network[1] < 0) {
        return 0;
    }
    (void)close(m->status); /* so far all is well */
    m->status = m->network[1];
    (void)close(m->network[0]); /* so that the monitor's end is the end */
    ssize_t n = msg_recv(m->network[1], &devices, sizeof(devices), fds, &fd_count, false);
    if (n != (ssize_t)sizeof(devices) || devices.count != fd_count) {
        return err_set(err, -EPIPE, "the monitor is gone");
    }
    for (uint32_t i = 0; i < fd_count; i++) {
        m->config.nic_fds[i] = fds[i];
    }
    m->config.nic_count = devices.count;
    return 0;
}

static noreturn_fn void run_hypervisor(struct machine *m) {
    struct hypervisor_config *c = &m->config;
    struct strlist args = {0};
    struct err err = {0};
    c->agent_fd = m->agent[1];
    c->disk_fd = m->disk.fd;
    c->console_fd = m->console[1];
    c->vsock_fd = m->vsock.device;
    c->cid = m->vsock.cid;
    int e = set_stdio(m, &err);
    if (e == 0 && unshare(CLONE_NEWNS) != 0) {
        e = err_sys(&err, -errno, "cannot prepare the hypervisor");
    }
    e = e != 0 ? e
               : jail_hypervisor_root(m->kernel, m->initramfs, m->operation.ram.mount,
                                      c->kvm ? m->user : (uid_t)-1, &err);
    e = e != 0 ? e : jail_drop(m->user, &err);
    e = e != 0 ? e : await_network(m, &err);
    if (e == 0) {
        c->tsc_khz = c->mode == HYPERVISOR_RESTORE ? 0 : rate_khz(m);
        e = m->hypervisor->arguments(c, &args);
        e = e == 0 ? 0 : err_sys(&err, e, "cannot put the hypervisor's arguments together");
    }
    if (e == 0) {
        static char *const environment[] = {NULL};
        int keep[6 + MOAT_NET_LINKS_MAX] = {c->agent_fd, c->files_fd,   c->console_fd,
                                            c->disk_fd,  c->control_fd, c->vsock_fd};
        memcpy(&keep[6], c->nic_fds, c->nic_count * sizeof(keep[0]));
        jail_keep_only(keep, 6 + c->nic_count);
        (void)execve(m->hypervisor->program, args.items, environment);
        (void)err_sys(&err, -errno, "cannot run %s (Debian's package qemu-system-x86)",
                      m->hypervisor->program);
    }
    report(m->status, &err);
}

static pid_t g_keeper, g_operator; /* of the machine whose bridge this process is */

/* Descriptors of the bridge, behind the standard streams. */
enum bridge_fd {
    BRIDGE_CONTROL = 3,
    BRIDGE_AGENT,
    BRIDGE_LOG,
    BRIDGE_STATUS,  /* why it could not begin */
    BRIDGE_FAILURE, /* what the operator says */
    BRIDGE_CONSOLE,
    BRIDGE_LISTENER,
    BRIDGE_FDS
};

static int start_children(struct machine *m, struct err *err) {
    const bool keeper = files_need_keeper(&m->files, m->admin[1] >= 0);
    const bool files = m->admin[1] >= 0 || m->share.count > 0;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return err_sys(err, -errno, "cannot detach mount propagation");
    }
    /* A template says nothing, so that one serves all. */
    if (m->options->debug && m->options->log_fd >= 0 && m->config.mode == HYPERVISOR_BOOT &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->console) != 0) {
        return err_sys(err, -errno, "cannot make the console's socket");
    }
    int e = files ? files_prepare(&m->files, &m->share, &m->config.files_fd, err) : 0;
    e = e != 0 || !keeper ? e : keeper_prepare(FILES_PLACE, err);
    const int last = m->config.mode == HYPERVISOR_RESTORE ? 3 : 2;
    for (int child = keeper ? 0 : files ? 1 : 2; child <= last && e == 0; child++) {
        pid_t pid = fork();
        if (pid == 0 && child == 0) {
            keeper_main(m->admin[1], FILES_PLACE, m->status);
        } else if (pid == 0 && child == 1) {
            run_file_server(m);
        } else if (pid == 0 && child == 2) {
            run_hypervisor(m);
        } else if (pid == 0) {
            operator_restore(&m->operation, m->hypervisor, &m->config, m->user);
        }
        g_operator = child == 3 ? pid : g_operator;
        g_keeper = child == 0 ? pid : g_keeper;
        e = pid > 0 ? 0 : err_sys(err, -errno, "cannot fork the processes of the machine");
    }
    cleanup_fd_fn(&m->files.socket);
    return e;
}

/* ---- the bridge ---- */

/* Which of the children has ended, and how: the machine is over with either. */
static void describe_end(char *text, size_t size) {
    int status = 0;
    const struct timespec wait = {.tv_nsec = 10000000};
    ssize_t n = g_operator > 0 ? read(BRIDGE_FAILURE, text, size - 1) : 0;
    if (n > 0) {
        text[n] = '\0';
        return;
    }
    pid_t pid = waitpid(-1, &status, WNOHANG);
    /* Its connection closes before it is gone. */
    for (int i = 0; i < 100 && (pid == 0 || pid == g_keeper || pid == g_operator); i++) {
        (void)nanosleep(&wait, NULL);
        pid = waitpid(-1, &status, WNOHANG);
    }
    if (pid > 0 && WIFSIGNALED(status)) {
        (void)snprintf(text, size, "the virtual machine was killed by signal %d", WTERMSIG(status));
    } else {
        (void)snprintf(text, size,
                       "the virtual machine ended by itself with status %d (--debug "
                       "--log FILE shows what its kernel said)",
                       pid > 0 ? WEXITSTATUS(status) : -1);
    }
}

static int jail_bridge(const struct machine *m, struct err *err) {
    const int log_fd = -1;
    const struct sandbox_options quiet = {.log_fd = log_fd};
    const struct machine silent = {.options = &quiet};
    int e = set_stdio(&silent, err);
    if (e == 0 && unshare(CLONE_NEWNS) != 0) {
        e = err_sys(err, -errno, "cannot unshare the bridge's mounts");
    }
    e = e != 0 ? e : jail_empty_root(err);
    return e != 0 ? e : jail_drop(m->user, err);
}

/* What the bridge is told of the machine. */
static int describe_machine(const struct machine *m, struct bridge_options *out, struct err *err) {
    *out = (struct bridge_options){.start_ns = m->started,
                                   .start_timeout_s = m->c->vm_start_timeout_s,
                                   .answer_timeout_s = m->c->vm_answer_timeout_s,
                                   .export_count = m->share.count,
                                   .disk = m->disk.kind,
                                   .cid = m->vsock.cid,
                                   .restored = m->config.mode == HYPERVISOR_RESTORE,
                                   .why = describe_end};
    out->plugged = m->config.network ? MOAT_AGENT_PLUGGED_ANY
                                     : (m->share.count > 0 ? 1u : 0u) + (m->disk.fd >= 0 ? 1u : 0u);
    return getrandom(out->entropy, sizeof(out->entropy), 0) == sizeof(out->entropy)
               ? 0
               : err_sys(err, -errno, "cannot get random numbers");
}

/* Leaves the bridge its own descriptors, by the numbers of enum bridge_fd, and no others. */
static void keep_own(const struct machine *m, struct bridge_options *o) {
    int keep[BRIDGE_FDS] = {[BRIDGE_CONTROL] = m->control[1],
                            [BRIDGE_AGENT] = m->agent[0],
                            [BRIDGE_LOG] = m->options->debug ? m->options->log_fd : -1,
                            [BRIDGE_STATUS] = m->status,
                            [BRIDGE_FAILURE] = m->operation.failure[0],
                            [BRIDGE_CONSOLE] = m->console[0],
                            [BRIDGE_LISTENER] = m->vsock.listener};
    for (int fd = BRIDGE_CONTROL; fd < BRIDGE_FDS; fd++) {
        /* by way of numbers that none of them has */
        keep[fd] = keep[fd] >= 0 ? fcntl(keep[fd], F_DUPFD_CLOEXEC, 1000) : -1;
    }
    for (int fd = BRIDGE_CONTROL; fd < BRIDGE_FDS; fd++) {
        if (keep[fd] >= 0) {
            (void)dup3(keep[fd], fd, O_CLOEXEC); /* a failed one shows at its first use */
        } else {
            (void)close(fd); /* whatever it was */
        }
    }
    o->control = BRIDGE_CONTROL;
    o->agent = BRIDGE_AGENT;
    o->log = keep[BRIDGE_LOG] >= 0 ? BRIDGE_LOG : -1;
    o->console = keep[BRIDGE_CONSOLE] >= 0 ? BRIDGE_CONSOLE : -1;
    o->listener = keep[BRIDGE_LISTENER] >= 0 ? BRIDGE_LISTENER : -1;
    (void)close_range(BRIDGE_FDS, ~0u, 0);
}

/* The machine that becomes a template, which has no container. */
static noreturn_fn void save_main(struct machine *m) {
    struct err err = {0};
    (void)close(m->agent[1]); /* the hypervisor's end, as the next: its end is to be seen */
    (void)close(m->operation.monitor[1]);
    if (operator_save(&m->operation, m->hypervisor, m->agent[0], &err) != 0) {
        report(m->status, &err);
    }
    _exit(0);
}

static noreturn_fn void bridge_main(struct machine *m) {
    struct err err = {0};
    struct bridge_options options;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
        (void)err_sys(&err, -errno, "cannot bind the machine to its monitor");
        report(m->status, &err);
    }
    (void)setsid(); /* no terminal signal may reach the machine */
    sigset_t none;
    (void)sigemptyset(&none); /* cannot fail, as the next */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    m->config.disk_fd = m->disk.fd;
    m->config.network = m->network[1] >= 0;
    if (start_children(m, &err) != 0) {
        report(m->status, &err);
    }
    if (m->config.mode == HYPERVISOR_SAVE) {
        save_main(m);
    }
    if (describe_machine(m, &options, &err) != 0 || jail_bridge(m, &err) != 0) {
        report(m->status, &err);
    }
    keep_own(m, &options);
    if (jail_bridge_calls(&err) != 0) {
        report(BRIDGE_STATUS, &err);
    }
    (void)close(BRIDGE_STATUS); /* all is well */
    bridge_run(&options);
    _exit(0);
}

/* ---- the monitor ---- */

int machine_size(struct machine *m, struct err *err) {
    const char *why = "";
    struct vm_size size;
    m->config.kvm = kvm_is_useful(&why);
    int e = vm_size_of(m->c, m->config.kvm, &size, err);
    if (e != 0) {
        return e;
    }
    m->config.memory = size.memory == 0
                           ? MACHINE_DEFAULT_MEMORY
                           : ALIGN_UP(size.memory, MIB) + machine_guest_overhead(size.memory);
    if (m->agent_kind == IMAGE_AGENT_SENTRY) {
        m->config.memory += MACHINE_SENTRY_OVERHEAD;
    }
    m->config.cpus = size.cpus;
    return 0;
}

static int open_all(struct machine *m, struct err *err) {
    int e = image_open(m->agent_kind, &m->kernel, &m->initramfs, &m->image_lock, err);
    e = e != 0 ? e : machine_size(m, err);
    if (e == 0 && m->agent_kind == IMAGE_AGENT_NATIVE) {
        machine_use_template(m);
    }
    e = e != 0 ? e : disk_open(m->c, &m->disk, err);
    e = e != 0 ? e : files_open(m->c, &m->files, err);
    e = e != 0 ? e : share_open(m->c, &m->share, err);
    if (e == 0 && m->c->vm_vsock && m->config.mode == HYPERVISOR_BOOT) {
        vsock_open(&m->vsock);
    }
    if (m->options->pod) {
        m->share.count = MAX(m->share.count, 1u); /* a folder in place of a disk's */
    }
    if (e == 0 && (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, m->control) != 0 ||
                   socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->agent) != 0)) {
        e = err_sys(err, -errno, "cannot make a socket pair");
    }
    if (e == 0 && m->options->network_entered &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, m->network) != 0) {
        e = err_sys(err, -errno, "cannot make a socket pair");
    }
    if (e == 0 && m->options->pod &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, m->admin) != 0) {
        e = err_sys(err, -errno, "cannot make a socket pair");
    }
    const struct timeval patience = {.tv_sec = KEEPER_WAIT_S};
    if (e == 0 && m->admin[0] >= 0) { /* a monitor that waits serves nobody */
        (void)setsockopt(m->admin[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    }
    int room = (int)(4 * MOAT_CTL_MSG_MAX); /* a CREATE message is sent before anyone reads */
    for (int i = 0; i < 2 && e == 0; i++) {
        (void)setsockopt(m->control[i], SOL_SOCKET, SO_SNDBUFFORCE, &room,
                         sizeof(room)); /* else the default */
    }
    return e;
}

void machine_close(struct machine *m) {
    int *fds[] = {&m->kernel,       &m->initramfs,     &m->control[0], &m->control[1],
                  &m->agent[0],     &m->agent[1],      &m->network[0], &m->network[1],
                  &m->admin[0],     &m->admin[1],      &m->disk.fd,    &m->files.program,
                  &m->vsock.device, &m->vsock.listener};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        cleanup_fd_fn(fds[i]);
    }
    share_close(&m->share);
    operation_close(&m->operation);
}

int machine_bridge(struct machine *m, pid_t *out_pid, struct err *err) {
    struct clone_args args = {.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
                                       CLONE_NEWUTS | CLONE_NEWCGROUP,
                              .exit_signal = SIGCHLD};
    struct err theirs = {0};
    int status[2];
    if (pipe2(status, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    m->status = status[1];
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        bridge_main(m);
    }
    int saved = -errno;
    (void)close(status[1]); /* the bridge's, as the next: their ends are to be seen */
    cleanup_fd_fn(&m->agent[1]);
    cleanup_fd_fn(&m->operation.monitor[1]);
    m->agent[1] = m->operation.monitor[1] = -1;
    ssize_t n = pid > 0 ? read(status[0], &theirs, sizeof(theirs)) : 0;
    (void)close(status[0]); /* only read */
    if (pid < 0) {
        return err_sys(err, saved, "cannot create the machine's namespaces");
    }
    *out_pid = pid;
    if (n == 0) {
        return 0;
    }
    theirs.msg[sizeof(theirs.msg) - 1] = '\0';
    return n == sizeof(theirs) && theirs.code < 0
               ? err_set(err, theirs.code, "%s", theirs.msg)
               : err_set(err, -EIO, "the virtual machine died while it was set up");
}

static int start_with(enum image_agent agent, const struct container *c,
                      const struct sandbox_options *options, struct sandbox *out, struct err *err) {
    int entered = rootless_enter(err); /* before anything is who it stays */
    if (entered != 0) {
        return entered;
    }
    struct machine m = {.c = c,
                        .options = options,
                        .agent_kind = agent,
                        .hypervisor = &g_hypervisor_qemu,
                        MACHINE_NONE,
                        .user = jail_user(getpid())};
    *out = (struct sandbox){.sentry_pid = -1,
                            .gofer_pid = -1,
                            .control_fd = -1,
                            .admin_fd = -1,
                            .memory_fs = -1,
                            .network_fd = -1,
                            .network_watch = -1};
    operation_init(&m.operation);
    m.started = clock_now_ns(CLOCK_MONOTONIC);
    machine_rate_begin(&m);
    int e = open_all(&m, err);
    e = e != 0 ? e : machine_bridge(&m, &out->sentry_pid, err);
    if (e != 0) {
        sandbox_kill(out);
    } else {
        out->control_fd = steal_fd(&m.control[0]);
        out->admin_fd = steal_fd(&m.admin[0]);
        out->admin_answers = m.files.kind == VM_FILES_VIRTIOFSD;
        out->export_count = m.share.count;
        if (m.network[0] >= 0) {
            out->network = &g_machine_network;
            out->network_fd = steal_fd(&m.network[0]);
        }
    }
    machine_close(&m);
    return e;
}

int machine_start(const struct container *c, const struct sandbox_options *options,
                  struct sandbox *out, struct err *err) {
    return start_with(IMAGE_AGENT_NATIVE, c, options, out, err);
}

int machine_start_sentry(const struct container *c, const struct sandbox_options *options,
                         struct sandbox *out, struct err *err) {
    return start_with(IMAGE_AGENT_SENTRY, c, options, out, err);
}
