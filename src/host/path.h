/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths below a folder that somebody else may change at any moment: a container's root.
 *
 * Every name is resolved as a process whose root is that folder would do it (openat2(2),
 * RESOLVE_IN_ROOT): `..` and absolute symlinks never lead out.  What comes back is a descriptor,
 * and callers go on with that, never with the path.  Where the kernel or a seccomp filter has no
 * openat2, the components are walked one by one without following symlinks.
 */
#ifndef MOAT_HOST_PATH_H
#define MOAT_HOST_PATH_H

#include "base/types.h"

#include <sys/types.h>

/*
 * Opens `path` below `root` with O_CLOEXEC and `flags` (not O_CREAT).  With O_NOFOLLOW a last
 * component that is a symlink is -ELOOP, or with O_PATH the symlink itself.  A descriptor or
 * -errno.
 */
must_check int path_open_in_root(int root, const char *path, int flags);

/*
 * The same, where what is missing is made first: folders (mode 0755), and as the last component a
 * folder or an empty file with `mode`.  A dangling symlink is followed and its target made, inside.
 * An O_PATH descriptor of what is there then (its type may be another), or -errno.
 */
must_check int path_make_in_root(int root, const char *path, mode_t mode, bool directory);

/*
 * The folder that holds the last component of `path` (made as above when `make`), and that
 * component's name in *out_name, which points into `path`.  -EINVAL when there is none ("/", "..").
 */
must_check int path_parent_in_root(int root, const char *path, bool make, const char **out_name);

/* Makes "/proc/self/fd/N" for calls that take only a path. */
#define PATH_OF_FD_SIZE 32
const char *path_of_fd(int fd, char out[PATH_OF_FD_SIZE]);

#endif
