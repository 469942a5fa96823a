/* SPDX-License-Identifier: Apache-2.0 */
/* events: see control.h.  The lines have the shape of runc's, which engines parse. */
#include "host/clock.h"
#include "runtime/control.h"

#include "host/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define LOOK_MS     20   /* a kill takes a few */
#define LOOK_FOR_MS 2000 /* there may be none */

struct watch {
    struct handle *h;
    lifecycle_event_fn emit;
    void *arg;
    uint64_t kills; /* seen so far */
    int oom, pidfd; /* oom -1: cannot be seen, or seen to the end */
    /* cgroup v1 tells before it kills and counts (mm/memcontrol-v1.c): while clock_now_ms is below
     * this, the number is looked at again. */
    int64_t look_until_ms;
};

static int emit_event(const struct watch *w, const char *type, struct json_object *data,
                      struct err *err) {
    struct json_object *event = json_object_new_object();
    int e = event == NULL ? -ENOMEM : 0;
    e = e != 0 ? e : json_object_object_add(event, "type", json_object_new_string(type));
    e = e != 0 ? e : json_object_object_add(event, "id", json_object_new_string(w->h->state.id));
    if (e == 0 && data != NULL) {
        e = json_object_object_add(event, "data", data);
        data = e == 0 ? NULL : data;
    }
    if (e != 0) {
        json_object_put(data);
        json_object_put(event);
        return err_set(err, -ENOMEM, "out of memory");
    }
    return w->emit(w->arg, event, err);
}

static int emit_stats(const struct watch *w, struct err *err) {
    struct json_object *data = cgroup_stats(&w->h->state.cgroup);
    if (data == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    int e = w->h->ops->stats == NULL || w->h->state.status == STATUS_PAUSED
                ? 0
                : w->h->ops->stats(&w->h->target, data, err);
    if (e != 0) {
        json_object_put(data);
        return e;
    }
    return emit_event(w, "stats", data, err);
}

static int open_running(const struct runtime *rt, const char *id, struct handle *h,
                        struct err *err) {
    int e = handle_open(rt, id, HANDLE_CONFIG, h, err);
    if (e == 0 && h->state.status == STATUS_STOPPED) {
        e = err_set(err, -ESRCH, "container with id %s is not running: container not running", id);
    }
    return e;
}

int lifecycle_stats(const struct runtime *rt, const char *id, lifecycle_event_fn emit, void *arg,
                    struct err *err) {
    static struct handle h;
    const struct watch w = {.h = &h, .emit = emit, .arg = arg};
    int e = open_running(rt, id, &h, err);
    e = e != 0 ? e : emit_stats(&w, err);
    handle_close(&h);
    return e;
}

static int emit_oom(struct watch *w, uint64_t kills, struct err *err) {
    int e = 0;
    for (; w->kills < kills && e == 0; w->kills++) {
        e = emit_event(w, "oom", NULL, err);
    }
    return e;
}

/* 1 at the end of the container. */
static int take_events(struct watch *w, const struct pollfd fds[2], struct err *err) {
    uint64_t kills = w->kills;
    bool gone = false;
    int e = 0;
    if (w->oom >= 0 && fds[1].revents != 0) {
        e = cgroup_oom_take(&w->h->state.cgroup, w->oom, &kills, &gone, err);
        w->look_until_ms = kills > w->kills || gone ? 0 : clock_now_ms() + LOOK_FOR_MS;
        e = e != 0 ? e : emit_oom(w, MAX(kills, w->kills), err);
        if (gone) {
            cleanup_fd_fn(&w->oom);
            w->oom = -1;
        }
    }
    if (e == 0 && fds[0].revents != 0) {
        struct err ignored = {0}; /* the groups may be gone by now */
        e = cgroup_oom_count(&w->h->state.cgroup, &kills, &ignored) == 0 ? emit_oom(w, kills, err)
                                                                         : 0;
        return e != 0 ? e : 1;
    }
    return e;
}

static int look_again(struct watch *w, int64_t now, struct err *err) {
    uint64_t kills = w->kills;
    struct err ignored = {0};
    bool known = cgroup_oom_count(&w->h->state.cgroup, &kills, &ignored) == 0;
    if (!known || kills > w->kills || now >= w->look_until_ms) {
        w->look_until_ms = 0;
    }
    return emit_oom(w, kills, err);
}

static int watch_until_end(struct watch *w, uint64_t interval_ms, struct err *err) {
    int64_t next = clock_now_ms() + (int64_t)interval_ms;
    int e = 0;
    while (e == 0) {
        struct pollfd fds[2] = {{.fd = w->pidfd, .events = POLLIN},
                                {.fd = w->oom, .events = POLLIN}};
        int64_t now = clock_now_ms();
        int64_t left = w->look_until_ms != 0 ? MIN(next - now, LOOK_MS) : next - now;
        int n = left <= 0 ? 0 : poll(fds, 2, (int)MIN(left, INT32_MAX));
        if (n < 0 && errno != EINTR) {
            return err_sys(err, -errno, "cannot wait for events");
        }
        now = clock_now_ms();
        if (n > 0) {
            e = take_events(w, fds, err);
        } else if (w->look_until_ms != 0) {
            e = look_again(w, now, err);
        }
        if (e == 0 && n == 0 && now >= next) {
            next += (int64_t)interval_ms;
            e = emit_stats(w, err);
        }
    }
    return e > 0 ? 0 : e;
}

int lifecycle_events(const struct runtime *rt, const char *id, uint64_t interval_ms,
                     lifecycle_event_fn emit, void *arg, struct err *err) {
    static struct handle h;
    struct watch w = {.h = &h, .emit = emit, .arg = arg, .oom = -1};
    struct err blind = {0};
    int e = open_running(rt, id, &h, err);
    w.pidfd = e == 0 ? (int)syscall(SYS_pidfd_open, h.state.pid, 0) : -1;
    if (e == 0 && (w.pidfd < 0 || !state_alive(&h.state))) {
        e = err_set(err, -ESRCH, "container with id %s is not running", id);
    }
    if (e == 0) {
        w.oom = cgroup_oom_watch(&h.state.cgroup, &blind);
        if (w.oom < 0 || cgroup_oom_count(&h.state.cgroup, &w.kills, &blind) != 0) {
            rt->warn(rt->arg, blind.msg);
        }
        e = watch_until_end(&w, interval_ms, err);
    }
    cleanup_fd_fn(&w.oom);
    cleanup_fd_fn(&w.pidfd);
    handle_close(&h);
    return e;
}
