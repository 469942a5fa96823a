/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts as detached trees: see volume.h. */
#include "native/volume.h"

#include "host/cleanup.h"
#include "moat/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

/* The flags that struct container_mount has in another alphabet. */
static uint64_t flag_attrs(uint32_t flags) {
    return ((flags & MOAT_MOUNT_RDONLY) != 0 ? MOUNT_ATTR_RDONLY : 0) |
           ((flags & MOAT_MOUNT_NOSUID) != 0 ? MOUNT_ATTR_NOSUID : 0) |
           ((flags & MOAT_MOUNT_NODEV) != 0 ? MOUNT_ATTR_NODEV : 0) |
           ((flags & MOAT_MOUNT_NOEXEC) != 0 ? MOUNT_ATTR_NOEXEC : 0) |
           ((flags & MOAT_MOUNT_NOATIME) != 0 ? MOUNT_ATTR_NOATIME : 0);
}

/* A copy of a shared mount is its peer: what is mounted below it inside would show on the host. */
static uint32_t inherited_propagation(const struct container *c) {
    uint32_t root = c->linux_.rootfs_propagation;
    return (root & MS_SHARED) != 0    ? 0
           : (root & MS_PRIVATE) != 0 ? MS_PRIVATE | MS_REC
                                      : MS_SLAVE | MS_REC;
}

void volume_attrs(const struct container *c, const struct container_mount *m, int userns,
                  struct mount_attrs *out) {
    uint64_t set = m->attr_set | flag_attrs(m->flags);
    bool shares = (m->propagation & (MS_SHARED | MS_SLAVE)) != 0;
    *out = (struct mount_attrs){
        .set = set,
        .clear = m->attr_clear & ~set,
        .tree_set = m->tree_set,
        .tree_clear = m->tree_clear & ~m->tree_set,
        .propagation = m->propagation,
        .userns = userns,
        .userns_tree = m->idmap_recursive,
    };
    if (m->kind == MOUNT_BIND && !shares && m->propagation == 0) {
        out->propagation = inherited_propagation(c);
    }
}

int volume_open(const struct container *c, const struct container_mount *m, int userns,
                bool *out_set, struct err *err) {
    struct mount_attrs attrs;
    cleanup_fd int tree = mount_tree_open(AT_FDCWD, m->source, m->recursive);
    *out_set = false;
    if (tree == -EPERM || tree == -ENOSYS) {
        return tree;
    }
    if (tree < 0) {
        return err_sys(err, tree, "cannot mount %s on %s: the source cannot be used", m->source,
                       m->target);
    }
    volume_attrs(c, m, userns, &attrs);
    int e = mount_set_attrs(tree, &attrs, err);
    if (e != 0 && (e != -ENOSYS || userns >= 0)) {
        err_append(err, " (mount of %s on %s)", m->source, m->target);
        return e;
    }
    *out_set = e == 0;
    return steal_fd(&tree);
}
