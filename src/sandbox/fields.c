/* SPDX-License-Identifier: Apache-2.0 */
/* See fields.h; docs/oci.md has the table of all fields. */
#include "sandbox/fields.h"

#include "oci/ctlmsg.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    if (p->cpu_affinity.initial != NULL || p->cpu_affinity.final != NULL) {
        warn(k, "process.execCPUAffinity has no meaning under isolation sentry: left out");
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
    check_linux(&k, &c->linux_);
    if (c->linux_.seccomp.set && c->linux_.seccomp.listener_path != NULL) {
        return err_set(err, -ENOTSUP,
                       "linux.seccomp.listenerPath: notification of a supervisor is not supported "
                       "under isolation sentry: take SCMP_ACT_NOTIFY out of the profile");
    }
    return 0;
}
