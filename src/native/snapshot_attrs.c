/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of restored mounts: see snapshot.h.
 *
 * CRIU gives several mounts of one source the attributes of the first, or none: a mask, which is
 * the host's /dev/null, could then be written to, and so could a volume that is read-only.  What
 * config.json asks for is set again before the container's processes go on, by a process that
 * enters the mount namespace (mount_setattr(2) takes mounts of the caller's own alone).
 */
#include "host/child.h"
#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/path.h"
#include "native/snapshot.h"
#include "native/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* Whether a mount lies on the path; *out is a descriptor of it. */
static bool open_mount(int root, const char *path, int *out, struct stat *out_stat) {
    struct statx st;
    *out = path_open_in_root(root, path, O_PATH);
    return *out >= 0 && fstat(*out, out_stat) == 0 &&
           statx(*out, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0 &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

static int set_volume(const struct container *c, const struct container_mount *m, int root,
                      struct err *err) {
    struct mount_attrs attrs;
    struct stat st;
    int fd;
    bool there = open_mount(root, m->target, &fd, &st);
    cleanup_fd int owned = fd;
    volume_attrs(c, m, -1, &attrs);
    attrs.propagation = 0; /* CRIU keeps it */
    attrs.userns = -1;     /* and a mapping cannot be changed */
    int e = there ? mount_set_attrs(owned, &attrs, err) : 0;
    return e == 0 ? 0 : err_set(err, e, "cannot set the options of %s", m->target);
}

static int set_mask(const char *path, int root, struct err *err) {
    const struct mount_attrs attrs = {
        .set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, .userns = -1};
    struct stat st;
    int fd;
    bool there = open_mount(root, path, &fd, &st);
    cleanup_fd int owned = fd;
    there = there && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
    int e = there ? mount_set_attrs(owned, &attrs, err) : 0;
    return e == 0 ? 0 : err_set(err, e, "cannot make the mask of %s read-only", path);
}

struct restored {
    const struct container *c;
    pid_t pid;
};

static int set_all(void *arg, struct err *err) {
    const struct restored *r = arg;
    const struct container *c = r->c;
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
    if (pidfd < 0 || setns(pidfd, CLONE_NEWNS) != 0) {
        return err_sys(err, -errno, "cannot enter the restored mount namespace");
    }
    cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int e = root >= 0 ? 0 : err_sys(err, -errno, "cannot open the restored root");
    for (size_t i = 0; i < c->mount_count && e == 0; i++) {
        e = c->mounts[i].kind == MOUNT_BIND ? set_volume(c, &c->mounts[i], root, err) : 0;
    }
    for (size_t i = 0; i < c->linux_.masked_paths.count && e == 0; i++) {
        e = set_mask(c->linux_.masked_paths.items[i], root, err);
    }
    return e;
}

int snapshot_set_attributes(const struct container *c, pid_t pid, struct err *err) {
    struct restored r = {.c = c, .pid = pid};
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* nothing inside may look into it */
    return child_run(set_all, &r, err);
}
