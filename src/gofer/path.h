/* SPDX-License-Identifier: Apache-2.0 */
/* The only ways in which the Gofer opens host files: one component below an open directory, never
 * through a link. */
#ifndef MOAT_GOFER_PATH_H
#define MOAT_GOFER_PATH_H

#include "base/types.h"

/* openat2(2) of one component with O_NOFOLLOW, O_CLOEXEC, O_NOCTTY and O_NONBLOCK, RESOLVE_BENEATH,
 * _NO_SYMLINKS and _NO_MAGICLINKS.  The descriptor or -errno. */
must_check int path_open_child(int dir_fd, const char *name, int flags, uint32_t mode);
/* The directory itself, for reading. */
must_check int path_open_dir(int path_fd);
/* Is `name` one component: 1 to 255 bytes, no '/', not "." or ".."?  0, -EINVAL, -ENAMETOOLONG. */
must_check int path_check_name(const char *name, size_t len);

#endif
