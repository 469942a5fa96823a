/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of `moat check`: see checks.h.  Features are tried where that costs nothing. */
#include "cli/checks.h"

#include "host/cgroup.h"
#include "host/cleanup.h"
#include "oci/settings.h"
#include "sandbox/sandbox.h"
#include "vm/hypervisor.h"
#include "vm/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* linux/seccomp.h since Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* since Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#define NOTIF_FD_SYNC_WAKE_UP 1u

struct check *check_add(struct check_list *list, const char *name, enum check_state state,
                        const char *detail, ...) {
    static struct check spare; /* a list that is full drops the rest */
    struct check *c = list->count < CHECKS_MAX ? &list->items[list->count++] : &spare;
    va_list args;
    *c = (struct check){.name = name, .state = state};
    va_start(args, detail);
    (void)vsnprintf(c->detail, sizeof(c->detail), detail, args); /* a cut line is readable */
    va_end(args);
    return c;
}

void check_mend(struct check *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(c->mend, sizeof(c->mend), format, args); /* likewise */
    va_end(args);
}

bool check_usable(const struct check_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].state == CHECK_MISSING) {
            return false;
        }
    }
    return list->offered;
}

/* The number in a file of /proc/sys, or `missing` without it. */
static long read_number(const char *path, long missing) {
    char text[32] = "";
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    return n > 0 ? strtol(text, NULL, 10) : missing;
}

/* Runs `test` in a child: 0, or the errno it ended with. */
static int in_child(int (*test)(void)) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(test());
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid < 0 ? errno : WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
}

static bool find_program(const char *name, char *out, size_t size) {
    const char *path = getenv("PATH");
    char all[4096];
    (void)snprintf(all, sizeof(all), "%s:/usr/sbin:/sbin:/usr/libexec:/usr/lib/qemu",
                   path != NULL ? path : "/usr/bin:/bin"); /* a cut path finds less */
    char *rest = all, *dir;
    while ((dir = strsep(&rest, ":")) != NULL) {
        int n = snprintf(out, size, "%s/%s", dir, name);
        if (n > 0 && (size_t)n < size && access(out, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

static void check_kernel(struct check_list *list, int major, int minor, const char *why) {
    struct utsname u;
    int have_major = 0, have_minor = 0;
    (void)uname(&u); /* cannot fail */
    (void)sscanf(u.release, "%d.%d", &have_major, &have_minor);
    bool ok = have_major > major || (have_major == major && have_minor >= minor);
    struct check *c = check_add(list, "kernel", ok ? CHECK_OK : CHECK_MISSING, "Linux %s%s",
                                u.release, ok ? "" : why);
    if (!ok) {
        check_mend(c, "upgrade to Linux %d.%d or newer", major, minor);
    }
}

/* ---- seccomp user notification ---- */

static int notify_child(void) {
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, allow};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return errno;
    }
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                          &program);
    if (fd < 0) {
        return errno;
    }
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, NOTIF_FD_SYNC_WAKE_UP) == 0 ? 0 : ENOTTY;
}

/* A flag that the kernel knows passes its first check, and the missing program fails later
 * (seccomp(2), ERRORS). */
static bool seccomp_flag_known(unsigned long flag) {
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, NULL) != 0 && errno == EFAULT;
}

static void check_notify(struct check_list *list) {
    int e = in_child(notify_child);
    if (e != 0 && e != ENOTTY) {
        struct check *c = check_add(list, "seccomp user notification", CHECK_MISSING,
                                    "cannot install a listener: %s", strerror(e));
        check_mend(c, "run outside of a container that forbids seccomp(2), or on a kernel with "
                      "CONFIG_SECCOMP_FILTER");
        return;
    }
    bool killable = seccomp_flag_known(SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                       SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    if (e == 0 && killable) {
        (void)check_add(list, "seccomp user notification", CHECK_OK,
                        "with SYNC_WAKE_UP and WAIT_KILLABLE_RECV: the fast hand-over");
        return;
    }
    struct check *c = check_add(list, "seccomp user notification", CHECK_LIMITED,
                                "without %s: calls go by the slower trap hand-over",
                                killable ? "SYNC_WAKE_UP" : "WAIT_KILLABLE_RECV");
    check_mend(c, "upgrade to Linux 6.6 or newer");
}

/* ---- user namespaces ---- */

static int userns_child(void) {
    return unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
}

static void check_userns(struct check_list *list, enum check_state without) {
    int e = in_child(userns_child);
    if (e == 0) {
        (void)check_add(list, "user namespaces", CHECK_OK, "can be made");
        return;
    }
    struct check *c =
        check_add(list, "user namespaces", without, "cannot be made: %s", strerror(e));
    if (read_number("/proc/sys/user/max_user_namespaces", 1) == 0) {
        check_mend(c, "sysctl -w user.max_user_namespaces=15000");
    } else if (read_number("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0) {
        check_mend(c, "sysctl -w kernel.unprivileged_userns_clone=1");
    } else if (read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1) {
        check_mend(c, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile with "
                      "'userns,' for moat");
    } else {
        check_mend(c, "run outside of a container that forbids unshare(2)");
    }
}

/* ---- control groups ---- */

static void warn_into(void *arg, const char *message) {
    struct check_list *list = arg;
    (void)check_add(list, "control groups", CHECK_LIMITED, "%s", message);
}

/* Makes a group as a container's is made, and removes it. */
static void check_cgroups(struct check_list *list) {
    static const char *const modes[] = {[CGROUP_NONE] = "none",
                                        [CGROUP_V1] = "cgroup v1",
                                        [CGROUP_HYBRID] = "cgroup v1, with v2 beside it",
                                        [CGROUP_V2] = "cgroup v2"};
    static struct cgroup cg;
    char id[64], names[256] = "";
    const struct cgroup_resources none = {0};
    struct err err = {0};
    size_t before = list->count;
    (void)snprintf(id, sizeof(id), "check-%d", (int)getpid()); /* fits */
    const struct cgroup_options options = {
        .id = id, .rootless = geteuid() != 0, .warn = warn_into, .arg = list};
    int e = cgroup_create(&options, &none, 0, &cg, &err);
    if (e != 0) {
        struct check *c = check_add(list, "control groups", CHECK_LIMITED, "%s", err.msg);
        check_mend(c, "start containers through an engine that makes them, or as root");
        return;
    }
    for (size_t i = 0; i < cg.count; i++) {
        size_t used = strlen(names);
        if (cg.at[i].name[0] != '\0') {
            (void)snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? " " : "",
                           cg.at[i].name); /* a cut list is readable */
        }
    }
    e = cgroup_destroy(&cg, &err);
    if (list->count == before) {
        (void)check_add(list, "control groups", CHECK_OK, "%s%s%s%s", modes[cg.mode],
                        names[0] != '\0' ? ": " : "", names, e != 0 ? " (not removable)" : "");
    }
}

/* ---- the isolations ---- */

static void check_programs(struct check_list *list) {
    static const char *const programs[] = {"moat-sentry", "moat-gofer"};
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
        struct err err = {0};
        cleanup_fd int fd = sandbox_open_program(programs[i], &err);
        if (fd < 0) {
            struct check *c = check_add(list, programs[i], CHECK_MISSING, "%s", err.msg);
            check_mend(c, "make install");
        } else {
            (void)check_add(list, programs[i], CHECK_OK, "found");
        }
    }
}

/* The administrator's file: it may leave an isolation out. */
void checks_settings(struct check_list *list) {
    struct settings s;
    struct err err = {0};
    enum isolation_kind kind;
    const struct settings_request request = {.option = list->isolation};
    if (settings_load(SETTINGS_PATH, &s, &err) != 0) {
        check_mend(check_add(list, "settings", CHECK_MISSING, "%s", err.msg),
                   "edit " SETTINGS_PATH " (docs/configuration.md)");
    } else if (settings_choose(&s, &request, &kind, &err) != 0) {
        check_mend(check_add(list, "settings", CHECK_MISSING, "%s", err.msg),
                   "allow it there, if it is to be had (docs/configuration.md)");
    } else if (s.path[0] != '\0') {
        (void)check_add(list, "settings", CHECK_OK, "allowed by %s, whose default is %s", s.path,
                        isolation_kind_name(s.isolation));
    }
}

void checks_sentry(struct check_list *list) {
    list->isolation = "sentry";
    list->offered = true;
    check_kernel(list, 5, 9, ": seccomp notifications need 5.9");
    check_notify(list);
    check_userns(list, CHECK_MISSING);
    check_programs(list);
    check_cgroups(list);
}

static bool has_line_for(const char *path, const char *user, uid_t uid) {
    char line[512], number[16];
    FILE *f = fopen(path, "re");
    bool found = false;
    (void)snprintf(number, sizeof(number), "%u", uid); /* fits */
    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, ":\n")] = '\0';
        found = strcmp(line, user) == 0 || strcmp(line, number) == 0;
    }
    if (f != NULL) {
        (void)fclose(f); /* read-only */
    }
    return found;
}

/* What an ordinary user needs to have more than one identity inside (newuidmap(1), subuid(5)). */
static void check_id_maps(struct check_list *list) {
    char path[4200];
    const struct passwd *who = getpwuid(geteuid());
    const char *name = who != NULL ? who->pw_name : "";
    if (!find_program("newuidmap", path, sizeof(path)) ||
        !find_program("newgidmap", path, sizeof(path))) {
        check_mend(check_add(list, "newuidmap", CHECK_LIMITED,
                             "not found: containers have one identity only"),
                   "apt-get install uidmap");
    } else if (!has_line_for("/etc/subuid", name, geteuid()) ||
               !has_line_for("/etc/subgid", name, geteuid())) {
        check_mend(check_add(list, "newuidmap", CHECK_LIMITED,
                             "no range of %s in /etc/subuid and /etc/subgid: containers have one "
                             "identity only",
                             name),
                   "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s", name);
    } else {
        (void)check_add(list, "newuidmap", CHECK_OK, "found, with ranges for %s", name);
    }
}

static void check_namespaces(struct check_list *list) {
    static const char *const kinds[] = {"mnt", "pid",  "net",    "ipc",
                                        "uts", "user", "cgroup", "time"};
    char missing[128] = "", path[64];
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]); /* fits */
        if (access(path, F_OK) != 0) {
            size_t used = strlen(missing);
            (void)snprintf(missing + used, sizeof(missing) - used, " %s", kinds[i]); /* fits */
        }
    }
    if (missing[0] == '\0') {
        (void)check_add(list, "namespaces", CHECK_OK, "all kinds");
    } else {
        check_mend(check_add(list, "namespaces", CHECK_LIMITED, "this kernel lacks:%s", missing),
                   "a kernel with CONFIG_NAMESPACES and its parts");
    }
}

void checks_native(struct check_list *list) {
    list->isolation = "native";
    list->offered = true;
    check_kernel(list, 4, 19, ": too old");
    check_namespaces(list);
    check_userns(list, geteuid() == 0 ? CHECK_LIMITED : CHECK_MISSING);
    if (geteuid() != 0) {
        check_id_maps(list);
    }
    check_cgroups(list);
}

void checks_vm(struct check_list *list) {
    char path[4200];
    const char *why = "";
    list->isolation = "vm";
    list->offered = geteuid() == 0; /* its processes are jailed by what only root may do */
    if (kvm_is_useful(&why)) {
        (void)check_add(list, "KVM", CHECK_OK, "%s", why);
    } else {
        check_mend(check_add(list, "KVM", CHECK_LIMITED, "%s: guests are emulated", why),
                   "modprobe kvm_intel or kvm_amd, with virtualisation enabled in the firmware (or "
                   "nested, in a virtual machine)");
    }
    char guest[PATH_MAX], kernel[PATH_MAX + 32];
    image_place(guest);
    (void)snprintf(kernel, sizeof(kernel), "%s/current/kernel", guest); /* fits */
    if (access(kernel, R_OK) == 0) {
        (void)check_add(list, "guest image", CHECK_OK, "%.300s/current", guest);
    } else {
        check_mend(check_add(list, "guest image", CHECK_MISSING, "none in %.300s", guest),
                   "moat guest build");
    }
    static const char *const programs[][2] = {{"qemu-system-x86_64", "qemu-system-x86"},
                                              {"virtiofsd", "qemu-system-common"}};
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
        if (find_program(programs[i][0], path, sizeof(path))) {
            (void)check_add(list, programs[i][0], CHECK_OK, "%.300s", path);
        } else {
            check_mend(check_add(list, programs[i][0], CHECK_MISSING, "not found"),
                       "apt-get install %s", programs[i][1]);
        }
    }
}
