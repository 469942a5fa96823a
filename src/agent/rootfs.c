/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's root in the guest: see agent.h.
 *
 * Trust: the root and the volumes are an image's and hostile; every path below the root goes
 * through host/path.h and is used by its descriptor.
 */
#include "agent/agent.h"

#include "host/cleanup.h"
#include "host/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define SCRATCH  "/run/container"
#define NO_EXTRA (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static int mount_on(int fd, const char *source, const char *type, unsigned long flags,
                    const char *data) {
    char where[PATH_OF_FD_SIZE];
    return mount(source, path_of_fd(fd, where), type, flags, data) == 0 ? 0 : -errno;
}

static int mount_type(int root, const char *target, const char *type, unsigned long flags,
                      const char *data, struct err *err) {
    cleanup_fd int fd = path_make_in_root(root, target, 0755, true);
    int e = fd < 0 ? fd : mount_on(fd, type, type, flags, data);
    return e == 0 ? 0 : err_sys(err, e, "cannot mount %s on %s in the guest", type, target);
}

/* Attributes of the mount that lies on `target` now. */
static int set_attributes(int root, const char *target, uint64_t attributes, struct err *err) {
    struct mount_attr attr = {.attr_set = attributes};
    cleanup_fd int fd = path_open_in_root(root, target, O_PATH);
    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0) {
        return err_sys(err, fd < 0 ? fd : -errno, "cannot set the attributes of %s", target);
    }
    return 0;
}

/* ---- what every container has (runtime-spec, config-linux: default file systems) ---- */

static int make_devices(int root, struct err *err) {
    static const struct {
        const char *name;
        unsigned int major, minor;
    } nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                 {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
    static const char *const links[][2] = {{"/proc/self/fd", "fd"},
                                           {"/proc/self/fd/0", "stdin"},
                                           {"/proc/self/fd/1", "stdout"},
                                           {"/proc/self/fd/2", "stderr"},
                                           {"pts/ptmx", "ptmx"}};
    cleanup_fd int dev = path_open_in_root(root, "/dev", O_PATH | O_DIRECTORY);
    (void)umask(0); /* the modes are those of the table; the program gets its own umask later */
    for (size_t i = 0; i < ARRAY_COUNT(nodes); i++) {
        if (mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) !=
            0) {
            return err_sys(err, -errno, "cannot make the device /dev/%s", nodes[i].name);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(links); i++) {
        if (symlinkat(links[i][0], dev, links[i][1]) != 0) {
            return err_sys(err, -errno, "cannot make the link /dev/%s", links[i][1]);
        }
    }
    return 0;
}

static int mount_standard(int root, struct err *err) {
    static const struct {
        const char *target, *type;
        unsigned long flags;
        const char *data;
    } all[] = {
        {"/proc", "proc", NO_EXTRA, NULL},
        {"/sys", "sysfs", NO_EXTRA | MS_RDONLY, NULL},
        {"/sys/fs/cgroup", "cgroup2", NO_EXTRA | MS_RDONLY, NULL},
        {"/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=65536k"},
        {"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
        {"/dev/shm", "tmpfs", NO_EXTRA, "mode=1777"},
        {"/dev/mqueue", "mqueue", NO_EXTRA, NULL},
    };
    int e = 0;
    for (size_t i = 0; i < ARRAY_COUNT(all) && e == 0; i++) {
        e = mount_type(root, all[i].target, all[i].type, all[i].flags, all[i].data, err);
    }
    return e != 0 ? e : make_devices(root, err);
}

/* ---- what the caller asks for ---- */

static bool is_standard(const char *target, const char *type) {
    static const char *const all[][2] = {{"/proc", "proc"},
                                         {"/sys", "sysfs"},
                                         {"/dev", "tmpfs"},
                                         {"/dev", "devtmpfs"},
                                         {"/dev/pts", "devpts"},
                                         {"/dev/mqueue", "mqueue"},
                                         {"/sys/fs/cgroup", "cgroup"},
                                         {"/sys/fs/cgroup", "cgroup2"}};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        if (strcmp(target, all[i][0]) == 0 && strcmp(type, all[i][1]) == 0) {
            return true;
        }
    }
    return false;
}

static uint64_t attributes_of(uint32_t flags) {
    return ((flags & MOAT_MOUNT_RDONLY) != 0 ? MOUNT_ATTR_RDONLY : 0u) |
           ((flags & MOAT_MOUNT_NOSUID) != 0 ? MOUNT_ATTR_NOSUID : 0u) |
           ((flags & MOAT_MOUNT_NODEV) != 0 ? MOUNT_ATTR_NODEV : 0u) |
           ((flags & MOAT_MOUNT_NOEXEC) != 0 ? MOUNT_ATTR_NOEXEC : 0u) |
           ((flags & MOAT_MOUNT_NOATIME) != 0 ? MOUNT_ATTR_NOATIME : 0u);
}

static int mount_volume(int root, const struct moat_ctl_mount *m, const char *target,
                        struct err *err) {
    char source[64];
    struct stat st;
    (void)snprintf(source, sizeof(source), AGENT_EXPORTS "/%u", m->export_index); /* fits */
    if (stat(source, &st) != 0) {
        return err_sys(err, -errno, "the host does not share what belongs on %s", target);
    }
    cleanup_fd int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    cleanup_fd int fd =
        tree < 0 ? -errno : path_make_in_root(root, target, 0644, S_ISDIR(st.st_mode));
    if (fd < 0) {
        return err_sys(err, fd, "cannot make the mount point %s", target);
    }
    struct mount_attr attr = {.attr_set = attributes_of(m->flags)};
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0 ||
        move_mount(tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
        return err_sys(err, -errno, "cannot mount the volume on %s", target);
    }
    return 0;
}

static int mount_typed(int root, const struct ctl_create *c, const struct moat_ctl_mount *m,
                       const char *target, struct err *err) {
    const char *type = ctl_string(c, m->fstype), *data = ctl_string(c, m->options);
    cleanup_fd int fd = path_make_in_root(root, target, 0755, true);
    int e = fd < 0 ? fd : mount_on(fd, ctl_string(c, m->source), type, 0, data);
    if (e == -ENODEV) {
        return 0; /* a file system that this kernel does not have */
    }
    if (e != 0) {
        return err_sys(err, e, "cannot mount %s on %s in the guest", type, target);
    }
    return set_attributes(root, target, attributes_of(m->flags), err);
}

static int mount_asked(int root, const struct ctl_create *c, struct err *err) {
    int e = 0;
    for (uint32_t i = 0; i < c->fixed->mount_count && e == 0; i++) {
        const struct moat_ctl_mount *m = &c->mounts[i];
        const char *target = ctl_string(c, m->target);
        if (m->kind == MOAT_MOUNT_BIND) {
            e = mount_volume(root, m, target, err);
        } else if (!is_standard(target, ctl_string(c, m->fstype))) {
            e = mount_typed(root, c, m, target, err);
        } else if (strcmp(target, "/sys") == 0 && (m->flags & MOAT_MOUNT_RDONLY) == 0) {
            struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
            cleanup_fd int sys = path_open_in_root(root, "/sys", O_PATH);
            (void)mount_setattr(sys, "", AT_EMPTY_PATH, &attr, sizeof(attr)); /* asked for */
        }
    }
    return e;
}

static int extra_devices(int root, const struct ctl_create *c, struct err *err) {
    for (uint32_t i = 0; i < c->fixed->device_count; i++) {
        const struct moat_ctl_device *d = &c->devices[i];
        const char *path = ctl_string(c, d->path);
        const char *name = "";
        cleanup_fd int parent = path_parent_in_root(root, path, true, &name);
        if (parent < 0 ||
            (mknodat(parent, name, d->mode, makedev(d->major, d->minor)) != 0 && errno != EEXIST)) {
            return err_sys(err, parent < 0 ? parent : -errno, "cannot make the device %s", path);
        }
        if (fchownat(parent, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) != 0) {
            return err_sys(err, -errno, "cannot give the device %s to its owner", path);
        }
    }
    return 0;
}

/* linux.sysctl: of the namespaces that the container has for itself, through its own /proc. */
static int set_sysctls(int root, const struct ctl_create *c, struct err *err) {
    for (uint32_t i = 0; i < c->fixed->sysctl_count; i++) {
        char path[512];
        const char *name = ctl_string(c, c->sysctls[i].name);
        const char *value = ctl_string(c, c->sysctls[i].value);
        if (strlen(name) > 400 || strstr(name, "..") != NULL || strchr(name, '/') != NULL) {
            return err_set(err, -EINVAL, "linux.sysctl: the name '%.100s' cannot be", name);
        }
        int n = snprintf(path, sizeof(path), "/proc/sys/%s", name); /* fits */
        for (int k = 10; k < n; k++) {
            path[k] = path[k] == '.' ? '/' : path[k];
        }
        cleanup_fd int fd = path_open_in_root(root, path, O_WRONLY);
        if (fd < 0 || write(fd, value, strlen(value)) < 0) {
            return err_sys(err, fd < 0 ? fd : -errno, "linux.sysctl: cannot set %s", name);
        }
    }
    return 0;
}

static int mask_path(int root, const char *path, struct err *err) {
    struct stat st;
    cleanup_fd int fd = path_open_in_root(root, path, O_PATH);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) {
        return 0;
    }
    int e = fd < 0 ? fd : fstat(fd, &st) == 0 ? 0 : -errno;
    if (e == 0 && S_ISDIR(st.st_mode)) {
        e = mount_on(fd, "tmpfs", "tmpfs", NO_EXTRA | MS_RDONLY, "size=0k");
    } else if (e == 0) {
        e = mount_on(fd, "/dev/null", NULL, MS_BIND, NULL); /* the machine's own */
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot mask %s", path);
}

static int readonly_path(int root, const char *path, struct err *err) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    cleanup_fd int fd = path_open_in_root(root, path, O_PATH);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) {
        return 0;
    }
    cleanup_fd int tree =
        fd < 0
            ? fd
            : open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (fd < 0 || tree < 0 ||
        mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) != 0 ||
        move_mount(tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
        return err_sys(err, -errno, "cannot make %s read-only", path);
    }
    return 0;
}

static int protect_paths(int root, const struct ctl_create *c, struct err *err) {
    int e = 0;
    for (uint32_t i = 0; i < c->fixed->readonly_count && e == 0; i++) {
        e = readonly_path(root, ctl_string(c, c->readonly[i]), err);
    }
    for (uint32_t i = 0; i < c->fixed->masked_count && e == 0; i++) {
        e = mask_path(root, ctl_string(c, c->masked[i]), err);
    }
    return e;
}

/* ---- the root itself ---- */

/* On SCRATCH/root: an overlay of the root's export with memory above, or the export as it is.  One
 * that is read-only on the host needs the overlay for the mount points that an image lacks. */
static int mount_root(const struct ctl_create *c, struct err *err) {
    char lower[64], options[256];
    /* The dot walks into the export, which the kernel mounts when somebody does. */
    (void)snprintf(lower, sizeof(lower), AGENT_EXPORTS "/%u/.", c->fixed->root_export); /* fits */
    (void)snprintf(options, sizeof(options),
                   "lowerdir=%s,upperdir=" SCRATCH "/upper,workdir=" SCRATCH "/work",
                   lower); /* fits */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        (mkdir(SCRATCH, 0700) != 0 && errno != EEXIST) ||
        mount("tmpfs", SCRATCH, "tmpfs", 0, "mode=700,size=100%") != 0 ||
        mkdir(SCRATCH "/upper", 0755) != 0 || mkdir(SCRATCH "/work", 0700) != 0 ||
        mkdir(SCRATCH "/root", 0700) != 0) {
        return err_sys(err, -errno, "cannot prepare the container's root in the guest");
    }
    const bool through =
        c->fixed->overlay == MOAT_OVERLAY_NONE && (c->fixed->flags & MOAT_PROC_READONLY_ROOT) == 0;
    int n = through ? mount(lower, SCRATCH "/root", NULL, MS_BIND, NULL)
                    : mount("overlay", SCRATCH "/root", "overlay", 0, options);
    return n == 0 ? 0 : err_sys(err, -errno, "cannot mount the container's root in the guest");
}

static int fill_root(int root, const struct ctl_create *c, struct err *err) {
    int e = mount_standard(root, err);
    e = e != 0 ? e : mount_asked(root, c, err);
    e = e != 0 ? e : extra_devices(root, c, err);
    e = e != 0 ? e : set_sysctls(root, c, err);
    e = e != 0 ? e : protect_paths(root, c, err);
    if (e == 0 && (c->fixed->flags & MOAT_PROC_READONLY_ROOT) != 0) {
        e = set_attributes(root, "/", MOUNT_ATTR_RDONLY, err);
    }
    return e;
}

int rootfs_enter(const struct ctl_create *c, struct err *err) {
    int e = mount_root(c, err);
    cleanup_fd int root = e != 0 ? -1 : open(SCRATCH "/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (e == 0 && root < 0) {
        e = err_sys(err, -errno, "cannot open the container's root in the guest");
    }
    e = e != 0 ? e : fill_root(root, c, err);
    if (e == 0 && (fchdir(root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
                   umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)) {
        e = err_sys(err, -errno, "cannot enter the container's root");
    }
    return e;
}
