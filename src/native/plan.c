/* SPDX-License-Identifier: Apache-2.0 */
/* Listing the set-up steps: see plan.h.  The order is what makes them safe; each group says why. */
#include "native/plan.h"

#include "host/cleanup.h"
#include "host/mounts.h"
#include "native/lsm.h"
#include "native/namespaces.h"
#include "native/sync.h"
#include "native/volume.h"
#include "oci/names.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* Collects; after the first failure nothing is added any more. */
struct plan {
    const struct plan_input *in;
    struct setup_plan *out;
    struct err *err;
    int e;
    uint64_t all, fresh; /* CLONE_NEW* */
};

static void add_full(struct plan *p, struct setup_op op) {
    if (p->e != 0) {
        cleanup_fd_fn(&op.fd);
        return;
    }
    p->e = setup_plan_add(p->out, op);
    if (p->e != 0) {
        (void)err_sys(p->err, p->e, "cannot list the set-up steps"); /* p->e is returned */
    }
}

static void add(struct plan *p, enum setup_kind kind, const char *subject, const void *arg,
                uint64_t value) {
    add_full(p, (struct setup_op){kind, subject != NULL ? subject : "", arg, -1, value});
}

bool plan_has_runtime_hooks(const struct container *c) {
    return c->hooks[HOOK_PRESTART].count + c->hooks[HOOK_CREATE_RUNTIME].count > 0;
}

/* ---- what this host or isolation cannot do ---- */

static int check_process(const struct plan_input *in, struct err *err) {
    if (in->process->terminal && in->how->console_socket < 0) {
        return err_set(err, -EINVAL,
                       "process.terminal needs somebody who takes the terminal: give "
                       "--console-socket");
    }
    return lsm_check(in->process, in->how, err);
}

static int check_container(const struct plan_input *in, struct err *err) {
    const struct oci_linux *l = &in->c->linux_;
    if (!l->namespaces[NS_MOUNT].set) {
        return err_set(err, -EINVAL,
                       "isolation native needs a mount namespace: add one of type "
                       "'mount' to linux.namespaces");
    }
    if (geteuid() != 0 && !l->namespaces[NS_USER].set) {
        return err_set(err, -EPERM,
                       "isolation native needs root, or a user namespace in "
                       "linux.namespaces (moat spec --rootless writes one)");
    }
    return check_process(in, err);
}

/* ---- namespaces ---- */

/* The cgroup namespace's root is the group that its maker is in; a time namespace takes offsets
 * before a process enters; and what an ipc namespace holds belongs to its maker's user. */
uint64_t plan_late_namespaces(const struct oci_linux *l) {
    uint64_t fresh = namespaces_new(l);
    uint64_t ipc = (fresh & CLONE_NEWUSER) != 0 ? CLONE_NEWIPC : 0;
    return fresh & (CLONE_NEWCGROUP | CLONE_NEWTIME | ipc);
}

/* The mount namespace comes last: paths of others were opened already, but /proc is the host's
 * until then. */
static void add_joins(struct plan *p) {
    static const enum oci_namespace order[] = {NS_USER, NS_IPC,    NS_UTS,  NS_NETWORK,
                                               NS_PID,  NS_CGROUP, NS_TIME, NS_MOUNT};
    for (size_t i = 0; i < ARRAY_COUNT(order) && p->e == 0 && !p->in->helper; i++) {
        const struct oci_namespace_entry *ns = &p->in->c->linux_.namespaces[order[i]];
        if (!ns->set || ns->path == NULL) {
            continue;
        }
        int fd = namespace_open(ns->path, order[i], p->err);
        if (fd < 0) {
            p->e = fd;
            return;
        }
        add_full(p, (struct setup_op){SETUP_JOIN, namespace_name(order[i]), NULL, fd,
                                      namespace_flag(order[i])});
    }
}

/* With a user namespace before its ids are taken on: the path of the root may lead through folders
 * that are open to the caller alone. */
static void add_root(struct plan *p) {
    const struct container *c = p->in->c;
    uint32_t wanted = c->linux_.rootfs_propagation;
    bool shared = (wanted & MS_SHARED) != 0;
    uint32_t first = shared || (wanted & MS_PRIVATE) != 0
                         ? (wanted & (MS_SHARED | MS_PRIVATE)) | MS_REC
                         : MS_SLAVE | MS_REC;
    add(p, SETUP_PROPAGATION, NULL, NULL, first);
    if (c->overlay == OVERLAY_NONE) {
        add(p, SETUP_ROOT, c->rootfs, NULL, shared);
    }
}

static void add_keyring(struct plan *p) {
    enum lsm_label kind;
    const char *label = lsm_label(p->in->process, &kind);
    if (!p->in->how->no_new_keyring) {
        add(p, SETUP_KEYRING, NULL, kind == LSM_SELINUX ? label : NULL, 0);
    }
}

static void add_namespaces(struct plan *p) {
    const struct oci_linux *l = &p->in->c->linux_;
    bool alone = (p->fresh & CLONE_NEWPID) != 0;
    if ((p->fresh & CLONE_NEWUSER) != 0) {
        add(p, SETUP_AWAIT, "to map the ids", NULL, STAGE_MAPPED);
    }
    if ((p->all & CLONE_NEWUSER) != 0) {
        add(p, SETUP_BECOME_ROOT, NULL, NULL, alone);
    }
    if ((plan_late_namespaces(&p->in->c->linux_) & CLONE_NEWIPC) != 0) {
        add(p, SETUP_UNSHARE, "of type ipc", NULL, CLONE_NEWIPC);
    }
    if (p->in->protect_inside) {
        add(p, SETUP_PROTECT, NULL, NULL, 0);
    }
    add_joins(p);
    add(p, SETUP_SESSION, NULL, NULL, 0);
    add_keyring(p);
    if ((p->fresh & CLONE_NEWTIME) != 0) {
        add(p, SETUP_TIME_NAMESPACE, NULL, l, 0);
    }
    if ((p->fresh & CLONE_NEWNET) != 0) {
        add(p, SETUP_LOOPBACK, NULL, NULL, 0);
    }
    if (p->in->c->hostname != NULL && (p->all & CLONE_NEWUTS) != 0) {
        add(p, SETUP_HOSTNAME, p->in->c->hostname, NULL, 0);
    }
    if (p->in->c->domainname != NULL && (p->all & CLONE_NEWUTS) != 0) {
        add(p, SETUP_DOMAINNAME, p->in->c->domainname, NULL, 0);
    }
}

/* ---- mounts ---- */

static int idmap_userns(struct plan *p, const struct container_mount *m) {
    const struct oci_linux *l = &p->in->c->linux_;
    const struct oci_mapping_list *uids = &m->uid_mappings, *gids = &m->gid_mappings;
    if (uids->count == 0 && gids->count == 0) {
        uids = &l->uid_mappings;
        gids = &l->gid_mappings;
    }
    return namespaces_make_user(p->in->proc, uids, gids, p->err);
}

static void add_bind(struct plan *p, const struct container_mount *m) {
    cleanup_fd int userns = m->idmap ? idmap_userns(p, m) : -1;
    bool set = false;
    if (m->idmap && userns < 0) {
        p->e = userns;
        return;
    }
    int tree = volume_open(p->in->c, m, userns, &set, p->err);
    if (tree < 0 && p->err->code != 0) {
        p->e = tree;
        return;
    }
    add_full(p, (struct setup_op){SETUP_MOUNT, m->target, m, tree >= 0 ? tree : -1, set});
}

static bool is_dev(const struct container_mount *m) {
    return strcmp(m->target, "/dev") == 0;
}

static void add_mounts(struct plan *p) {
    const struct container *c = p->in->c;
    for (size_t i = 0; i < c->mount_count && p->e == 0; i++) {
        const struct container_mount *m = &c->mounts[i];
        if (m->kind == MOUNT_BIND) {
            add_bind(p, m);
        } else if (strcmp(m->fstype, "cgroup") == 0 || strcmp(m->fstype, "cgroup2") == 0) {
            add(p, SETUP_MOUNT_CGROUP, m->target, m, (p->all & CLONE_NEWCGROUP) != 0);
        } else {
            add(p, SETUP_MOUNT, m->target, m, is_dev(m));
        }
    }
}

/* ---- /dev ---- */

/* config-linux.md "Default Devices". */
static const struct oci_device g_default_devices[] = {
    {"/dev/null", 'c', 1, 3, 0666, 0, 0},    {"/dev/zero", 'c', 1, 5, 0666, 0, 0},
    {"/dev/full", 'c', 1, 7, 0666, 0, 0},    {"/dev/random", 'c', 1, 8, 0666, 0, 0},
    {"/dev/urandom", 'c', 1, 9, 0666, 0, 0}, {"/dev/tty", 'c', 5, 0, 0666, 0, 0},
};

static bool lists_device(const struct container *c, const char *path) {
    for (size_t i = 0; i < c->linux_.device_count; i++) {
        if (strcmp(c->linux_.devices[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* A /dev that is bound from the host, or shown through a mount of the user's, is left alone. */
static bool dev_is_bound(const struct container *c) {
    for (size_t i = 0; i < c->mount_count; i++) {
        if (c->mounts[i].kind == MOUNT_BIND && is_dev(&c->mounts[i])) {
            return true;
        }
    }
    return false;
}

static void add_devices(struct plan *p) {
    /* runtime-linux.md "Dev symbolic links". */
    static const char *const links[][2] = {{"/dev/fd", "/proc/self/fd"},
                                           {"/dev/stdin", "/proc/self/fd/0"},
                                           {"/dev/stdout", "/proc/self/fd/1"},
                                           {"/dev/stderr", "/proc/self/fd/2"}};
    const struct container *c = p->in->c;
    if (dev_is_bound(c)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_default_devices); i++) {
        const struct oci_device *d = &g_default_devices[i];
        if (!lists_device(c, d->path)) {
            add(p, SETUP_DEVICE, d->path, d, 0);
        }
    }
    for (size_t i = 0; i < c->linux_.device_count; i++) {
        add(p, SETUP_DEVICE, c->linux_.devices[i].path, &c->linux_.devices[i], 0);
    }
    for (size_t i = 0; i < ARRAY_COUNT(links); i++) {
        add(p, SETUP_DEV_LINK, links[i][0], links[i][1], 0);
    }
    add(p, SETUP_DEV_LINK, "/dev/ptmx", "pts/ptmx", 1);
}

/* ---- closing what is open ---- */

static void add_readonly(struct plan *p) {
    const struct container *c = p->in->c;
    const struct oci_linux *l = &c->linux_;
    for (size_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        bool readonly = (m->attr_set & MOUNT_ATTR_RDONLY) != 0;
        if (m->kind == MOUNT_TYPED && is_dev(m) && readonly) {
            add(p, SETUP_REMOUNT_READONLY, m->target, NULL, 0);
        }
    }
    if (c->root_readonly) {
        add(p, SETUP_REMOUNT_READONLY, "/", NULL, 0);
    }
    for (size_t i = 0; i < l->sysctl.count; i++) {
        add(p, SETUP_SYSCTL, l->sysctl.items[i].key, l->sysctl.items[i].value, 0);
    }
    for (size_t i = 0; i < l->readonly_paths.count; i++) {
        add(p, SETUP_READONLY_PATH, l->readonly_paths.items[i], NULL, 0);
    }
    for (size_t i = 0; i < l->masked_paths.count; i++) {
        add(p, SETUP_MASKED_PATH, l->masked_paths.items[i], NULL, 0);
    }
}

/* ---- the process ---- */

static void add_limits(struct plan *p) {
    const struct container_process *process = p->in->process;
    const struct oci_linux *l = &p->in->c->linux_;
    if (l->personality_set) {
        add(p, SETUP_PERSONALITY, NULL, NULL, l->personality);
    }
    if (process->scheduler.set) {
        add(p, SETUP_SCHEDULER, NULL, &process->scheduler, 0);
    }
    if (process->io_priority.set) {
        add(p, SETUP_IO_PRIORITY, NULL, &process->io_priority, 0);
    }
    add(p, SETUP_STDIO, NULL, NULL, 0);
}

static void add_label_open(struct plan *p) {
    enum lsm_label kind;
    const char *label = lsm_label(p->in->process, &kind);
    if (label != NULL) {
        add(p, SETUP_LSM_OPEN, label, NULL, kind);
    }
}

/* Before the start is awaited, so that `create` tells of a label that the kernel does not know. */
static void add_label(struct plan *p) {
    for (size_t i = 0; i < p->out->count && p->e == 0; i++) {
        const struct setup_op op = p->out->ops[i];
        if (op.kind == SETUP_LSM_OPEN) {
            add(p, SETUP_LSM_LABEL, op.subject, NULL, op.value);
            return;
        }
    }
}

/*
 * The last steps, in this order: limits need rights; without no_new_privs the filter does too, with
 * it the filter comes last so that it sees only execve; descriptors are closed before the working
 * directory is entered, which is entered as the user.
 */
static void add_program(struct plan *p) {
    const struct container_process *process = p->in->process;
    bool filter = p->in->c->linux_.seccomp.set;
    for (size_t i = 0; i < process->rlimit_count; i++) {
        add(p, SETUP_RLIMIT, oci_name_of(g_oci_rlimits, process->rlimits[i].resource),
            &process->rlimits[i], 0);
    }
    if (process->cpu_affinity.final != NULL) {
        add(p, SETUP_AFFINITY, process->cpu_affinity.final, NULL, 0);
    }
    add(p, SETUP_CLOSE_FDS, NULL, NULL, 0);
    if (filter && !process->no_new_privs) {
        add(p, SETUP_SECCOMP, NULL, NULL, 0);
    }
    add(p, SETUP_BOUNDING_SET, NULL, NULL, 0);
    add(p, SETUP_IDENTITY, NULL, NULL, 0);
    add(p, SETUP_WORKING_DIRECTORY, process->cwd, NULL, 0);
    add(p, SETUP_CAPABILITIES, NULL, NULL, 0);
    if (p->in->early && p->in->target_pidfd < 0) {
        add(p, SETUP_END_WITH_RUNTIME, NULL, NULL, 0);
    }
    if (process->no_new_privs) {
        add(p, SETUP_NO_NEW_PRIVS, NULL, NULL, 0);
    }
    if (p->in->enter_late) {
        add(p, SETUP_ENTER_PID_NAMESPACE, NULL, NULL, 0);
        add(p, SETUP_SESSION, NULL, NULL, 0);
    }
    if (p->in->enter_late && process->terminal) {
        add(p, SETUP_CONTROLLING_TERMINAL, NULL, NULL, 0);
    }
    if (filter && process->no_new_privs) {
        add(p, SETUP_SECCOMP, NULL, NULL, 0);
    }
    add(p, SETUP_EXEC, process->args.items[0], NULL, 0);
}

static void add_hooks(struct plan *p, enum hook_stage stage, const char *name, bool created) {
    if (p->in->c->hooks[stage].count > 0) {
        add(p, SETUP_HOOKS, name, &p->in->c->hooks[stage], created);
    }
}

/* What lies in the root, up to the hooks that may add to it. */
static void add_inside(struct plan *p) {
    const struct plan_input *in = p->in;
    if (in->own_groups == NULL) {
        add(p, SETUP_AWAIT, "to fill the control groups", NULL, STAGE_GROUPS);
    }
    if ((p->fresh & CLONE_NEWCGROUP) != 0) {
        add(p, SETUP_UNSHARE, "of type cgroup", NULL, CLONE_NEWCGROUP);
    }
    add_mounts(p);
    add_devices(p);
    add(p, SETUP_MAKE_DIRECTORY, in->process->cwd, NULL, 0);
    if (in->process->terminal) {
        add(p, SETUP_CONSOLE, NULL, NULL, 1);
        add(p, SETUP_CONTROLLING_TERMINAL, NULL, NULL, 0);
    }
    if (plan_has_runtime_hooks(in->c)) {
        if (in->own_groups != NULL) {
            add(p, SETUP_AWAIT, "to set what it alone can", NULL, STAGE_GROUPS);
        }
        add(p, SETUP_RUNTIME_HOOKS, NULL, NULL, STAGE_HOOKS);
    }
    add_hooks(p, HOOK_CREATE_CONTAINER, "createContainer", false);
}

int plan_container(const struct plan_input *in, struct setup_plan *out, struct err *err) {
    struct plan p = {.in = in,
                     .out = out,
                     .err = err,
                     .all = namespaces_of(&in->c->linux_),
                     .fresh = namespaces_new(&in->c->linux_)};
    p.e = check_container(in, err);
    add_label_open(&p);
    if (in->own_groups != NULL) {
        add(&p, SETUP_GROUPS, NULL, in->own_groups, 0);
    }
    bool user = (p.all & CLONE_NEWUSER) != 0;
    if (user) {
        add_root(&p);
    }
    add_namespaces(&p);
    if (!user) {
        add_root(&p);
    }
    if (in->c->overlay == OVERLAY_MEMORY) {
        add(&p, SETUP_ROOT_OVERLAY, in->c->rootfs, NULL, 0);
    }
    add_inside(&p);
    /* After the hooks, which may fill the root; while the host's /dev/null can still be mounted. */
    add_readonly(&p);
    add(&p, in->how->no_pivot ? SETUP_CHROOT : SETUP_PIVOT, NULL, NULL, 0);
    if (in->c->linux_.rootfs_propagation != 0) {
        add(&p, SETUP_ROOT_PROPAGATION, NULL, NULL, in->c->linux_.rootfs_propagation);
    }
    if (in->own_groups != NULL && !plan_has_runtime_hooks(in->c)) {
        add(&p, SETUP_AWAIT, "to set what it alone can", NULL, STAGE_GROUPS);
    }
    add_limits(&p);
    add_label(&p);
    add(&p, SETUP_FIND_PROGRAM, NULL, NULL, 0);
    if (!in->early) {
        add(&p, SETUP_AWAIT_START, NULL, NULL, 0);
    }
    add_hooks(&p, HOOK_START_CONTAINER, "startContainer", true);
    add_program(&p);
    return p.e;
}

int plan_exec(const struct plan_input *in, struct setup_plan *out, struct err *err) {
    struct plan p = {.in = in, .out = out, .err = err, .all = namespaces_of(&in->c->linux_)};
    p.e = check_process(in, err);
    add_label_open(&p);
    if (in->own_groups != NULL) {
        add(&p, SETUP_GROUPS, NULL, in->own_groups, 0);
    } else {
        add(&p, SETUP_AWAIT, "to fill the control groups", NULL, STAGE_GROUPS);
    }
    if (in->process->cpu_affinity.initial != NULL) {
        add(&p, SETUP_AFFINITY, in->process->cpu_affinity.initial, NULL, 0);
    }
    add_full(&p, (struct setup_op){SETUP_JOIN_PROCESS, "", NULL,
                                   fcntl(in->target_pidfd, F_DUPFD_CLOEXEC, 3),
                                   /* a helper joined the user namespace already */
                                   in->helper ? p.all & ~(uint64_t)CLONE_NEWUSER : p.all});
    if ((p.all & CLONE_NEWUSER) != 0) {
        add(&p, SETUP_BECOME_ROOT, NULL, NULL, 0);
    }
    if (in->protect_inside) {
        add(&p, SETUP_PROTECT, NULL, NULL, 0);
    }
    if (!in->enter_late) {
        add(&p, SETUP_SESSION, NULL, NULL, 0);
    }
    add_keyring(&p);
    if (in->process->terminal) {
        add(&p, SETUP_CONSOLE, NULL, NULL, 0);
    }
    if (in->process->terminal && !in->enter_late) {
        add(&p, SETUP_CONTROLLING_TERMINAL, NULL, NULL, 0);
    }
    if (in->own_groups != NULL) {
        add(&p, SETUP_AWAIT, "to set what it alone can", NULL, STAGE_GROUPS);
    }
    add_limits(&p);
    add_label(&p);
    add(&p, SETUP_FIND_PROGRAM, NULL, NULL, 0);
    add_program(&p);
    return p.e;
}
