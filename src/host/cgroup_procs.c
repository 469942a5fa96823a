/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a container's groups: listing and signalling them.
 *
 * A container may have made groups below its own; they are walked to a bounded depth.  Process ids
 * are used while the group is frozen, so that none is recycled between the look and the signal;
 * where nothing can be frozen a pidfd is opened and the process's group looked at again.
 */
#include "host/cgroup_internal.h"

#include "host/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define PIDS_MAX   4194304u /* PID_MAX_LIMIT of the kernel */
#define ROUNDS_MAX 100u     /* of signalling what was forked meanwhile */

void cg_pids_free(struct cg_pids *p) {
    free(p->items);
    *p = (struct cg_pids){0};
}

static int pids_add(struct cg_pids *p, pid_t pid) {
    if (p->count == p->cap) {
        size_t cap = p->cap == 0 ? 64 : p->cap * 2;
        pid_t *grown = cap > PIDS_MAX * 2u ? NULL : realloc(p->items, cap * sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        p->items = grown;
        p->cap = cap;
    }
    p->items[p->count++] = pid;
    return 0;
}

static int pids_of_file(int dir, struct cg_pids *p) {
    cleanup_free char *text = NULL;
    int e = cg_read_all(dir, CG_PROCS_FILE, &text);
    if (e == -EOPNOTSUPP) { /* a threaded group: its processes are listed by its domain too */
        return 0;
    }
    if (e == -ENODEV || e == -ENOENT) {
        return 0; /* removed meanwhile */
    }
    for (const char *at = text; e == 0 && *at != '\0';) {
        char *end;
        long pid = strtol(at, &end, 10);
        if (end == at) {
            return -EINVAL;
        }
        /* 0: a process that this pid namespace does not see */
        e = pid > 0 && pid <= (long)PIDS_MAX ? pids_add(p, (pid_t)pid) : 0;
        at = end + strspn(end, "\n");
    }
    return e;
}

static int collect(int dir, struct cg_pids *p, bool *out_children, unsigned depth) {
    int e = pids_of_file(dir, p);
    int fd = e != 0 ? -1 : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        cleanup_fd_fn(&fd);
        return e; /* removed meanwhile: nobody is in it */
    }
    const struct dirent *entry;
    while (e == 0 && (entry = readdir(d)) != NULL) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.') {
            continue;
        }
        *out_children = true;
        cleanup_fd int sub =
            openat(dir, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0) {
            e = depth >= CG_DEPTH_MAX ? -ELOOP : collect(sub, p, out_children, depth + 1);
        }
    }
    (void)closedir(d); /* only read */
    return e;
}

static int by_pid(const void *a, const void *b) {
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

int cg_pids_collect(int dir, struct cg_pids *out, bool *out_children) {
    bool children = false;
    int e = collect(dir, out, &children, 0);
    if (out_children != NULL) {
        *out_children = children;
    }
    if (out->count > 1) {
        qsort(out->items, out->count, sizeof(*out->items), by_pid);
    }
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        if (kept == 0 || out->items[kept - 1] != out->items[i]) {
            out->items[kept++] = out->items[i];
        }
    }
    out->count = kept;
    return e;
}

static int none(struct err *err) {
    return err_set(err, -ENOTSUP,
                   "the container has no control groups (they could not be made, or the host has "
                   "none mounted)");
}

int cgroup_pids(const struct cgroup *cg, pid_t **out_pids, size_t *out_count, struct err *err) {
    struct cg_pids pids = {0};
    *out_pids = NULL;
    *out_count = 0;
    if (cg->count == 0) {
        return none(err);
    }
    cleanup_fd int dir = cg_open_procs(cg);
    if (dir == -ENOENT) {
        return 0; /* removed: nobody is left */
    }
    int e = dir < 0 ? dir : cg_pids_collect(dir, &pids, NULL);
    if (e != 0) {
        cg_pids_free(&pids);
        return err_sys(err, e, "cannot list the processes of the control group %s", cg->path);
    }
    *out_pids = pids.items;
    *out_count = pids.count;
    return 0;
}

/* ---- signals ---- */

/* Whether the process is in the group still: its own list of groups names the path. */
static bool is_member(const struct cgroup *cg, pid_t pid) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", pid); /* fits */
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (f != NULL && !found && getline(&line, &size, f) > 0) {
        const char *at = strchr(line, ':');
        at = at == NULL ? NULL : strchr(at + 1, ':');
        line[strcspn(line, "\n")] = '\0';
        found = at != NULL && strstr(at, cg->path) != NULL;
    }
    free(line);
    if (f != NULL) {
        (void)fclose(f); /* only read */
    }
    return found;
}

static int signal_one(const struct cgroup *cg, pid_t pid, int signo, bool frozen) {
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int e = pidfd < 0 ? -errno : 0;
    if (e == 0 && !frozen && !is_member(cg, pid)) {
        return 0;
    }
    if (e == 0 && syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) != 0) {
        e = -errno;
    }
    if (e == -ENOSYS && kill(pid, signo) != 0) { /* before Linux 5.3 */
        e = -errno;
    }
    /* EINVAL: the leader of its threads is gone already, and they with it. */
    return e == -ESRCH || e == -EINVAL || e == -ENOSYS ? 0 : e;
}

/* Whether `pid` is in the sorted list. */
static bool known(const struct cg_pids *p, pid_t pid) {
    return p->count > 0 && bsearch(&pid, p->items, p->count, sizeof(pid), by_pid) != NULL;
}

/* Signals those that are new since the last round; *out_new counts them. */
static int signal_round(const struct cgroup *cg, int dir, int signo, bool frozen,
                        struct cg_pids *done, size_t *out_new) {
    struct cg_pids now = {0};
    int e = cg_pids_collect(dir, &now, NULL);
    *out_new = 0;
    for (size_t i = 0; i < now.count && e == 0; i++) {
        if (!known(done, now.items[i])) {
            e = signal_one(cg, now.items[i], signo, frozen);
            (*out_new)++;
        }
    }
    cg_pids_free(done);
    *done = now;
    return e;
}

static int signal_all(const struct cgroup *cg, int dir, int signo, struct err *err) {
    struct err ignored = {0};
    struct cg_pids done = {0};
    bool was = false;
    size_t fresh = 1;
    (void)cgroup_is_frozen(cg, &was, &ignored);
    bool frozen = cgroup_freeze(cg, true, &ignored) == 0;
    int e = 0;
    for (unsigned round = 0; e == 0 && fresh > 0 && round < ROUNDS_MAX; round++) {
        e = signal_round(cg, dir, signo, frozen, &done, &fresh);
    }
    cg_pids_free(&done);
    if (!was || signo == SIGKILL) {
        struct err thaw = {0};
        int t = cgroup_freeze(cg, false, &thaw);
        e = e == 0 && frozen && t != 0 ? err_set(err, t, "%s", thaw.msg) : e;
    }
    return e == 0
               ? 0
               : err_sys(err, e, "cannot signal all processes of the control group %s", cg->path);
}

int cgroup_signal(const struct cgroup *cg, int signo, struct err *err) {
    if (cg->count == 0) {
        return none(err);
    }
    if (signo == SIGKILL) {
        cleanup_fd int v2 = cg_open_at(cg, "");
        if (v2 >= 0 && cg_write(v2, "cgroup.kill", "1") == 0) {
            /* On a hybrid host the freezer of v1 may hold them. */
            struct err ignored = {0};
            if (cg_find_at(cg, "freezer") >= 0) {
                (void)cgroup_freeze(cg, false, &ignored); /* they die once they run */
            }
            return 0;
        }
    }
    cleanup_fd int dir = cg_open_procs(cg);
    if (dir == -ENOENT) {
        return 0;
    }
    return dir < 0 ? err_sys(err, dir, "cannot open the control group %s", cg->path)
                   : signal_all(cg, dir, signo, err);
}
