/* SPDX-License-Identifier: Apache-2.0 */
/* Masked and read-only paths, sysctls: see setup_ops.def. */
#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/path.h"
#include "native/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* Read-only, so that root of the container cannot change the mode of the host's device. */
static int mask_file(struct setup *s, const char *name, int target, struct err *err) {
    const struct mount_attrs attrs = {
        .set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, .userns = -1};
    cleanup_fd int tree = mount_tree_open(s->null, "", false);
    char path[PATH_OF_FD_SIZE];
    if (tree == -ENOSYS) {
        int e = mount_bind_legacy(path_of_fd(s->null, path), target, false);
        cleanup_fd int top = e != 0 ? e : path_open_in_root(s->root, name, O_PATH);
        return top >= 0 ? mount_set_attrs(top, &attrs, err) : top;
    }
    int e = tree < 0 ? tree : mount_set_attrs(tree, &attrs, err);
    if (e == -ENOSYS) {
        e = mount_tree_attach(tree, target);
        return e != 0 ? e : mount_set_attrs(tree, &attrs, err);
    }
    return e != 0 ? e : mount_tree_attach(tree, target);
}

static int mask_folder(int target, const char *label, struct err *err) {
    static const char options[] = "size=0k,nr_inodes=2";
    cleanup_fd int mnt = mount_fs_open("tmpfs", "tmpfs", options, label, MOUNT_ATTR_RDONLY, err);
    if (mnt == -ENOSYS) {
        return mount_fs_legacy("tmpfs", "tmpfs", options, MOUNT_ATTR_RDONLY, 0, target);
    }
    return mnt >= 0 ? mount_tree_attach(mnt, target) : mnt;
}

/*
 * The mask of a file is the host's /dev/null, held by a descriptor that is known to be the device;
 * the container's own /dev/null is not asked.  A path that is not there needs no mask.
 */
int setup_masked_path(struct setup *s, const struct setup_op *op, struct err *err) {
    struct stat st;
    cleanup_fd int target = path_open_in_root(s->root, op->subject, O_PATH);
    if (target == -ENOENT || target == -ENOTDIR) {
        return 0;
    }
    if (target < 0 || fstat(target, &st) != 0) {
        return target < 0 ? target : -errno;
    }
    return S_ISDIR(st.st_mode) ? mask_folder(target, s->mount_label, err)
                               : mask_file(s, op->subject, target, err);
}

/* A copy of the tree at the path, made read-only as a whole, comes to lie over it. */
int setup_readonly_path(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct mount_attrs readonly = {.tree_set = MOUNT_ATTR_RDONLY, .userns = -1};
    const struct mount_attrs one = {.set = MOUNT_ATTR_RDONLY, .userns = -1};
    cleanup_fd int target = path_open_in_root(s->root, op->subject, O_PATH);
    if (target == -ENOENT || target == -ENOTDIR) {
        return 0;
    }
    if (target < 0) {
        return target;
    }
    cleanup_fd int tree = mount_tree_open(target, "", true);
    if (tree == -ENOSYS) {
        char path[PATH_OF_FD_SIZE];
        int e = mount_bind_legacy(path_of_fd(target, path), target, true);
        cleanup_fd int top = e != 0 ? e : path_open_in_root(s->root, op->subject, O_PATH);
        return top >= 0 ? mount_set_attrs(top, &one, err) : top;
    }
    if (tree < 0) {
        return tree;
    }
    int e = mount_set_attrs(tree, &readonly, err);
    if (e != 0 && err->code == -ENOSYS) { /* no mount_setattr: at least the mount itself */
        *err = (struct err){0};
        e = mount_tree_attach(tree, target);
        return e != 0 ? e : mount_set_attrs(tree, &one, err);
    }
    return e != 0 ? e : mount_tree_attach(tree, target);
}

/* op->subject is the name, op->arg the value. */
int setup_sysctl(struct setup *s, const struct setup_op *op, struct err *err) {
    char path[256] = "sys/";
    size_t len = strlen(op->subject);
    if (len + 5 > sizeof(path)) {
        return -ENAMETOOLONG;
    }
    bool slashes = strchr(op->subject, '/') != NULL; /* sysctl(8): then dots are parts of names */
    for (size_t i = 0; i <= len; i++) {
        char c = op->subject[i];
        path[4 + i] = c == '.' && !slashes ? '/' : c;
    }
    int e = procfs_write(&s->proc, path, op->arg);
    return e == 0 ? 0
                  : err_sys(err, e, "cannot write '%s' to /proc/%s", (const char *)op->arg, path);
}
