/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Sentry's namespaces and empty root: see confine.h.  Sources: user_namespaces(7),
 * pivot_root(2), tmpfs(5), and the fsopen family of mount calls.
 */
#include "sandbox/confine.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UID_NOBODY 65534u

unsigned long confine_namespaces(bool own_network) {
    return CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
           CLONE_NEWCGROUP | (own_network ? CLONE_NEWNET : 0);
}

static int write_proc(pid_t pid, const char *name, const char *text, struct err *err) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name); /* always fits */
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        return err_sys(err, -errno, "cannot write '%s' to %s", text, path);
    }
    return 0;
}

int confine_map_ids(pid_t child, struct err *err) {
    bool root = geteuid() == 0;
    char uid_map[48], gid_map[48];
    (void)snprintf(uid_map, sizeof(uid_map), "0 %u 1", root ? UID_NOBODY : geteuid()); /* fits */
    (void)snprintf(gid_map, sizeof(gid_map), "0 %u 1", root ? UID_NOBODY : getegid()); /* fits */
    int e = 0;
    if (!root) {
        e = write_proc(child, "setgroups", "deny",
                       err); /* else an ordinary user may not map a gid */
    }
    e = e != 0 ? e : write_proc(child, "uid_map", uid_map, err);
    return e != 0 ? e : write_proc(child, "gid_map", gid_map, err);
}

/* A detached tmpfs; `huge` asks for huge pages, which not every kernel has.  out_fs (may be NULL):
 * the context that made it. */
static int make_tmpfs(const char *size, bool huge, bool read_only, int *out_fs, struct err *err) {
    cleanup_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0) {
        return err_sys(err, -errno, "cannot open a tmpfs (moat needs Linux 5.2 or newer)");
    }
    if (huge) {
        (void)fsconfig(fs, FSCONFIG_SET_STRING, "huge", "always", 0); /* small pages do as well */
    }
    (void)fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0700", 0); /* the default is only wider */
    if (size != NULL && fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) != 0) {
        return err_sys(err, -errno, "cannot set the size of a tmpfs to %s", size);
    }
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) {
        return err_sys(err, -errno, "cannot create a tmpfs");
    }
    unsigned int attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                        (read_only ? MOUNT_ATTR_RDONLY : 0u);
    if (!read_only) {
        attr &= ~(unsigned int)MOUNT_ATTR_NOEXEC; /* stubs map code from the memory file */
    }
    int mnt = fsmount(fs, FSMOUNT_CLOEXEC, attr);
    if (mnt >= 0 && out_fs != NULL) {
        *out_fs = steal_fd(&fs);
    }
    return mnt >= 0 ? mnt : err_sys(err, -errno, "cannot mount a tmpfs");
}

/* The helper's: it runs in our memory until we exec, and there it only makes system calls. */
static char g_helper_stack[16384] __attribute__((aligned(16)));

static int umount_main(void *arg) {
    int status_fd = (int)(intptr_t)arg;
    if (umount2(".", MNT_DETACH) != 0) {
        struct err err = {0};
        (void)err_sys(&err, -errno, "cannot take the host's root away"); /* told below */
        (void)!write(status_fd, &err,
                     sizeof(err)); /* the parent sees a message or nothing at all */
    }
    _exit(0);
}

/*
 * Takes the old root away in a helper process of the same mount namespace: the call waits for all
 * CPUs (an RCU grace period), milliseconds on a busy machine, in which the Sentry can start.  The
 * helper holds status_fd open until it is done; SIGCHLD is ignored, so it leaves no zombie.
 */
static int start_umount(int status_fd, struct err *err) {
    (void)signal(SIGCHLD, SIG_IGN); /* cannot fail; the Sentry ignores it as well */
    int pid = clone(umount_main, g_helper_stack + sizeof(g_helper_stack), CLONE_VM | SIGCHLD,
                    (void *)(intptr_t)status_fd);
    return pid > 0 ? 0 : err_sys(err, -errno, "cannot clone the helper that takes the root away");
}

static int enter_empty_root(int status_fd, struct err *err) {
    static const char *const places[] = {"/proc", "/tmp", "/dev", "/mnt"};
    cleanup_fd int root = make_tmpfs("4096", false, true, NULL, err);
    if (root < 0) {
        return root;
    }
    size_t i = 0;
    while (i < ARRAY_COUNT(places) &&
           move_mount(root, "", AT_FDCWD, places[i], MOVE_MOUNT_F_EMPTY_PATH) != 0) {
        i++;
    }
    if (i == ARRAY_COUNT(places)) {
        return err_sys(err, -errno, "cannot attach the Sentry's empty root");
    }
    /* The new root goes on top of the old one, which is then taken away from under it. */
    if (fchdir(root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0) {
        return err_sys(err, -errno, "cannot make an empty directory the Sentry's root");
    }
    int e = start_umount(status_fd, err);
    if (e == 0 && chdir("/") != 0) {
        e = err_sys(err, -errno, "cannot enter the Sentry's root");
    }
    return e;
}

int confine_enter(uint64_t memory_limit, int status_fd, int *out_memory_dir, int *out_memory_fs,
                  struct err *err) {
    if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0) {
        return err_sys(err, -errno, "cannot become the mapped user of the sandbox");
    }
    (void)setgroups(
        0, NULL); /* refused in an ordinary user's namespace, which has no more than it had */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return err_sys(err, -errno, "cannot bind the Sentry's life to its parent's");
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return err_sys(err, -errno, "cannot detach mount propagation");
    }
    char size[32];
    (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)memory_limit); /* fits */
    *out_memory_dir =
        make_tmpfs(memory_limit == 0 ? "100%" : size, true, false, out_memory_fs, err);
    return *out_memory_dir < 0 ? *out_memory_dir : enter_empty_root(status_fd, err);
}
