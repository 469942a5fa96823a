/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that put the container's root together and enter it: see setup_ops.def. */
#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/path.h"
#include "native/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Scratch folder every host has; the mounts made on it are the container's alone. */
#define SCRATCH "/tmp"

/* The mask of files, held before any mount of the container can lie over it. */
static int open_null(struct err *err) {
    struct stat st;
    cleanup_fd int fd = open("/dev/null", O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return err_sys(err, -errno, "cannot open the host's /dev/null");
    }
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)
               ? steal_fd(&fd)
               : err_set(err, -EINVAL, "/dev/null of this host is not the null device");
}

/* op->value is MS_* of mount(2) for everything that was copied from the host. */
int setup_propagation(struct setup *s, const struct setup_op *op, struct err *err) {
    if (mount(NULL, "/", NULL, (unsigned long)op->value, NULL) != 0) {
        return -errno;
    }
    s->null = open_null(err);
    return s->null < 0 ? s->null : 0;
}

/* pivot_root(2) refuses a new root whose parent mount is shared: one of our own goes between. */
static int make_parent_private(const char *rootfs, struct err *err) {
    if (mount(rootfs, rootfs, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, rootfs, NULL, MS_PRIVATE, NULL) != 0) {
        return err_sys(err, -errno, "cannot make a private mount on it");
    }
    return 0;
}

/* op->fd is the detached tree of the root, or -1; op->value: the host's mounts stay shared. */
int setup_root(struct setup *s, const struct setup_op *op, struct err *err) {
    const char *rootfs = s->c->rootfs;
    int e = op->value != 0 ? make_parent_private(rootfs, err) : 0;
    if (e != 0) {
        return e;
    }
    cleanup_fd int target = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (target < 0) {
        return err_sys(err, -errno, "cannot open it");
    }
    cleanup_fd int own = op->fd >= 0 ? -1 : mount_tree_open(AT_FDCWD, rootfs, true);
    int tree = op->fd >= 0 ? op->fd : own;
    if (tree < 0 && tree != -ENOSYS && tree != -EPERM) {
        return err_sys(err, tree, "cannot copy its mounts");
    }
    e = tree >= 0 ? mount_tree_attach(tree, target) : mount_bind_legacy(rootfs, target, true);
    if (e != 0) {
        return err_sys(err, e, "cannot mount it on itself");
    }
    s->root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC); /* what lies on top now */
    return s->root >= 0 ? 0 : err_sys(err, -errno, "cannot open it");
}

int setup_root_overlay(struct setup *s, const struct setup_op *op, struct err *err) {
    /* The lower folder is held open, as the scratch mount may hide its path. */
    cleanup_fd int lower = open(s->c->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char options[160];
    (void)snprintf(options, sizeof(options),
                   "lowerdir=/proc/self/fd/%d,upperdir=" SCRATCH "/upper,workdir=" SCRATCH
                   "/work%s",
                   lower, s->user_namespace ? ",userxattr" : ""); /* fits */
    const char *size = s->how->whole_memory ? "mode=700,size=100%" : "mode=700";
    if (lower < 0 || mount("tmpfs", SCRATCH, "tmpfs", 0, size) != 0 ||
        mkdir(SCRATCH "/upper", 0755) != 0 || mkdir(SCRATCH "/work", 0700) != 0 ||
        mkdir(SCRATCH "/root", 0700) != 0 ||
        mount("overlay", SCRATCH "/root", "overlay", 0, options) != 0) {
        return err_sys(err, -errno, "cannot lay a memory overlay over it");
    }
    if (mount(SCRATCH "/root", SCRATCH, NULL, MS_MOVE, NULL) != 0) {
        return err_sys(err, -errno, "cannot move the overlay");
    }
    s->root = open(SCRATCH, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return s->root >= 0 ? 0 : -errno;
}

/*
 * pivot_root(2), "pivot_root(".", ".")": the old root lies over the new one, is cut off from the
 * host's so that taking it away is not told there, and is taken away.  It is held by a descriptor
 * meanwhile: "." alone is the new root, whose own propagation is not to change.
 */
int setup_pivot(struct setup *s, const struct setup_op *op, struct err *err) {
    cleanup_fd int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0 || fchdir(s->root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0) {
        return err_sys(err, -errno, "pivot_root is refused");
    }
    if (fchdir(old) != 0 || mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) != 0 ||
        umount2(".", MNT_DETACH) != 0) {
        return err_sys(err, -errno, "cannot leave the host's root");
    }
    return chdir("/") == 0 ? 0 : -errno;
}

/* --no-pivot: for a host whose root is an initramfs, which cannot be pivoted away. */
int setup_chroot(struct setup *s, const struct setup_op *op, struct err *err) {
    if (fchdir(s->root) != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0) {
        return -errno;
    }
    return chdir("/") == 0 ? 0 : -errno;
}

/* op->value is MS_* for the container's own root mount. */
int setup_root_propagation(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct mount_attrs attrs = {.propagation = (uint32_t)op->value, .userns = -1};
    return mount_set_attrs(s->root, &attrs, err);
}

/* op->subject is a path below the root on which a mount was made. */
int setup_remount_readonly(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct mount_attrs attrs = {.set = MOUNT_ATTR_RDONLY, .userns = -1};
    cleanup_fd int top = path_open_in_root(s->root, op->subject, O_PATH);
    return top >= 0 ? mount_set_attrs(top, &attrs, err) : top;
}

/* op->subject is the working directory; what cannot be made is told when it is to be entered. */
int setup_make_directory(struct setup *s, const struct setup_op *op, struct err *err) {
    cleanup_fd int fd = path_make_in_root(s->root, op->subject, 0755, true);
    (void)fd; /* see above */
    return 0;
}
