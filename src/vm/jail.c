/* SPDX-License-Identifier: Apache-2.0 */
/* Roots and identities of a machine's processes: see jail.h. */
#include "vm/jail.h"

#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/userns.h"
#include "vm/hypervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PLACE "/tmp"
/* Above what useradd, engines' subordinate ids and systemd's dynamic users take; process numbers
 * have 22 bits (proc(5), pid_max). */
#define USER_BASE 0x4d000000u

uid_t jail_user(pid_t monitor) {
    return userns_is_first() ? USER_BASE + (uid_t)monitor : geteuid();
}

/* Puts a detached tree at `name` below the new root, a folder or a file. */
static int place_detached(int root, int tree, const char *name, uint64_t attributes,
                          struct err *err) {
    struct stat st;
    const struct mount_attrs attrs = {.set = attributes, .propagation = MS_PRIVATE, .userns = -1};
    int e = mount_set_attrs(tree, &attrs, err);
    if (e != 0) {
        return e;
    }
    e = fstat(tree, &st);
    e = e == 0 && S_ISDIR(st.st_mode) ? mkdirat(root, name, 0755)
                                      : mknodat(root, name, S_IFREG | 0644, 0);
    cleanup_fd int target = e == 0 ? openat(root, name, O_PATH | O_CLOEXEC) : -1;
    e = target < 0 ? -errno : mount_tree_attach(tree, target);
    return e == 0 ? 0 : err_sys(err, e, "cannot put /%s into the hypervisor's root", name);
}

/* Likewise a copy of a tree of the host. */
static int place_tree(int root, const char *path, const char *name, uint64_t attributes,
                      struct err *err) {
    cleanup_fd int tree = mount_tree_open(AT_FDCWD, path, false);
    return tree < 0 ? err_sys(err, tree, "cannot take %s along", path)
                    : place_detached(root, tree, name, attributes, err);
}

/* /lib, /lib64: links into /usr where the system is merged, else folders of their own. */
static int place_libraries(int root, struct err *err) {
    static const char *const names[] = {"lib", "lib64", "bin"};
    int e = place_tree(root, "/usr", "usr", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, err);
    for (size_t i = 0; i < ARRAY_COUNT(names) && e == 0; i++) {
        char path[16], link[64];
        (void)snprintf(path, sizeof(path), "/%s", names[i]); /* fits */
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        if (n > 0) {
            link[n] = '\0';
            e = symlinkat(link, root, names[i]) == 0
                    ? 0
                    : err_sys(err, -errno, "cannot make the link %s", path);
        } else if (access(path, F_OK) == 0) {
            e = place_tree(root, path, names[i], MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, err);
        }
    }
    return e;
}

static int make_root(struct err *err) {
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("root", PLACE, "tmpfs", MS_NOSUID, "mode=755,size=64k") != 0) {
        return err_sys(err, -errno, "cannot make an empty root");
    }
    int root = open(PLACE, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root >= 0 ? root : err_sys(err, -errno, "cannot open the empty root");
}

static int enter_root(int root, struct err *err) {
    if (fchdir(root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0 ||
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL) != 0) {
        return err_sys(err, -errno, "cannot enter the new root");
    }
    return 0;
}

int jail_empty_root(struct err *err) {
    cleanup_fd int root = make_root(err);
    return root < 0 ? root : enter_root(root, err);
}

/* A node that belongs to the one who is to use it, whatever the host's own demands. */
static int make_kvm(int root, uid_t owner, struct err *err) {
    struct stat st;
    if (stat("/dev/kvm", &st) != 0 || mknodat(root, "dev/kvm", S_IFCHR | 0600, st.st_rdev) != 0 ||
        fchownat(root, "dev/kvm", owner, owner, AT_SYMLINK_NOFOLLOW) != 0) {
        return err_sys(err, -errno, "cannot give the hypervisor /dev/kvm");
    }
    return 0;
}

int jail_hypervisor_root(int kernel, int initramfs, int ram, uid_t kvm_owner, struct err *err) {
    static const char *const devices[] = {"dev/null", "dev/zero", "dev/urandom"};
    const uint64_t data = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    cleanup_fd int root = make_root(err);
    int e = root < 0 ? root : place_libraries(root, err);
    if (e == 0 && (mkdirat(root, "etc", 0755) != 0 || mkdirat(root, "dev", 0755) != 0 ||
                   mkdirat(root, "guest", 0755) != 0)) {
        e = err_sys(err, -errno, "cannot make the hypervisor's root");
    }
    if (e == 0 && access("/etc/ld.so.cache", R_OK) == 0) {
        e = place_tree(root, "/etc/ld.so.cache", "etc/ld.so.cache", data, err);
    }
    for (size_t i = 0; i < ARRAY_COUNT(devices) && e == 0; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/%s", devices[i]); /* fits */
        e = place_tree(root, path, devices[i], MOUNT_ATTR_NOEXEC, err);
    }
    if (e == 0 && kvm_owner != (uid_t)-1) { /* in a user namespace devices cannot be made */
        e = userns_is_first() ? make_kvm(root, kvm_owner, err)
                              : place_tree(root, "/dev/kvm", "dev/kvm", MOUNT_ATTR_NOEXEC, err);
    }
    e = e != 0 ? e : place_detached(root, kernel, &HYPERVISOR_KERNEL[1], data, err);
    e = e != 0 ? e : place_detached(root, initramfs, &HYPERVISOR_INITRAMFS[1], data, err);
    if (e == 0 && ram >= 0) {
        e = place_detached(root, ram, &HYPERVISOR_RAM[1],
                           MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
    }
    return e != 0 ? e : enter_root(root, err);
}

void jail_keep_only(const int *keep, size_t count) {
    (void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* valid flags */
    for (size_t i = 0; i < count; i++) {
        if (keep[i] >= 0) {
            (void)fcntl(keep[i], F_SETFD, 0); /* open */
        }
    }
}

/* `caps`: capability numbers below 32 that stay, as a mask. */
static int drop(uid_t user, uint32_t caps, struct err *err) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct kept[2] = {{.effective = caps, .permitted = caps}};
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
            return err_sys(err, -errno, "cannot drop capability %d", cap);
        }
    }
    /* Who stays who he is may have to keep his groups (rootless.h). */
    if ((setgroups(0, NULL) != 0 && user != geteuid()) || setresgid(user, user, user) != 0 ||
        setresuid(user, user, user) != 0 || syscall(SYS_capset, &header, kept) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return err_sys(err, -errno, "cannot give up privileges");
    }
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0
               ? 0
               : err_sys(err, -errno, "cannot bind a process to its parent");
}

int jail_drop(uid_t user, struct err *err) {
    return drop(user, 0, err);
}

/* What bridge_run and the C library below it need: moving bytes, waiting, memory, the end. */
static const uint16_t g_bridge_calls[] = {
    SYS_read,         SYS_write,           SYS_poll,   SYS_ppoll,   SYS_recvmsg,
    SYS_sendmsg,      SYS_sendto,          SYS_close,  SYS_fcntl,   SYS_brk,
    SYS_mmap,         SYS_munmap,          SYS_mremap, SYS_madvise, SYS_clock_gettime,
    SYS_nanosleep,    SYS_clock_nanosleep, SYS_wait4,  SYS_futex,   SYS_rt_sigaction,
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit,   SYS_accept4, SYS_exit_group};

/* What serving takes in keeper.c: records, mount points, mounts. */
static const uint16_t g_keeper_calls[] = {
    SYS_recvmsg,  SYS_sendmsg, SYS_mount_setattr, SYS_move_mount, SYS_newfstatat,
    SYS_fstat,    SYS_mkdirat, SYS_mknodat,       SYS_openat,     SYS_close,
    SYS_unlinkat, SYS_umount2, SYS_exit,          SYS_exit_group, SYS_rt_sigreturn};

static int allow_only(const uint16_t *calls, size_t count, struct err *err) {
    struct sock_filter code[64];
    size_t n = 0;
    if (count + 6 > ARRAY_COUNT(code)) {
        return err_sys(err, -E2BIG, "cannot filter system calls");
    }
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++) {
        uint8_t to_allow = (uint8_t)(count - i);
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], to_allow, 0);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0
               ? 0
               : err_sys(err, -errno, "cannot filter system calls");
}

int jail_bridge_calls(struct err *err) {
    return allow_only(g_bridge_calls, ARRAY_COUNT(g_bridge_calls), err);
}

int jail_keeper(struct err *err) {
    int e = drop(geteuid(), 1u << CAP_SYS_ADMIN, err);
    return e != 0 ? e : allow_only(g_keeper_calls, ARRAY_COUNT(g_keeper_calls), err);
}
