/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping and continuing a container's processes: freezer.state of v1, cgroup.freeze of v2.
 *
 * Once the kernel has taken the order, no process executes another instruction of its own; "frozen"
 * is reported when each has reached its stop.  A process that waits in the kernel and cannot be
 * woken (an answered-by-another-process wait such as a seccomp notification that was received with
 * SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, a disk) reaches it only later, so a group in which
 * nothing runs counts as stopped.
 */
#include "host/cgroup_internal.h"

#include "host/cleanup.h"
#include "host/clock.h"
#include "host/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FREEZE_LIMIT_MS 5000
#define SETTLED_LOOKS   2 /* in a row */

/* The state letter of proc(5), field 3 of stat, behind the name's last parenthesis. */
static char thread_state(int task, const char *tid) {
    char path[300], buf[512];
    (void)snprintf(path, sizeof(path), "%s/stat", tid); /* fits */
    cleanup_fd int fd = openat(task, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
    if (n <= 0) {
        return 'X';
    }
    buf[n] = '\0';
    const char *state = procfs_stat_field(buf, 3);
    return state != NULL ? *state : 'X';
}

/* Whether some thread of the process has not come to rest.  A frozen thread is 'D' in v1 and 'S' in
 * v2. */
static bool process_moves(pid_t pid, bool v2) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/task", pid); /* fits */
    DIR *d = opendir(path);
    const struct dirent *entry;
    bool moves = false;
    while (d != NULL && !moves && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.') {
            char state = thread_state(dirfd(d), entry->d_name);
            moves = state == 'R' || (state == 'S' && !v2);
        }
    }
    if (d != NULL) {
        (void)closedir(d); /* only read */
    }
    return moves;
}

/* The first process that moves, 0 when none does. */
static pid_t first_moving(int dir, bool v2) {
    struct cg_pids pids = {0};
    pid_t found = 0;
    int e = cg_pids_collect(dir, &pids, NULL);
    for (size_t i = 0; i < pids.count && found == 0; i++) {
        found = process_moves(pids.items[i], v2) ? pids.items[i] : 0;
    }
    cg_pids_free(&pids);
    return e != 0 ? -1 : found;
}

static void pause_ms(int ms) {
    const struct timespec ts = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&ts, NULL); /* a shorter pause is none the worse */
}

/* 1 stopped, 0 not yet, -errno. */
static int v1_stopped(int dir) {
    char state[32] = "";
    int e = cg_read(dir, "freezer.state", state, sizeof(state));
    if (e == 0 && strcmp(state, "FREEZING") == 0) {
        e = cg_write(dir, "freezer.state", "FROZEN"); /* older kernels want it said again */
    }
    return e != 0 ? e : strcmp(state, "FROZEN") == 0;
}

static int v2_stopped(int dir) {
    uint64_t frozen = 0;
    int e = cg_read_key(dir, "cgroup.events", "frozen", &frozen);
    return e != 0 ? e : frozen != 0;
}

/* Waits for a change of cgroup.events, or a moment where there is nothing to wait on. */
static void wait_change(int dir, bool v2, int round) {
    cleanup_fd int events = v2 ? openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC) : -1;
    char buf[256];
    struct pollfd p = {.fd = events, .events = POLLPRI};
    if (events >= 0 && read(events, buf, sizeof(buf)) > 0 && strstr(buf, "frozen 1") == NULL) {
        (void)poll(&p, 1, 5);
    } else if (round > 2) {
        pause_ms(round < 20 ? 1 : 5);
    }
}

static int wait_stopped(int dir, bool v2, pid_t *out_moving) {
    int64_t limit = clock_now_ms() + FREEZE_LIMIT_MS;
    int settled = 0;
    for (int round = 0; clock_now_ms() < limit; round++) {
        int e = v2 ? v2_stopped(dir) : v1_stopped(dir);
        if (e != 0) {
            return e < 0 ? e : 0;
        }
        wait_change(dir, v2, round);
        *out_moving = first_moving(dir, v2);
        settled = *out_moving == 0 ? settled + 1 : 0;
        if (settled >= SETTLED_LOOKS && round > 2) {
            return 0;
        }
    }
    return -ETIMEDOUT;
}

/* Opens where the freezer is; *out_v2 which. */
static int freezer_open(const struct cgroup *cg, bool *out_v2) {
    int fd = cg_open_at(cg, "freezer");
    *out_v2 = fd == -ENOENT;
    return fd == -ENOENT ? cg_open_at(cg, "") : fd;
}

int cgroup_freeze(const struct cgroup *cg, bool frozen, struct err *err) {
    bool v2;
    pid_t moving = 0;
    cleanup_fd int dir = freezer_open(cg, &v2);
    if (dir < 0) {
        return err_set(err, -ENOTSUP,
                       "cannot %s: the container has no control group with a freezer (none is "
                       "mounted or delegated, or it is gone)",
                       frozen ? "pause" : "resume");
    }
    const char *file = v2 ? "cgroup.freeze" : "freezer.state";
    const char *on = v2 ? "1" : "FROZEN", *off = v2 ? "0" : "THAWED";
    int e = cg_write(dir, file, frozen ? on : off);
    if (e != 0) {
        return err_sys(err, e, "cannot write '%s' to %s of the control group %s", frozen ? on : off,
                       file, cg->path);
    }
    e = frozen ? wait_stopped(dir, v2, &moving) : 0;
    if (e == 0) {
        return 0;
    }
    (void)cg_write(dir, file, off); /* half frozen would be worse */
    if (e == -ETIMEDOUT) {
        return err_set(err, e,
                       "cannot freeze the control group %s: process %d did not stop within %d s; "
                       "it runs on",
                       cg->path, moving, FREEZE_LIMIT_MS / 1000);
    }
    return err_sys(err, e, "cannot freeze the control group %s", cg->path);
}

int cgroup_is_frozen(const struct cgroup *cg, bool *out_frozen, struct err *err) {
    bool v2;
    char text[32] = "";
    *out_frozen = false;
    cleanup_fd int dir = freezer_open(cg, &v2);
    if (dir == -ENOENT) {
        return 0; /* no group: nothing is frozen */
    }
    int e = dir < 0
                ? dir
                : cg_read(dir, v2 ? "cgroup.freeze" : "freezer.self_freezing", text, sizeof(text));
    if (e == -ENODEV || e == -ENOENT) {
        return 0; /* removed meanwhile */
    }
    *out_frozen = e == 0 && strcmp(text, "1") == 0;
    return e == 0 ? 0
                  : err_sys(err, e, "cannot tell whether the control group %s is frozen", cg->path);
}
