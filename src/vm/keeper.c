/* SPDX-License-Identifier: Apache-2.0 */
/* Files that come and go while a machine runs: see keeper.h. */
#include "vm/keeper.h"

#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/msg.h"
#include "moat/gofer.h"
#include "vm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLACE  "/tmp" /* of the root to be, until it is the root */
#define FOLDER "/share"

enum { FD_ADMIN = 3, FD_TOP, FD_WRITABLE, FD_STATUS };

int keeper_prepare(const char *place, struct err *err) {
    return mount(NULL, place, NULL, MS_SHARED, NULL) == 0
               ? 0
               : err_sys(err, -errno, "cannot let the folder of the machine's files change");
}

/* ---- set-up ---- */

/* A root with the folder and nothing else, so that no mount of the host is held by this process. */
static int enter_root(const char *place, struct err *err) {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("root", PLACE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") != 0 ||
        mkdir(PLACE FOLDER, 0755) != 0 || mount(place, PLACE FOLDER, NULL, MS_BIND, NULL) != 0 ||
        /* What goes with the old root must not go in the file server's namespace. */
        mount(NULL, place, NULL, MS_PRIVATE, NULL) != 0 || chdir(PLACE) != 0 ||
        syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 ||
        chdir("/") != 0) {
        return err_sys(err, -errno, "cannot prepare the keeper of the pod's files");
    }
    return 0;
}

/* The folder is read-only where it is shown; mount points are made through this one. */
static int open_writable(struct err *err) {
    const struct mount_attrs attrs = {
        .clear = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE, .userns = -1};
    cleanup_fd int tree = mount_tree_open(AT_FDCWD, FOLDER, false);
    if (tree < 0) {
        return err_sys(err, tree, "cannot open the folder of the pod's files");
    }
    int e = mount_set_attrs(tree, &attrs, err);
    return e == 0 ? steal_fd(&tree) : e;
}

static int place_fds(int admin, int status, struct err *err) {
    int writable = open_writable(err);
    int top = writable < 0 ? -1 : open(FOLDER, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fds[] = {admin, top, writable, status};
    if (writable < 0) {
        return writable;
    }
    for (int i = 0; i < 4; i++) { /* by way of numbers that none of them has */
        fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 1000);
    }
    for (int i = 0; i < 4; i++) {
        if (fds[i] < 0 || dup3(fds[i], FD_ADMIN + i, O_CLOEXEC) < 0) {
            return err_sys(err, -errno, "cannot place the keeper's descriptors");
        }
    }
    (void)close_range(FD_STATUS + 1, ~0u, 0); /* valid range */
    return 0;
}

/* ---- service ---- */

static int place_tree(const char *name, int tree) {
    struct stat st;
    if (fstat(tree, &st) != 0) {
        return -errno;
    }
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
        return -EINVAL;
    }
    int made = S_ISDIR(st.st_mode) ? mkdirat(FD_WRITABLE, name, 0755)
                                   : mknodat(FD_WRITABLE, name, S_IFREG | 0644, 0);
    cleanup_fd int target = made == 0 ? openat(FD_TOP, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
    return target < 0 ? -errno : mount_tree_attach(tree, target);
}

static void remove_one(uint32_t index) {
    char name[16], path[32];
    (void)snprintf(name, sizeof(name), "%u", index);              /* fits */
    (void)snprintf(path, sizeof(path), FOLDER "/%u", index);      /* fits */
    (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);            /* it may never have come */
    if (unlinkat(FD_WRITABLE, name, 0) != 0 && errno == EISDIR) { /* likewise */
        (void)unlinkat(FD_WRITABLE, name, AT_REMOVEDIR);
    }
}

/* A tree of the caller's own making: restricted here too, whatever it was told. */
static int add_one(const struct moat_gofer_change *c, const int *fds, size_t fd_count) {
    struct err ignored = {0};
    char name[16];
    if (fd_count == 0 || (c->flags & MOAT_GOFER_EXPORT_OWN) == 0) {
        return -EINVAL;
    }
    const bool read_only = (c->flags & MOAT_GOFER_EXPORT_RO) != 0;
    const struct mount_attrs attrs = {.tree_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
                                                  MOUNT_ATTR_NOEXEC |
                                                  (read_only ? MOUNT_ATTR_RDONLY : 0u),
                                      .propagation = MS_PRIVATE | MS_REC,
                                      .userns = -1};
    int e = mount_set_attrs(fds[0], &attrs, &ignored);
    (void)snprintf(name, sizeof(name), "%u", c->index); /* fits */
    e = e != 0 ? e : place_tree(name, fds[0]);
    if (e != 0 && e != -EEXIST) {
        remove_one(c->index);
    }
    return e;
}

static bool is_valid(const struct moat_gofer_change *c, ssize_t size) {
    return size == (ssize_t)sizeof(*c) && c->magic == MOAT_GOFER_MAGIC &&
           c->index < MOAT_GOFER_EXPORTS_ALL && c->count <= MOAT_GOFER_EXPORTS_ALL - c->index;
}

static void serve(void) {
    for (;;) {
        struct moat_gofer_change c;
        int fds[MSG_FDS_MAX];
        size_t fd_count = 0;
        ssize_t n = msg_recv(FD_ADMIN, &c, sizeof(c), fds, &fd_count, false);
        if (n == 0 || (n < 0 && n != -EINTR && n != -EMSGSIZE)) {
            return; /* the monitor is gone */
        }
        bool ok = is_valid(&c, n);
        if (ok && c.what == MOAT_GOFER_ADD) {
            int32_t e = add_one(&c, fds, fd_count);
            (void)msg_send(FD_ADMIN, &e, sizeof(e), NULL, 0, false); /* gone: seen above */
        }
        for (uint32_t i = 0; ok && c.what == MOAT_GOFER_REMOVE && i < c.count; i++) {
            remove_one(c.index + i);
        }
        for (size_t i = 0; i < fd_count; i++) {
            (void)close(fds[i]); /* attached, or refused */
        }
    }
}

noreturn_fn void keeper_main(int admin, const char *place, int status) {
    struct err err = {0};
    int e = enter_root(place, &err);
    e = e != 0 ? e : place_fds(admin, status, &err);
    if (e == 0) {
        status = FD_STATUS;
        e = jail_keeper(&err);
    }
    if (e != 0) {
        (void)!write(status, &err, sizeof(err)); /* the reader sees the end of the pipe if not */
        _exit(1);
    }
    (void)close(FD_STATUS); /* all is well */
    serve();
    _exit(0);
}
