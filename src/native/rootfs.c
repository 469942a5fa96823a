/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root of a native container: see rootfs.h.  Targets inside the root are opened with
 * openat2(RESOLVE_IN_ROOT), and mounted on through /proc/self/fd, so that no symlink of the image
 * leads out of it.
 */
#include "native/rootfs.h"

#include "host/cleanup.h"
#include "moat/control.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* Scratch folder every host has; the mounts made on it are the container's alone. */
#define SCRATCH "/tmp"

static int open_in_root(int root, const char *path, uint64_t flags) {
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
    return fd >= 0 ? fd : -errno;
}

/* Makes the folders above `path` and the last component itself (a folder, or a file for a bind of a
 * file). */
static int make_target(int root, const char *path, bool directory) {
    char part[4096];
    size_t len = strlen(path);
    if (len >= sizeof(part)) {
        return -ENAMETOOLONG;
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        cleanup_fd int there = open_in_root(root, part, O_PATH);
        if (there >= 0) {
            continue;
        }
        char *name = strrchr(part, '/') + 1;
        name[-1] = '\0';
        cleanup_fd int parent =
            open_in_root(root, part[0] == '\0' ? "/" : part, O_PATH | O_DIRECTORY);
        if (parent < 0) {
            return parent;
        }
        if (i < len || directory) {
            if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST) {
                return -errno;
            }
        } else {
            cleanup_fd int file =
                openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
            if (file < 0 && errno != EEXIST) {
                return -errno;
            }
        }
    }
    return 0;
}

static int mount_at(int root, const char *source, const char *target, const char *type,
                    unsigned long flags, const char *data, struct err *err) {
    char where[64];
    int e = make_target(root, target, true);
    cleanup_fd int fd = e != 0 ? e : open_in_root(root, target, O_PATH | O_DIRECTORY);
    if (fd < 0) {
        return err_sys(err, fd, "cannot make the mount point %s", target);
    }
    (void)snprintf(where, sizeof(where), "/proc/self/fd/%d", fd); /* fits */
    return mount(source, where, type, flags, data) == 0
               ? 0
               : err_sys(err, -errno, "cannot mount %s on %s", type, target);
}

/*
 * Takes the volumes' trees while their paths still mean what the caller meant: the mount on SCRATCH
 * hides what lies below it. trees[i] is -1 where mounts[i] is no volume; the caller closes them.
 */
static int open_volumes(const struct container *c, int *trees, struct err *err) {
    for (size_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        if (m->kind != MOUNT_BIND) {
            continue;
        }
        trees[i] =
            open_tree(AT_FDCWD, m->source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (trees[i] < 0) {
            return err_sys(err, -errno, "cannot use the volume %s", m->source);
        }
        struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
        if ((m->flags & MOAT_MOUNT_RDONLY) != 0 &&
            mount_setattr(trees[i], "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) != 0) {
            return err_sys(err, -errno, "cannot make the volume %s read-only", m->source);
        }
    }
    return 0;
}

static int mount_volume(int root, const struct container_mount *m, int tree, struct err *err) {
    struct stat st;
    int e = fstat(tree, &st) == 0 ? make_target(root, m->target, S_ISDIR(st.st_mode)) : -errno;
    cleanup_fd int target = e != 0 ? e : open_in_root(root, m->target, O_PATH);
    if (target < 0) {
        return err_sys(err, target, "cannot make the mount point %s", m->target);
    }
    return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0
               ? 0
               : err_sys(err, -errno, "cannot mount the volume %s on %s", m->source, m->target);
}

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
    int e = mount_at(root, "tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=65536k",
                     err);
    cleanup_fd int dev = e != 0 ? -1 : open_in_root(root, "/dev", O_PATH | O_DIRECTORY);
    mode_t old = umask(0);
    for (size_t i = 0; i < ARRAY_COUNT(nodes) && e == 0; i++) {
        if (mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) !=
            0) {
            e = err_sys(err, -errno, "cannot make the device /dev/%s", nodes[i].name);
        }
    }
    (void)umask(old); /* cannot fail */
    for (size_t i = 0; i < ARRAY_COUNT(links) && e == 0; i++) {
        if (symlinkat(links[i][0], dev, links[i][1]) != 0) {
            e = err_sys(err, -errno, "cannot make the link /dev/%s", links[i][1]);
        }
    }
    e = e != 0 ? e
               : mount_at(root, "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                          "newinstance,ptmxmode=0666,mode=0620", err);
    return e != 0 ? e
                  : mount_at(root, "shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                             "mode=1777", err);
}

/* Mounts the root itself on SCRATCH: a bind of rootfs, or an overlay of it with memory on top. */
static int mount_root(const struct container *c, struct err *err) {
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return err_sys(err, -errno, "cannot detach mount propagation");
    }
    if (c->overlay == OVERLAY_NONE) {
        return mount(c->rootfs, SCRATCH, NULL, MS_BIND | MS_REC, NULL) == 0
                   ? 0
                   : err_sys(err, -errno, "cannot mount the root %s", c->rootfs);
    }
    /* The lower folder is held open, as the scratch mount may hide its path. */
    cleanup_fd int lower = open(c->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char options[128];
    (void)snprintf(options, sizeof(options),
                   "lowerdir=/proc/self/fd/%d,upperdir=" SCRATCH "/upper,workdir=" SCRATCH "/work",
                   lower); /* fits */
    if (lower < 0 || mount("tmpfs", SCRATCH, "tmpfs", 0, "mode=700") != 0 ||
        mkdir(SCRATCH "/upper", 0755) != 0 || mkdir(SCRATCH "/work", 0700) != 0 ||
        mkdir(SCRATCH "/root", 0700) != 0 ||
        mount("overlay", SCRATCH "/root", "overlay", 0, options) != 0) {
        return err_sys(err, -errno, "cannot lay a memory overlay over %s", c->rootfs);
    }
    return mount(SCRATCH "/root", SCRATCH, NULL, MS_MOVE, NULL) == 0
               ? 0
               : err_sys(err, -errno, "cannot move the overlay");
}

static int mount_inside(const struct container *c, int root, const int *trees, struct err *err) {
    int e = mount_at(root, "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, err);
    e = e != 0 ? e
               : mount_at(root, "sysfs", "/sys", "sysfs",
                          MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL, err);
    e = e != 0 ? e : make_devices(root, err);
    for (size_t i = 0; i < c->mount_count && e == 0; i++) {
        const struct container_mount *m = &c->mounts[i];
        e = m->kind == MOUNT_BIND ? mount_volume(root, m, trees[i], err)
                                  : mount_at(root, m->source, m->target, m->fstype,
                                             MS_NOSUID | MS_NODEV, m->options, err);
    }
    return e;
}

static int enter_root(const struct container *c, const int *trees, struct err *err) {
    int e = mount_root(c, err);
    if (e != 0) {
        return e;
    }
    cleanup_fd int root = open(SCRATCH, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        return err_sys(err, -errno, "cannot open the new root");
    }
    e = mount_inside(c, root, trees, err);
    if (e == 0 && (fchdir(root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
                   umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)) {
        e = err_sys(err, -errno, "cannot enter the new root");
    }
    if (e == 0 && c->root_readonly &&
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0) {
        e = err_sys(err, -errno, "cannot make the root read-only");
    }
    return e;
}

int native_enter_root(const struct container *c, struct err *err) {
    cleanup_free int *trees = calloc(c->mount_count + 1, sizeof(*trees));
    if (trees == NULL) {
        return err_sys(err, -ENOMEM, "cannot prepare the container's mounts");
    }
    for (size_t i = 0; i < c->mount_count; i++) {
        trees[i] = -1;
    }
    int e = open_volumes(c, trees, err);
    e = e != 0 ? e : enter_root(c, trees, err);
    for (size_t i = 0; i < c->mount_count; i++) {
        cleanup_fd_fn(&trees[i]);
    }
    return e;
}
