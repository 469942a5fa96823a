/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting by descriptors: see mounts.h. */
#include "host/mounts.h"

#include "host/cleanup.h"
#include "host/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

/* What a filter or an old kernel answers for a call that it does not know. */
static bool is_missing(int error) {
    return error == ENOSYS || error == EPERM;
}

unsigned long mount_legacy_flags(uint64_t attrs) {
    static const struct {
        uint64_t attr;
        unsigned long flag;
    } map[] = {
        {MOUNT_ATTR_RDONLY, MS_RDONLY},         {MOUNT_ATTR_NOSUID, MS_NOSUID},
        {MOUNT_ATTR_NODEV, MS_NODEV},           {MOUNT_ATTR_NOEXEC, MS_NOEXEC},
        {MOUNT_ATTR_NOATIME, MS_NOATIME},       {MOUNT_ATTR_STRICTATIME, MS_STRICTATIME},
        {MOUNT_ATTR_NODIRATIME, MS_NODIRATIME},
    };
    unsigned long flags = 0;
    for (size_t i = 0; i < ARRAY_COUNT(map); i++) {
        flags |= (attrs & map[i].attr) != 0 ? map[i].flag : 0;
    }
    return flags;
}

int mount_tree_open(int dir, const char *path, bool recursive) {
    unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) |
                         (path[0] == '\0' ? AT_EMPTY_PATH : 0);
    int fd = open_tree(dir, path, flags);
    return fd >= 0 ? fd : -errno;
}

/* ---- new file systems ---- */

/* What the file system itself says about a wrong option (fsopen(2): read the context). */
static int fs_failure(int fs, const char *what, struct err *err) {
    char text[256];
    int saved = -errno;
    ssize_t n = read(fs, text, sizeof(text) - 1);
    if (n <= 0) {
        return err_sys(err, saved, "%s", what);
    }
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return err_set(err, saved, "%s: %s: %s", what, strerror(-saved), text);
}

static int fs_set_option(int fs, char *option) {
    char *value = strchr(option, '=');
    if (value == NULL) {
        return fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
    }
    *value++ = '\0';
    return fsconfig(fs, FSCONFIG_SET_STRING, option, value, 0);
}

static int fs_configure(int fs, const char *source, const char *options, const char *context,
                        struct err *err) {
    char what[160];
    if (source != NULL && source[0] != '\0' &&
        fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) != 0) {
        return fs_failure(fs, "the source is refused", err);
    }
    cleanup_free char *copy = options != NULL ? strdup(options) : NULL;
    char *state = NULL;
    for (char *o = copy != NULL ? strtok_r(copy, ",", &state) : NULL; o != NULL;
         o = strtok_r(NULL, ",", &state)) {
        (void)snprintf(what, sizeof(what), "option '%s' is refused", o); /* cut is fine */
        if (fs_set_option(fs, o) != 0) {
            return fs_failure(fs, what, err);
        }
    }
    if (context != NULL && fsconfig(fs, FSCONFIG_SET_STRING, "context", context, 0) != 0) {
        return fs_failure(fs, "the label is refused", err);
    }
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) {
        return fs_failure(fs, "the file system cannot be made", err);
    }
    return 0;
}

int mount_fs_open(const char *fstype, const char *source, const char *options, const char *context,
                  uint64_t attrs, struct err *err) {
    cleanup_fd int fs = fsopen(fstype, FSOPEN_CLOEXEC);
    if (fs < 0) {
        return is_missing(errno) ? -ENOSYS : err_sys(err, -errno, "file system type '%s'", fstype);
    }
    int e = fs_configure(fs, source, options, context, err);
    if (e != 0) {
        return e;
    }
    int mnt = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned int)attrs);
    return mnt >= 0 ? mnt : err_sys(err, -errno, "cannot make a mount of %s", fstype);
}

int mount_fs_legacy(const char *fstype, const char *source, const char *options, uint64_t attrs,
                    unsigned long flags, int target) {
    char where[PATH_OF_FD_SIZE];
    return mount(source != NULL ? source : fstype, path_of_fd(target, where), fstype,
                 mount_legacy_flags(attrs) | flags, options) == 0
               ? 0
               : -errno;
}

int mount_bind_legacy(const char *source, int target, bool recursive) {
    char where[PATH_OF_FD_SIZE];
    return mount(source, path_of_fd(target, where), NULL, MS_BIND | (recursive ? MS_REC : 0),
                 NULL) == 0
               ? 0
               : -errno;
}

int mount_tree_attach(int tree, int target) {
    return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0
               ? 0
               : -errno;
}

/* ---- attributes ---- */

/* A remount of the mount that `mnt` is the root of: mount(2) replaces all flags, so the present
 * ones are read first. */
static int legacy_set(int mnt, uint64_t set, uint64_t clear) {
    char where[PATH_OF_FD_SIZE];
    struct statvfs now;
    if (fstatvfs(mnt, &now) != 0) {
        return -errno;
    }
    unsigned long flags = now.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME |
                                        ST_NODIRATIME); /* the same numbers as MS_* */
    flags = (flags & ~mount_legacy_flags(clear)) | mount_legacy_flags(set);
    return mount(NULL, path_of_fd(mnt, where), NULL, MS_REMOUNT | MS_BIND | flags, NULL) == 0
               ? 0
               : -errno;
}

static int set_one(int mnt, bool tree, uint64_t set, uint64_t clear, struct err *err) {
    if (((set | clear) & MOUNT_ATTR__ATIME) != 0) {
        clear |= MOUNT_ATTR__ATIME; /* mount_setattr(2): the field is changed as a whole */
    }
    struct mount_attr attr = {.attr_set = set, .attr_clr = clear};
    if ((set | clear) == 0 || mount_setattr(mnt, "", AT_EMPTY_PATH | (tree ? AT_RECURSIVE : 0),
                                            &attr, sizeof(attr)) == 0) {
        return 0;
    }
    if (!is_missing(errno)) {
        return err_sys(err, -errno, "cannot set the mount's attributes");
    }
    if (tree) {
        return err_sys(err, -errno,
                       "attributes of a whole tree of mounts need mount_setattr (Linux 5.12)");
    }
    int e = legacy_set(mnt, set, clear);
    return e == 0 || e == -EINVAL /* detached */
               ? e == 0 ? 0 : -ENOSYS
               : err_sys(err, e, "cannot set the mount's attributes");
}

static int set_propagation(int mnt, uint32_t propagation, struct err *err) {
    bool tree = (propagation & MS_REC) != 0;
    struct mount_attr attr = {.propagation = propagation & ~(uint32_t)MS_REC};
    char where[PATH_OF_FD_SIZE];
    if (propagation == 0 || mount_setattr(mnt, "", AT_EMPTY_PATH | (tree ? AT_RECURSIVE : 0), &attr,
                                          sizeof(attr)) == 0) {
        return 0;
    }
    if (is_missing(errno) && mount(NULL, path_of_fd(mnt, where), NULL, propagation, NULL) == 0) {
        return 0;
    }
    return errno == EINVAL ? -ENOSYS : err_sys(err, -errno, "cannot set the mount's propagation");
}

static int set_idmap(int mnt, const struct mount_attrs *a, struct err *err) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP,
                              .userns_fd = (uint64_t)(a->userns < 0 ? 0 : a->userns)};
    if (a->userns < 0 || mount_setattr(mnt, "", AT_EMPTY_PATH | (a->userns_tree ? AT_RECURSIVE : 0),
                                       &attr, sizeof(attr)) == 0) {
        return 0;
    }
    return err_sys(
        err, -errno,
        "cannot map the mount's ids (the file system must support idmapped mounts, Linux "
        "5.12 and later)");
}

int mount_set_attrs(int mnt, const struct mount_attrs *a, struct err *err) {
    int e = set_idmap(mnt, a, err);
    e = e != 0 ? e : set_one(mnt, true, a->tree_set, a->tree_clear, err);
    e = e != 0 ? e : set_one(mnt, false, a->set, a->clear, err);
    return e != 0 ? e : set_propagation(mnt, a->propagation, err);
}
