/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Isolation `vm`: see vm.h.  Its monitors and their requests are the sandbox's, as the agent speaks
 * what a Sentry speaks; only what the monitor starts differs.
 */
#include "vm/vm.h"

#include "sandbox/foreground.h"
#include "sandbox/sentry.h"
#include "vm/machine.h"
#include "vm/net.h"

#include <errno.h>
#include <sys/stat.h>

/* Threads of the hypervisor and of the file server, monitors of the container and its execs. */
#define HOST_PROCESSES 64

static const struct sandbox_kind g_sandbox_vm = {
    .isolation = "vm", .noun = "the virtual machine", .start = machine_start, .root_alone = true};

static int vm_run(const struct container *c, const struct isolation_run *run, int *out_wait_status,
                  struct err *err) {
    const struct foreground f = {.kind = &g_sandbox_vm,
                                 .stdio = run->stdio,
                                 .log_fd = run->log_fd,
                                 .debug = run->debug,
                                 .log_json = run->log_json,
                                 .listen_fd = -1};
    return foreground_run(c, &f, out_wait_status, err);
}

/* Engines give the host's own network namespace by a path too (Docker); its interfaces are not to
 * be led into a machine. */
static bool is_hosts_network(const char *path) {
    static const char *const hosts[] = {"/proc/self/ns/net", "/proc/1/ns/net"};
    struct stat given, own;
    bool same = false;
    for (size_t i = 0; i < ARRAY_COUNT(hosts) && path != NULL && !same; i++) {
        same = stat(path, &given) == 0 && stat(hosts[i], &own) == 0 && given.st_dev == own.st_dev &&
               given.st_ino == own.st_ino;
    }
    return same;
}

/* What a machine cannot do yet is an error where the container would not be what was asked for, and
 * a warning where it is only less. */
static int check_fields(const struct container *c, const struct isolation_setup *setup,
                        struct err *err) {
    const struct oci_linux *l = &c->linux_;
    for (size_t i = 0; i < c->mount_count; i++) {
        if (c->mounts[i].idmap) {
            return err_set(
                err, -EOPNOTSUPP,
                "mounts[%zu]: isolation vm has no idmapped mounts: use --isolation native", i);
        }
    }
    if (c->hooks[HOOK_CREATE_CONTAINER].count + c->hooks[HOOK_START_CONTAINER].count > 0) {
        return err_set(err, -EOPNOTSUPP,
                       "hooks.createContainer and hooks.startContainer cannot run in a virtual "
                       "machine: use --isolation native");
    }
    if (!l->namespaces[NS_NETWORK].set || is_hosts_network(l->namespaces[NS_NETWORK].path)) {
        return err_set(err, -EOPNOTSUPP,
                       "linux.namespaces: a virtual machine cannot use the host's network: give "
                       "the container a namespace of type 'network', or use --isolation native");
    }
    return 0;
}

static int vm_create(const struct isolation_target *target, const struct isolation_setup *setup,
                     pid_t *out_pid, struct err *err) {
    int e = check_fields(target->c, setup, err);
    return e != 0 ? e : sandbox_create(target, setup, &g_sandbox_vm, out_pid, err);
}

static int vm_destroy(const struct isolation_target *target, struct err *err) {
    const char *path = target->c->linux_.namespaces[NS_NETWORK].path;
    int e = path != NULL ? net_clear(path, err) : 0;
    return e != 0 ? e : sentry_destroy(target, err);
}

static void add_overhead(struct cgroup_i64 *limit) {
    if (!limit->set || limit->value <= 0) {
        return;
    }
    uint64_t overhead = machine_guest_overhead((uint64_t)limit->value) + MACHINE_HOST_OVERHEAD;
    if (ckd_add(&limit->value, limit->value, (int64_t)overhead)) {
        limit->value = -1;
    }
}

/* The container's own limits hold inside the machine; the host's are the wall around it. */
static void vm_host_limits(struct cgroup_resources *r) {
    if (r->pids.set && r->pids.value > 0) {
        r->pids.value = HOST_PROCESSES;
    }
    add_overhead(&r->memory.limit);
    add_overhead(&r->memory.swap);
}

const struct isolation_ops g_isolation_vm = {
    .name = "vm",
    .run = vm_run,
    .create = vm_create,
    .start = sentry_start,
    .kill = sentry_kill,
    .exec = sentry_exec,
    .processes = sentry_processes,
    .pause = sentry_pause,
    .host_limits = vm_host_limits,
    .update = sentry_update,
    .stats = sentry_stats,
    .destroy = vm_destroy,
};
