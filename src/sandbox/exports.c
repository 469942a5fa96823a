/* SPDX-License-Identifier: Apache-2.0 */
/* See exports.h. */
#include "sandbox/exports.h"

#include "host/cleanup.h"
#include "host/tree.h"
#include "moat/control.h"
#include "moat/gofer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

uint32_t exports_count(const struct container *c) {
    uint32_t count = 1;
    for (size_t i = 0; i < c->mount_count; i++) {
        count += c->mounts[i].kind == MOUNT_BIND;
    }
    return count;
}

struct export_source exports_get(const struct container *c, uint32_t index) {
    /* With a memory overlay nothing is ever written to the root. */
    bool root_ro = c->overlay == OVERLAY_MEMORY || c->root_readonly;
    struct export_source root = {.path = c->rootfs, .flags = root_ro ? MOAT_GOFER_EXPORT_RO : 0};
    for (size_t i = 0; i < c->mount_count && index > 0; i++) {
        const struct container_mount *m = &c->mounts[i];
        if (m->kind == MOUNT_BIND && --index == 0) {
            uint32_t flags = (m->flags & MOAT_MOUNT_RDONLY) != 0 ? MOAT_GOFER_EXPORT_RO : 0;
            flags |= m->recursive ? 0 : MOAT_GOFER_EXPORT_ONE_FS;
            return (struct export_source){.path = m->source, .flags = flags};
        }
    }
    return root;
}

int exports_open(const struct export_source *source, struct err *err) {
    struct stat st;
    cleanup_fd int fd = open(source->path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return err_sys(err, -errno, "cannot open %s", source->path);
    }
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
        return err_set(err, -ENOTSUP,
                       "cannot mount %s: under isolation sentry only folders and regular files of "
                       "the host can be mounted, no sockets, pipes or devices",
                       source->path);
    }
    return steal_fd(&fd);
}

int exports_open_own(struct export_source *source, struct err *err) {
    int fd = exports_open(source, err);
    if (fd < 0) {
        return fd;
    }
    int own = tree_open(fd, "", (source->flags & MOAT_GOFER_EXPORT_RO) != 0,
                        (source->flags & MOAT_GOFER_EXPORT_ONE_FS) == 0);
    if (own < 0) {
        return fd; /* as an ordinary user */
    }
    (void)close(fd); /* replaced */
    source->flags |= MOAT_GOFER_EXPORT_OWN;
    return own;
}
