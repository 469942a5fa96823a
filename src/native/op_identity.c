/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that take rights away: see setup_ops.def. */
#include "native/setup.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int setup_bounding_set(struct setup *s, const struct setup_op *op, struct err *err) {
    uint64_t keep = s->process->caps.bounding;
    for (int cap = 0; cap < 64; cap++) {
        if ((keep >> cap & 1) != 0) {
            continue;
        }
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
            if (errno == EINVAL) {
                break; /* the kernel knows none of this number and above */
            }
            return err_sys(err, -errno, "capability %d", cap);
        }
    }
    return 0;
}

/* A user namespace that maps only the caller's group has given setgroups(2) up
 * (user_namespaces(7)); its process keeps the caller's groups, unmapped. */
static int set_groups(const struct container_process *p, struct err *err) {
    if (setgroups(p->group_count, p->groups) == 0 || (errno == EPERM && p->group_count == 0)) {
        return 0;
    }
    return err_sys(err, -errno,
                   "process.user.additionalGids are refused (a user namespace has them only with "
                   "linux.gidMappings written by newgidmap or root)");
}

/* Capabilities stay for the steps that follow. */
int setup_identity(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct container_process *p = s->process;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) {
        return -errno;
    }
    int e = set_groups(p, err);
    if (e != 0) {
        return e;
    }
    if (setresgid(p->gid, p->gid, p->gid) != 0) {
        return err_sys(err, -errno, "process.user.gid %u (is it mapped in linux.gidMappings?)",
                       p->gid);
    }
    if (setresuid(p->uid, p->uid, p->uid) != 0) {
        return err_sys(err, -errno, "process.user.uid %u (is it mapped in linux.uidMappings?)",
                       p->uid);
    }
    (void)umask(p->umask); /* cannot fail */
    return 0;
}

/*
 * Nothing of the host stays open: a folder that did would be a way out for a working directory of
 * /proc/self/fd/N, and for the program.  What is left is the socket that hears of failures, which
 * is close-on-exec.
 */
int setup_close_fds(struct setup *s, const struct setup_op *op, struct err *err) {
    unsigned int from = 3 + s->keep_fds;
    unsigned int keep = s->report < 0 ? 0 : (unsigned int)s->report;
    if (keep > from && syscall(SYS_close_range, from, keep - 1, 0) != 0) {
        return err_sys(err, -errno, "close_range (Linux 5.9)");
    }
    from = keep >= from ? keep + 1 : from;
    return syscall(SYS_close_range, from, ~0u, 0) == 0
               ? 0
               : err_sys(err, -errno, "close_range (Linux 5.9)");
}

/*
 * As the user, and once more as root for a folder that only root may enter (docker run -w does
 * that).  getcwd(2) of the kernel says "(unreachable)" for what does not lie below the root.
 */
int setup_working_directory(struct setup *s, const struct setup_op *op, struct err *err) {
    char path[PATH_MAX];
    if (chdir(s->process->cwd) != 0) {
        return -errno;
    }
    long n = syscall(SYS_getcwd, path, sizeof(path));
    if (n < 0) {
        return err_sys(err, -errno, "it has no path");
    }
    return path[0] == '/' ? 0 : err_set(err, -EPERM, "it lies outside of the container's root");
}

int setup_capabilities(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct container_caps *caps = &s->process->caps;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        uint32_t have = data[i].permitted; /* what moat itself was not given it cannot hand on */
        uint32_t permitted = have & (uint32_t)(caps->permitted >> (32 * i));
        data[i].effective = permitted & (uint32_t)(caps->effective >> (32 * i));
        data[i].permitted = permitted;
        data[i].inheritable = have & (uint32_t)(caps->inheritable >> (32 * i));
    }
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0 || syscall(SYS_capset, &header, data) != 0) {
        return -errno;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
        return err_sys(err, -errno, "the ambient set");
    }
    for (int cap = 0; cap < 64 && caps->ambient >> cap != 0; cap++) {
        uint32_t bit = 1u << (cap & 31);
        bool may = (data[cap / 32].permitted & data[cap / 32].inheritable & bit) != 0;
        if ((caps->ambient >> cap & 1) != 0 && may &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) {
            return err_sys(err, -errno, "ambient capability %d", cap);
        }
    }
    return 0;
}

/* For a command in the foreground: killed with the runtime, also when that is gone by now.  After
 * the identity, whose change clears it (prctl(2)). */
int setup_end_with_runtime(struct setup *s, const struct setup_op *op, struct err *err) {
    struct pollfd gone = {.fd = s->report, .events = POLLRDHUP};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return -errno;
    }
    if (poll(&gone, 1, 0) > 0 && (gone.revents & (POLLHUP | POLLRDHUP)) != 0) {
        _exit(1);
    }
    return 0;
}

int setup_no_new_privs(struct setup *s, const struct setup_op *op, struct err *err) {
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno;
}
