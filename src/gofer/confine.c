/* SPDX-License-Identifier: Apache-2.0 */
/* Confinement: see confine.h.  Everything here runs before the first request is read. */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/tree.h"
#include "host/userns.h"
#include "node.h"
#include "seccomp_filters.h"

/* ---- exports ---- */

/* Replaces an export's directory by the root of a clone of its mount.  `path` is relative to
 * dir_fd. */
static int export_clone(struct export *e, int dir_fd, const char *path) {
    struct statx want, have;
    int fd = tree_open(dir_fd, path, (e->flags & MOAT_GOFER_EXPORT_RO) != 0,
                       (e->flags & MOAT_GOFER_EXPORT_ONE_FS) == 0);
    if (fd < 0) {
        return fd;
    }
    int err = node_stat_at(e->dir_fd, "", &want);
    if (err == 0) {
        err = node_stat_at(fd, "", &have);
    }
    if (err == 0 && (want.stx_ino != have.stx_ino || want.stx_dev_major != have.stx_dev_major ||
                     want.stx_dev_minor != have.stx_dev_minor)) {
        err = -ESTALE;
    }
    if (err != 0) {
        (void)close(fd); /* not used */
        return err;
    }
    (void)close(e->dir_fd); /* replaced */
    e->dir_fd = fd;
    e->own_mount = true;
    return 0;
}

int confine_exports(struct gofer *g) {
    for (uint32_t i = 0; i < g->export_count; i++) {
        struct export *e = &g->exports[i];
        if (!e->own_mount) {
            (void)export_clone(
                e, e->dir_fd,
                ""); /* an unprivileged Gofer has its chance in a name space of its own */
        }
    }
    return 0;
}

/* In our own mount namespace the launcher's descriptors belong to the old one: clone by path what
 * it leads to. */
static void exports_again(struct gofer *g) {
    for (uint32_t i = 0; i < g->export_count; i++) {
        struct export *e = &g->exports[i];
        char link[64], path[4096];
        if (e->own_mount) {
            continue;
        }
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", e->dir_fd);
        ssize_t len = readlink(link, path, sizeof(path) - 1);
        int err = len < 0 ? -errno : 0;
        if (err == 0) {
            path[len] = '\0';
            err = export_clone(e, AT_FDCWD, path);
        }
        if (err != 0) {
            gofer_log(g,
                      "export %u: no mount of its own (%s): devices are held off by looking first",
                      i, strerror(-err));
        }
    }
}

/* An exported regular file has no directory to open it from: it is opened once, now. */
static int open_file_exports(struct gofer *g) {
    for (uint32_t i = 0; i < g->export_count; i++) {
        struct export *e = &g->exports[i];
        struct statx stx;
        char link[64];
        if (e->empty) {
            continue; /* opened when the root is */
        }
        int err = node_stat_at(e->dir_fd, "", &stx);
        if (err != 0 || S_ISDIR(stx.stx_mode)) {
            if (err != 0) {
                return err;
            }
            continue;
        }
        if (!S_ISREG(stx.stx_mode)) {
            gofer_log(g, "export %u is neither a directory nor a regular file", i);
            return -EINVAL;
        }
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", e->dir_fd); /* fits */
        if ((e->flags & MOAT_GOFER_EXPORT_RO) == 0) {
            e->file_fd = open(link, O_RDWR | O_NOCTTY | O_CLOEXEC);
            e->file_writable = e->file_fd >= 0;
        }
        if (e->file_fd < 0) {
            e->file_fd = open(link, O_RDONLY | O_NOCTTY | O_CLOEXEC);
        }
        if (e->file_fd < 0) {
            return -errno;
        }
    }
    return 0;
}

/* ---- namespaces ---- */

/*
 * An ordinary user gets the right to make the other namespaces by one of its own, with its own id.
 * For root that would take a helper to map all ids (user_namespaces(7)), which was measured to
 * double the time to start, and would add little: what is left after limit_capabilities acts on
 * files, and files are only those of the exports.
 */
static int enter_namespaces(const struct gofer *g) {
    int others = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS;
    if (unshare(others) == 0) {
        return 0;
    }
    int err = errno == EPERM ? userns_enter_alone(0, g->uid, g->gid) : -errno;
    return err == 0 && unshare(others) != 0 ? -errno : err;
}

/* ---- empty root ---- */

static int enter_empty_root(void) {
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC,
              "size=4k,nr_inodes=2,mode=0") != 0 ||
        chdir("/proc") != 0) {
        return -errno;
    }
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) != 0) {
            return -errno;
        }
    } else if (mount(".", "/", NULL, MS_MOVE, NULL) != 0 ||
               chroot(".") != 0) { /* the root is an initramfs */
        return -errno;
    }
    if (chdir("/") != 0 ||
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC,
              NULL) != 0) {
        return -errno;
    }
    return 0;
}

static int open_empty_exports(struct gofer *g) {
    for (uint32_t i = 0; i < g->export_count; i++) {
        struct export *e = &g->exports[i];
        if (e->empty && (e->dir_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
            return -errno;
        }
    }
    return 0;
}

/* ---- privileges ---- */

static bool all_read_only(const struct gofer *g) {
    if (g->admin_fd >= 0) {
        return false; /* who knows what comes */
    }
    for (uint32_t i = 0; i < g->export_count; i++) {
        if ((g->exports[i].flags & MOAT_GOFER_EXPORT_RO) == 0) {
            return false;
        }
    }
    return true;
}

/* Keeps what serving files of other owners takes, no more. */
static int limit_capabilities(const struct gofer *g) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int cap = 0; cap <= 63; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
            break; /* EINVAL: the kernel knows no more; EPERM: the bounding set is not ours to
                      change */
        }
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* none is ever set */
    if (syscall(SYS_capget, &head, data) != 0) {
        return -errno;
    }
    uint32_t keep = 1u << CAP_DAC_OVERRIDE;
    if (!all_read_only(g)) {
        keep |= 1u << CAP_CHOWN | 1u << CAP_FOWNER | 1u << CAP_FSETID;
        keep |= g->vhost ? 1u << CAP_SETFCAP : 0; /* "security.capability" */
    }
    data[0].permitted &= keep;
    data[0].effective = data[0].permitted;
    data[0].inheritable = 0;
    data[1].permitted = data[1].effective = data[1].inheritable = 0;
    return syscall(SYS_capset, &head, data) == 0 ? 0 : -errno;
}

int confine_enter(struct gofer *g) {
    int death_signal = 0;
    pid_t parent = getppid();
    (void)prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0); /* cannot fail */
    int err = enter_namespaces(g);
    if (err != 0) {
        return err;
    }
    exports_again(g);
    err = open_file_exports(g);
    if (err == 0) {
        err = enter_empty_root();
    }
    if (err == 0) {
        err = open_empty_exports(g);
    }
    if (err == 0) {
        err = limit_capabilities(g);
    }
    /* Changed credentials take the parent-death signal away (prctl(2)). */
    if (err == 0 && death_signal != 0 &&
        (prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0 || getppid() != parent)) {
        err = -ESRCH;
    }
    if (err == 0 &&
        (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)) {
        err = -errno;
    }
    return err;
}

int confine_syscalls(const struct gofer *g) {
    static const struct sock_fprog programs[2][2] = {
        {{.len = ARRAY_COUNT(g_filter_rw), .filter = g_filter_rw},
         {.len = ARRAY_COUNT(g_filter_ro), .filter = g_filter_ro}},
        {{.len = ARRAY_COUNT(g_filter_vhost_rw), .filter = g_filter_vhost_rw},
         {.len = ARRAY_COUNT(g_filter_vhost_ro), .filter = g_filter_vhost_ro}}};
    const struct sock_fprog prog = programs[g->vhost][all_read_only(g)];
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0 ? 0 : -errno;
}
