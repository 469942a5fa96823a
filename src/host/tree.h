/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts of our own over what lies in a directory: open_tree(2), mount_setattr(2). */
#ifndef MOAT_HOST_TREE_H
#define MOAT_HOST_TREE_H

#include "base/types.h"

/*
 * A detached copy of the mount at `path` below dir_fd ("": dir_fd itself), with the mounts below it
 * when `recursive`: nodev, nosuid and private; read-only ones are read-only for the kernel and
 * leave no access times behind.  A descriptor, or -errno (-EPERM without CAP_SYS_ADMIN, -EINVAL
 * when dir_fd belongs to another mount namespace).
 */
must_check int tree_open(int dir_fd, const char *path, bool read_only, bool recursive);

#endif
