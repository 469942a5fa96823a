/* SPDX-License-Identifier: Apache-2.0 */
/* The steps that mount: see setup_ops.def.  Targets are hostile paths: host/path.h. */
#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/path.h"
#include "native/lsm.h"
#include "native/setup.h"
#include "native/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A proc or sysfs that came to lie elsewhere than the masked and read-only paths say would be open:
 * its target must be a folder, not a symlink of the image.
 */
static int open_strict_target(int root, const char *path) {
    struct stat st;
    cleanup_fd int fd = path_open_in_root(root, path, O_PATH | O_NOFOLLOW);
    if (fd == -ENOENT) {
        fd = path_make_in_root(root, path, 0755, true);
    }
    if (fd < 0) {
        return fd;
    }
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? steal_fd(&fd) : -ENOTDIR;
}

static int open_target(const struct setup *s, const struct container_mount *m, bool directory,
                       struct err *err) {
    bool strict = m->kind == MOUNT_TYPED &&
                  (strcmp(m->fstype, "proc") == 0 || strcmp(m->fstype, "sysfs") == 0);
    int fd = strict ? open_strict_target(s->root, m->target)
                    : path_make_in_root(s->root, m->target, directory ? 0755 : 0644, directory);
    return fd >= 0 ? fd
                   : err_sys(err, fd,
                             strict ? "the target must be a folder of the image, not a symlink"
                                    : "cannot use or make the target");
}

/* ---- binds ---- */

static bool is_folder(int fd, const char *path) {
    struct stat st;
    return (fd >= 0 ? fstat(fd, &st) : stat(path, &st)) == 0 && S_ISDIR(st.st_mode);
}

static int bind_legacy(struct setup *s, const struct container_mount *m, int target,
                       struct err *err) {
    struct mount_attrs attrs;
    int e = mount_bind_legacy(m->source, target, m->recursive);
    if (e != 0) {
        return err_sys(err, e, "cannot bind %s", m->source);
    }
    cleanup_fd int top = path_open_in_root(s->root, m->target, O_PATH);
    volume_attrs(s->c, m, -1, &attrs);
    return top >= 0 ? mount_set_attrs(top, &attrs, err) : err_sys(err, top, "cannot open it again");
}

/* op->fd is the parent's tree with its attributes set if op->value; or it is made here. */
static int mount_bind(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct container_mount *m = op->arg;
    struct mount_attrs attrs;
    cleanup_fd int own = op->fd >= 0 ? -1 : mount_tree_open(AT_FDCWD, m->source, m->recursive);
    int tree = op->fd >= 0 ? op->fd : own;
    if (tree < 0 && tree != -ENOSYS && tree != -EPERM) {
        return err_sys(err, tree, "the source %s cannot be used", m->source);
    }
    cleanup_fd int target = open_target(s, m, is_folder(tree, m->source), err);
    if (target < 0) {
        return target;
    }
    if (tree < 0) {
        return bind_legacy(s, m, target, err);
    }
    volume_attrs(s->c, m, -1, &attrs);
    int set = op->fd >= 0 && op->value != 0 ? 0 : mount_set_attrs(tree, &attrs, err);
    if (set != 0 && set != -ENOSYS) {
        return set;
    }
    int e = mount_tree_attach(tree, target);
    if (e != 0) {
        return err_sys(err, e, "the target refuses the mount of %s", m->source);
    }
    return set == 0 ? 0 : mount_set_attrs(tree, &attrs, err);
}

/* ---- file systems ---- */

/* In a user namespace without a network namespace of its own no sysfs can be mounted: the host's,
 * read-only where it is, takes its place. */
static int bind_host_sysfs(int target, const struct mount_attrs *attrs, struct err *err) {
    struct mount_attrs all = *attrs;
    cleanup_fd int tree = mount_tree_open(AT_FDCWD, "/sys", true);
    if (tree < 0) {
        return err_sys(err, tree, "cannot copy the host's /sys");
    }
    all.tree_set |= attrs->set;
    int e = mount_set_attrs(tree, &all, err);
    e = e != 0 ? e : mount_tree_attach(tree, target);
    return e == 0 ? 0 : err_sys(err, e, "cannot bind the host's /sys");
}

static int mount_legacy(struct setup *s, const struct container_mount *m, int target,
                        const struct mount_attrs *attrs, struct err *err) {
    const struct mount_attrs rest = {.propagation = attrs->propagation, .userns = -1};
    const char *label = lsm_mount_context(s->mount_label, m->fstype);
    cleanup_free char *options = NULL;
    bool more = label != NULL && m->options != NULL && m->options[0] != '\0';
    if (asprintf(&options, "%s%s%s%s%s", m->options != NULL ? m->options : "", more ? "," : "",
                 label != NULL ? "context=\"" : "", label != NULL ? label : "",
                 label != NULL ? "\"" : "") < 0) {
        options = NULL;
        return -ENOMEM;
    }
    int e = mount_fs_legacy(m->fstype, m->source, options, attrs->set, m->super_flags, target);
    if (e != 0) {
        return err_sys(err, e, "mount(2) is refused for %s", m->fstype);
    }
    cleanup_fd int top = path_open_in_root(s->root, m->target, O_PATH);
    e = top >= 0 ? mount_set_attrs(top, &rest, err) : top;
    return e != 0 ? e : lsm_label_root(top, s->mount_label, m->fstype, err);
}

/* The file system's flags are options to fsconfig(2): those go in front.  NULL without memory. */
static char *all_options(const struct container_mount *m) {
    char *all = NULL;
    int n = asprintf(&all, "%s%s%s%s", (m->super_flags & MS_SYNCHRONOUS) != 0 ? "sync," : "",
                     (m->super_flags & MS_DIRSYNC) != 0 ? "dirsync," : "",
                     (m->super_flags & MS_LAZYTIME) != 0 ? "lazytime," : "",
                     m->options != NULL ? m->options : "");
    return n >= 0 ? all : NULL;
}

static int mount_typed(struct setup *s, const struct container_mount *m,
                       const struct mount_attrs *attrs, struct err *err) {
    const struct mount_attrs rest = {.propagation = attrs->propagation, .userns = -1};
    cleanup_fd int target = open_target(s, m, true, err);
    if (target < 0) {
        return target;
    }
    const char *source = m->source != NULL && m->source[0] != '\0' ? m->source : m->fstype;
    struct err cause = {0};
    cleanup_free char *options = all_options(m);
    if (options == NULL) {
        return -ENOMEM;
    }
    cleanup_fd int mnt =
        mount_fs_open(m->fstype, source, options, lsm_mount_context(s->mount_label, m->fstype),
                      attrs->set, &cause);
    int legacy = mnt == -ENOSYS ? mount_legacy(s, m, target, attrs, &cause) : 0;
    if ((mnt == -EPERM || legacy == -EPERM) && strcmp(m->fstype, "sysfs") == 0 &&
        s->user_namespace) {
        return bind_host_sysfs(target, attrs, err);
    }
    if (mnt == -ENOSYS) {
        return legacy == 0 ? 0 : err_set(err, legacy, "%s", cause.msg);
    }
    if (mnt < 0) {
        return err_set(err, mnt, "%s", cause.msg);
    }
    int e = lsm_label_root(mnt, s->mount_label, m->fstype, err);
    e = e == 0 && m->tmpcopyup ? volume_copy_up(target, mnt, err) : e;
    e = e != 0 ? e : mount_set_attrs(mnt, &rest, err);
    if (e != 0) {
        return e;
    }
    e = mount_tree_attach(mnt, target);
    return e == 0 ? 0 : err_sys(err, e, "the target refuses the mount");
}

/* op->arg is a struct container_mount. */
int setup_mount(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct container_mount *m = op->arg;
    struct mount_attrs attrs;
    if (m->kind == MOUNT_BIND) {
        return mount_bind(s, op, err);
    }
    volume_attrs(s->c, m, -1, &attrs);
    if (op->value != 0) {
        attrs.set &= ~(uint64_t)MOUNT_ATTR_RDONLY; /* REMOUNT_READONLY comes when it is filled */
    }
    return mount_typed(s, m, &attrs, err);
}
