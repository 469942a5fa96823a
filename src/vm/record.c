/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container of the host's as the guest has it: see record.h.  The root and the sources of binds
 * are the exports; namespaces with a path, CPU lists, block devices and devices that only the host
 * has stay behind; the host's seccomp profile comes as a program.
 */
#include "vm/record.h"

#include "host/cleanup.h"
#include "moat/agent.h"
#include "oci/carry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define EXPORT_PATH 32

/* The guest's view; what it does not own itself is the caller's container's. */
struct view {
    struct carried k;
    char root[EXPORT_PATH];
    char (*sources)[EXPORT_PATH];
    struct cgroup_device_rule *rules;
};

static bool guest_has(const struct oci_device *d) {
    /* misc(4): fuse and tun are kinds of devices, not one of the host's. */
    return ctlmsg_device_known(d) ||
           (d->type != 'b' && d->major == 10 && (d->minor == 229 || d->minor == 200));
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

int record_check_fields(const struct container *c, void (*warn)(void *arg, const char *message),
                        void *arg, struct err *err) {
    const struct oci_linux *l = &c->linux_;
    char text[512];
    for (size_t i = 0; i < c->mount_count; i++) {
        if (c->mounts[i].idmap) {
            return err_set(
                err, -EOPNOTSUPP,
                "mounts[%zu]: isolation vm has no idmapped mounts: use --isolation native", i);
        }
    }
    if (!l->namespaces[NS_NETWORK].set || is_hosts_network(l->namespaces[NS_NETWORK].path)) {
        return err_set(err, -EOPNOTSUPP,
                       "linux.namespaces: a virtual machine cannot use the host's network: give "
                       "the container a namespace of type 'network', or use --isolation native");
    }
    if (l->namespaces[NS_USER].path != NULL) {
        return err_set(err, -EOPNOTSUPP,
                       "linux.namespaces: a user namespace of the host cannot be joined from a "
                       "virtual machine: give uidMappings and gidMappings");
    }
    if (l->seccomp.set && l->seccomp.listener_path != NULL) {
        return err_set(err, -ENOTSUP,
                       "linux.seccomp.listenerPath: a supervisor on the host cannot be notified "
                       "from a virtual machine: take SCMP_ACT_NOTIFY out of the profile");
    }
    if (l->intel_rdt.set) {
        warn(arg, "linux.intelRdt is left out under isolation vm");
    }
    if (l->mount_label != NULL || c->process.selinux_label != NULL) {
        warn(arg, "process.selinuxLabel and linux.mountLabel are left out under isolation vm: the "
                  "guest's kernel has no SELinux policy");
    }
    if (c->process.apparmor_profile != NULL) {
        warn(arg, "process.apparmorProfile holds under isolation vm only where the guest's kernel "
                  "has that profile");
    }
    for (size_t i = 0; i < l->device_count; i++) {
        if (!guest_has(&l->devices[i])) {
            (void)snprintf(text, sizeof(text),
                           "linux.devices: %.200s is left out: isolation vm reaches no device of "
                           "the host",
                           l->devices[i].path); /* cut if need be */
            warn(arg, text);
        }
    }
    return 0;
}

/* ---- what the guest has of it ---- */

static int view_mounts(struct view *v, const struct container *c, uint32_t next_export) {
    struct container_mount *mounts = calloc(c->mount_count + 1, sizeof(*mounts));
    v->sources = calloc(c->mount_count + 1, sizeof(*v->sources));
    v->k.c.mounts = mounts;
    if (mounts == NULL || v->sources == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < c->mount_count; i++) {
        mounts[i] = c->mounts[i];
        if (mounts[i].kind == MOUNT_BIND) {
            (void)snprintf(v->sources[i], EXPORT_PATH, MOAT_AGENT_EXPORT_DIR "/%u",
                           next_export++); /* fits */
            mounts[i].source = v->sources[i];
            mounts[i].propagation = 0; /* nothing of the host comes later */
        }
    }
    return 0;
}

static int view_devices(struct view *v, const struct oci_linux *from) {
    struct oci_linux *l = &v->k.c.linux_;
    struct cgroup_resources *r = &l->resources;
    l->devices = calloc(from->device_count + 1, sizeof(*l->devices));
    v->rules = calloc(from->resources.device_count + 1, sizeof(*v->rules));
    l->device_count = r->device_count = 0;
    r->devices = v->rules;
    if (l->devices == NULL || v->rules == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < from->device_count; i++) {
        if (guest_has(&from->devices[i])) {
            l->devices[l->device_count++] = from->devices[i];
        }
    }
    for (size_t i = 0; i < from->resources.device_count; i++) {
        const struct cgroup_device_rule *d = &from->resources.devices[i];
        /* A disk of that number is another one there. */
        if (!(d->allow && d->type == 'b' && d->major >= 0)) {
            v->rules[r->device_count++] = *d;
        }
    }
    return 0;
}

/* The host's groups limit the machine as a whole; these are the container's own inside. */
static int view_limits(struct view *v, const struct cgroup_resources *from) {
    static const char *const inside[] = {"memory.", "cpu.", "pids."};
    struct cgroup_resources *r = &v->k.c.linux_.resources;
    r->cpu.cpus = r->cpu.mems = NULL; /* the host's numbers */
    r->cpu.realtime_period.set = r->cpu.realtime_runtime.set = false;
    r->hugepages = NULL;
    r->hugepage_count = 0;
    r->unified = calloc(from->unified_count + 1, sizeof(*r->unified));
    r->unified_count = 0;
    for (size_t i = 0; r->unified != NULL && i < from->unified_count; i++) {
        for (size_t k = 0; k < ARRAY_COUNT(inside); k++) {
            if (strncmp(from->unified[i].key, inside[k], strlen(inside[k])) == 0) {
                r->unified[r->unified_count++] = from->unified[i];
            }
        }
    }
    return r->unified != NULL ? 0 : -ENOMEM;
}

/* A container is always in namespaces of its own, but for the network, which is the machine's. */
static void view_namespaces(struct view *v) {
    static const enum oci_namespace own[] = {NS_PID, NS_MOUNT, NS_IPC, NS_UTS, NS_CGROUP};
    struct oci_namespace_entry *n = v->k.c.linux_.namespaces;
    for (int kind = 0; kind < NS_KINDS; kind++) {
        n[kind].path = NULL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(own); i++) {
        n[own[i]].set = true;
    }
    n[NS_NETWORK].set = false;
}

static int view_make(struct view *v, const struct ctlmsg_create *in, struct err *err) {
    const struct container *c = in->c;
    struct container *mine = &v->k.c;
    *mine = *c;
    mine->process = *in->p;
    mine->process.selinux_label = mine->linux_.mount_label = NULL;
    (void)snprintf(v->root, sizeof(v->root), MOAT_AGENT_EXPORT_DIR "/%u",
                   in->first_export); /* fits */
    mine->rootfs = v->root;
    /* Read-only on the host, it cannot get the mount points that an image lacks. */
    mine->overlay = c->root_readonly ? OVERLAY_MEMORY : c->overlay;
    v->k.state_json = (char *)(uintptr_t)(in->state_json != NULL ? in->state_json : "{}");
    v->k.no_new_keyring = in->no_new_keyring;
    view_namespaces(v);
    int e = view_mounts(v, c, in->first_export + 1);
    int f = view_devices(v, &c->linux_);
    int g = view_limits(v, &c->linux_.resources);
    if (e != 0 || f != 0 || g != 0) {
        return err_sys(err, -ENOMEM, "cannot describe the container to the virtual machine");
    }
    return c->linux_.seccomp.set ? seccomp_compile(&c->linux_.seccomp, &v->k.seccomp, err) : 0;
}

static void view_free(struct view *v) {
    free(v->k.c.mounts);
    free(v->sources);
    free(v->k.c.linux_.devices);
    free(v->rules);
    free(v->k.c.linux_.resources.unified);
    seccomp_program_free(&v->k.seccomp);
}

/* ---- the record ---- */

static int fill(const struct ctlmsg_create *in, char *buf, size_t *out_len, struct err *err) {
    struct moat_agent_create fixed;
    struct view v = {.sources = NULL};
    size_t room = MOAT_CTL_MSG_MAX - sizeof(fixed), used = 0;
    bool exec = in->exec_id != NULL;
    memset(&fixed, 0, sizeof(fixed));
    int e = ctlmsg_ref(&fixed.ref, exec ? MOAT_CTL_EXEC : MOAT_CTL_CREATE, 0, in->request_id,
                       in->c->id, in->exec_id);
    if (e != 0 || strlen(in->share != NULL ? in->share : "") >= sizeof(fixed.share)) {
        return err_sys(err, -ENAMETOOLONG, "container id '%s'", in->c->id);
    }
    if (in->share != NULL) {
        memcpy(fixed.share, in->share, strlen(in->share));
        fixed.share_flags = in->share_flags;
    }
    fixed.flags = in->p->terminal ? MOAT_PROC_TERMINAL : 0;
    if (exec) {
        e = carry_process_write(in->p, buf + sizeof(fixed), room, &used);
    } else {
        e = view_make(&v, in, err);
        e = e != 0 ? e : carry_container_write(&v.k, buf + sizeof(fixed), room, &used);
        view_free(&v);
    }
    *out_len = sizeof(fixed) + used;
    fixed.ref.h.size = (uint32_t)*out_len;
    memcpy(buf, &fixed, sizeof(fixed));
    return e == -E2BIG ? err_set(err, e,
                                 "the configuration, arguments and environment are larger than %u "
                                 "bytes: pass less of them",
                                 MOAT_CTL_MSG_MAX)
                       : e;
}

int record_build(const struct ctlmsg_create *in, void **out_buf, size_t *out_len, struct err *err) {
    cleanup_free char *buf = calloc(1, MOAT_CTL_MSG_MAX);
    int e = buf != NULL ? fill(in, buf, out_len, err)
                        : err_sys(err, -ENOMEM, "cannot describe the process");
    *out_buf = e == 0 ? steal_ptr(&buf) : NULL;
    return e;
}
