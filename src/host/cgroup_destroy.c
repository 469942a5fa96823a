/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a container's groups.  A group goes only when the last process has left it, which takes
 * a killed process some time; its end is waited for by cgroup.events where there is v2, else by
 * pidfds, and the whole takes a bounded time.
 */
#include "host/cgroup_internal.h"

#include "host/cgroup_systemd.h"
#include "host/cleanup.h"
#include "host/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define DESTROY_LIMIT_MS 10000
#define WAIT_STEP_MS     50
#define SCOPE_LIMIT_MS   500
#define PIDFDS_MAX       64u

static int remove_tree(int parent, const char *name, unsigned depth) {
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
        return 0;
    }
    int e = -errno;
    if (e != -EBUSY && e != -ENOTEMPTY) {
        return e;
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        cleanup_fd_fn(&fd);
        return e;
    }
    const struct dirent *entry;
    bool children = false;
    int child = 0;
    while (child == 0 && (entry = readdir(d)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            children = true;
            child = depth >= CG_DEPTH_MAX ? -ELOOP : remove_tree(fd, entry->d_name, depth + 1);
        }
    }
    (void)closedir(d); /* only read */
    if (child != 0 || !children) {
        return child != 0 ? child : e;
    }
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

static int remove_dir(const char *dir) {
    char parent[4096];
    (void)snprintf(parent, sizeof(parent), "%s", dir); /* the same size */
    char *slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent || slash[1] == '\0') {
        return -EINVAL;
    }
    *slash = '\0';
    cleanup_fd int fd = cg_open(parent);
    return fd == -ENOENT ? 0 : fd < 0 ? fd : remove_tree(fd, slash + 1, 0);
}

static int remove_all(const struct cgroup *cg, size_t *out_failed) {
    for (size_t i = cg->count; i-- > 0;) {
        int e = cg->at[i].created ? remove_dir(cg->at[i].dir) : 0;
        if (e != 0) {
            *out_failed = i;
            return e;
        }
    }
    return 0;
}

/* Until one of the processes is gone, or a moment has passed. */
static void wait_pidfds(int dir) {
    struct cg_pids pids = {0};
    struct pollfd fds[PIDFDS_MAX];
    nfds_t count = 0;
    if (cg_pids_collect(dir, &pids, NULL) == 0) {
        for (size_t i = 0; i < pids.count && count < PIDFDS_MAX; i++) {
            int fd = (int)syscall(SYS_pidfd_open, pids.items[i], 0);
            if (fd >= 0) {
                fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
            }
        }
    }
    /* One after the other: all have to go. */
    int64_t limit = clock_now_ms() + WAIT_STEP_MS;
    for (nfds_t i = 0; i < count; i++) {
        int64_t left = limit - clock_now_ms();
        (void)poll(&fds[i], 1, left > 0 ? (int)left : 0); /* looked at again anyway */
        (void)close(fds[i].fd);                           /* only waited on */
    }
    cg_pids_free(&pids);
}

static void wait_gone(const struct cgroup *cg) {
    cleanup_fd int v2 = cg_open_at(cg, "");
    cleanup_fd int events = v2 < 0 ? -1 : openat(v2, "cgroup.events", O_RDONLY | O_CLOEXEC);
    char buf[256];
    ssize_t n = events < 0 ? -1 : read(events, buf, sizeof(buf) - 1);
    if (n > 0) {
        buf[n] = '\0';
        if (strstr(buf, "populated 1") != NULL) {
            struct pollfd p = {.fd = events, .events = POLLPRI};
            (void)poll(&p, 1, WAIT_STEP_MS);
            return;
        }
    }
    cleanup_fd int dir = cg_open_procs(cg);
    if (dir >= 0) {
        wait_pidfds(dir);
    }
}

static int kill_rest(const struct cgroup *cg, struct err *err) {
    bool any = true;
    struct cg_pids pids = {0};
    cleanup_fd int dir = cg_open_procs(cg);
    if (dir >= 0) {
        any = cg_pids_collect(dir, &pids, NULL) != 0 || pids.count > 0;
        cg_pids_free(&pids);
    }
    return any && dir >= 0 ? cgroup_signal(cg, SIGKILL, err) : 0;
}

/* systemd ends a scope by itself when its last process is gone, and takes its folder away. */
static bool scope_ended(const struct cgroup *cg) {
    int64_t limit = clock_now_ms() + SCOPE_LIMIT_MS;
    const struct timespec moment = {.tv_nsec = 2000000};
    int i = cg_find_at(cg, cg->mode == CGROUP_V2 ? "" : "name=systemd");
    for (;;) {
        cleanup_fd int dir = i < 0 ? -ENOTSUP : cg_open(cg->at[i].dir);
        if (dir == -ENOENT || clock_now_ms() >= limit) {
            return dir == -ENOENT;
        }
        wait_gone(cg);
        (void)nanosleep(&moment, NULL); /* looked at again anyway */
    }
}

int cgroup_destroy(const struct cgroup *cg, struct err *err) {
    int64_t limit = clock_now_ms() + DESTROY_LIMIT_MS;
    const struct timespec moment = {.tv_nsec = 1000000};
    size_t failed = 0;
    int e = cg->systemd ? kill_rest(cg, err) : 0;
    if (e == 0 && cg->systemd && !scope_ended(cg)) {
        e = cg_systemd_stop(cg, err); /* removes what systemd made */
    }
    if (e != 0) {
        return e;
    }
    while ((e = remove_all(cg, &failed)) == -EBUSY && clock_now_ms() < limit) {
        e = kill_rest(cg, err);
        if (e != 0) {
            return e;
        }
        wait_gone(cg);
        (void)nanosleep(&moment, NULL); /* the group itself is let go a little after the process */
    }
    if (e == -EBUSY) {
        return err_set(err, e,
                       "cannot remove the control group %s: its processes did not end within %d s "
                       "of SIGKILL (one may hang in the kernel: see cgroup.procs and "
                       "/proc/PID/stack there)",
                       cg->at[failed].dir, DESTROY_LIMIT_MS / 1000);
    }
    if (e != 0 && cg->rootless && (e == -EACCES || e == -EPERM || e == -EROFS)) {
        return 0; /* left to the one who delegated it */
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot remove the control group %s", cg->at[failed].dir);
}
