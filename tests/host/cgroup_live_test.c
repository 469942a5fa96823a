/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host/cgroup.h on this machine's own control groups, whatever layout it has: limits as the kernel
 * shows them, processes put in, listed, stopped, signalled, and everything removed again.
 *
 * Needs root; without it, or without hierarchies, the test is skipped (exit status 77).
 */
#include "../unit/check.h"
#include "host/cgroup_internal.h"
#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define SKIP 77

static unsigned g_warnings;

static void on_warn(void *arg, const char *message) {
    fprintf(stderr, "warning: %s\n", message);
    g_warnings++;
}

#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        int e_ = (call);                                                                           \
        if (e_ < 0) {                                                                              \
            fprintf(stderr, "%s:%d: %s: %d %s\n", __FILE__, __LINE__, #call, e_, err.msg);         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* `name` with this process's number in it: several of these tests may run at once. */
static struct cgroup_options options(const char *name) {
    static char id[64], path[128];
    snprintf(id, sizeof(id), "moat-test-%d", getpid());
    if (name != NULL) {
        snprintf(path, sizeof(path), name, getpid());
    }
    return (struct cgroup_options){.path = name == NULL ? NULL : path, .id = id, .warn = on_warn};
}

/* A file of the group in the v1 controller, or of v2; NULL when there is neither. */
static char *file(const struct cgroup *cg, const char *v1, const char *v1_file,
                  const char *v2_file) {
    static char text[4096];
    cleanup_fd int a = cg_open_at(cg, v1);
    if (a >= 0) {
        return cg_read(a, v1_file, text, sizeof(text)) == 0 ? text : NULL;
    }
    cleanup_fd int b = cg_open_at(cg, "");
    return b >= 0 && cg_read(b, v2_file, text, sizeof(text)) == 0 ? text : NULL;
}

static bool has(const struct cgroup *cg, const char *v1, const char *v2_file) {
    cleanup_fd int b = cg_open_at(cg, "");
    return cg_find_at(cg, v1) >= 0 || (b >= 0 && cg_has(b, v2_file));
}

/* A child that waits in the group until it is killed. */
static pid_t child_in(const struct cgroup *cg) {
    int ready[2];
    CHECK(pipe2(ready, O_CLOEXEC) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct err err = {0};
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK_OK(cgroup_enter(cg, getpid(), &err));
        CHECK(write(ready[1], "x", 1) == 1);
        for (;;) {
            (void)pause();
        }
    }
    char c;
    close(ready[1]);
    CHECK(read(ready[0], &c, 1) == 1);
    close(ready[0]);
    return pid;
}

static bool dir_exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

static void check_gone(const struct cgroup *cg) {
    for (size_t i = 0; i < cg->count; i++) {
        if (dir_exists(cg->at[i].dir)) {
            fprintf(stderr, "%s is left behind\n", cg->at[i].dir);
            exit(1);
        }
    }
}

static void test_life(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_resources none = {0};
    struct cgroup_options o = options(NULL);
    pid_t *pids;
    size_t count;
    bool frozen;
    CHECK_OK(cgroup_create(&o, &none, 0, &cg, &err));
    CHECK(cg.count > 0 && g_warnings == 0);
    pid_t first = child_in(&cg), second = child_in(&cg);
    CHECK_OK(cgroup_pids(&cg, &pids, &count, &err));
    CHECK(count == 2 && pids[0] == MIN(first, second) && pids[1] == MAX(first, second));
    free(pids);
    /* every hierarchy has both */
    for (size_t i = 0; i < cg.count; i++) {
        struct cg_pids in = {0};
        cleanup_fd int dir = cg_open(cg.at[i].dir);
        CHECK(dir >= 0 && cg_pids_collect(dir, &in, NULL) == 0 && in.count == 2);
        cg_pids_free(&in);
    }
    CHECK_OK(cgroup_is_frozen(&cg, &frozen, &err));
    CHECK(!frozen);
    CHECK_OK(cgroup_freeze(&cg, true, &err));
    CHECK_OK(cgroup_is_frozen(&cg, &frozen, &err));
    CHECK(frozen);
    /* an end that was asked for while frozen comes when it runs again */
    CHECK(kill(second, SIGTERM) == 0);
    CHECK_OK(cgroup_freeze(&cg, false, &err));
    int status;
    CHECK(waitpid(second, &status, 0) == second && WIFSIGNALED(status));
    /* a second container does not get the first one's group */
    struct cgroup other;
    CHECK(cgroup_create(&o, &none, 0, &other, &err) == -EBUSY);
    CHECK(strstr(err.msg, "holds 1 process") != NULL);
    err.code = 0;
    /* state and back */
    struct json_object *json = cgroup_to_json(&cg);
    static struct cgroup back;
    CHECK_OK(cgroup_from_json(json, &back, &err));
    json_object_put(json);
    CHECK(memcmp(&back, &cg, sizeof(cg)) == 0);
    /* SIGTERM to all, then what is left dies with the groups */
    pid_t third = child_in(&cg);
    CHECK_OK(cgroup_signal(&cg, SIGTERM, &err));
    CHECK(waitpid(first, &status, 0) == first && WTERMSIG(status) == SIGTERM);
    CHECK(waitpid(third, &status, 0) == third && WTERMSIG(status) == SIGTERM);
    CHECK_OK(cgroup_signal(&cg, SIGTERM, &err)); /* nobody there */
    CHECK_OK(cgroup_destroy(&back, &err));
    check_gone(&cg);
    CHECK_OK(cgroup_destroy(&cg, &err)); /* once more */
    CHECK_OK(cgroup_signal(&cg, SIGKILL, &err));
    CHECK_OK(cgroup_pids(&cg, &pids, &count, &err));
    CHECK(count == 0 && pids == NULL);
}

/* Frozen processes, and groups that the container made itself, go with cgroup_destroy. */
static void test_destroy_frozen_nested(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_resources none = {0};
    struct cgroup_options o = options("/moat-test-%d-nested/x");
    CHECK_OK(cgroup_create(&o, &none, 0, &cg, &err));
    pid_t pid = child_in(&cg);
    for (size_t i = 0; i < cg.count; i++) {
        char sub[4200];
        snprintf(sub, sizeof(sub), "%s/inner/leaf", cg.at[i].dir);
        *strrchr(sub, '/') = '\0';
        CHECK(mkdir(sub, 0755) == 0 || (errno == EEXIST && i > 0));
        strcat(sub, "/leaf");
        CHECK(mkdir(sub, 0755) == 0 || (errno == EEXIST && i > 0));
    }
    CHECK_OK(cgroup_freeze(&cg, true, &err));
    CHECK_OK(cgroup_destroy(&cg, &err));
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
    check_gone(&cg);
    for (size_t i = 0; i < cg.count; i++) {
        *strrchr(cg.at[i].dir, '/') = '\0';
        (void)rmdir(cg.at[i].dir);
    }
}

/* A process that forks all the time loses nobody to the killer. */
static void test_kill_forkers(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_resources limit = {.pids = {true, 40}};
    struct cgroup_options o = options("moat-test-%d-forkers");
    CHECK_OK(cgroup_create(&o, &limit, 0, &cg, &err));
    pid_t parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        CHECK_OK(cgroup_enter(&cg, getpid(), &err));
        signal(SIGCHLD, SIG_IGN);
        for (;;) {
            if (fork() == 0 && fork() == 0) {
                (void)usleep(200);
                _exit(0);
            }
        }
    }
    size_t count = 0;
    pid_t *pids;
    while (count < 10) {
        CHECK_OK(cgroup_pids(&cg, &pids, &count, &err));
        free(pids);
    }
    CHECK_OK(cgroup_destroy(&cg, &err));
    check_gone(&cg);
    int status;
    CHECK(waitpid(parent, &status, 0) == parent && WTERMSIG(status) == SIGKILL);
}

static void test_limits(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_options o = options("/moat-test-%d-limits");
    char cpus[] = "0";
    struct cgroup_resources r = {
        .memory = {.limit = {true, 64 << 20},
                   .swap = {true, 64 << 20},
                   .reservation = {true, 32 << 20}},
        .cpu = {.shares = {true, 512},
                .period = {true, 50000},
                .quota = {true, 25000},
                .cpus = cpus},
        .pids = {true, 17},
    };
    CHECK_OK(cgroup_create(&o, &r, 0, &cg, &err));
    if (has(&cg, "memory", "memory.max")) {
        CHECK(strcmp(file(&cg, "memory", "memory.limit_in_bytes", "memory.max"), "67108864") == 0);
        CHECK(strcmp(file(&cg, "memory", "memory.soft_limit_in_bytes", "memory.low"), "33554432") ==
              0);
        char *swap = file(&cg, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
        CHECK(swap == NULL || strcmp(swap, cg_find_at(&cg, "memory") >= 0 ? "67108864" : "0") == 0);
    }
    if (has(&cg, "cpu", "cpu.max")) {
        bool v1 = cg_find_at(&cg, "cpu") >= 0;
        CHECK(strcmp(file(&cg, "cpu", "cpu.shares", "cpu.weight"), v1 ? "512" : "59") == 0);
        CHECK(strcmp(file(&cg, "cpu", "cpu.cfs_quota_us", "cpu.max"),
                     v1 ? "25000" : "25000 50000") == 0);
        CHECK(strcmp(file(&cg, "cpu", "cpu.cfs_period_us", "cpu.max"),
                     v1 ? "50000" : "25000 50000") == 0);
        /* a quota alone keeps the period, in both */
        struct cgroup_resources up = {.cpu = {.quota = {true, 60000}}};
        CHECK_OK(cgroup_update(&cg, &up, &err));
        CHECK(strcmp(file(&cg, "cpu", "cpu.cfs_quota_us", "cpu.max"),
                     v1 ? "60000" : "60000 50000") == 0);
        up.cpu.quota.value = -1;
        CHECK_OK(cgroup_update(&cg, &up, &err));
        CHECK(strcmp(file(&cg, "cpu", "cpu.cfs_quota_us", "cpu.max"), v1 ? "-1" : "max 50000") ==
              0);
    }
    if (has(&cg, "cpuset", "cpuset.cpus")) {
        CHECK(strcmp(file(&cg, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0") == 0);
    }
    CHECK(strcmp(file(&cg, "pids", "pids.max", "pids.max"), "17") == 0);
    /* memory and swap go up and down together, in the order that the kernel takes */
    struct cgroup_resources up = {
        .memory = {.limit = {true, 256 << 20}, .swap = {true, 512 << 20}}};
    CHECK_OK(cgroup_update(&cg, &up, &err));
    CHECK(strcmp(file(&cg, "memory", "memory.limit_in_bytes", "memory.max"), "268435456") == 0);
    up.memory.limit.value = 16 << 20;
    up.memory.swap.value = 32 << 20;
    CHECK_OK(cgroup_update(&cg, &up, &err));
    CHECK(strcmp(file(&cg, "memory", "memory.limit_in_bytes", "memory.max"), "16777216") == 0);
    up.memory.limit.value = -1;
    up.memory.swap.set = false;
    CHECK_OK(cgroup_update(&cg, &up, &err));
    struct cgroup_resources lifted = {.pids = {true, -1}};
    CHECK_OK(cgroup_update(&cg, &lifted, &err));
    CHECK(strcmp(file(&cg, "pids", "pids.max", "pids.max"), "max") == 0);
    /* what the kernel refuses is said with file, value and reason */
    char no_cpu[] = "4095";
    struct cgroup_resources bad = {.cpu = {.cpus = no_cpu}};
    CHECK(cgroup_update(&cg, &bad, &err) < 0);
    CHECK(strstr(err.msg, "'4095' to /") != NULL && strstr(err.msg, "cpuset.cpus: ") != NULL);
    err.code = 0;
    CHECK_OK(cgroup_destroy(&cg, &err));
    check_gone(&cg);
}

/* Huge pages: in the v1 hierarchy, or in v2, on a hybrid host too. */
static void test_hugepages(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_options o = options("/moat-test-%d-huge");
    struct cgroup_resources none = {0};
    struct cgroup_hugepage page = {.page_size = (char[]){"2MB"}, .limit = 8 << 20};
    struct cgroup_resources r = {.hugepages = &page, .hugepage_count = 1};
    CHECK_OK(cgroup_create(&o, &none, 0, &cg, &err));
    if (has(&cg, "hugetlb", "hugetlb.2MB.max")) {
        CHECK_OK(cgroup_update(&cg, &r, &err));
        CHECK(strcmp(file(&cg, "hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"),
                     "8388608") == 0);
    } else {
        CHECK(cgroup_update(&cg, &r, &err) < 0 && strstr(err.msg, "hugetlb") != NULL);
        err.code = 0;
    }
    CHECK_OK(cgroup_destroy(&cg, &err));
    check_gone(&cg);
}

static uid_t owner_of(const struct cgroup *cg, const char *name) {
    struct stat st;
    cleanup_fd int dir = cg_open_at(cg, "");
    CHECK(dir >= 0 && fstatat(dir, name, &st, 0) == 0);
    return st.st_uid;
}

/* A user who is handed a group may make groups in it, and touch no limit. */
static void test_delegate(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_options o = options("/moat-test-%d-delegate");
    struct cgroup_resources r = {.pids = {true, 20}};
    o.delegate = true;
    o.owner = 12345;
    CHECK_OK(cgroup_create(&o, &r, 0, &cg, &err));
    if (cg.mode == CGROUP_V2) {
        CHECK(owner_of(&cg, ".") == 12345 && owner_of(&cg, "cgroup.procs") == 12345);
        CHECK(owner_of(&cg, "cgroup.subtree_control") == 12345);
        CHECK(owner_of(&cg, "pids.max") == 0 && owner_of(&cg, "cgroup.freeze") == 0);
    }
    CHECK_OK(cgroup_destroy(&cg, &err));
    check_gone(&cg);
}

/* What fails half-way leaves no group. */
static void test_failure_leaves_nothing(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_options o = options("/moat-test-%d-failing");
    struct cgroup_resources r = {.pids = {true, 5}, .cpu = {.shares = {true, 1}}};
    struct cgroup_rdma rdma = {.device = (char[]){"no_such_device"}, .handles = {true, 1}};
    r.rdma = &rdma;
    r.rdma_count = 1;
    CHECK(cgroup_create(&o, &r, 0, &cg, &err) < 0);
    CHECK(strlen(err.msg) > 0);
    check_gone(&cg);
}

/* Opens a device in the group; 0 or -errno. */
static int open_in(const struct cgroup *cg, int type, unsigned major, unsigned minor, int flags) {
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct err err = {0};
        char path[64];
        CHECK_OK(cgroup_enter(cg, getpid(), &err));
        snprintf(path, sizeof(path), "/dev/moat-test-%d", getpid());
        if (mknod(path, (mode_t)type | 0600, (dev_t)(major << 8 | minor)) != 0) {
            _exit(errno);
        }
        int fd = open(path, flags | O_NONBLOCK);
        int e = fd >= 0 ? 0 : errno;
        (void)unlink(path);
        _exit(e);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void test_devices(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_options o = options("/moat-test-%d-devices");
    struct cgroup_device_rule rules[] = {
        {false, 'a', -1, -1, true, true, true},
        {true, 'c', 1, 11, true, false, false}, /* kmsg, to be read */
        {true, 'c', 10, -1, true, true, true},
    };
    struct cgroup_resources r = {.devices = rules, .device_count = ARRAY_COUNT(rules)};
    CHECK_OK(cgroup_create(&o, &r, 0, &cg, &err));
    CHECK(open_in(&cg, S_IFCHR, 1, 3, O_RDWR) == 0);        /* null */
    CHECK(open_in(&cg, S_IFCHR, 1, 1, O_RDONLY) == -EPERM); /* mem; mknod alone is allowed */
    CHECK(open_in(&cg, S_IFCHR, 1, 11, O_RDONLY) == 0);
    CHECK(open_in(&cg, S_IFCHR, 1, 11, O_RDWR) == -EPERM);
    CHECK(open_in(&cg, S_IFCHR, 10, 250, O_RDWR) != -EPERM); /* allowed, whether it exists or not */
    CHECK(open_in(&cg, S_IFBLK, 7, 0, O_RDONLY) == -EPERM);
    CHECK_OK(cgroup_destroy(&cg, &err));
    check_gone(&cg);
    /* a hole in a wildcard: exact in v2, refused by v1 */
    struct cgroup_device_rule hole[] = {
        {true, 'c', 10, -1, true, true, true},
        {false, 'c', 10, 250, true, true, false},
    };
    struct cgroup_resources h = {.devices = hole, .device_count = ARRAY_COUNT(hole)};
    int e = cgroup_create(&o, &h, 0, &cg, &err);
    if (cg_find_at(&cg, "devices") >= 0) {
        CHECK(e == -EINVAL && strstr(err.msg, "c 10:250") != NULL);
    } else {
        CHECK_OK(e);
        CHECK(open_in(&cg, S_IFCHR, 10, 250, O_RDONLY) == -EPERM);
        CHECK(open_in(&cg, S_IFCHR, 10, 251, O_RDONLY) != -EPERM);
        CHECK_OK(cgroup_destroy(&cg, &err));
    }
    check_gone(&cg);
}

/* A number behind "a.b.c", UINT64_MAX when there is none. */
static uint64_t number(struct json_object *o, const char *path) {
    char copy[128];
    snprintf(copy, sizeof(copy), "%s", path);
    char *rest = copy, *part;
    while ((part = strsep(&rest, ".")) != NULL) {
        if (!json_object_object_get_ex(o, part, &o)) {
            return UINT64_MAX;
        }
    }
    return json_object_get_uint64(o);
}

static pid_t busy_child(const struct cgroup *cg, size_t bytes) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct err err = {0};
        CHECK_OK(cgroup_enter(cg, getpid(), &err));
        volatile char *p = malloc(bytes);
        for (size_t i = 0; i < bytes; i += 4096) {
            p[i] = 1;
        }
        for (struct timespec t = {0}; t.tv_sec * 1000 + t.tv_nsec / 1000000 < 50;) {
            CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
        }
        (void)raise(SIGSTOP);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    return pid;
}

static void test_stats(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_options o = options("/moat-test-%d-stats");
    struct cgroup_resources r = {.memory = {.limit = {true, 128 << 20}}, .pids = {true, 33}};
    CHECK_OK(cgroup_create(&o, &r, 0, &cg, &err));
    pid_t pid = busy_child(&cg, 20 << 20);
    struct json_object *s = cgroup_stats(&cg);
    CHECK(s != NULL);
    CHECK(number(s, "cpu.usage.total") >= 25000000 && number(s, "cpu.usage.total") < 60000000000);
    CHECK(number(s, "cpu.usage.user") != UINT64_MAX && number(s, "cpu.throttling.periods") == 0);
    CHECK(number(s, "pids.current") == 1 && number(s, "pids.limit") == 33);
    CHECK(number(s, "memory.usage.limit") == 128 << 20);
    CHECK(number(s, "memory.usage.usage") >= 20 << 20);
    CHECK(number(s, "memory.usage.usage") <= 128 << 20);
    CHECK(number(s, "memory.usage.failcnt") == 0);
    CHECK(number(s, cg_find_at(&cg, "memory") >= 0 ? "memory.raw.rss" : "memory.raw.anon") >=
          20 << 20);
    struct json_object *list = NULL, *blkio = NULL;
    CHECK(json_object_object_get_ex(s, "blkio", &blkio) &&
          json_object_object_get_ex(blkio, "ioServiceBytesRecursive", &list) &&
          json_object_is_type(list, json_type_array));
    json_object_put(s);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    CHECK_OK(cgroup_destroy(&cg, &err));
    s = cgroup_stats(&cg); /* of groups that are gone */
    CHECK(s != NULL && number(s, "memory.usage.usage") == 0);
    json_object_put(s);
}

static void test_oom(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_options o = options("/moat-test-%d-oom");
    struct cgroup_resources r = {.memory = {.limit = {true, 16 << 20}, .swap = {true, 16 << 20}}};
    uint64_t kills = 7;
    bool gone;
    CHECK_OK(cgroup_create(&o, &r, 0, &cg, &err));
    int fd = cgroup_oom_watch(&cg, &err);
    CHECK_OK(fd);
    CHECK_OK(cgroup_oom_count(&cg, &kills, &err));
    CHECK(kills == 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_OK(cgroup_enter(&cg, getpid(), &err));
        volatile char *m = malloc(64 << 20);
        for (size_t i = 0; i < 64 << 20; i += 4096) {
            m[i] = 1;
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    do {
        CHECK(poll(&p, 1, 10000) == 1);
        CHECK_OK(cgroup_oom_take(&cg, fd, &kills, &gone, &err));
    } while (kills == 0);
    CHECK(kills == 1);
    CHECK_OK(cgroup_destroy(&cg, &err));
    if (cg_find_at(&cg, "memory") >= 0) { /* v1 tells of the removal */
        CHECK(poll(&p, 1, 10000) == 1);
    }
    CHECK_OK(cgroup_oom_take(&cg, fd, &kills, &gone, &err));
    CHECK(gone);
    close(fd);
    CHECK(cgroup_oom_watch(&cg, &err) == -ENOTSUP);
}

static void test_hostile_paths(void) {
    struct err err = {0};
    struct cgroup cg;
    struct cgroup_resources none = {0};
    static const char *const bad[] = {"/",     "/..", "../x", "/a/../b",        "a/..",
                                      "/a\nb", "/.",  "//",   "/cgroup.procs/x"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct cgroup_options o = options(bad[i]);
        err = (struct err){0};
        CHECK(cgroup_create(&o, &none, 0, &cg, &err) < 0);
        CHECK(strlen(err.msg) > 0 && strchr(err.msg, '\n') == NULL);
    }
}

int main(void) {
    static struct cg_host host;
    struct err err = {0};
    if (geteuid() != 0 ||
        cg_host_read("/proc/self/mountinfo", "/proc/self/cgroup", &host, &err) < 0 ||
        host.mode == CGROUP_NONE) {
        fprintf(stderr, "skipped: not root, or no cgroup hierarchy mounted\n");
        return SKIP;
    }
    test_life();
    test_destroy_frozen_nested();
    test_kill_forkers();
    test_limits();
    test_hugepages();
    test_delegate();
    test_failure_leaves_nothing();
    test_devices();
    test_stats();
    test_oom();
    test_hostile_paths();
    return 0;
}
