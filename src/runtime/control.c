/* SPDX-License-Identifier: Apache-2.0 */
/* pause, resume and update: see control.h. */
#include "runtime/control.h"

#include <errno.h>
#include <string.h>

static int may_pause(const struct handle *h, bool paused, struct err *err) {
    enum container_status now = h->state.status;
    if (paused && now != STATUS_RUNNING && now != STATUS_CREATED) {
        return err_set(err, now == STATUS_STOPPED ? -ESRCH : -EINVAL,
                       "cannot pause container %s: container not running or created: %s",
                       h->state.id, state_status_text(now));
    }
    if (!paused && now != STATUS_PAUSED) {
        return err_set(err, now == STATUS_STOPPED ? -ESRCH : -EINVAL,
                       "cannot resume container %s: container not paused: %s", h->state.id,
                       state_status_text(now));
    }
    return 0;
}

/*
 * The isolation goes first when it pauses, as it cannot be asked once it is frozen itself, and last
 * when it resumes.  Without a freezer (no control groups) the isolation's own way is enough, and
 * the status stands in the state file.
 */
static int stop_all(struct handle *h, struct err *err) {
    struct err freezer = {0}, ignored = {0};
    int own = h->ops->pause == NULL ? -ENOTSUP : h->ops->pause(&h->target, true, err);
    if (h->ops->pause != NULL && own != 0) {
        return own;
    }
    int e = cgroup_freeze(&h->state.cgroup, true, &freezer);
    if (e == 0) {
        return 0;
    }
    if (e == -ENOTSUP && own == 0 && h->state.status == STATUS_RUNNING) {
        h->state.status = STATUS_PAUSED;
        return state_save(h->dir, &h->state, err);
    }
    if (own == 0) {
        (void)h->ops->pause(&h->target, false, &ignored); /* the freezer's failure is told */
    }
    return err_set(err, e, "cannot pause container %s: %s", h->state.id, freezer.msg);
}

static int continue_all(struct handle *h, struct err *err) {
    struct err freezer = {0};
    int e = cgroup_freeze(&h->state.cgroup, false, &freezer);
    if (e != 0 && !(e == -ENOTSUP && h->ops->pause != NULL)) {
        return err_set(err, e, "cannot resume container %s: %s", h->state.id, freezer.msg);
    }
    int own = h->ops->pause == NULL ? 0 : h->ops->pause(&h->target, false, err);
    if (own == 0 && e == -ENOTSUP) {
        h->state.status = STATUS_RUNNING;
        own = state_save(h->dir, &h->state, err);
    }
    return own;
}

int lifecycle_pause(const struct runtime *rt, const char *id, bool paused, struct err *err) {
    static struct handle h;
    int e = handle_open(rt, id, HANDLE_LOCK | HANDLE_CONFIG, &h, err);
    e = e != 0 ? e : may_pause(&h, paused, err);
    e = e != 0 ? e : paused ? stop_all(&h, err) : continue_all(&h, err);
    handle_close(&h);
    return e;
}

int lifecycle_update(const struct runtime *rt, const char *id,
                     const struct cgroup_resources *resources, struct err *err) {
    static struct handle h;
    int e = handle_open(rt, id, HANDLE_LOCK | HANDLE_CONFIG, &h, err);
    if (e == 0 && h.state.status == STATUS_STOPPED) {
        e = err_set(err, -ESRCH, "cannot update container %s: container not running", id);
    }
    bool told = h.ops != NULL && h.ops->update != NULL;
    if (e == 0 && h.state.status == STATUS_PAUSED && told && resources->pids.set) {
        e = err_set(err, -EBUSY,
                    "cannot change the number of processes of the paused container %s: its kernel "
                    "is paused too; resume it first",
                    id);
    }
    told = told && h.state.status != STATUS_PAUSED;
    if (e == 0) {
        const struct cgroup_resources limits = lifecycle_host_limits(&h, resources);
        e = cgroup_update_warn(&h.state.cgroup, &limits, rt->warn, rt->arg, err);
    }
    if (e == 0 && told) {
        e = h.ops->update(&h.target, resources, err);
    }
    handle_close(&h);
    return e;
}
