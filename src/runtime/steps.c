/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of the life cycle that several commands take: see lifecycle.h. */
#include "runtime/lifecycle.h"

#include "host/cleanup.h"
#include "host/sha256.h"
#include "moat/control.h"
#include "oci/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define GROUP_NAME_MAX 160 /* an id and eight digits */

/* Adds what failed to a message that is there. */
static int because(int e, const struct err *why, const char *what, struct err *err) {
    return err_set(err, e, "%s: %s", what, why->msg);
}

int lifecycle_hooks(const struct handle *h, enum hook_stage stage, struct err *err) {
    const struct oci_hook_list *list = &h->target.c->hooks[stage];
    struct err why = {0};
    if (list->count == 0) {
        return 0;
    }
    struct json_object *state = state_to_json(&h->state);
    if (state == NULL) {
        return err_sys(err, -ENOMEM, "cannot run the %s hooks", hook_stage_name(stage));
    }
    int e = hooks_run(list, state_text(state), &why);
    json_object_put(state);
    return e == 0 ? 0 : because(e, &why, hook_stage_name(stage), err);
}

void lifecycle_poststop(const struct runtime *rt, const struct handle *h) {
    const struct oci_hook_list *all = &h->target.c->hooks[HOOK_POSTSTOP];
    struct json_object *state = all->count > 0 ? state_to_json(&h->state) : NULL;
    for (size_t i = 0; i < all->count && state != NULL; i++) {
        const struct oci_hook_list one = {.items = &all->items[i], .count = 1};
        struct err why = {0};
        if (hooks_run(&one, state_text(state), &why) != 0) {
            struct err said = {0};
            (void)because(-ECANCELED, &why, "poststop", &said); /* only the text is wanted */
            rt->warn(rt->arg, said.msg);
        }
    }
    json_object_put(state);
}

/* ---- control groups ---- */

/* A process for systemd to make the scope with: a scope without one ends at once, so it lives until
 * the container's own is there (handle_close). */
static pid_t fork_placeholder(void) {
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a valid signal: cannot fail */
        while (getppid() == parent) {
            (void)pause();
        }
        _exit(1);
    }
    return pid >= 0 ? pid : -errno;
}

struct cgroup_resources lifecycle_host_limits(const struct handle *h,
                                              const struct cgroup_resources *r) {
    struct cgroup_resources limits = *r; /* lists stay r's */
    if (h->ops->host_limits != NULL) {
        h->ops->host_limits(&limits);
    }
    return limits;
}

/* Whether the container gets its group to rule over: a cgroup name space of its own and a mount of
 * it that can be written; and whose it is then, on the host. */
static bool delegated(const struct container *c, uid_t *out_owner) {
    const struct oci_linux *l = &c->linux_;
    const struct oci_mapping_list *map = &l->uid_mappings;
    bool writable = false;
    for (size_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        writable = writable || (m->fstype != NULL && strncmp(m->fstype, "cgroup", 6) == 0 &&
                                (m->flags & MOAT_MOUNT_RDONLY) == 0);
    }
    *out_owner = c->process.uid;
    for (size_t i = 0; l->namespaces[NS_USER].set && i < map->count; i++) {
        const struct oci_id_mapping *one = &map->items[i];
        if (c->process.uid >= one->container_id && c->process.uid - one->container_id < one->size) {
            *out_owner = one->host_id + (c->process.uid - one->container_id);
        }
    }
    return writable && *out_owner != 0 && l->namespaces[NS_CGROUP].set &&
           l->namespaces[NS_CGROUP].path == NULL;
}

/*
 * The name of a group for which config.json has no path: the id, and below another state folder
 * than the default one what tells that folder from others, as the same id may be used in each.
 */
static void group_name(const struct runtime *rt, const char *id, char out[GROUP_NAME_MAX]) {
    char root[PATH_MAX], usual[PATH_MAX], digest[SHA256_TEXT];
    struct sha256 sum;
    bool known = realpath(rt->root, root) != NULL; /* it holds this container's folder */
    bool same = strcmp(rt->root, rt->default_root) == 0 ||
                (known && realpath(rt->default_root, usual) != NULL && strcmp(root, usual) == 0);
    if (same) {
        (void)snprintf(out, GROUP_NAME_MAX, "%s", id); /* fits, as below */
        return;
    }
    const char *name = known ? root : rt->root;
    sha256_init(&sum);
    sha256_add(&sum, name, strlen(name));
    sha256_text(&sum, digest);
    (void)snprintf(out, GROUP_NAME_MAX, "%s.%.8s", id, digest);
}

int lifecycle_cgroup(const struct runtime *rt, struct handle *h, struct err *err) {
    char name[GROUP_NAME_MAX];
    const struct oci_linux *l = &h->target.c->linux_;
    uid_t owner = 0;
    const bool delegate = delegated(h->target.c, &owner);
    group_name(rt, h->state.id, name);
    const struct cgroup_options options = {.path = l->cgroups_path,
                                           .id = name,
                                           .delegate = delegate,
                                           .owner = owner,
                                           .systemd = rt->systemd_cgroup,
                                           .rootless = rt->rootless,
                                           .warn = rt->warn,
                                           .arg = rt->arg};
    if (rt->systemd_cgroup) {
        h->scope_pid = fork_placeholder();
        if (h->scope_pid < 0) {
            return err_sys(err, h->scope_pid, "cannot fork a process for systemd's scope");
        }
    }
    const struct cgroup_resources limits = lifecycle_host_limits(h, &l->resources);
    int e = cgroup_create(&options, &limits, h->scope_pid, &h->state.cgroup, err);
    e = e != 0 ? e : state_save(h->dir, &h->state, err);
    return e;
}

/* ---- the end ---- */

/* Kills the process that create made and waits until it is gone; others may be its parent. */
static void end_process(const struct container_state *s) {
    cleanup_fd int pidfd = s->pid > 0 ? (int)syscall(SYS_pidfd_open, s->pid, 0) : -1;
    if (pidfd >= 0 && state_alive(s)) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0); /* it may be gone by now */
        (void)poll(&p, 1, 10000);
    }
}

/* A create that was killed between making its groups and noting them: they are found by name. */
static void find_unnoted_cgroup(const struct runtime *rt, struct handle *h) {
    const struct cgroup_resources none = {0};
    char name[GROUP_NAME_MAX];
    group_name(rt, h->state.id, name);
    const struct cgroup_options options = {
        .path = h->target.c->linux_.cgroups_path, .id = name, .rootless = rt->rootless};
    struct err ignored = {0};
    if (cgroup_create(&options, &none, 0, &h->state.cgroup, &ignored) != 0) {
        h->state.cgroup = (struct cgroup){.mode = CGROUP_NONE}; /* another's, by now */
    }
}

int lifecycle_clear(const struct runtime *rt, struct handle *h, struct err *err) {
    struct err ignored = {0};
    bool half_made = h->state.status == STATUS_CREATING && h->state.pid == 0;
    if (half_made && h->state.cgroup.count == 0 && !rt->systemd_cgroup && h->ops != NULL) {
        find_unnoted_cgroup(rt, h);
    }
    if (h->state.status == STATUS_PAUSED) {
        (void)cgroup_freeze(&h->state.cgroup, false, &ignored); /* the kill will tell */
    }
    end_process(&h->state);
    int e = h->ops != NULL ? h->ops->destroy(&h->target, err) : 0;
    return e != 0 ? e : cgroup_destroy(&h->state.cgroup, err);
}
