/* SPDX-License-Identifier: Apache-2.0 */
/* See fields.h; docs/oci.md has the table of all fields. */
#include "sandbox/fields.h"

#include "oci/ctlmsg.h"
#include "sandbox/pod.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

struct checking {
    void (*warn)(void *arg, const char *message);
    void *arg;
};

static void warn(const struct checking *k, const char *format, ...) printf_like(2, 3);
static void warn(const struct checking *k, const char *format, ...) {
    char text[512];
    va_list args;
    if (k->warn == NULL) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* a long name is cut */
    va_end(args);
    k->warn(k->arg, text);
}

static void check_devices(const struct checking *k, const struct oci_linux *l) {
    for (size_t i = 0; i < l->device_count; i++) {
        const struct oci_device *d = &l->devices[i];
        if (!ctlmsg_device_known(d)) {
            warn(
                k,
                "linux.devices: %s (%c %lld:%lld) is left out: under isolation sentry no device of "
                "the host can be reached",
                d->path, d->type, (long long)d->major, (long long)d->minor);
        }
    }
}

static void check_mounts(const struct checking *k, const struct container *c) {
    for (size_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        if ((m->propagation & (MS_SHARED | MS_SLAVE)) != 0) {
            warn(k,
                 "mounts: %s: mounts that come later do not propagate under isolation sentry: what "
                 "the host has there now is seen",
                 m->target);
        }
        if (m->super_flags != 0) {
            warn(k, "mounts: %s: sync, dirsync and lazytime have no effect under isolation sentry",
                 m->target);
        }
        if (m->idmap) {
            warn(k,
                 "mounts: %s: its ids are not mapped for it alone: under isolation sentry they are "
                 "the container's",
                 m->target);
        }
    }
}

static void check_process(const struct checking *k, const struct container_process *p) {
    if (p->apparmor_profile != NULL || p->selinux_label != NULL) {
        warn(k, "process.apparmorProfile and selinuxLabel are for the host's kernel, which the "
                "container's programs never reach under isolation sentry: left out");
    }
    if (p->scheduler.set && (p->scheduler.flags | p->scheduler.runtime) != 0) {
        warn(k, "process.scheduler: flags, runtime, deadline and period have no effect under "
                "isolation sentry");
    }
    if (p->cpu_affinity.initial != NULL || p->cpu_affinity.final != NULL) {
        warn(k, "process.execCPUAffinity has no meaning under isolation sentry: left out");
    }
}

/* The application kernel has its own of each; what the host shows is not let in. */
static void check_namespaces(const struct checking *k, const struct container *c) {
    const struct oci_namespace_entry *n = c->linux_.namespaces;
    if (!n[NS_PID].set) {
        warn(k, "linux.namespaces has none of type 'pid', but under isolation sentry the host's "
                "processes stay out of sight");
    }
    if (!n[NS_NETWORK].set) {
        warn(k, "linux.namespaces has none of type 'network', but under isolation sentry the "
                "host's network cannot be used yet");
    }
    if (!n[NS_IPC].set) {
        warn(k, "linux.namespaces has none of type 'ipc', but under isolation sentry the host's "
                "shared memory and queues stay out of reach");
    }
    if (n[NS_MOUNT].path != NULL || n[NS_CGROUP].path != NULL || n[NS_TIME].path != NULL ||
        (n[NS_PID].path != NULL && pod_id(c) == NULL)) {
        warn(k, "linux.namespaces: under isolation sentry only network, uts, ipc and user "
                "namespaces can be joined, and pid ones within a pod: others are the container's "
                "own");
    }
    if ((c->linux_.rootfs_propagation & (MS_SHARED | MS_SLAVE)) != 0) {
        warn(k, "linux.rootfsPropagation has no effect under isolation sentry");
    }
}

static void check_linux(const struct checking *k, const struct oci_linux *l) {
    if (l->intel_rdt.set) {
        warn(k, "linux.intelRdt is left out under isolation sentry");
    }
    if (l->net_device_count > 0) {
        warn(k, "linux.netDevices is left out under isolation sentry");
    }
    if (l->boottime.set || l->monotonic.set) {
        warn(k, "linux.timeOffsets is left out under isolation sentry");
    }
    if (l->mount_label != NULL) {
        warn(k, "linux.mountLabel is left out under isolation sentry");
    }
}

int fields_check(const struct container *c, void (*warn_fn)(void *arg, const char *message),
                 void *arg, struct err *err) {
    const struct checking k = {.warn = warn_fn, .arg = arg};
    check_devices(&k, &c->linux_);
    check_mounts(&k, c);
    check_process(&k, &c->process);
    check_namespaces(&k, c);
    check_linux(&k, &c->linux_);
    if (c->linux_.seccomp.set && c->linux_.seccomp.listener_path != NULL) {
        return err_set(
            err, -ENOTSUP,
            "linux.seccomp.listenerPath: an agent on the host cannot answer calls that the "
            "application kernel serves: take SCMP_ACT_NOTIFY out of the profile, or use "
            "isolation native");
    }
    return 0;
}
