/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting by descriptors: a mount is made detached (fsopen(2), open_tree(2)), given its attributes
 * (mount_setattr(2)), and only then put on a target that is a descriptor too, so that no path is
 * resolved twice.  Where the kernel lacks one of those calls, mount(2) does it, on the target's
 * /proc/self/fd/N.
 */
#ifndef MOAT_HOST_MOUNTS_H
#define MOAT_HOST_MOUNTS_H

#include "host/err.h"

struct mount_attrs {
    uint64_t set, clear;           /* MOUNT_ATTR_* of the mount itself */
    uint64_t tree_set, tree_clear; /* of it and of what is mounted below */
    uint32_t propagation; /* MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE, with MS_REC */
    int userns;           /* MOUNT_ATTR_IDMAP by this user namespace, or -1 */
    bool userns_tree;     /* recursively */
};

/* A detached copy of the tree at (dir, path), or of `dir` itself when path is "".  -errno. */
must_check int mount_tree_open(int dir, const char *path, bool recursive);
/* A detached new instance of a file system with comma-separated options and an SELinux context
 * (NULL: none); -ENOSYS without *err when only mount(2) can do it. */
must_check int mount_fs_open(const char *fstype, const char *source, const char *options,
                             const char *context, uint64_t attrs, struct err *err);
/* Works on attached and detached mounts; -ENOSYS (without *err) when detached on an old kernel. */
must_check int mount_set_attrs(int mnt, const struct mount_attrs *attrs, struct err *err);
/* Puts a detached tree on the target. */
must_check int mount_tree_attach(int tree, int target);

/* The same by mount(2), for old kernels; attributes are set on what `target` shows afterwards, and
 * further MS_* flags are the file system's. */
must_check int mount_fs_legacy(const char *fstype, const char *source, const char *options,
                               uint64_t attrs, unsigned long flags, int target);
must_check int mount_bind_legacy(const char *source, int target, bool recursive);
/* MS_* flags of MOUNT_ATTR_*. */
unsigned long mount_legacy_flags(uint64_t attrs);

#endif
