/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps that fill /dev: see setup_ops.def.
 *
 * A name in /dev can exist already when the image or a volume brings it: then it must be the device
 * it claims to be, or the container is not started.
 */
#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/path.h"
#include "host/terminal.h"
#include "native/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

static mode_t device_type(const struct oci_device *d) {
    return d->type == 'b' ? S_IFBLK : d->type == 'p' ? S_IFIFO : S_IFCHR;
}

static bool is_device(const struct stat *st, const struct oci_device *d) {
    return (st->st_mode & S_IFMT) == device_type(d) &&
           (d->type == 'p' ||
            st->st_rdev == makedev((unsigned int)d->major, (unsigned int)d->minor));
}

/* In a user namespace nodes cannot be made: the host's is bound, once it is known to be the one. */
static int bind_device(int dir, const char *name, const struct oci_device *d, struct err *err) {
    struct stat st;
    cleanup_fd int host = open(d->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (host < 0 || fstat(host, &st) != 0) {
        return err_sys(err, -errno, "cannot use the host's");
    }
    if (!is_device(&st, d)) {
        return err_set(err, -EINVAL, "the host's is another device");
    }
    cleanup_fd int made =
        openat(dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0600);
    (void)made; /* it may be there already; the next open tells */
    cleanup_fd int target = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0) {
        return err_sys(err, -errno, "cannot make the mount point");
    }
    cleanup_fd int tree = mount_tree_open(host, "", false);
    int e = tree >= 0         ? mount_tree_attach(tree, target)
            : tree == -ENOSYS ? mount_bind_legacy(d->path, target, false)
                              : tree;
    return e == 0 ? 0 : err_sys(err, e, "cannot bind the host's");
}

/* op->arg is a struct oci_device. */
int setup_device(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct oci_device *d = op->arg;
    const char *name = NULL;
    struct stat st;
    cleanup_fd int dir = path_parent_in_root(s->root, d->path, true, &name);
    if (dir < 0) {
        return err_sys(err, dir, "cannot make its folder");
    }
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return is_device(&st, d)
                   ? 0
                   : err_set(err, -EEXIST, "the image has something else of that name");
    }
    if (s->user_namespace) {
        return bind_device(dir, name, d, err);
    }
    dev_t dev = d->type == 'p' ? 0 : makedev((unsigned int)d->major, (unsigned int)d->minor);
    mode_t old = umask(0);
    int e = mknodat(dir, name, device_type(d) | (d->mode & 07777), dev) == 0 ? 0 : -errno;
    (void)umask(old); /* cannot fail */
    if (e == -EPERM) {
        return bind_device(dir, name, d, err);
    }
    if (e != 0) {
        return e;
    }
    return (d->uid == 0 && d->gid == 0) ||
                   fchownat(dir, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) == 0
               ? 0
               : err_sys(err, -errno, "cannot set its owner");
}

/* op->subject is the link's path, op->arg its text.  What the image has there stays. */
int setup_dev_link(struct setup *s, const struct setup_op *op, struct err *err) {
    const char *name = NULL;
    cleanup_fd int dir = path_parent_in_root(s->root, op->subject, true, &name);
    if (dir < 0) {
        return dir;
    }
    if (op->value != 0) {             /* ptmx: the image's own would be the host's */
        (void)unlinkat(dir, name, 0); /* mostly there is none */
    }
    return symlinkat(op->arg, dir, name) == 0 || errno == EEXIST ? 0 : -errno;
}

/* ---- the terminal ---- */

/* The multiplexer of the container's own devpts, known to be one. */
static int open_ptmx(struct setup *s, struct err *err) {
    struct statfs fs;
    struct stat st;
    cleanup_fd int node = path_open_in_root(s->root, "/dev/pts/ptmx", O_PATH | O_NOFOLLOW);
    if (node < 0) {
        return err_sys(err, node, "process.terminal needs a devpts on /dev/pts");
    }
    if (fstatfs(node, &fs) != 0 || fs.f_type != DEVPTS_SUPER_MAGIC || fstat(node, &st) != 0 ||
        !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2)) {
        return err_set(err, -EINVAL, "/dev/pts/ptmx is no terminal multiplexer");
    }
    int fd = path_open_in_root(s->root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW);
    if (fd >= 0 && (fstatfs(fd, &fs) != 0 || fs.f_type != DEVPTS_SUPER_MAGIC)) {
        (void)close(fd);
        return err_set(err, -EINVAL, "/dev/pts/ptmx is no terminal multiplexer");
    }
    return fd >= 0 ? fd : err_sys(err, fd, "cannot open /dev/pts/ptmx");
}

/* The slave itself is mounted on /dev/console, by its descriptor: no path leads there. */
static int mount_console(struct setup *s, int slave, struct err *err) {
    const char *name = NULL;
    struct stat st;
    cleanup_fd int dir = path_parent_in_root(s->root, "/dev/console", true, &name);
    if (dir < 0) {
        return err_sys(err, dir, "cannot open /dev");
    }
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
        return err_set(err, -ELOOP, "/dev/console of the image is a symlink");
    }
    cleanup_fd int made =
        openat(dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0600);
    (void)made; /* it may be there already; the next open tells */
    cleanup_fd int target = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0 || fstat(target, &st) != 0 || S_ISLNK(st.st_mode)) {
        return err_sys(err, target < 0 ? -errno : -ELOOP, "cannot make /dev/console");
    }
    cleanup_fd int tree = mount_tree_open(slave, "", false);
    char path[PATH_OF_FD_SIZE];
    int e = tree >= 0         ? mount_tree_attach(tree, target)
            : tree == -ENOSYS ? mount_bind_legacy(path_of_fd(slave, path), target, false)
                              : tree;
    return e == 0 ? 0 : err_sys(err, e, "cannot mount the terminal on /dev/console");
}

static int take_as_streams(struct setup *s, int slave, struct err *err) {
    const struct container_process *p = s->process;
    const struct winsize ws = {.ws_row = p->rows, .ws_col = p->cols};
    if (p->rows != 0 && p->cols != 0 && ioctl(slave, TIOCSWINSZ, &ws) != 0) {
        return err_sys(err, -errno, "cannot set its size");
    }
    for (int fd = 0; fd < 3; fd++) {
        if (dup2(slave, fd) != fd) {
            return err_sys(err, -errno, "cannot place it on descriptor %d", fd);
        }
    }
    return 0;
}

/* Makes the terminal, sends its master to the engine, and takes the slave as standard streams;
 * op->value: mount it on /dev/console too. */
int setup_console(struct setup *s, const struct setup_op *op, struct err *err) {
    if (s->root < 0) { /* an exec, whose root is the container's since it joined its namespaces */
        s->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    cleanup_fd int master = open_ptmx(s, err);
    int unlocked = 0;
    if (master < 0) {
        return master;
    }
    if (ioctl(master, TIOCSPTLCK, &unlocked) != 0) {
        return err_sys(err, -errno, "cannot unlock it");
    }
    cleanup_fd int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        return err_sys(err, -errno, "cannot open its other end");
    }
    int e = op->value != 0 ? mount_console(s, slave, err) : 0;
    e = e != 0 ? e : take_as_streams(s, slave, err);
    if (e != 0) {
        return e;
    }
    return terminal_send_master(s->how->console_socket, master, err);
}

/* For the leader of a session, whose standard input is the terminal by now: tty_ioctl(4). */
int setup_controlling_terminal(struct setup *s, const struct setup_op *op, struct err *err) {
    return ioctl(0, TIOCSCTTY, 0) == 0 ? 0 : -errno;
}
