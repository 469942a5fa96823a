/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Knowing that the kernel killed for want of memory: an eventfd on memory.oom_control of v1
 * (admin-guide/cgroup-v1/memory.rst), inotify on memory.events of v2.
 */
#include "host/cgroup_internal.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

static int missing(const struct cgroup *cg, struct err *err) {
    return err_set(err, -ENOTSUP,
                   "running out of memory cannot be seen: the container has no group of the memory "
                   "controller%s%s",
                   cg->path[0] != '\0' ? ", or it is gone: " : "", cg->path);
}

static int watch_v1(int dir) {
    char line[64];
    cleanup_fd int control = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    cleanup_fd int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control < 0 || event < 0) {
        return -errno;
    }
    (void)snprintf(line, sizeof(line), "%d %d", event, control); /* fits */
    int e = cg_write(dir, "cgroup.event_control", line);
    return e != 0 ? e : steal_fd(&event);
}

static int watch_v2(const char *dir) {
    static const char *const files[] = {"memory.events", "cgroup.events"};
    cleanup_fd int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    for (size_t i = 0; fd >= 0 && i < ARRAY_COUNT(files); i++) {
        char path[4200];
        (void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]); /* fits */
        if (inotify_add_watch(fd, path, IN_MODIFY) < 0) {
            return -errno;
        }
    }
    return fd < 0 ? -errno : steal_fd(&fd);
}

int cgroup_oom_watch(const struct cgroup *cg, struct err *err) {
    int i = cg_find_at(cg, "memory");
    int fd;
    if (i >= 0) {
        cleanup_fd int dir = cg_open(cg->at[i].dir);
        fd = dir < 0 ? dir : watch_v1(dir);
    } else {
        i = cg_find_at(cg, "");
        fd = i < 0 ? -ENOENT : watch_v2(cg->at[i].dir);
    }
    if (fd == -ENOENT || fd == -ENODEV) {
        return missing(cg, err);
    }
    return fd < 0 ? err_sys(err, fd, "cannot watch %s for want of memory", cg->at[i].dir) : fd;
}

int cgroup_oom_count(const struct cgroup *cg, uint64_t *out_kills, struct err *err) {
    *out_kills = 0;
    bool v1 = cg_find_at(cg, "memory") >= 0;
    cleanup_fd int dir = cg_open_at(cg, v1 ? "memory" : "");
    int e = dir < 0 ? dir
                    : cg_read_key(dir, v1 ? "memory.oom_control" : "memory.events", "oom_kill",
                                  out_kills);
    if (e == -ENOENT || e == -ENODEV) {
        return missing(cg, err);
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot read how often memory ran out in %s", cg->path);
}

int cgroup_oom_take(const struct cgroup *cg, int fd, uint64_t *out_kills, bool *out_gone,
                    struct err *err) {
    char buf[4096] __attribute__((aligned(8)));
    uint64_t populated = 0;
    struct err ignored = {0};
    while (read(fd, buf, sizeof(buf)) > 0) {
        /* an eventfd is empty after one read; inotify tells no more than "something changed" */
    }
    if (errno != EAGAIN && errno != EINTR) {
        return err_sys(err, -errno, "cannot read the events of %s", cg->path);
    }
    *out_gone = cgroup_oom_count(cg, out_kills, &ignored) != 0;
    if (!*out_gone && cg_find_at(cg, "memory") < 0) {
        cleanup_fd int v2 = cg_open_at(cg, "");
        *out_gone = v2 < 0 || cg_read_key(v2, "cgroup.events", "populated", &populated) != 0 ||
                    populated == 0;
    }
    return 0;
}
