/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step that mounts control groups for the container: see setup_ops.def.
 *
 * v2: the hierarchy itself (its root is the container's group in a cgroup namespace).  v1: a tmpfs
 * with one folder a hierarchy, in a cgroup namespace a mount of the hierarchy, else a bind of the
 * container's own group.  Symlinks such as cpu -> cpu,cpuacct are those that the host has.
 */
#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/path.h"
#include "native/setup.h"
#include "native/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_CGROUPS "/sys/fs/cgroup"

/*
 * A single thread that moves itself spares the kernel a lock over all forks, and so the grace
 * period of milliseconds that another process has to wait for (cgroup v1, "tasks"; v2 has
 * CLONE_INTO_CGROUP). op->arg is a struct cgroup with the groups to enter; the host's /proc and
 * /sys are seen still.
 */
int setup_groups(struct setup *s, const struct setup_op *op, struct err *err) {
    return cgroup_enter(op->arg, getpid(), err);
}

static int attach_new(const char *fstype, const char *options, uint64_t attrs, int target,
                      struct err *err) {
    cleanup_fd int mnt = mount_fs_open(fstype, "cgroup", options, NULL, attrs, err);
    if (mnt == -ENOSYS) {
        return mount_fs_legacy(fstype, "cgroup", options, attrs, 0, target);
    }
    return mnt >= 0 ? mount_tree_attach(mnt, target) : mnt;
}

static int attach_bind(const char *dir, uint64_t attrs, int target, struct err *err) {
    const struct mount_attrs set = {
        .tree_set = attrs, .propagation = MS_PRIVATE | MS_REC, .userns = -1};
    /* With what is mounted below: a user namespace may not look under mounts that it was given. */
    cleanup_fd int tree = mount_tree_open(AT_FDCWD, dir, true);
    if (tree < 0) {
        return err_sys(err, tree, "cannot bind %s", dir);
    }
    int e = mount_set_attrs(tree, &set, err);
    return e != 0 ? e : mount_tree_attach(tree, target);
}

static int mount_v2(const struct setup *s, int target, uint64_t attrs, struct err *err) {
    struct err cause = {0};
    int e = attach_new("cgroup2", NULL, attrs, target, &cause);
    if (e == -EPERM || e == -EBUSY) { /* a user namespace without a cgroup namespace of its own */
        const char *dir = s->cgroup->count > 0 ? s->cgroup->at[0].dir : HOST_CGROUPS;
        return attach_bind(dir, attrs, target, err);
    }
    return e == 0 ? 0 : err_set(err, e, "%s", cause.msg);
}

/* "cpu,cpuacct" of /sys/fs/cgroup/cpu,cpuacct/group: the folder that the hierarchy is mounted on.
 */
static const char *hierarchy_name(const struct setup *s, size_t i, char out[64]) {
    const char *dir = s->cgroup->at[i].dir;
    size_t skip = strlen(HOST_CGROUPS "/");
    if (strncmp(dir, HOST_CGROUPS "/", skip) == 0) {
        (void)snprintf(out, 64, "%.*s", (int)strcspn(dir + skip, "/"), dir + skip);
        return out;
    }
    const char *name = s->cgroup->at[i].name;
    (void)snprintf(out, 64, "%s", strncmp(name, "name=", 5) == 0 ? name + 5 : name);
    return out;
}

static int mount_hierarchy(const struct setup *s, size_t i, int base, uint64_t attrs,
                           bool namespaced, struct err *err) {
    char folder[64], own[64];
    const char *name = s->cgroup->at[i].name;
    (void)hierarchy_name(s, i, folder);
    if (mkdirat(base, folder, 0755) != 0 && errno != EEXIST) {
        return err_sys(err, -errno, "cannot make the folder %s", folder);
    }
    int e = 0;
    struct stat st;
    cleanup_fd int target = openat(base, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_fd int parent = openat(target, "..", O_PATH | O_CLOEXEC);
    struct stat base_st;
    if (target < 0 || parent < 0 || fstat(target, &st) != 0 || fstat(base, &base_st) != 0) {
        return err_sys(err, -errno, "cannot open the folder %s", folder);
    }
    if (st.st_dev == base_st.st_dev) { /* the first controller of the hierarchy mounts it */
        bool unified = name[0] == '\0';
        e = !namespaced ? attach_bind(s->cgroup->at[i].dir, attrs, target, err)
            : unified   ? attach_new("cgroup2", NULL, attrs, target, err)
            : strncmp(name, "name=", 5) == 0
                ? attach_new("cgroup", (snprintf(own, sizeof(own), "none,%s", name), own), attrs,
                             target, err)
                : attach_new("cgroup", folder, attrs, target, err);
    }
    bool alias = strcmp(folder, name) != 0 && name[0] != '\0' && strncmp(name, "name=", 5) != 0;
    if (e == 0 && alias && symlinkat(folder, base, name) != 0 && errno != EEXIST) {
        e = err_sys(err, -errno, "cannot make the link %s", name);
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot mount the hierarchy %s", folder);
}

static int mount_v1(struct setup *s, int target, uint64_t attrs, bool namespaced, struct err *err) {
    const struct mount_attrs readonly = {.set = attrs & MOUNT_ATTR_RDONLY, .userns = -1};
    uint64_t base_attrs = (attrs | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC) &
                          ~(uint64_t)MOUNT_ATTR_RDONLY;
    cleanup_fd int base = mount_fs_open("tmpfs", "tmpfs", "mode=755", NULL, base_attrs, err);
    if (base < 0) {
        return base == -ENOSYS ? err_sys(err, base,
                                         "control groups of version 1 need fsopen "
                                         "(Linux 5.2)")
                               : base;
    }
    int e = mount_tree_attach(base, target);
    for (size_t i = 0; i < s->cgroup->count && e == 0; i++) {
        e = mount_hierarchy(s, i, base, attrs, namespaced, err);
    }
    return e == 0 ? mount_set_attrs(base, &readonly, err) : e;
}

/* op->arg is a struct container_mount, op->value: in a cgroup namespace of its own. */
int setup_mount_cgroup(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct container_mount *m = op->arg;
    struct mount_attrs attrs;
    volume_attrs(s->c, m, -1, &attrs);
    cleanup_fd int target = path_make_in_root(s->root, m->target, 0755, true);
    if (target < 0) {
        return err_sys(err, target, "cannot make the target");
    }
    bool v1 = s->cgroup->mode == CGROUP_V1 || s->cgroup->mode == CGROUP_HYBRID;
    if (v1 && strcmp(m->fstype, "cgroup2") != 0) {
        return mount_v1(s, target, attrs.set, op->value != 0, err);
    }
    if (s->cgroup->mode == CGROUP_NONE && op->value == 0) {
        return attach_bind(HOST_CGROUPS, attrs.set | MOUNT_ATTR_RDONLY, target, err);
    }
    return mount_v2(s, target, attrs.set, err);
}
