/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's file tree: the root over the Gofer's export, the usual pseudo file systems, volumes
 * and what else the caller asks for.  Runs in the control task, whose own fs context becomes the
 * container's for the time, so that paths mean what they mean inside (and symlinks of the image
 * cannot lead outside).
 */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/kmount.h"
#include "fs/vfs.h"
#include "kernel/container.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/process.h"

#include <linux/errno.h>
#include <linux/mount.h>
#include <linux/stat.h>

#define MESSAGE_SIZE 196u
#define PREFIX_SIZE  4096u

struct standard_mount {
    const char *target, *fstype;
    uint32_t flags;
    const char *options;
};

/* What every container has (runtime-spec, config-linux: "Default Filesystems"); parents first. */
static const struct standard_mount g_standard[] = {
    {"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
    {"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, ""},
    {"/dev", "devtmpfs", MS_NOSUID, "mode=755"},
    {"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666"},
    {"/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
};

struct setup {
    const struct container_root *root;
    char *message;
};

static int fail(struct setup *s, int err, const char *what, const char *target) {
    (void)fmt_snprintf(s->message, MESSAGE_SIZE, "cannot %s '%s' in the container (error %d)", what,
                       target, -err); /* a long path is cut */
    return err;
}

static bool same_path(const char *a, const char *b) {
    size_t len = strlen(a);

    while (len > 1 && a[len - 1] == '/') {
        len--;
    }
    return strlen(b) == len && memcmp(a, b, len) == 0;
}

static bool covered(const struct setup *s, const char *target) {
    for (uint32_t i = 0; i < s->root->mount_count; i++) {
        if (same_path(s->root->mounts[i].target, target)) {
            return true;
        }
    }
    return false;
}

/* Makes the last component of `path` when it is missing; its parent is there. */
static int make_last(char *path, uint32_t mode) {
    struct path parent;
    struct path at;
    char *slash = strrchr(path, '/');

    int err = path_lookup(AT_FDCWD_MOAT, path, LOOKUP_FOLLOW, &at);
    if (err != -ENOENT) {
        if (err == 0) {
            path_put(&at);
        }
        return err;
    }
    char saved = slash[1];
    slash[1] = '\0'; /* the parent, with its slash */
    err = path_lookup(AT_FDCWD_MOAT, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &parent);
    slash[1] = saved;
    if (err != 0) {
        return err;
    }
    err = vfs_create_in(parent.dentry, slash + 1, strlen(slash + 1), mode, 0, NULL);
    path_put(&parent);
    return err == -EEXIST ? -ENOENT : err; /* a dangling link has the name */
}

int container_make_path(const char *target, uint32_t mode) {
    size_t len = strlen(target);
    int err = 0;

    if (target[0] != '/' || len >= PREFIX_SIZE) {
        return -EINVAL;
    }
    char *path = kstrdup(target);
    if (path == NULL) {
        return -ENOMEM;
    }
    while (len > 1 && path[len - 1] == '/') {
        path[--len] = '\0';
    }
    for (size_t i = 1; err == 0 && i <= len && len > 1; i++) {
        if (path[i] != '/' && i != len) {
            continue;
        }
        if (path[i - 1] == '/') {
            continue;
        }
        char saved = path[i];
        path[i] = '\0';
        err = make_last(path, i == len ? mode : (S_IFDIR | 0755u));
        path[i] = saved;
    }
    kfree(path);
    return err;
}

/* Copies what a new file system is about to hide into it. */
static int copy_up(struct super_block *sb, const struct path *at) {
    struct mount *m = NULL;

    ref_get(&sb->ref);
    int err = mount_attach(sb, at, 0, "tmpcopyup", &m);
    if (err == 0) {
        struct path to = {m, m->root};
        err = kcopy_tree(at, &to);
        mount_detach_tree(m);
        mount_put(m);
    }
    return err;
}

/* Mounts type on target, which is made when missing. */
static int mount_one(struct setup *s, const char *fstype, const char *source, const char *target,
                     uint32_t flags, const char *options, bool with_copy) {
    const struct fs_type *fs = fs_find(fstype);
    struct super_block *sb = NULL;
    struct path at;

    if (fs == NULL) {
        (void)fmt_snprintf(s->message, MESSAGE_SIZE,
                           "cannot mount on '%s': there is no file system '%s' under isolation "
                           "sentry",
                           target, fstype); /* a long path is cut */
        return -ENODEV;
    }
    int err = fs->mount(fs, source, flags, options, &sb);
    if (err != 0) {
        return fail(s, err, "mount on", target);
    }
    uint32_t type = sb->root->inode->mode & S_IFMT;
    uint32_t mode = type == S_IFDIR ? (S_IFDIR | 0755u) : (S_IFREG | 0644u);
    err = container_make_path(target, mode);
    if (err == 0) {
        err = path_lookup(AT_FDCWD_MOAT, target, LOOKUP_FOLLOW, &at);
    }
    if (err != 0) {
        super_put(sb);
        return fail(s, err, "make the mount point", target);
    }
    if (with_copy && S_ISDIR(at.dentry->inode->mode)) {
        err = copy_up(sb, &at);
    }
    if (err == 0) {
        err = mount_attach(sb, &at, flags, source, NULL);
    } else {
        super_put(sb);
    }
    path_put(&at);
    return err != 0 ? fail(s, err, "mount on", target) : 0;
}

static int mount_standard(struct setup *s, bool below_dev) {
    for (size_t i = 0; i < ARRAY_COUNT(g_standard); i++) {
        const struct standard_mount *m = &g_standard[i];
        bool dev_child = strncmp(m->target, "/dev/", 5) == 0;
        if (covered(s, m->target) || (dev_child && covered(s, "/dev")) != below_dev) {
            continue;
        }
        int err = mount_one(s, m->fstype, m->fstype, m->target, m->flags, m->options, false);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int mount_bind(struct setup *s, const struct container_mount *m) {
    char data[64];

    (void)fmt_snprintf(data, sizeof(data), "chan=%u,export=%u%s", s->root->gofer_chan,
                       m->export_index, (m->flags & MS_RDONLY) != 0 ? ",ro" : ""); /* fits */
    return mount_one(s, "fuse", m->source[0] != '\0' ? m->source : "volume", m->target, m->flags,
                     data, false);
}

/* Names of file systems that mean another one here: there is one hierarchy of control groups. */
static const char *type_here(const char *fstype) {
    return strcmp(fstype, "cgroup") == 0 ? "cgroup2" : fstype;
}

static int mount_asked(struct setup *s, const struct container_mount *m) {
    if (m->kind == MOAT_MOUNT_BIND) {
        return mount_bind(s, m);
    }
    if (same_path(m->target, "/dev") &&
        (strcmp(m->fstype, "tmpfs") == 0 || strcmp(m->fstype, "devtmpfs") == 0)) {
        int err = mount_one(s, "devtmpfs", "devtmpfs", "/dev", m->flags & ~(uint32_t)MS_NODEV,
                            m->options, false);
        return err != 0 ? err : mount_standard(s, true);
    }
    return mount_one(s, type_here(m->fstype), m->source, m->target, m->flags, m->options,
                     m->copy_up);
}

static int mount_root(struct container *c, struct setup *s) {
    const struct container_root *root = s->root;
    bool overlay = root->overlay == MOAT_OVERLAY_MEMORY;
    const struct fs_type *fs = fs_find(overlay ? "overlay" : "fuse");
    uint32_t flags = root->read_only ? MS_RDONLY : 0;
    struct super_block *sb = NULL;
    struct mount *m = NULL;
    char data[64];

    (void)fmt_snprintf(data, sizeof(data),
                       overlay ? "lower_chan=%u,lower_export=%u" : "chan=%u,export=%u",
                       root->gofer_chan, root->root_export); /* fits */
    if (fs == NULL) {
        return fail(s, -ENODEV, "mount", "/");
    }
    int err = fs->mount(fs, "root", flags, data, &sb);
    if (err != 0) {
        return fail(s, err, "mount", "/");
    }
    err = mount_attach(sb, NULL, flags, "root", &m);
    if (err != 0) {
        return fail(s, err, "mount", "/");
    }
    struct path at = {m, m->root};
    c->fs = fs_context_create(&at);
    mount_put(m);
    return c->fs != NULL ? 0 : -ENOMEM;
}

struct fs_context *container_enter(struct fs_context *fs) {
    struct task *t = current;

    spin_lock(&t->lock);
    struct fs_context *old = t->fs;
    t->fs = fs;
    spin_unlock(&t->lock);
    return old;
}

int container_root_setup(struct container *c, const struct container_root *root,
                         char message[196]) {
    struct setup s = {.root = root, .message = message};
    int err = mount_root(c, &s);

    if (err != 0) {
        return err;
    }
    struct fs_context *old = container_enter(c->fs);
    err = mount_standard(&s, false);
    for (uint32_t i = 0; err == 0 && i < root->mount_count; i++) {
        err = mount_asked(&s, &root->mounts[i]);
    }
    (void)container_enter(old);
    return err;
}
