/* SPDX-License-Identifier: Apache-2.0 */
/* Steps about namespaces, the session and names: see setup_ops.def. */
#include "host/cleanup.h"
#include "native/lsm.h"
#include "native/namespaces.h"
#include "native/setup.h"
#include "native/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* op->fd is the namespace, op->value its CLONE_NEW* flag. */
int setup_join(struct setup *s, const struct setup_op *op, struct err *err) {
    return setns(op->fd, (int)op->value) == 0
               ? 0
               : err_sys(err, -errno, "setns is refused for the path in linux.namespaces");
}

/*
 * op->fd is a pidfd of the container's process, op->value the CLONE_NEW* flags to join.  A caller
 * with rights over the host joins the user namespace last, since others may belong to the host's;
 * an ordinary user has the rights for the others from it alone.
 */
int setup_join_process(struct setup *s, const struct setup_op *op, struct err *err) {
    int all = (int)op->value, user = all & CLONE_NEWUSER;
    if (all == 0) {
        return 0;
    }
    if (user == 0 || geteuid() != 0) {
        return setns(op->fd, all) == 0 ? 0 : err_sys(err, -errno, "setns is refused");
    }
    if ((all == user || setns(op->fd, all & ~user) == 0) && setns(op->fd, user) == 0) {
        return 0;
    }
    return err_sys(err, -errno, "setns is refused");
}

/*
 * Only a child enters a pid namespace that was joined.  It is a sibling (CLONE_PARENT), so the
 * runtime is its parent; this process tells its number and ends.  Everything that takes rights away
 * lies behind the process by now: nothing that is seen inside ever has more of them than the
 * program.
 */
int setup_enter_pid_namespace(struct setup *s, const struct setup_op *op, struct err *err) {
    long pid = syscall(SYS_clone, CLONE_PARENT, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        return 0;
    }
    int e = pid < 0 ? -errno : sync_send(s->report, SYNC_CHILD, (int)pid, NULL);
    if (pid > 0) {
        _exit(e == 0 ? 0 : 1);
    }
    return err_sys(err, e, "cannot clone the process");
}

/* op->value is the enum sync_stage to wait for. */
int setup_await(struct setup *s, const struct setup_op *op, struct err *err) {
    struct sync_record r;
    int e = sync_recv(s->sync, &r);
    if (e == 0) {
        _exit(1); /* the runtime is gone, and with it the one to tell */
    }
    if (e < 0 || r.type != SYNC_GO || (uint64_t)r.value != op->value) {
        return err_set(err, -EPROTO, "the runtime sent something else");
    }
    return 0;
}

int setup_runtime_hooks(struct setup *s, const struct setup_op *op, struct err *err) {
    int e = sync_send(s->sync, SYNC_HOOKS, 0, NULL);
    return e != 0 ? e : setup_await(s, op, err);
}

/*
 * Ids of the container's own from here on.  The process's files in /proc belong to them only while
 * it is dumpable, which is safe where nobody else is in the pid namespace (op->value).
 */
int setup_become_root(struct setup *s, const struct setup_op *op, struct err *err) {
    if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0) {
        return err_sys(err, -errno, "the mappings of linux.uidMappings must contain id 0");
    }
    if (setgroups(0, NULL) != 0 && errno != EPERM /* given up by the mapping */) {
        return err_sys(err, -errno, "cannot drop the supplementary groups");
    }
    if (op->value != 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) {
        return err_sys(err, -errno, "cannot become dumpable");
    }
    return 0;
}

int setup_session(struct setup *s, const struct setup_op *op, struct err *err) {
    return setsid() >= 0 || errno == EPERM /* a leader already */ ? 0 : -errno;
}

/* keyrings(7): a session keyring of its own, so that none of the host's can be searched; op->arg is
 * its SELinux label or NULL. */
int setup_keyring(struct setup *s, const struct setup_op *op, struct err *err) {
    char name[160];
    (void)snprintf(name, sizeof(name), "_ses.%s", s->c->id); /* an id is shorter */
    int e = lsm_label_keys(s, op->arg, err);
    if (e != 0) {
        return e;
    }
    long id = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    e = id < 0 ? -errno : 0;
    int back = lsm_label_keys(s, NULL, err);
    if (e == -ENOSYS || e == -EDQUOT || e == -EPERM) {
        e = 0; /* no keyrings here, or none allowed: nothing of the host is reachable then */
    }
    return e != 0 ? e : back;
}

/* op->value is CLONE_NEW*: what clone could not make because it comes out of the process's state.
 */
int setup_unshare(struct setup *s, const struct setup_op *op, struct err *err) {
    return unshare((int)op->value) == 0 ? 0 : -errno;
}

/* time_namespaces(7): offsets are set before a process is in it; setns then enters the new one. */
int setup_time_namespace(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct oci_time_offset *offsets[] = {&s->c->linux_.monotonic, &s->c->linux_.boottime};
    static const char *const clocks[] = {"monotonic", "boottime"};
    if (unshare(CLONE_NEWTIME) != 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "%s %lld %u\n", clocks[i], (long long)offsets[i]->secs,
                       offsets[i]->nanosecs); /* fits */
        int e = offsets[i]->set ? procfs_write(&s->proc, "self/timens_offsets", text) : 0;
        if (e != 0) {
            return err_sys(err, e, "linux.timeOffsets.%s", clocks[i]);
        }
    }
    /* A magic link, so not through openat2; /proc is still the host's here. */
    cleanup_fd int fd = openat(s->proc.root, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && setns(fd, CLONE_NEWTIME) == 0 ? 0 : -errno;
}

/* A new network namespace begins with its loopback interface down. */
int setup_loopback(struct setup *s, const struct setup_op *op, struct err *err) {
    struct ifreq req = {.ifr_name = "lo"};
    cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &req) != 0) {
        return -errno;
    }
    req.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &req) == 0 ? 0 : -errno;
}

int setup_hostname(struct setup *s, const struct setup_op *op, struct err *err) {
    return sethostname(op->subject, strlen(op->subject)) == 0 ? 0 : -errno;
}

int setup_domainname(struct setup *s, const struct setup_op *op, struct err *err) {
    return setdomainname(op->subject, strlen(op->subject)) == 0 ? 0 : -errno;
}
