/* SPDX-License-Identifier: Apache-2.0 */
/* What the parent does for a process that sets itself up: see life.h. */
#include "host/cleanup.h"
#include "host/netdev.h"
#include "native/life.h"
#include "native/namespaces.h"
#include "native/sync.h"
#include "oci/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int go(struct spawn *s, enum sync_stage stage) {
    int e = sync_send(s->sync[0], SYNC_GO, (int)stage, NULL);
    return e == -EPIPE || e == -ECONNRESET ? 0 : e; /* it failed meanwhile: its record tells why */
}

static int map_ids(struct spawn *s, struct err *err) {
    const struct oci_linux *l = &s->in.c->linux_;
    if ((s->namespaces & CLONE_NEWUSER) == 0) {
        return 0;
    }
    int e = idmap_write(s->in.proc, s->pid, &l->uid_mappings, &l->gid_mappings, err);
    if (e != 0) {
        return e;
    }
    e = go(s, STAGE_MAPPED);
    return e == 0 ? 0 : err_sys(err, e, "cannot speak to the container's process");
}

/* A number of a control file; false for "max" and what is not there. */
static bool read_number(int dir, const char *name, unsigned long *out) {
    char text[32] = "";
    cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    char *end = text;
    *out = n > 0 ? strtoul(text, &end, 10) : 0;
    return end != text;
}

/* The limit on processes is looked at by fork alone, not when one moves into a group (cgroup v1
 * pids.txt). */
int spawn_check_room(const struct cgroup *cg, struct err *err) {
    for (size_t i = 0; cg != NULL && i < cg->count; i++) {
        unsigned long now, limit;
        bool counts = strcmp(cg->at[i].name, "pids") == 0 || cg->at[i].name[0] == '\0';
        cleanup_fd int dir =
            counts ? open(cg->at[i].dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (dir >= 0 && read_number(dir, "pids.max", &limit) &&
            read_number(dir, "pids.current", &now) && now >= limit) {
            return err_set(err, -EAGAIN,
                           "the container has as many processes as it may (linux.resources.pids "
                           "limit %lu)",
                           limit);
        }
    }
    return 0;
}

static int fill_groups(struct spawn *s, struct err *err) {
    const struct cgroup *cg = s->in.cgroup;
    return s->groups_filled || cg == NULL || cg->mode == CGROUP_NONE || cg->count == 0
               ? 0
               : cgroup_enter(cg, s->pid, err);
}

/* Written from here: lowering it needs rights over the host that the process may not have. */
static int set_oom_score(struct spawn *s, struct err *err) {
    char path[48], text[16];
    if (!s->in.process->oom_score_adj_set) {
        return 0;
    }
    (void)snprintf(path, sizeof(path), "%d/oom_score_adj", (int)s->pid); /* fits, as the next */
    (void)snprintf(text, sizeof(text), "%d", s->in.process->oom_score_adj);
    int e = procfs_write(s->in.proc, path, text);
    if ((e == -EACCES || e == -EPERM) && s->in.how->warn != NULL) {
        char message[160];
        (void)snprintf(message, sizeof(message),
                       "process.oomScoreAdj %s is out of reach without CAP_SYS_RESOURCE on the "
                       "host: left as it is",
                       text); /* fits */
        s->in.how->warn(s->in.how->arg, message);
        return 0;
    }
    return e == 0 || e == -ENOENT /* it ended: its record tells why */
               ? 0
               : err_sys(err, e, "process.oomScoreAdj: cannot write '%s'", text);
}

/* A hard limit can be raised from here only, when the process has rights over its own user
 * namespace alone; the limits themselves are set by the process, whose error tells what was
 * refused. */
static void raise_limits(struct spawn *s) {
    const struct container_process *p = s->in.process;
    for (size_t i = 0; i < p->rlimit_count && s->setup.user_namespace; i++) {
        struct rlimit now;
        __rlimit_resource_t resource = (__rlimit_resource_t)p->rlimits[i].resource;
        if (prlimit(s->pid, resource, NULL, &now) == 0 && now.rlim_max < p->rlimits[i].max) {
            now.rlim_max = p->rlimits[i].max;
            (void)prlimit(s->pid, resource, &now, NULL); /* see above */
        }
    }
}

/* One record; *out_done when there is nothing more to wait for. */
static int handle(struct spawn *s, const struct sync_record *r, bool *out_done, struct err *err) {
    const struct isolation_setup *how = s->in.how;
    int e = 0;
    switch (r->type) {
    case SYNC_WARNING:
        if (how->warn != NULL) {
            how->warn(how->arg, r->err.msg);
        }
        return 0;
    case SYNC_HOOKS:
        e = how->on_namespaces != NULL ? how->on_namespaces(how->arg, s->pid, err) : 0;
        e = e != 0 ? e : go(s, STAGE_HOOKS);
        return e;
    case SYNC_CHILD: /* it goes on as its sibling */
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        s->pid = r->value;
        return 0;
    case SYNC_READY:
        *out_done = true;
        return 0;
    case SYNC_LISTENER:
        return listener_hand_over(s->in.c, how->state_json, s->pid, r->value, err);
    case SYNC_FAILED:
        return err_set(err, r->err.code < 0 ? r->err.code : -EIO, "%s", r->err.msg);
    default:
        return err_set(err, -EPROTO, "the container's process sent something unknown");
    }
}

/* linux.netDevices: from the caller's network namespace to the container's. */
static int move_devices(struct spawn *s, struct err *err) {
    const struct oci_linux *l = &s->in.c->linux_;
    const char *joined = l->namespaces[NS_NETWORK].path;
    if (l->net_device_count == 0) {
        return 0;
    }
    char path[48];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)s->pid); /* fits */
    cleanup_fd int netns = namespace_open(joined != NULL ? joined : path, NS_NETWORK, err);
    int e = netns >= 0 ? 0 : netns;
    for (size_t i = 0; i < l->net_device_count && e == 0; i++) {
        const struct oci_net_device *d = &l->net_devices[i];
        e = netdev_move(d->host_name, d->name, netns, err);
    }
    return e;
}

int spawn_serve(struct spawn *s, const struct isolation_target *target, struct err *err) {
    bool container = s->in.target_pidfd < 0, done = false;
    int e = map_ids(s, err);
    e = e != 0 ? e : fill_groups(s, err);
    e = e != 0 ? e : set_oom_score(s, err);
    raise_limits(s);
    e = e == 0 && container ? move_devices(s, err) : e;
    /* Without hooks to run in there nobody waits for them. */
    if (e == 0 && container && !plan_has_runtime_hooks(s->in.c) &&
        s->in.how->on_namespaces != NULL) {
        e = s->in.how->on_namespaces(s->in.how->arg, s->pid, err);
    }
    if (e == 0) {
        e = go(s, STAGE_GROUPS);
        e = e == 0 ? 0 : err_sys(err, e, "cannot speak to the container's process");
    }
    while (e == 0 && !done) {
        struct sync_record r;
        int n = sync_recv(s->sync[0], &r);
        if (n == 0) {
            return s->in.early ? 0
                               : err_set(err, -EIO,
                                         "the container's process died while it was set "
                                         "up");
        }
        e = n < 0 ? err_sys(err, n, "cannot listen to the container's process")
                  : handle(s, &r, &done, err);
    }
    return e;
}
