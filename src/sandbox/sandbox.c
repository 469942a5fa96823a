/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a sandbox's processes: see sandbox.h.
 *
 * Parent and children talk over a status pipe until exec: a child that fails writes its struct err
 * there; end of file means that the program runs and that its old root is gone (confine.h).
 */
#include "sandbox/sandbox.h"

#include "host/cleanup.h"
#include "host/memfd.h"
#include "host/msg.h"
#include "host/procfs.h"
#include "moat/boot.h"
#include "moat/control.h"
#include "moat/gofer.h"
#include "oci/idmap.h"
#include "sandbox/confine.h"
#include "sandbox/exports.h"
#include "sandbox/guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptor numbers in the children. */
enum {
    FD_BOOT = 3, /* the configuration memfd of either child */
    FD_CONTROL,
    FD_GOFER,
    FD_SHM,
    FD_MEMORY,
    FD_LOG,
    FD_PROGRAM,
    FD_STATUS,
    FD_ADMIN, /* the Gofer's */
    FD_EXPORTS,
};

/* Everything the parent holds while starting. */
struct starter {
    const struct container *c;
    const struct sandbox_options *options;
    int control[2]; /* [0] ours, [1] the Sentry's */
    int gofer[2];   /* [0] the Sentry's, [1] the Gofer's */
    int admin[2];   /* [0] ours, [1] the Gofer's; -1 without a pod */
    int shm, sentry_program, gofer_program;
    int exports[MOAT_GOFER_EXPORTS_MAX];
    uint32_t export_flags[MOAT_GOFER_EXPORTS_MAX];
    uint32_t export_count;
    int sentry_status, gofer_status; /* our ends of the status pipes */
    int user_ns;                     /* that the Gofer joins, or -1 */
    int child_status;                /* in a child: its end */
};

int sandbox_open_program(const char *name, struct err *err) {
    static const char *const places[] = {"", "../libexec/moat/"};
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0) {
        return err_sys(err, -errno, "cannot read /proc/self/exe (is /proc mounted?)");
    }
    self[n] = '\0';
    *(strrchr(self, '/') + 1) = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        char path[4200];
        (void)snprintf(path, sizeof(path), "%s%s%s", self, places[i], name); /* sized for it */
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT) {
            return fd >= 0 ? fd : err_sys(err, -errno, "cannot open the program %s", path);
        }
    }
    return err_set(err, -ENOENT,
                   "cannot find the program %s in %s or %s../libexec/moat: build it with 'make'",
                   name, self, self);
}

/* Puts `from` on the number `to`, inheritable.  Sources were first moved out of the way by
 * raise_fds. */
static int place_fd(int from, int to) {
    return from < 0 || dup2(from, to) == to ? 0 : -errno;
}

/* Moves a descriptor above all the numbers that place_fd fills. */
static int raise_fd(int *fd) {
    if (*fd < 0) {
        return 0;
    }
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, FD_EXPORTS + (int)MOAT_GOFER_EXPORTS_MAX);
    if (high < 0) {
        return -errno;
    }
    *fd = high;
    return 0;
}

static void child_fail(int status_fd, const struct err *err) {
    (void)!write(status_fd, err, sizeof(*err)); /* the parent sees the exit status if not */
    _exit(1);
}

static int child_null_stdio(struct err *err) {
    int null_fd = open("/dev/null", O_RDWR);
    if (null_fd < 0) {
        return err_sys(err, -errno, "cannot open /dev/null");
    }
    for (int fd = 0; fd < 3; fd++) {
        if (dup2(null_fd, fd) != fd) {
            return err_sys(err, -errno, "cannot replace descriptor %d", fd);
        }
    }
    if (null_fd > 2) {
        (void)close(null_fd); /* its copies stay */
    }
    return 0;
}

static int child_exec(const char *name, struct err *err) {
    char fd_text[16];
    char *const argv[] = {(char *)(uintptr_t)name, fd_text, NULL};
    /* Stubs are made by fork and unmap all of libc's memory: no restartable sequence may stay
     * registered there. */
    char *const envp[] = {(char *)(uintptr_t) "GLIBC_TUNABLES=glibc.pthread.rseq=0", NULL};
    (void)snprintf(fd_text, sizeof(fd_text), "%d", FD_BOOT); /* fits */
    sigset_t none;
    (void)sigemptyset(&none);                    /* cannot fail */
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* likewise */
    (void)syscall(SYS_execveat, FD_PROGRAM, "", argv, envp, AT_EMPTY_PATH);
    return err_sys(err, -errno, "cannot execute %s", name);
}

static int make_config(const void *data, size_t size, const char *name, struct err *err) {
    int fd = memfd_make(name, data, size);
    return fd >= 0 ? fd : err_sys(err, fd, "cannot write the boot configuration");
}

static int sentry_config(const struct starter *s, struct err *err) {
    struct moat_boot boot = {
        .magic = MOAT_BOOT_MAGIC,
        .version = MOAT_BOOT_VERSION,
        .size = sizeof(boot),
        .flags = (s->c->strace ? MOAT_BOOT_STRACE : 0) | (s->options->debug ? MOAT_BOOT_DEBUG : 0) |
                 (s->options->log_json ? MOAT_BOOT_LOG_JSON : 0),
        .handover = s->c->handover,
        .control_fd = FD_CONTROL,
        .gofer_fd = FD_GOFER,
        .gofer_shm_fd = FD_SHM,
        .memory_dir_fd = FD_MEMORY,
        .log_fd = s->options->log_fd >= 0 ? FD_LOG : -1,
        .memory_limit = s->c->memory_limit,
    };
    (void)snprintf(boot.hostname, sizeof(boot.hostname), "%s",
                   s->c->hostname == NULL ? "moat"
                                          : s->c->hostname); /* 64 bytes, checked by the callers */
    return make_config(&boot, sizeof(boot), "moat-boot", err);
}

static noreturn_fn void sentry_child(struct starter *s, int config, int go, int status) {
    struct err err = {0};
    int log_fd = s->options->log_fd;
    char byte;
    int memory_dir = -1, memory_fs = -1;
    int e = raise_fd(&config) | raise_fd(&s->control[1]) | raise_fd(&s->gofer[0]) |
            raise_fd(&s->shm) | raise_fd(&log_fd) | raise_fd(&s->sentry_program) |
            raise_fd(&status);
    if (e != 0) {
        (void)err_set(
            &err, -EMFILE,
            "too many open files to start the Sentry: raise the limit (ulimit -n 256)"); /* reported
                                                                                            below */
    } else if (read(go, &byte, 1) != 1) { /* the parent has mapped our ids */
        _exit(1);
    } else if (child_null_stdio(&err) == 0 &&
               confine_enter(guest_memory_size(s->c), status, &memory_dir, &memory_fs, &err) == 0) {
        /* The first record on the way that is the Sentry's from its exec on. */
        (void)!msg_send(s->control[1], "m", 1, &memory_fs, 1, true); /* else the size stays */
        (void)setsid(); /* no terminal signal may reach it; it is init of its namespace already */
        e = raise_fd(&memory_dir) | place_fd(config, FD_BOOT) |
            place_fd(s->control[1], FD_CONTROL) | place_fd(s->gofer[0], FD_GOFER) |
            place_fd(s->shm, FD_SHM) | place_fd(memory_dir, FD_MEMORY) | place_fd(log_fd, FD_LOG) |
            place_fd(s->sentry_program, FD_PROGRAM) | place_fd(status, FD_STATUS);
        if (e != 0) {
            (void)err_set(&err, e, "cannot place the Sentry's descriptors"); /* reported below */
        } else {
            (void)fcntl(FD_PROGRAM, F_SETFD, FD_CLOEXEC); /* cannot fail on an open descriptor */
            (void)fcntl(FD_STATUS, F_SETFD, FD_CLOEXEC);
            (void)close_range(FD_ADMIN, ~0u, 0); /* nothing of the caller's comes along */
            (void)child_exec("moat-sentry", &err);
            status = FD_STATUS;
        }
    }
    child_fail(status, &err);
    __builtin_unreachable();
}

static int start_sentry(struct starter *s, pid_t *out_pid, struct err *err) {
    int go[2], status[2];
    cleanup_fd int config = sentry_config(s, err);
    if (config < 0) {
        return config;
    }
    if (pipe2(go, O_CLOEXEC) != 0 || pipe2(status, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    struct clone_args args = {.flags = confine_namespaces(!s->options->network_entered),
                              .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        (void)close(go[1]); /* so that our parent's death ends the read */
        sentry_child(s, config, go[0], status[1]);
    }
    int saved = -errno;
    (void)close(go[0]); /* the child has them */
    (void)close(status[1]);
    s->sentry_status = status[0];
    int e = 0;
    if (pid < 0) {
        e = err_sys(err, saved, "cannot create the sandbox's namespaces");
        err_append(err, " (are user namespaces enabled? see /proc/sys/user/max_user_namespaces)");
    } else {
        *out_pid = pid;
        e = confine_map_ids(pid, err);
        if (e == 0 && write(go[1], "g", 1) != 1 &&
            errno != EPIPE) { /* EPIPE: its status says why */
            e = err_sys(err, -errno, "cannot start the Sentry");
        }
    }
    (void)close(go[1]);
    return e;
}

/* Does the Gofer get a user namespace of its own, with the container's ids?  It is what stands
 * between those and the host's files: the application kernel knows the ids inside alone. */
static bool gofer_mapped(const struct container *c) {
    const struct oci_namespace_entry *n = &c->linux_.namespaces[NS_USER];
    return n->set && n->path == NULL;
}

/* Root of the container's user namespace, once the parent has mapped its ids; without one, nothing.
 */
static void gofer_identity(const struct starter *s, int go) {
    char byte;
    if (s->user_ns < 0 && !gofer_mapped(s->c)) {
        return;
    }
    if (s->user_ns >= 0 && setns(s->user_ns, CLONE_NEWUSER) != 0) {
        struct err err = {0};
        (void)err_sys(&err, -errno, "cannot join the container's user namespace"); /* told below */
        child_fail(s->child_status, &err);
    }
    if (s->user_ns < 0 && read(go, &byte, 1) != 1) {
        _exit(1);
    }
    (void)setgroups(0, NULL); /* refused to an ordinary user, who has no more than he had */
    if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0) {
        struct err err = {0};
        (void)err_sys(&err, -errno, "the container's user namespace maps no root"); /* likewise */
        child_fail(s->child_status, &err);
    }
}

static noreturn_fn void gofer_child(struct starter *s, int config, int go, int status) {
    struct err err = {0};
    s->child_status = status;
    gofer_identity(s, go);
    int e = raise_fd(&config) | raise_fd(&s->gofer[1]) | raise_fd(&s->shm) |
            raise_fd(&s->gofer_program) | raise_fd(&s->admin[1]) | raise_fd(&status);
    for (uint32_t i = 0; i < s->export_count; i++) {
        e |= raise_fd(&s->exports[i]);
    }
    if (e == 0 && child_null_stdio(&err) == 0) {
        (void)setsid(); /* no terminal signal may reach it */
        e = place_fd(config, FD_BOOT) | place_fd(s->gofer[1], FD_GOFER) | place_fd(s->shm, FD_SHM) |
            place_fd(s->gofer_program, FD_PROGRAM) | place_fd(status, FD_STATUS) |
            place_fd(s->admin[1], FD_ADMIN);
        for (uint32_t i = 0; i < s->export_count; i++) {
            e |= place_fd(s->exports[i], FD_EXPORTS + (int)i);
        }
        if (e == 0) {
            (void)fcntl(FD_PROGRAM, F_SETFD, FD_CLOEXEC); /* cannot fail on an open descriptor */
            (void)fcntl(FD_STATUS, F_SETFD, FD_CLOEXEC);
            (void)close(FD_CONTROL); /* numbers that the Gofer has no use for; they may not be open
                                        at all */
            (void)close(FD_MEMORY);
            (void)close(FD_LOG);
            if (s->admin[1] < 0) {
                (void)close(FD_ADMIN); /* likewise */
            }
            (void)close_range((unsigned int)FD_EXPORTS + s->export_count, ~0u, 0);
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail with a valid signal */
            (void)child_exec("moat-gofer", &err);
            status = FD_STATUS;
        }
    }
    if (e != 0) {
        (void)err_set(&err, -EMFILE, "cannot place the Gofer's descriptors"); /* reported here */
    }
    child_fail(status, &err);
    __builtin_unreachable();
}

static int gofer_config(const struct starter *s, struct err *err) {
    struct moat_gofer_config config = {
        .magic = MOAT_GOFER_MAGIC,
        .version = MOAT_GOFER_VERSION,
        .size = sizeof(config),
        .socket_fd = FD_GOFER,
        .shm_fd = FD_SHM,
        .admin_fd = s->admin[1] >= 0 ? FD_ADMIN : -1,
        .export_count = s->export_count,
    };
    for (uint32_t i = 0; i < s->export_count; i++) {
        config.exports[i].dir_fd = FD_EXPORTS + (int)i;
        config.exports[i].flags = s->export_flags[i];
    }
    return make_config(&config, sizeof(config), "moat-gofer-config", err);
}

static int map_gofer(const struct container *c, pid_t pid, struct err *err) {
    struct procfs proc;
    int e = procfs_open(&proc, err);
    if (e == 0) {
        e = idmap_write(&proc, pid, &c->linux_.uid_mappings, &c->linux_.gid_mappings, err);
        procfs_close(&proc);
    }
    return e;
}

static int start_gofer(struct starter *s, pid_t *out_pid, struct err *err) {
    int go[2], status[2];
    cleanup_fd int config = gofer_config(s, err);
    if (config < 0) {
        return config;
    }
    if (pipe2(go, O_CLOEXEC) != 0 || pipe2(status, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    struct clone_args args = {.flags = gofer_mapped(s->c) ? CLONE_NEWUSER : 0,
                              .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        (void)close(go[1]); /* so that our parent's death ends the read */
        gofer_child(s, config, go[0], status[1]);
    }
    int saved = -errno;
    (void)close(go[0]); /* the child has them */
    (void)close(status[1]);
    s->gofer_status = status[0];
    if (pid < 0) {
        (void)close(go[1]);
        return err_sys(err, saved, "cannot make the Gofer's process");
    }
    *out_pid = pid;
    int e = gofer_mapped(s->c) ? map_gofer(s->c, pid, err) : 0;
    if (e == 0 && gofer_mapped(s->c)) {
        (void)!write(go[1], "g", 1); /* a child that is gone has told why */
    }
    (void)close(go[1]);
    return e;
}

/* Waits until the child has executed its program, or takes over its error. */
static int check_child(int *status_fd, const char *name, struct err *err) {
    struct err theirs = {0};
    ssize_t n;
    do {
        n = read(*status_fd, &theirs, sizeof(theirs));
    } while (n < 0 && errno == EINTR);
    (void)close(*status_fd); /* read-only pipe */
    *status_fd = -1;
    if (n == 0) {
        return 0;
    }
    theirs.msg[sizeof(theirs.msg) - 1] = '\0';
    if (n != sizeof(theirs) || theirs.code == 0) {
        return err_set(err, -EIO, "%s died while it was set up", name);
    }
    return err_set(err, theirs.code, "starting %s: %s", name, theirs.msg);
}

static int open_user_ns(struct starter *s, struct err *err) {
    const char *path = s->c->linux_.namespaces[NS_USER].path;
    if (path == NULL) {
        return 0;
    }
    s->user_ns = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return s->user_ns >= 0
               ? 0
               : err_sys(err, -errno, "linux.namespaces: cannot open the user namespace %s", path);
}

static int open_exports(struct starter *s, struct err *err) {
    uint32_t count = exports_count(s->c);
    if (count > MOAT_GOFER_EXPORTS_MAX) {
        return err_set(err, -E2BIG, "more than %u volumes: mount a common parent folder instead",
                       MOAT_GOFER_EXPORTS_MAX - 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct export_source source = exports_get(s->c, i);
        int fd = exports_open(&source, err);
        if (fd < 0) {
            return fd;
        }
        s->exports[i] = fd;
        s->export_flags[i] = source.flags;
        s->export_count++;
    }
    return 0;
}

static int open_channels(struct starter *s, struct err *err) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->control) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->gofer) != 0) {
        return err_sys(err, -errno, "cannot make a socket pair");
    }
    if (s->options->pod && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->admin) != 0) {
        return err_sys(err, -errno, "cannot make a socket pair");
    }
    int room = (int)(4 * MOAT_CTL_MSG_MAX); /* a CREATE message is sent before anyone reads */
    (void)setsockopt(s->control[0], SOL_SOCKET, SO_SNDBUFFORCE, &room,
                     sizeof(room)); /* else the default */
    (void)setsockopt(s->control[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    s->shm = memfd_create("moat-gofer-channel", MFD_CLOEXEC);
    if (s->shm < 0 || ftruncate(s->shm, (off_t)MOAT_GOFER_SLOTS * MOAT_GOFER_SLOT_SIZE) != 0) {
        return err_sys(err, -errno, "cannot make the Gofer's channel");
    }
    s->sentry_program = sandbox_open_program("moat-sentry", err);
    if (s->sentry_program < 0) {
        return s->sentry_program;
    }
    s->gofer_program = sandbox_open_program("moat-gofer", err);
    return s->gofer_program < 0 ? s->gofer_program : 0;
}

static void close_all(struct starter *s) {
    int *fds[] = {&s->control[0],    &s->control[1],    &s->gofer[0],     &s->gofer[1],
                  &s->admin[0],      &s->admin[1],      &s->shm,          &s->sentry_program,
                  &s->gofer_program, &s->sentry_status, &s->gofer_status, &s->user_ns};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        cleanup_fd_fn(fds[i]);
    }
    for (uint32_t i = 0; i < s->export_count; i++) {
        cleanup_fd_fn(&s->exports[i]);
    }
}

/* What sentry_child sent before it became the Sentry. */
static int take_memory_fs(int sock) {
    char byte;
    int fds[MSG_FDS_MAX];
    size_t count = 0;
    ssize_t n = msg_recv(sock, &byte, 1, fds, &count, true);
    return n == 1 && count == 1 ? fds[0] : -1;
}

int sandbox_start(const struct container *c, const struct sandbox_options *options,
                  struct sandbox *out_sandbox, struct err *err) {
    struct starter s = {.c = c,
                        .options = options,
                        .control = {-1, -1},
                        .gofer = {-1, -1},
                        .admin = {-1, -1},
                        .shm = -1,
                        .user_ns = -1,
                        .sentry_program = -1,
                        .gofer_program = -1,
                        .sentry_status = -1,
                        .gofer_status = -1};
    *out_sandbox = (struct sandbox){
        .sentry_pid = -1, .gofer_pid = -1, .control_fd = -1, .admin_fd = -1, .memory_fs = -1};
    int e = open_channels(&s, err);
    e = e != 0 ? e : open_user_ns(&s, err);
    e = e != 0 ? e : open_exports(&s, err);
    /* The Gofer first: it sets itself up while our clone makes the Sentry's namespaces. */
    e = e != 0 ? e : start_gofer(&s, &out_sandbox->gofer_pid, err);
    e = e != 0 ? e : start_sentry(&s, &out_sandbox->sentry_pid, err);
    e = e != 0 ? e : check_child(&s.sentry_status, "the Sentry", err);
    e = e != 0 ? e : check_child(&s.gofer_status, "the Gofer", err);
    if (e != 0) {
        sandbox_kill(out_sandbox);
    } else {
        out_sandbox->memory_fs = take_memory_fs(s.control[0]);
        out_sandbox->control_fd = steal_fd(&s.control[0]);
        out_sandbox->admin_fd = steal_fd(&s.admin[0]);
        out_sandbox->export_count = s.export_count;
    }
    close_all(&s);
    return e;
}

static void kill_child(pid_t pid) {
    if (pid > 0) {
        (void)kill(pid, SIGKILL); /* it may be dead already */
    }
}

static void reap(pid_t *pid) {
    if (*pid > 0) {
        while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) {
        }
        *pid = -1;
    }
}

void sandbox_kill(struct sandbox *s) {
    /* Taking namespaces apart takes both of them a while: at the same time. */
    kill_child(s->sentry_pid);
    kill_child(s->gofer_pid);
    reap(&s->sentry_pid);
    reap(&s->gofer_pid);
    cleanup_fd_fn(&s->control_fd);
    cleanup_fd_fn(&s->admin_fd);
    cleanup_fd_fn(&s->memory_fs);
    s->control_fd = s->admin_fd = s->memory_fs = -1;
}
