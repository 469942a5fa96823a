/* SPDX-License-Identifier: Apache-2.0 */
/* Detached copies of mounts: see tree.h. */
#include "host/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static int restrict_tree(int fd, bool read_only) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID,
                              .propagation = MS_PRIVATE};
    if (read_only) {
        attr.attr_set |= MOUNT_ATTR_RDONLY;
    }
    struct mount_attr quiet = attr;
    quiet.attr_set |= MOUNT_ATTR_NOATIME;
    quiet.attr_clr = MOUNT_ATTR__ATIME;
    const unsigned int how = AT_EMPTY_PATH | AT_RECURSIVE;
    if (read_only && syscall(SYS_mount_setattr, fd, "", how, &quiet, sizeof(quiet)) == 0) {
        return 0;
    }
    return syscall(SYS_mount_setattr, fd, "", how, &attr, sizeof(attr)) == 0 ? 0 : -errno;
}

int tree_open(int dir_fd, const char *path, bool read_only, bool recursive) {
    unsigned int how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    if (recursive) {
        how |= AT_RECURSIVE;
    }
    int fd = (int)syscall(SYS_open_tree, dir_fd, path, how);
    if (fd < 0) {
        return -errno;
    }
    int err = restrict_tree(fd, read_only);
    if (err != 0) {
        (void)close(fd); /* not used */
        return err;
    }
    return fd;
}
