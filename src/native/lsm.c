/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security labels: see lsm.h, and the steps LSM_OPEN and LSM_LABEL.
 *
 * The label of the next execve is written to a file of the process itself below /proc
 * (apparmor(7); selinux: setexeccon(3)).  It is opened before any namespace of the container is
 * entered, through host/procfs.h, so that no image can stand something else in its place.
 */
#include "native/lsm.h"

#include "host/cleanup.h"
#include "host/path.h"
#include "native/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static bool has_apparmor(void) {
    char c = 'N';
    cleanup_fd int fd = open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &c, 1) == 1 && c == 'Y';
}

static bool has_selinux(void) {
    struct statfs fs;
    return statfs("/sys/fs/selinux", &fs) == 0 && (uint32_t)fs.f_type == SELINUX_MAGIC;
}

static bool given(const char *label) {
    return label != NULL && label[0] != '\0';
}

const char *lsm_mount_label(const struct container *c) {
    const char *label = c->linux_.mount_label;
    return given(label) && has_selinux() ? label : NULL;
}

/* Of these the kernel keeps one instance for many mounts, of which no two may have contexts of
 * their own (mount(8), "context"); their files have labels by the policy. */
const char *lsm_mount_context(const char *label, const char *fstype) {
    static const char *const shared[] = {"proc", "sysfs", "mqueue", "cgroup", "cgroup2"};
    for (size_t i = 0; i < ARRAY_COUNT(shared); i++) {
        if (strcmp(fstype, shared[i]) == 0) {
            return NULL;
        }
    }
    return label;
}

int lsm_label_root(int mnt, const char *label, const char *fstype, struct err *err) {
    char path[PATH_OF_FD_SIZE];
    if (label == NULL || strcmp(fstype, "mqueue") != 0 ||
        setxattr(path_of_fd(mnt, path), "security.selinux", label, strlen(label) + 1, 0) == 0 ||
        errno == ENOTSUP /* the policy knows no labels there */) {
        return 0;
    }
    return err_sys(err, -errno, "linux.mountLabel '%s' is refused", label);
}

int lsm_label_keys(const struct setup *s, const char *label, struct err *err) {
    const char *text = label != NULL ? label : "\n"; /* proc_pid_attr(5): takes the label back */
    size_t len = strlen(text);
    if (s->lsm_key_fd < 0 || pwrite(s->lsm_key_fd, text, len, 0) == (ssize_t)len) {
        return 0;
    }
    return err_sys(err, -errno, "cannot label keys as '%s'", label != NULL ? label : "usual");
}

const char *lsm_label(const struct container_process *p, enum lsm_label *out_kind) {
    *out_kind = LSM_NONE;
    if (given(p->apparmor_profile) && has_apparmor()) {
        *out_kind = LSM_APPARMOR;
        return p->apparmor_profile;
    }
    if (given(p->selinux_label) && has_selinux()) {
        *out_kind = LSM_SELINUX;
        return p->selinux_label;
    }
    return NULL;
}

int lsm_check(const struct container_process *p, const struct isolation_setup *how,
              struct err *err) {
    if (given(p->apparmor_profile) && strcmp(p->apparmor_profile, "unconfined") != 0 &&
        !has_apparmor()) {
        return err_set(err, -ENOTSUP,
                       "process.apparmorProfile '%s': AppArmor is not active on this host",
                       p->apparmor_profile);
    }
    if (given(p->selinux_label) && !has_selinux() && how->warn != NULL) {
        how->warn(how->arg,
                  "process.selinuxLabel has no effect: SELinux is not active on this host");
    }
    return 0;
}

/* op->value is enum lsm_label. */
int setup_lsm_open(struct setup *s, const struct setup_op *op, struct err *err) {
    int fd = -ENOENT;
    if (op->value == LSM_APPARMOR) {
        fd = procfs_open_file(&s->proc, "self/attr/apparmor/exec", O_WRONLY);
    }
    if (fd == -ENOENT) {
        fd = procfs_open_file(&s->proc, "self/attr/exec", O_WRONLY);
    }
    s->lsm_fd = fd;
    if (op->value == LSM_SELINUX) {
        s->lsm_key_fd = procfs_open_file(&s->proc, "self/attr/keycreate", O_WRONLY);
    }
    return fd >= 0 ? 0 : err_sys(err, fd, "cannot open /proc/self/attr/exec");
}

int setup_lsm_label(struct setup *s, const struct setup_op *op, struct err *err) {
    char text[512];
    int n =
        snprintf(text, sizeof(text), "%s%s", op->value == LSM_APPARMOR ? "exec " : "", op->subject);
    if (n < 0 || (size_t)n >= sizeof(text)) {
        return -ENAMETOOLONG;
    }
    ssize_t written = write(s->lsm_fd, text, (size_t)n);
    int e = written == n ? 0 : written < 0 ? -errno : -EIO;
    cleanup_fd_fn(&s->lsm_fd);
    s->lsm_fd = -1;
    return e == 0 ? 0 : err_sys(err, e, "the kernel refuses it (is the profile loaded?)");
}
