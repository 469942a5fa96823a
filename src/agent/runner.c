/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a new process of a container does to itself before its program: see agent.h.
 *
 * It is alone in its memory, and until the program runs nothing of the container can reach it: it
 * holds no descriptor of the agent's but its link, and is not dumpable.
 */
#include "agent/agent.h"

#include "host/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FD_LINK 3

/* Descriptors 0 to 2 as the program will have them, the link on 3, and nothing else. */
static int place_descriptors(const struct runner *r, struct err *err) {
    int high[4];
    for (int i = 0; i < 4; i++) {
        int from = i == 3 ? r->link : r->stdio[i];
        high[i] = from >= 0 ? fcntl(from, F_DUPFD_CLOEXEC, 100) : -1;
    }
    for (int i = 0; i < 4; i++) {
        if (high[i] >= 0 && dup2(high[i], i) != i) {
            return err_sys(err, -errno, "cannot place descriptor %d", i);
        }
    }
    (void)fcntl(FD_LINK, F_SETFD, FD_CLOEXEC); /* cannot fail on an open descriptor */
    return close_range(FD_LINK + 1, ~0u, 0) == 0
               ? 0
               : err_sys(err, -errno, "cannot close the agent's descriptors");
}

/* A terminal of the container's own devpts; the master goes to the agent with the ready message. */
static int open_terminal(const struct moat_ctl_create *f, int *out_master, struct err *err) {
    struct stat st;
    int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
    /* The container may have put anything there. */
    if (master < 0 || fstat(master, &st) != 0 || !S_ISCHR(st.st_mode) ||
        st.st_rdev != makedev(5, 2)) {
        return err_sys(err, master < 0 ? -errno : -ENODEV, "no terminals in /dev/pts");
    }
    int unlock = 0;
    const struct winsize ws = {.ws_row = f->rows, .ws_col = f->cols};
    int slave = ioctl(master, TIOCSPTLCK, &unlock) == 0
                    ? ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)
                    : -1;
    if (slave < 0 || fchown(slave, f->uid, (gid_t)-1) != 0 || ioctl(slave, TIOCSCTTY, 0) != 0) {
        return err_sys(err, -errno, "cannot open the terminal");
    }
    (void)ioctl(slave, TIOCSWINSZ, &ws); /* a valid size */
    for (int i = 0; i < 3; i++) {
        if (dup2(slave, i) != i) {
            return err_sys(err, -errno, "cannot place the terminal");
        }
    }
    *out_master = master;
    return 0;
}

static int set_names(const struct ctl_create *c, struct err *err) {
    const char *host = ctl_string(c, c->fixed->hostname);
    const char *domain = ctl_string(c, c->fixed->domainname);
    if ((host[0] != '\0' && sethostname(host, strlen(host)) != 0) ||
        (domain[0] != '\0' && setdomainname(domain, strlen(domain)) != 0)) {
        return err_sys(err, -errno, "cannot set the container's host name");
    }
    return 0;
}

static int write_own(const char *path, int value, struct err *err) {
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || dprintf(fd, "%d", value) < 0) {
        return err_sys(err, -errno, "cannot write %s", path);
    }
    (void)close(fd); /* written */
    return 0;
}

static int set_scheduling(const struct moat_ctl_create *f, struct err *err) {
    int e = 0;
    if ((f->flags & MOAT_PROC_OOM_SCORE) != 0) {
        e = write_own("/proc/self/oom_score_adj", f->oom_score_adj, err);
    }
    if (e == 0 && (f->flags & MOAT_PROC_SCHEDULER) != 0) {
        struct sched_param param = {.sched_priority = f->sched_priority};
        if (sched_setscheduler(0, (int)f->sched_policy, &param) != 0 ||
            setpriority(PRIO_PROCESS, 0, f->nice) != 0) {
            e = err_sys(err, -errno, "process.scheduler cannot be set");
        }
    }
    if (e == 0 && (f->flags & MOAT_PROC_IOPRIO) != 0 &&
        syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, f->ioprio) != 0) {
        e = err_sys(err, -errno, "process.ioPriority cannot be set");
    }
    if (e == 0 && (f->flags & MOAT_PROC_PERSONALITY) != 0 && personality(f->personality) < 0) {
        e = err_sys(err, -errno, "linux.personality cannot be set");
    }
    return e;
}

static int set_limits(const struct ctl_create *c, struct err *err) {
    for (uint32_t i = 0; i < c->fixed->rlimit_count; i++) {
        const struct rlimit limit = {c->rlimits[i].cur, c->rlimits[i].max};
        if (setrlimit((__rlimit_resource_t)c->rlimits[i].resource, &limit) != 0) {
            return err_sys(err, -errno, "cannot set resource limit %u", c->rlimits[i].resource);
        }
    }
    return 0;
}

static int drop_bounding(uint64_t keep, struct err *err) {
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if ((keep >> cap & 1) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
            return err_sys(err, -errno, "cannot drop capability %d from the bounding set", cap);
        }
    }
    return 0;
}

static int set_caps(const struct moat_ctl_create *f, struct err *err) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0) {
        return err_sys(err, -errno, "cannot read the capabilities");
    }
    for (int i = 0; i < 2; i++) {
        uint32_t have = data[i].permitted; /* what this kernel does not know it cannot hand on */
        data[i].effective = have & (uint32_t)(f->cap_effective >> (32 * i));
        data[i].permitted = have & (uint32_t)(f->cap_permitted >> (32 * i));
        data[i].inheritable = have & (uint32_t)(f->cap_inheritable >> (32 * i));
    }
    if (syscall(SYS_capset, &header, data) != 0) {
        return err_sys(err, -errno, "cannot set the capabilities");
    }
    for (int cap = 0; cap < 64; cap++) {
        if ((f->cap_ambient >> cap & 1) != 0 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) {
            return err_sys(err, -errno, "cannot raise ambient capability %d", cap);
        }
    }
    return 0;
}

static int install_seccomp(const struct ctl_create *c, struct err *err) {
    struct sock_fprog program = {.len = (unsigned short)c->fixed->seccomp_count,
                                 .filter = (struct sock_filter *)(uintptr_t)c->seccomp};
    unsigned int flags =
        (c->fixed->seccomp_flags & MOAT_SECCOMP_LOG) != 0 ? SECCOMP_FILTER_FLAG_LOG : 0;
    if (program.len != 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) != 0) {
        return err_sys(err, -errno, "cannot install linux.seccomp");
    }
    return 0;
}

static int become_user(const struct runner *r, struct err *err) {
    const struct moat_ctl_create *f = r->c->fixed;
    bool late = (f->flags & MOAT_PROC_NO_NEW_PRIVS) != 0;
    int e = set_limits(r->c, err);
    e = e != 0 ? e : drop_bounding(f->cap_bounding, err);
    /* Without no_new_privs a filter needs CAP_SYS_ADMIN (seccomp(2)). */
    e = e != 0 || late ? e : install_seccomp(r->container, err);
    if (e != 0) {
        return e;
    }
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setgroups(f->group_count, r->c->groups) != 0 ||
        setresgid(f->gid, f->gid, f->gid) != 0 || setresuid(f->uid, f->uid, f->uid) != 0) {
        return err_sys(err, -errno, "cannot become user %u:%u", f->uid, f->gid);
    }
    e = set_caps(f, err);
    if (e == 0 && late && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        e = err_sys(err, -errno, "cannot set no_new_privs");
    }
    (void)umask(f->umask_); /* cannot fail */
    return e;
}

static int set_up(const struct runner *r, int *out_master, struct err *err) {
    sigset_t none;
    (void)sigemptyset(&none);                    /* cannot fail */
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* likewise */
    (void)signal(SIGPIPE, SIG_DFL);              /* likewise */
    (void)setsid();                              /* a new process leads no group */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return err_sys(err, -errno, "cannot hide from the container");
    }
    int e = place_descriptors(r, err);
    if (e == 0 && !r->is_exec) {
        e = set_names(r->c, err);
        e = e != 0 ? e : rootfs_enter(r->c, err);
    }
    if (e == 0 && (r->c->fixed->flags & MOAT_PROC_TERMINAL) != 0) {
        e = open_terminal(r->c->fixed, out_master, err);
    }
    e = e != 0 ? e : set_scheduling(r->c->fixed, err);
    return e;
}

static char **strings_of(const struct ctl_create *c, const struct moat_ctl_str *from,
                         uint32_t count) {
    char **list = calloc((size_t)count + 1, sizeof(*list));
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        list[i] = (char *)(uintptr_t)ctl_string(c, from[i]);
    }
    return list;
}

static int run_program(const struct runner *r, struct err *err) {
    const struct moat_ctl_create *f = r->c->fixed;
    const char *cwd = ctl_string(r->c, f->cwd);
    char **args = strings_of(r->c, r->c->argv, f->argc);
    char **env = strings_of(r->c, r->c->envp, f->envc);
    if (args == NULL || env == NULL) {
        return err_sys(err, -ENOMEM, "cannot take over the command");
    }
    int e = become_user(r, err);
    if (e == 0 && chdir(cwd[0] != '\0' ? cwd : "/") != 0) {
        e = err_sys(err, -errno, "cannot enter the working directory %s", cwd);
    }
    if (e == 0 && (f->flags & MOAT_PROC_NO_NEW_PRIVS) != 0) {
        e = install_seccomp(r->container, err);
    }
    if (e != 0) {
        return e;
    }
    environ = env; /* the PATH that counts is the program's own */
    (void)execvp(args[0], args);
    return err_sys(err, -errno, "cannot run %s", args[0]);
}

noreturn_fn void runner_main(const struct runner *r) {
    const struct err ready = {0};
    struct err err = {0};
    int fds[MSG_FDS_MAX], master = -1;
    size_t fd_count = 0;
    char byte;
    int link = r->link;
    int e = set_up(r, &master, &err);
    link = fcntl(FD_LINK, F_GETFD) >= 0 ? FD_LINK : link;
    if (e == 0 && msg_send(link, &ready, sizeof(ready), &master, master >= 0 ? 1 : 0, false) == 0) {
        if (master >= 0) {
            (void)close(master); /* the agent has it */
        }
        if (msg_recv(link, &byte, 1, fds, &fd_count, false) != 1) {
            _exit(1); /* the agent does not want it any more */
        }
        e = run_program(r, &err);
    }
    if (e != 0) {
        (void)msg_send(link, &err, sizeof(err), NULL, 0, false); /* else the exit tells */
    }
    _exit(e == -ENOENT ? 127 : e == -EACCES || e == -ENOEXEC ? 126 : 1);
}
