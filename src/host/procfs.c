/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a real proc: see procfs.h. */
#include "host/procfs.h"

#include "host/cleanup.h"
#include "host/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define PROC_ROOT_INO 1 /* inode number of every proc's root, linux/fs/proc */

static bool is_proc(int fd) {
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static bool is_proc_root(int fd) {
    struct stat st;
    return is_proc(fd) && fstat(fd, &st) == 0 && st.st_ino == PROC_ROOT_INO;
}

int procfs_open(struct procfs *out, struct err *err) {
    cleanup_fd int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return err_sys(err, -errno, "cannot open /proc");
    }
    if (!is_proc_root(fd)) {
        return err_set(err, -EXDEV, "/proc is no proc file system: mount one there");
    }
    out->root = steal_fd(&fd);
    return 0;
}

void procfs_close(struct procfs *p) {
    cleanup_fd_fn(&p->root);
    p->root = -1;
}

/* An instance of our own, where nothing can lie over anything. */
static int private_open(const char *path, int flags) {
    cleanup_fd int fs = fsopen("proc", FSOPEN_CLOEXEC);
    if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) {
        return -EXDEV;
    }
    cleanup_fd int root =
        fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return root >= 0 && is_proc_root(root) ? path_open_in_root(root, path, flags) : -EXDEV;
}

/* Without openat2: the device number tells whether a mount of another kind was crossed. */
static int walked_open(const struct procfs *p, const char *path, int flags) {
    struct stat root, file;
    cleanup_fd int fd = path_open_in_root(p->root, path, flags);
    if (fd < 0) {
        return fd;
    }
    if (fstat(p->root, &root) != 0 || fstat(fd, &file) != 0) {
        return -errno;
    }
    return root.st_dev == file.st_dev ? steal_fd(&fd) : -EXDEV;
}

int procfs_open_file(const struct procfs *p, const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS};
    cleanup_fd int fd = (int)syscall(SYS_openat2, p->root, path, &how, sizeof(how));
    if (fd < 0) {
        fd = errno == EXDEV                      ? private_open(path, flags)
             : errno == ENOSYS || errno == EPERM ? walked_open(p, path, flags)
                                                 : -errno;
    }
    if (fd < 0) {
        return fd;
    }
    return is_proc(fd) ? steal_fd(&fd) : -EXDEV;
}

int procfs_write(const struct procfs *p, const char *path, const char *text) {
    cleanup_fd int fd = procfs_open_file(p, path, O_WRONLY);
    if (fd < 0) {
        return fd;
    }
    size_t len = strlen(text);
    ssize_t n = write(fd, text, len);
    return n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
}

int procfs_read(const struct procfs *p, const char *path, char *buf, size_t size) {
    cleanup_fd int fd = procfs_open_file(p, path, O_RDONLY);
    size_t len = 0;
    ssize_t n = 0;
    if (fd < 0) {
        return fd;
    }
    while (len + 1 < size && (n = read(fd, buf + len, size - 1 - len)) > 0) {
        len += (size_t)n;
    }
    buf[len] = '\0';
    return n < 0 ? -errno : (int)len;
}
