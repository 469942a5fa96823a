/* SPDX-License-Identifier: Apache-2.0 */
/* See hostroot.h.  Sources: mount_namespaces(7), open_tree(2), pivot_root(2). */
#include "sandbox/hostroot.h"

#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/path.h"
#include "moat/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A detached copy of the tree at a path of the host: nothing in it acts with privilege. */
static int open_copy(const char *path, bool read_only) {
    struct err ignored = {0};
    const struct mount_attrs attrs = {.tree_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
                                                  (read_only ? MOUNT_ATTR_RDONLY : 0u),
                                      .propagation = MS_PRIVATE | MS_REC,
                                      .userns = -1};
    cleanup_fd int tree = mount_tree_open(AT_FDCWD, path, true);
    if (tree < 0) {
        return tree;
    }
    int e = mount_set_attrs(tree, &attrs, &ignored);
    return e == 0 ? steal_fd(&tree) : e;
}

/* The root becomes the mount at `path`; the host's goes. */
static int pivot(const char *path) {
    if (chdir(path) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) {
        return -errno;
    }
    return 0;
}

/* The container's mount points exist by now; what cannot be shown is left out. */
static void attach_binds(const struct container *c, int root, const int *binds) {
    for (size_t i = 0; i < c->mount_count; i++) {
        cleanup_fd int target =
            binds[i] >= 0 ? path_open_in_root(root, c->mounts[i].target, O_PATH) : -1;
        if (target >= 0) {
            (void)mount_tree_attach(binds[i], target); /* e.g. a folder on a file */
        }
    }
}

static int enter(const struct container *c, int *binds, struct err *err) {
    bool read_only = c->root_readonly || c->overlay == OVERLAY_MEMORY;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return err_sys(err, -errno, "cannot detach mount propagation");
    }
    cleanup_fd int tree = open_copy(c->rootfs, read_only);
    cleanup_fd int target = open(c->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int e = tree < 0 ? tree : target < 0 ? -errno : mount_tree_attach(tree, target);
    if (e != 0) {
        return err_sys(err, e, "cannot mount the container's root %s for engines", c->rootfs);
    }
    for (size_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        binds[i] =
            m->kind != MOUNT_BIND ? -1 : open_copy(m->source, (m->flags & MOAT_MOUNT_RDONLY) != 0);
    }
    e = pivot(c->rootfs);
    if (e != 0) {
        return err_sys(err, e, "cannot enter the container's root %s", c->rootfs);
    }
    attach_binds(c, tree, binds);
    return 0;
}

int hostroot_enter(const struct container *c, struct err *err) {
    if (strcmp(c->rootfs, "/") == 0) {
        return 0;
    }
    cleanup_free int *binds = calloc(c->mount_count + 1, sizeof(*binds));
    if (binds == NULL) {
        return err_sys(err, -ENOMEM, "cannot show the container's root");
    }
    if (unshare(CLONE_NEWNS) != 0) {
        return errno == EPERM ? 0 : err_sys(err, -errno, "cannot make a mount namespace");
    }
    int e = enter(c, binds, err);
    for (size_t i = 0; i < c->mount_count; i++) {
        if (binds[i] > 0) {
            (void)close(binds[i]); /* attached, or not shown */
        }
    }
    return e;
}
