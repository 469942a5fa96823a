/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts that the kernel itself makes for a container, by absolute paths of current's root.  For
 * kernel tasks: nothing here asks for permission.
 */
#ifndef MOAT_SENTRY_KMOUNT_H
#define MOAT_SENTRY_KMOUNT_H

#include "fs/vfs.h"

/* Binds a path onto itself, with all below it, and adds MS_* flags to that mount.  -errno as the
 * walk, -ENOENT when it is not there. */
must_check int kmount_restrict(const char *path, uint32_t add_flags);
/* Hides what lies there: a directory behind an empty read-only one, anything else behind a null
 * device of the kernel's own (never the container's /dev/null).  What a symlink leads to is hidden,
 * inside the container's root. */
must_check int kmount_mask(const char *path);
/* Fills the directory `to` with copies of what lies in `from`: files, directories, links, owners,
 * modes and times. */
must_check int kcopy_tree(const struct path *from, const struct path *to);

#endif
