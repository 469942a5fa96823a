/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces: see namespaces.h. */
#include "native/namespaces.h"

#include "host/cleanup.h"
#include "oci/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const struct {
    const char *name;
    uint64_t flag;
} g_kinds[NS_KINDS] = {
    [NS_PID] = {"pid", CLONE_NEWPID},          [NS_NETWORK] = {"network", CLONE_NEWNET},
    [NS_MOUNT] = {"mount", CLONE_NEWNS},       [NS_IPC] = {"ipc", CLONE_NEWIPC},
    [NS_UTS] = {"uts", CLONE_NEWUTS},          [NS_USER] = {"user", CLONE_NEWUSER},
    [NS_CGROUP] = {"cgroup", CLONE_NEWCGROUP}, [NS_TIME] = {"time", CLONE_NEWTIME},
};

uint64_t namespace_flag(enum oci_namespace kind) {
    return g_kinds[kind].flag;
}

const char *namespace_name(enum oci_namespace kind) {
    return g_kinds[kind].name;
}

uint64_t namespaces_of(const struct oci_linux *l) {
    uint64_t flags = 0;
    for (int kind = 0; kind < NS_KINDS; kind++) {
        flags |= l->namespaces[kind].set ? g_kinds[kind].flag : 0;
    }
    return flags;
}

uint64_t namespaces_new(const struct oci_linux *l) {
    uint64_t flags = 0;
    for (int kind = 0; kind < NS_KINDS; kind++) {
        bool fresh = l->namespaces[kind].set && l->namespaces[kind].path == NULL;
        flags |= fresh ? g_kinds[kind].flag : 0;
    }
    return flags;
}

int namespace_open(const char *path, enum oci_namespace kind, struct err *err) {
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return err_sys(err, -errno, "linux.namespaces: cannot open the %s namespace %s",
                       g_kinds[kind].name, path);
    }
    int type = ioctl(fd, NS_GET_NSTYPE);
    return type >= 0 && (uint64_t)type == g_kinds[kind].flag
               ? steal_fd(&fd)
               : err_set(err, -EINVAL, "linux.namespaces: %s is no %s namespace", path,
                         g_kinds[kind].name);
}

pid_t namespaces_clone(uint64_t new_namespaces, uint64_t extra, int cgroup) {
    struct clone_args args = {.flags =
                                  new_namespaces | extra | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
                              .exit_signal = (extra & CLONE_PARENT) != 0 ? 0 : SIGCHLD,
                              .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0};
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0 && errno == ENOSYS && cgroup < 0) {
        /* A filter that hides clone3; clone(2) has no room for CLONE_NEWTIME, which is not in. */
        pid = syscall(SYS_clone, new_namespaces | extra | args.exit_signal, NULL, NULL, NULL, NULL);
    }
    return pid >= 0 ? (pid_t)pid : -errno;
}

/* ---- user namespaces ---- */

int namespaces_make_user(const struct procfs *proc, const struct oci_mapping_list *uids,
                         const struct oci_mapping_list *gids, struct err *err) {
    char path[32];
    int gate[2];
    if (pipe2(gate, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    pid_t pid = namespaces_clone(CLONE_NEWUSER, 0, -1);
    if (pid == 0) {
        char byte;
        (void)close(gate[1]); /* the parent's end: the read ends when the parent is done */
        (void)!read(gate[0], &byte, 1);
        _exit(0);
    }
    int e = pid < 0 ? err_sys(err, pid, "cannot make a user namespace for idmapped mounts") : 0;
    int fd = -1;
    if (e == 0) {
        e = idmap_write(proc, pid, uids, gids, err);
    }
    if (e == 0) {
        (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid); /* fits */
        fd = open(path, O_RDONLY | O_CLOEXEC);
        e = fd >= 0 ? 0 : err_sys(err, -errno, "cannot open %s", path);
    }
    (void)close(gate[0]); /* nothing to lose in either */
    (void)close(gate[1]);
    if (pid > 0) {
        (void)waitpid(pid, NULL, 0); /* it ends by itself */
    }
    return e == 0 ? fd : e;
}
