/* SPDX-License-Identifier: Apache-2.0 */
/* The folder that a machine's files come from: see share.h. */
#include "vm/share.h"

#include "host/cleanup.h"
#include "host/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int open_one(struct share *s, const char *path, bool recursive, bool read_only,
                    struct err *err) {
    struct stat st;
    if (s->count == MOAT_AGENT_EXPORTS) {
        return err_set(err, -E2BIG, "more than %u volumes: mount a common parent folder instead",
                       MOAT_AGENT_EXPORTS - 1);
    }
    cleanup_fd int tree = mount_tree_open(AT_FDCWD, path, recursive);
    if (tree == -EINVAL && !recursive) {
        /* An ordinary user may not uncover what others mounted over (mount_namespaces(7)): it comes
         * along, and the Gofer shows folders of kernel file systems as empty. */
        tree = mount_tree_open(AT_FDCWD, path, true);
    }
    if (tree < 0 || fstat(tree, &st) != 0) {
        return err_sys(err, tree < 0 ? tree : -errno, "cannot share %s", path);
    }
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
        return err_set(err, -EINVAL, "cannot share %s: it is neither a folder nor a file", path);
    }
    /* The file server executes nothing and opens no devices; a bug in it may not either. */
    const struct mount_attrs attrs = {.tree_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
                                                  MOUNT_ATTR_NOEXEC |
                                                  (read_only ? MOUNT_ATTR_RDONLY : 0u),
                                      .propagation = MS_PRIVATE | MS_REC,
                                      .userns = -1};
    int e = mount_set_attrs(tree, &attrs, err);
    if (e != 0) {
        return e;
    }
    s->folder[s->count] = S_ISDIR(st.st_mode);
    s->read_only[s->count] = read_only;
    s->trees[s->count++] = steal_fd(&tree);
    return 0;
}

int share_open(const struct container *c, struct share *out, struct err *err) {
    out->count = 0;
    bool image = c->root_image != NULL;
    if (image) { /* the guest mounts it where the root's folder would be */
        out->trees[0] = -1;
        out->folder[0] = true;
        out->count = 1;
    }
    /* Without what is mounted below: the host's /proc is no file of an image. */
    int e = image ? 0
                  : open_one(out, c->rootfs, false,
                             c->overlay == OVERLAY_MEMORY || c->root_readonly, err);
    for (size_t i = 0; i < c->mount_count && e == 0; i++) {
        const struct container_mount *m = &c->mounts[i];
        if (m->kind == MOUNT_BIND) {
            e = open_one(out, m->source, m->recursive, (m->flags & MOAT_MOUNT_RDONLY) != 0, err);
        }
    }
    if (e != 0) {
        share_close(out);
    } else if (image && out->count == 1) {
        out->count = 0; /* no files of the host at all */
    }
    return e;
}

int share_attach(struct share *s, const char *place, struct err *err) {
    if (mount("share", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") !=
        0) {
        return err_sys(err, -errno, "cannot make the folder of the machine's files");
    }
    cleanup_fd int top = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (uint32_t i = 0; i < s->count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i); /* fits */
        int e = s->folder[i] ? mkdirat(top, name, 0755) : mknodat(top, name, S_IFREG | 0644, 0);
        cleanup_fd int target = e == 0 ? openat(top, name, O_PATH | O_CLOEXEC) : -1;
        e = target < 0 ? -errno : s->trees[i] < 0 ? 0 : mount_tree_attach(s->trees[i], target);
        if (e != 0) {
            return err_sys(err, e, "cannot put the machine's files together");
        }
    }
    if (mount(NULL, place, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) !=
        0) {
        return err_sys(err, -errno, "cannot make the folder of the machine's files read-only");
    }
    return 0;
}

void share_close(struct share *s) {
    for (uint32_t i = 0; i < s->count; i++) {
        cleanup_fd_fn(&s->trees[i]);
    }
    s->count = 0;
}
