/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Isolation `native`: see native.h.  The child sets itself up in its new namespaces and reports a
 * failure over a status pipe; end of file there means that the program runs.
 */
#include "native/native.h"

#include "host/cleanup.h"
#include "native/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int set_caps(const struct container_caps *caps, struct err *err) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0) {
        return err_sys(err, -errno, "cannot read the capabilities");
    }
    for (int i = 0; i < 2; i++) {
        uint32_t have = data[i].permitted; /* what moat itself was not given it cannot hand on */
        data[i].effective = have & (uint32_t)(caps->effective >> (32 * i));
        data[i].permitted = have & (uint32_t)(caps->permitted >> (32 * i));
        data[i].inheritable = have & (uint32_t)(caps->inheritable >> (32 * i));
    }
    if (syscall(SYS_capset, &header, data) != 0) {
        return err_sys(err, -errno, "cannot set the capabilities");
    }
    for (int cap = 0; caps->ambient >> cap != 0; cap++) {
        if ((caps->ambient >> cap & 1) != 0 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) {
            return err_sys(err, -errno, "cannot raise ambient capability %d", cap);
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

static int become_user(const struct container_process *p, struct err *err) {
    for (size_t i = 0; i < p->rlimit_count; i++) {
        struct rlimit limit = {p->rlimits[i].cur, p->rlimits[i].max};
        if (setrlimit((__rlimit_resource_t)p->rlimits[i].resource, &limit) != 0) {
            return err_sys(err, -errno, "cannot set resource limit %u", p->rlimits[i].resource);
        }
    }
    int e = drop_bounding(p->caps.bounding, err);
    if (e != 0) {
        return e;
    }
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setgroups(p->group_count, p->groups) != 0 ||
        setresgid(p->gid, p->gid, p->gid) != 0 || setresuid(p->uid, p->uid, p->uid) != 0) {
        return err_sys(err, -errno, "cannot become user %u:%u", p->uid, p->gid);
    }
    e = set_caps(&p->caps, err);
    if (e == 0 && p->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        e = err_sys(err, -errno, "cannot set no_new_privs");
    }
    (void)umask(p->umask); /* cannot fail */
    return e;
}

static int child_setup(const struct container *c, struct err *err) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
        (c->hostname != NULL && sethostname(c->hostname, strlen(c->hostname)) != 0)) {
        return err_sys(err, -errno, "cannot prepare the container's process");
    }
    int e = native_enter_root(c, err);
    e = e != 0 ? e : become_user(&c->process, err);
    if (e == 0 && chdir(c->process.cwd) != 0) {
        e = err_sys(err, -errno, "cannot enter the working directory %s", c->process.cwd);
    }
    return e;
}

static noreturn_fn void child_main(const struct container *c, int status) {
    struct err err = {0};
    sigset_t none;
    (void)sigemptyset(&none);                    /* cannot fail */
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* likewise */
    if (child_setup(c, &err) == 0) {
        environ = c->process.env.items;
        (void)execvpe(c->process.args.items[0], c->process.args.items, c->process.env.items);
        (void)err_sys(&err, -errno, "cannot run %s", c->process.args.items[0]); /* sent below */
    }
    (void)!write(status, &err, sizeof(err)); /* the parent sees the exit status if not */
    _exit(1);
}

static int wait_forwarding(pid_t pid, const sigset_t *set) {
    int wait_status = 0;
    for (;;) {
        int signo = sigwaitinfo(set, NULL);
        if (signo == SIGCHLD && waitpid(pid, &wait_status, WNOHANG) == pid) {
            return wait_status;
        }
        if (signo > 0 && signo != SIGCHLD) {
            (void)kill(pid, signo); /* it may be gone already */
        }
    }
}

static int native_run(const struct container *c, const struct isolation_run *run,
                      int *out_wait_status, struct err *err) {
    static const int forwarded[] = {SIGCHLD, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT};
    struct err theirs = {0};
    sigset_t set, old;
    int status[2];
    if (geteuid() != 0) {
        return err_set(err, -EPERM,
                       "isolation native needs root here: use --isolation sentry, or sudo");
    }
    if (pipe2(status, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    (void)sigemptyset(&set); /* cannot fail, as the next calls with valid numbers */
    for (size_t i = 0; i < ARRAY_COUNT(forwarded); i++) {
        (void)sigaddset(&set, forwarded[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, &old);
    struct clone_args args = {.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
                                       (c->network == NETWORK_NONE ? CLONE_NEWNET : 0),
                              .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        child_main(c, status[1]);
    }
    int saved = -errno;
    (void)close(status[1]); /* the child has it */
    ssize_t n = pid < 0 ? 0 : read(status[0], &theirs, sizeof(theirs));
    (void)close(status[0]); /* read-only pipe */
    if (pid < 0) {
        return err_sys(err, saved, "cannot create the container's namespaces");
    }
    *out_wait_status = wait_forwarding(pid, &set);
    (void)sigprocmask(SIG_SETMASK, &old, NULL); /* as it was */
    if (n == sizeof(theirs) && theirs.code != 0) {
        theirs.msg[sizeof(theirs.msg) - 1] = '\0';
        return err_set(err, theirs.code, "%s", theirs.msg);
    }
    return 0;
}

const struct isolation_ops g_isolation_native = {.name = "native", .run = native_run};
