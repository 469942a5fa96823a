/* SPDX-License-Identifier: Apache-2.0 */
/* Steps about how the process is run and limited: see setup_ops.def. */
#include "host/cleanup.h"
#include "native/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define IOPRIO_WHO_PROCESS 1 /* linux/ioprio.h, absent from older headers */
#define IOPRIO_CLASS_SHIFT 13

/* sched_setattr(2); the kernel's header for it contradicts the C library's. */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

int setup_personality(struct setup *s, const struct setup_op *op, struct err *err) {
    return personality((unsigned long)op->value) >= 0 ? 0 : -errno;
}

/* op->arg is a struct oci_scheduler. */
int setup_scheduler(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct oci_scheduler *want = op->arg;
    const struct scheduling attr = {
        sizeof(attr),  want->policy,   want->flags, want->nice, (uint32_t)want->priority,
        want->runtime, want->deadline, want->period};
    return syscall(SYS_sched_setattr, 0, &attr, 0) == 0
               ? 0
               : err_sys(err, -errno, "process.scheduler is refused");
}

int setup_io_priority(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct oci_io_priority *want = op->arg;
    int value = (int)((want->class << IOPRIO_CLASS_SHIFT) | want->priority);
    return syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) == 0
               ? 0
               : err_sys(err, -errno, "process.ioPriority is refused");
}

/* "0-3,8": cpuset(7), "Formats". */
static int parse_cpus(const char *text, cpu_set_t *out) {
    CPU_ZERO(out);
    while (*text != '\0') {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (end == text) {
            return -EINVAL;
        }
        if (*end == '-') {
            text = end + 1;
            last = strtoul(text, &end, 10);
        }
        if (end == text || last < first || last >= CPU_SETSIZE || (*end != ',' && *end != '\0')) {
            return -EINVAL;
        }
        for (; first <= last; first++) {
            CPU_SET(first, out);
        }
        text = *end == ',' ? end + 1 : end;
    }
    return CPU_COUNT(out) > 0 ? 0 : -EINVAL;
}

/* op->subject is the list of CPUs. */
int setup_affinity(struct setup *s, const struct setup_op *op, struct err *err) {
    cpu_set_t set;
    if (parse_cpus(op->subject, &set) != 0) {
        return err_set(err, -EINVAL, "no list of CPUs such as 0-3,8");
    }
    return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

/* op->arg is a struct container_rlimit. */
int setup_rlimit(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct container_rlimit *want = op->arg;
    const struct rlimit limit = {want->cur, want->max};
    if (prlimit(0, (__rlimit_resource_t)want->resource, &limit, NULL) == 0) {
        return 0;
    }
    return err_sys(err, -errno,
                   "soft %llu, hard %llu (raising a hard limit needs CAP_SYS_RESOURCE on the host)",
                   (unsigned long long)want->cur, (unsigned long long)want->max);
}

static bool is_null(const struct stat *st) {
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* The host's /dev/null gives way to the container's, where there is one: what is open then lies on
 * the container's own mounts, which a checkpoint needs. */
static void take_own_null(int fd) {
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    bool there = flags >= 0 && lstat("/dev/null", &st) == 0 && is_null(&st);
    cleanup_fd int own =
        there ? open("/dev/null", (flags & O_ACCMODE) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    if (own >= 0 && fstat(own, &st) == 0 && is_null(&st)) {
        (void)(fcntl(own, F_SETFL, flags) == 0 && dup2(own, fd) == fd); /* else the host's stays */
    }
}

/*
 * The standard streams are handed to the container's user, so that it can open /dev/stdout again.
 * What is shared with others stays as it is: /dev/null, and what cannot be given away.
 */
int setup_stdio(struct setup *s, const struct setup_op *op, struct err *err) {
    struct stat st;
    for (int fd = 0; fd < 3; fd++) {
        bool open_one = fstat(fd, &st) == 0;
        if (open_one && is_null(&st)) {
            take_own_null(fd);
        }
        if (!open_one || st.st_uid == s->process->uid || is_null(&st)) {
            continue; /* closed, theirs already, or everybody's */
        }
        if (fchown(fd, s->process->uid, (gid_t)-1) != 0 && errno != EINVAL && errno != EPERM &&
            errno != EROFS) {
            return err_sys(err, -errno, "cannot give descriptor %d to user %u", fd,
                           s->process->uid);
        }
    }
    return 0;
}
