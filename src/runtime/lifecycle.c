/* SPDX-License-Identifier: Apache-2.0 */
/* start, kill, wait and delete: see lifecycle.h. */
#include "runtime/lifecycle.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int start_opened(struct handle *h, struct err *err) {
    if (h->state.status != STATUS_CREATED) {
        const char *why =
            h->state.status == STATUS_STOPPED   ? "cannot start a container that has stopped"
            : h->state.status == STATUS_RUNNING ? "cannot start an already running container"
                                                : "cannot start a container that is not created";
        return err_set(err, -EINVAL, "%s: %s is %s", why, h->state.id,
                       state_status_text(h->state.status));
    }
    /* Saved before: nothing that the process does may be seen with the status "created". */
    h->state.status = STATUS_RUNNING;
    int e = state_save(h->dir, &h->state, err);
    e = e != 0 ? e : h->ops->start(&h->target, err);
    if (e != 0) {
        struct err ignored = {0};
        h->state.status = STATUS_CREATED;
        (void)state_save(h->dir, &h->state, &ignored); /* the failure itself is what is told */
        return e;
    }
    e = lifecycle_hooks(h, HOOK_POSTSTART, err);
    if (e != 0) { /* runtime.md "Lifecycle": an error, and the container is stopped */
        struct err ignored = {0};
        (void)h->ops->kill(&h->target, SIGKILL, true, &ignored); /* it may have ended */
    }
    return e;
}

int lifecycle_start(const struct runtime *rt, const char *id, struct err *err) {
    static struct handle h;
    int e = handle_open(rt, id, HANDLE_LOCK | HANDLE_CONFIG, &h, err);
    e = e != 0 ? e : start_opened(&h, err);
    handle_close(&h);
    return e;
}

/*
 * A frozen isolation cannot be asked; its process takes the signal and has it when it runs again.
 * The end does not wait for that: frozen processes of cgroup v1 die only once they are thawed.
 */
static int kill_paused(const struct handle *h, int signo, bool all, struct err *err) {
    struct err ignored = {0};
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, h->state.pid, 0);
    if (pidfd < 0 || !state_alive(&h->state)) {
        return err_set(err, -ESRCH, "container not running: %s", h->state.id);
    }
    if (signo == SIGKILL && all && h->state.cgroup.count > 0) {
        return cgroup_signal(&h->state.cgroup, SIGKILL, err);
    }
    if (syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) != 0) {
        return err_sys(err, -errno, "cannot signal the paused container %s", h->state.id);
    }
    if (signo == SIGKILL) {
        (void)cgroup_freeze(&h->state.cgroup, false, &ignored); /* without groups none is frozen */
    }
    return 0;
}

static int kill_opened(struct handle *h, int signo, bool all, struct err *err) {
    if (h->state.status == STATUS_STOPPED) {
        if (all && h->state.cgroup.count > 0) { /* what the first process left behind */
            return cgroup_signal(&h->state.cgroup, signo, err);
        }
        /* Both texts are what engines look for. */
        return err_set(err, -ESRCH, "container not running: %s: process already finished",
                       h->state.id);
    }
    if (h->state.status == STATUS_CREATING && h->state.pid == 0) {
        return err_set(err, -ESRCH, "container not running: %s is being created", h->state.id);
    }
    int e = signo == 0                         ? 0
            : h->state.status == STATUS_PAUSED ? kill_paused(h, signo, all, err)
                                               : h->ops->kill(&h->target, signo, all, err);
    if (e == -ESRCH && strstr(err->msg, "already finished") == NULL) {
        err_append(err, ": process already finished");
    }
    return e;
}

int lifecycle_kill(const struct runtime *rt, const char *id, int signo, bool all, struct err *err) {
    static struct handle h;
    int e = handle_open(rt, id, 0, &h, err);
    e = e != 0 ? e : kill_opened(&h, signo, all, err);
    handle_close(&h);
    return e;
}

/* A folder whose state was never written, or of which the last delete got that far. */
static bool half_made(const struct handle *h) {
    char path[4200];
    (void)snprintf(path, sizeof(path), "%s/state.json", h->path); /* fits */
    return h->lock >= 0 && access(path, F_OK) != 0 && errno == ENOENT;
}

/* All but the state folder; h has its config. */
static int clear_away(const struct runtime *rt, struct handle *h, struct err *err) {
    int e = lifecycle_clear(rt, h, err);
    if (e == 0) {
        h->state.status = STATUS_STOPPED;
        lifecycle_poststop(rt, h);
    }
    return e;
}

static int delete_opened(const struct runtime *rt, struct handle *h, bool force, struct err *err) {
    bool runs = h->state.status == STATUS_RUNNING || h->state.status == STATUS_PAUSED;
    if (runs && !force) {
        return err_set(
            err, -EBUSY,
            "cannot delete container %s that is not stopped: %s (--force kills it first)",
            h->state.id, state_status_text(h->state.status));
    }
    struct err config = {0};
    if (handle_load_config(h, &config) != 0) {
        err_append(&config, "; its poststop hooks are not run");
        rt->warn(rt->arg, config.msg);
    }
    return clear_away(rt, h, err);
}

int lifecycle_delete(const struct runtime *rt, const char *id, bool force, struct err *err) {
    static struct handle h;
    struct err why = {0};
    int e = handle_open(rt, id, HANDLE_LOCK, &h, &why);
    if (e == 0) {
        e = delete_opened(rt, &h, force, err);
    } else if (h.lock < 0 && e == -ENOENT && force) {
        return 0; /* as runc: forced removal of what is gone is no failure */
    } else if (half_made(&h)) {
        e = 0;
    } else {
        e = err_set(err, why.code, "%s", why.msg);
    }
    e = e != 0 ? e : state_remove(rt->root, id, err);
    handle_close(&h);
    return e;
}

static int checkpoint_opened(struct handle *h, const struct isolation_image *image,
                             struct err *err) {
    if (h->state.status != STATUS_RUNNING && h->state.status != STATUS_PAUSED) {
        return err_set(err, h->state.status == STATUS_STOPPED ? -ESRCH : -EINVAL,
                       "cannot checkpoint container %s: container not running: it is %s",
                       h->state.id, state_status_text(h->state.status));
    }
    if (h->ops->checkpoint == NULL) {
        return err_set(err, -EOPNOTSUPP,
                       "cannot checkpoint container %s: isolation %s has no checkpoint; it runs on",
                       h->state.id, h->ops->name);
    }
    return h->ops->checkpoint(&h->target, image, err);
}

int lifecycle_checkpoint(const struct runtime *rt, const char *id,
                         const struct isolation_image *image, struct err *err) {
    static struct handle h;
    int e = handle_open(rt, id, HANDLE_LOCK | HANDLE_CONFIG, &h, err);
    e = e != 0 ? e : checkpoint_opened(&h, image, err);
    if (e == 0 && !image->leave_running && !image->pre_dump) {
        e = clear_away(rt, &h, err);
        e = e != 0 ? e : state_remove(rt->root, id, err);
    }
    handle_close(&h);
    return e;
}

/* linux/pidfd.h since Linux 6.15: the status of a process that somebody else has reaped. */
struct pidfd_info_v0 {
    uint64_t mask, cgroup_id;
    uint32_t ids[11];
    int32_t exit_code;
};
#define PIDFD_GET_INFO_V0 _IOWR(0xFF, 11, struct pidfd_info_v0)
#define PIDFD_INFO_EXIT   (UINT64_C(1) << 3)

static int pidfd_status(int pidfd, int *out_wait_status) {
    struct pidfd_info_v0 info = {.mask = PIDFD_INFO_EXIT};
    if (pidfd < 0 || ioctl(pidfd, PIDFD_GET_INFO_V0, &info) != 0 ||
        (info.mask & PIDFD_INFO_EXIT) == 0) {
        return -ENOENT;
    }
    *out_wait_status = info.exit_code;
    return 0;
}

/* The status of a process that has ended, from whoever still has it; its parent is about to reap
 * it. */
static int find_status(const struct handle *h, int pidfd, int *out_wait_status) {
    struct pollfd p = {.fd = pidfd, .events = 0}; /* POLLHUP: it was reaped */
    if (state_exit(h->dir, out_wait_status) == 0) {
        return 0;
    }
    if (state_zombie_exit(&h->state, out_wait_status) != 0) {
        (void)poll(&p, 1, pidfd >= 0 ? 5000 : 0);
        if (pidfd_status(pidfd, out_wait_status) != 0) {
            return -ENOENT;
        }
    }
    state_keep_exit(h->dir, *out_wait_status); /* for those who ask later */
    return 0;
}

void lifecycle_note_exit(const struct runtime *rt, const char *id, int wait_status) {
    struct err ignored = {0};
    cleanup_fd int dir = state_open_dir(rt->root, id, &ignored);
    if (dir >= 0) {
        state_keep_exit(dir, wait_status);
    }
}

int lifecycle_wait(const struct runtime *rt, const char *id, int *out_wait_status,
                   struct err *err) {
    static struct handle h;
    int e = handle_open(rt, id, 0, &h, err);
    cleanup_fd int pidfd =
        e == 0 && h.state.pid > 0 ? (int)syscall(SYS_pidfd_open, h.state.pid, 0) : -1;
    if (pidfd >= 0 && state_alive(&h.state)) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        while (poll(&p, 1, -1) < 0 && errno == EINTR) {
        }
    } else {
        cleanup_fd_fn(&pidfd); /* another process, by now */
        pidfd = -1;
    }
    if (e == 0 && find_status(&h, pidfd, out_wait_status) != 0) {
        e = err_set(err, -ESRCH,
                    "container %s has ended; only its parent process got its exit status (a 'moat "
                    "wait' that runs at the end, or 'moat run --keep', keeps it)",
                    id);
    }
    handle_close(&h);
    return e;
}
