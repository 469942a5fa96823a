/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CREATE message asks for inside the container's finished tree: device nodes, masked and
 * read-only paths, sysctls.  Runs in the control task inside the container's root.
 *
 * Source: runtime-spec, config-linux.md "Devices", "Masked Paths", "Readonly Paths", "Sysctl".
 */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/kmount.h"
#include "fs/proc/sysctl.h"
#include "kernel/container.h"
#include "kernel/control_msg.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"

#include <linux/errno.h>
#include <linux/mount.h>
#include <linux/stat.h>

#define MESSAGE_SIZE 196u

static int fail(char *message, int err, const char *what, const char *name) {
    (void)fmt_snprintf(message, MESSAGE_SIZE, "cannot %s '%s' in the container (error %d)", what,
                       name, -err); /* a long name is cut */
    return err;
}

/* ---- devices ---- */

/* Its directory is there; an older node of the name goes. */
static int make_node(const struct path *dir, const char *name, const struct moat_ctl_device *d) {
    struct dentry *old;
    struct dentry *node;
    int err = vfs_lookup_one(dir->dentry, name, strlen(name), &old);

    if (err != 0) {
        return err;
    }
    bool there = old->inode != NULL;
    if (there && S_ISDIR(old->inode->mode)) {
        err = -EISDIR;
    } else if (there) {
        err = vfs_unlink_in(dir->dentry, old);
    }
    dentry_put(old);
    if (err == 0) {
        err = vfs_create_in(dir->dentry, name, strlen(name), d->mode, MKDEV(d->major, d->minor),
                            &node);
    }
    if (err != 0) {
        return err;
    }
    struct iattr attr = {.valid = ATTR_SET_MODE | ATTR_SET_UID | ATTR_SET_GID,
                         .mode = d->mode & 07777,
                         .uid = d->uid,
                         .gid = d->gid};
    err = vfs_setattr(node, &attr);
    dentry_put(node);
    return err;
}

static int make_device(const char *target, const struct moat_ctl_device *d) {
    struct path dir;
    uint32_t type = d->mode & S_IFMT;
    char *path = kstrdup(target);

    if (path == NULL) {
        return -ENOMEM;
    }
    char *slash = strrchr(path, '/');
    const char *name = slash + 1;
    int err = 0;
    if ((type != S_IFCHR && type != S_IFIFO) || name[0] == '\0' || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0) {
        err = -EINVAL;
    }
    *slash = '\0';
    const char *parent = slash == path ? "/" : path;
    if (err == 0) {
        err = container_make_path(parent, S_IFDIR | 0755u);
    }
    if (err == 0) {
        err = path_lookup(AT_FDCWD_MOAT, parent, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dir);
    }
    if (err == 0) {
        err = make_node(&dir, name, d);
        path_put(&dir);
    }
    kfree(path);
    return err;
}

static int make_devices(const struct ctl_create *msg, char *message) {
    for (uint32_t i = 0; i < msg->fixed->device_count; i++) {
        const char *path = ctl_string(msg, msg->devices[i].path);
        int err = make_device(path, &msg->devices[i]);
        if (err != 0) {
            return fail(message, err, "make the device", path);
        }
    }
    return 0;
}

/* ---- paths ---- */

static int restrict_paths(const struct ctl_create *msg, char *message) {
    for (uint32_t i = 0; i < msg->fixed->readonly_count; i++) {
        const char *path = ctl_string(msg, msg->readonly[i]);
        int err = kmount_restrict(path, MS_RDONLY);
        if (err != 0 && err != -ENOENT && err != -ENOTDIR) {
            return fail(message, err, "make read-only", path);
        }
    }
    for (uint32_t i = 0; i < msg->fixed->masked_count; i++) {
        const char *path = ctl_string(msg, msg->masked[i]);
        int err = kmount_mask(path);
        if (err != 0 && err != -ENOENT && err != -ENOTDIR) {
            return fail(message, err, "mask", path);
        }
    }
    return 0;
}

/* ---- sysctls ---- */

static int set_uts(struct container *c, char *field, const char *value) {
    if (strlen(value) > UTS_LEN) {
        return -EINVAL;
    }
    spin_lock(&c->uts->lock);
    (void)strlcpy(field, value, UTS_LEN + 1); /* fits */
    spin_unlock(&c->uts->lock);
    return 0;
}

static int set_sysctls(struct container *c, const struct ctl_create *msg, char *message) {
    for (uint32_t i = 0; i < msg->fixed->sysctl_count; i++) {
        const char *name = ctl_string(msg, msg->sysctls[i].name);
        const char *value = ctl_string(msg, msg->sysctls[i].value);
        int err;
        if (strcmp(name, "kernel.hostname") == 0) {
            err = set_uts(c, c->uts->hostname, value);
        } else if (strcmp(name, "kernel.domainname") == 0) {
            err = set_uts(c, c->uts->domainname, value);
        } else {
            err = proc_sysctl_set(name, value);
        }
        if (err == -ENOENT) {
            (void)fmt_snprintf(message, MESSAGE_SIZE,
                               "sysctl '%s' does not exist under isolation sentry, or cannot be "
                               "changed: leave it out",
                               name);
        }
        if (err != 0) {
            return err == -ENOENT ? err : fail(message, err, "set the sysctl", name);
        }
    }
    return 0;
}

int container_paths_setup(struct container *c, const struct ctl_create *msg, char message[196]) {
    struct fs_context *old = container_enter(c->fs);
    int err = make_devices(msg, message);

    if (err == 0) {
        err = set_sysctls(c, msg, message); /* before /proc/sys becomes read-only */
    }
    if (err == 0) {
        err = restrict_paths(msg, message);
    }
    (void)container_enter(old);
    return err;
}
