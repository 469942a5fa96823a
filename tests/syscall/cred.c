/* SPDX-License-Identifier: Apache-2.0 */
/* User and group ids, capabilities, prctl. */
#include "harness.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void need_root(void) {
    if (geteuid() != 0) {
        SKIP("needs root");
    }
}

static uint64_t effective(void) {
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2];
    REQUIRE(syscall(SYS_capget, &h, d) == 0);
    return d[0].effective | (uint64_t)d[1].effective << 32;
}

static void setuid_gives_root_up(void) {
    need_root();
    CHECK_EQ(setgid(1000), 0);
    CHECK_EQ(setuid(1000), 0);
    CHECK(getuid() == 1000 && geteuid() == 1000 && getgid() == 1000);
    CHECK_EQ(effective(), 0);
    CHECK_ERR(setuid(0), EPERM);
    CHECK_ERR(setgroups(0, NULL), EPERM);
    CHECK_EQ(setuid(1000), 0);
}

static void saved_ids(void) {
    uid_t r, e, s;
    need_root();
    CHECK_EQ(setresuid(1000, 1001, 1002), 0);
    CHECK(getresuid(&r, &e, &s) == 0 && r == 1000 && e == 1001 && s == 1002);
    CHECK_EQ(seteuid(1002), 0);
    CHECK_EQ(geteuid(), 1002);
    CHECK_ERR(seteuid(1003), EPERM);
    CHECK_ERR(setresuid(-1, 0, -1), EPERM);
}

static void effective_caps_follow_euid(void) {
    need_root();
    uint64_t all = effective();
    CHECK_EQ(seteuid(1000), 0);
    CHECK_EQ(effective(), 0);
    CHECK_EQ(seteuid(0), 0);
    CHECK_EQ(effective(), all);
}

static void keep_caps(void) {
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2];
    need_root();
    CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
    CHECK_EQ(setuid(1000), 0);
    CHECK_EQ(effective(), 0);
    CHECK(syscall(SYS_capget, &h, d) == 0 && d[0].permitted != 0);
    d[0].effective = d[0].permitted;
    d[1].effective = d[1].permitted;
    CHECK_EQ(syscall(SYS_capset, &h, d), 0);
    d[0].permitted = 0;
    CHECK_ERR(syscall(SYS_capset, &h, d), EPERM); /* effective is no longer a subset */
}

static void supplementary_groups(void) {
    gid_t in[] = {300, 100, 200}, out[4];
    need_root();
    CHECK_EQ(setgroups(3, in), 0);
    CHECK_EQ(getgroups(0, NULL), 3);
    CHECK_EQ(getgroups(4, out), 3);
    CHECK_EQ(out[0] + out[1] + out[2], 600);
    CHECK_ERR(getgroups(2, out), EINVAL);
}

static void fsuid_only_says_what_was(void) {
    need_root();
    CHECK_EQ(setfsuid(1000), 0);
    CHECK_EQ(setfsuid(-1), 1000);
    CHECK_EQ(setfsuid(0), 1000);
}

static void kill_asks_for_rights(void) {
    need_root();
    pid_t root = fork();
    if (root == 0) {
        pause();
    }
    pid_t pid = fork();
    if (pid == 0) {
        _exit(setuid(1000) == 0 && kill(root, SIGTERM) == -1 && errno == EPERM ? 0 : 1);
    }
    CHECK(child_ok(pid));
    kill(root, SIGKILL);
    waitpid(root, NULL, 0);
}

static void names(void) {
    char name[17] = {0};
    CHECK_EQ(prctl(PR_SET_NAME, "a-rather-long-thread-name"), 0);
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK(strcmp(name, "a-rather-long-t") == 0);
}

static void flags(void) {
    int value = 0;
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    CHECK_ERR(prctl(PR_SET_DUMPABLE, 5), EINVAL);
    CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGHUP), 0);
    CHECK(prctl(PR_GET_PDEATHSIG, &value) == 0 && value == SIGHUP);
    CHECK_ERR(prctl(PR_SET_PDEATHSIG, 99), EINVAL);
    CHECK_ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    CHECK_ERR(prctl(99999), EINVAL);
}

static void bounding_set(void) {
    need_root();
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
    CHECK_EQ(prctl(PR_CAPBSET_DROP, CAP_CHOWN), 0);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
    CHECK_ERR(prctl(PR_CAPBSET_READ, 99), EINVAL);
    CHECK_ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0),
              EPERM); /* not inheritable */
}

int main(void) {
    RUN(setuid_gives_root_up);
    RUN(saved_ids);
    RUN(effective_caps_follow_euid);
    RUN(keep_caps);
    RUN(supplementary_groups);
    RUN(fsuid_only_says_what_was);
    RUN(kill_asks_for_rights);
    RUN(names);
    RUN(flags);
    RUN(bounding_set);
    TEST_MAIN_END;
}
