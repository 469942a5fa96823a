/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Isolation `vm`: see vm.h.  Its monitors and their requests are the sandbox's, as the agent speaks
 * what a Sentry speaks; only what the monitor starts differs.
 */
#include "vm/vm.h"

#include "host/cleanup.h"
#include "host/procfs.h"
#include "oci/customary.h"
#include "sandbox/foreground.h"
#include "sandbox/sentry.h"
#include "vm/jail.h"
#include "vm/machine.h"
#include "vm/net.h"
#include "vm/record.h"
#include "vm/rootless.h"
#include "vm/size.h"
#include "vm/stats.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Threads of the hypervisor and of the file server, monitors of the container and its execs. */
#define HOST_PROCESSES 64
#define KVM_MINOR      232 /* include/linux/miscdevice.h, as the next */
#define VSOCK_MINOR    241

static const struct sandbox_kind g_sandbox_vm = {.isolation = "vm",
                                                 .noun = "the virtual machine",
                                                 .start = machine_start,
                                                 .record = record_build,
                                                 .root_alone = true};

static const struct sandbox_kind g_sandbox_vm_sentry = {.isolation = "vm+sentry",
                                                        .noun = "the virtual machine",
                                                        .start = machine_start_sentry,
                                                        .record = record_build,
                                                        .root_alone = true};

static int run_kind(const struct sandbox_kind *kind, const struct container *c,
                    const struct isolation_run *run, int *out_wait_status, struct err *err) {
    const struct foreground f = {.kind = kind,
                                 .stdio = run->stdio,
                                 .log_fd = run->log_fd,
                                 .debug = run->debug,
                                 .log_json = run->log_json,
                                 .listen_fd = -1};
    struct customary completed;
    /* First: in the guest there is a real root, whoever the user of the host is. */
    int e = rootless_enter(err);
    if (e != 0) {
        return e;
    }
    e = customary_complete(c, &completed, err);
    e = e != 0 ? e : foreground_run(&completed.c, &f, out_wait_status, err);
    customary_free(&completed);
    return e;
}

static int vm_run(const struct container *c, const struct isolation_run *run, int *out_wait_status,
                  struct err *err) {
    return run_kind(&g_sandbox_vm, c, run, out_wait_status, err);
}

static int vm_sentry_run(const struct container *c, const struct isolation_run *run,
                         int *out_wait_status, struct err *err) {
    return run_kind(&g_sandbox_vm_sentry, c, run, out_wait_status, err);
}

static int create_kind(const struct sandbox_kind *kind, const struct isolation_target *target,
                       const struct isolation_setup *setup, pid_t *out_pid, struct err *err) {
    int e = record_check_fields(target->c, setup->warn, setup->arg, err);
    return e != 0 ? e : sandbox_create(target, setup, kind, out_pid, err);
}

static int vm_create(const struct isolation_target *target, const struct isolation_setup *setup,
                     pid_t *out_pid, struct err *err) {
    return create_kind(&g_sandbox_vm, target, setup, out_pid, err);
}

static int vm_sentry_create(const struct isolation_target *target,
                            const struct isolation_setup *setup, pid_t *out_pid, struct err *err) {
    return create_kind(&g_sandbox_vm_sentry, target, setup, out_pid, err);
}

/* startContainer hooks are the guest's. */
static int vm_start(const struct isolation_target *target, struct err *err) {
    struct moat_ctl_reply reply;
    struct moat_ctl_ref msg;
    return sentry_request(target, &msg, sizeof(msg), MOAT_CTL_START, &reply, sizeof(reply), err);
}

static int vm_exec(const struct isolation_target *target, struct container_process *process,
                   const struct isolation_setup *setup, pid_t *out_pid, struct err *err) {
    return sandbox_exec(target, process, setup, &g_sandbox_vm, out_pid, err);
}

static int vm_sentry_exec(const struct isolation_target *target, struct container_process *process,
                          const struct isolation_setup *setup, pid_t *out_pid, struct err *err) {
    return sandbox_exec(target, process, setup, &g_sandbox_vm_sentry, out_pid, err);
}

/* The user id of the machine, whose monitor has ended; -1 when its number is another process's.
 */
static uid_t owner_of(const struct isolation_target *target) {
    char path[64], text[1024];
    unsigned long long start = target->pid_start;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)target->pid); /* fits */
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    text[n > 0 ? n : 0] = '\0';
    const char *field = procfs_stat_field(text, 22);
    if (field != NULL) { /* else it is gone */
        start = strtoull(field, NULL, 10);
    }
    return target->pid > 0 && start == target->pid_start ? jail_user(target->pid) : (uid_t)-1;
}

static int vm_destroy(const struct isolation_target *target, struct err *err) {
    const char *path = target->c->linux_.namespaces[NS_NETWORK].path;
    int e = path != NULL ? net_clear(path, owner_of(target), err) : 0;
    return e != 0 ? e : sentry_destroy(target, err);
}

static void add_overhead(struct cgroup_i64 *limit) {
    if (!limit->set || limit->value <= 0) {
        return;
    }
    uint64_t overhead = machine_guest_overhead((uint64_t)limit->value) + MACHINE_SENTRY_OVERHEAD +
                        MACHINE_HOST_OVERHEAD;
    if (ckd_add(&limit->value, limit->value, (int64_t)overhead)) {
        limit->value = -1;
    }
}

/* What a machine's processes open on the host beside the default devices; which ones the container
 * may use is said to the guest. */
static struct cgroup_device_rule g_host_devices[] = {
    {.allow = true, .type = 'c', .major = 10, .minor = KVM_MINOR, .read = true, .write = true},
    {.allow = true, .type = 'c', .major = 10, .minor = VSOCK_MINOR, .read = true, .write = true},
};

/* The container's own limits hold inside the machine; the host's are the wall around it. */
static void vm_host_limits(struct cgroup_resources *r) {
    r->devices = g_host_devices;
    r->device_count = ARRAY_COUNT(g_host_devices);
    if (r->pids.set && r->pids.value > 0) {
        r->pids.value = HOST_PROCESSES;
    }
    add_overhead(&r->memory.limit);
    add_overhead(&r->memory.swap);
}

static int vm_update(const struct isolation_target *target,
                     const struct cgroup_resources *resources, struct err *err) {
    int e = vm_size_check_update(target->c, resources, err);
    return e != 0 ? e : sentry_update(target, resources, err);
}

#define VM_SHARED                                                                                  \
    .start = vm_start, .kill = sentry_kill, .processes = sentry_processes, .pause = sentry_pause,  \
    .host_limits = vm_host_limits, .update = vm_update, .stats = vm_stats, .destroy = vm_destroy

const struct isolation_ops g_isolation_vm = {
    .name = "vm", .run = vm_run, .create = vm_create, .exec = vm_exec, VM_SHARED};

const struct isolation_ops g_isolation_vm_sentry = {.name = "vm+sentry",
                                                    .run = vm_sentry_run,
                                                    .create = vm_sentry_create,
                                                    .exec = vm_sentry_exec,
                                                    VM_SHARED};
