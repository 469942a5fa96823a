/* SPDX-License-Identifier: Apache-2.0 */
/* Corners of many calls, each once found to differ from Linux. */
#include "harness.h"

#include <linux/membarrier.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include <linux/futex.h>

static void copy_program(const char *from, const char *to) {
    char buf[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    ssize_t n;
    REQUIRE(in >= 0 && out >= 0);
    while ((n = read(in, buf, sizeof(buf))) > 0) {
        REQUIRE(write(out, buf, (size_t)n) == n);
    }
    REQUIRE(n == 0 && close(out) == 0 && close(in) == 0);
}

static void running_programs_are_not_written(void) {
    int go[2];
    char *const argv[] = {(char *)(uintptr_t) "cat", NULL};
    copy_program("/bin/cat", "prog");
    REQUIRE(pipe2(go, O_CLOEXEC) == 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        dup2(go[0], 0);
        execv("prog", argv);
        _exit(1);
    }
    wait_asleep(pid);
    char exe[64], link[64] = "";
    snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
    REQUIRE(readlink(exe, link, sizeof(link) - 1) > 0);
    while (strstr(link, "prog") == NULL && readlink(exe, link, sizeof(link) - 1) > 0) {
    }
    CHECK_ERR(open("prog", O_WRONLY), ETXTBSY);
    CHECK_ERR(truncate("prog", 0), ETXTBSY);
    close(go[1]); /* end of file for cat */
    CHECK(child_ok(pid));
    int fd = open("prog", O_WRONLY);
    CHECK(fd >= 0);
    CHECK_ERR(execv("prog", argv), ETXTBSY);
    close(fd);
}

static void lock_in_the_way_is_the_first(void) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    struct flock at = {.l_type = F_WRLCK, .l_start = 10, .l_len = 5};
    struct flock before = {.l_type = F_RDLCK, .l_start = 1, .l_len = 5};
    REQUIRE(fcntl(fd, F_SETLK, &at) == 0 && fcntl(fd, F_SETLK, &before) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct flock ask = {.l_type = F_WRLCK};
        REQUIRE(fcntl(fd, F_GETLK, &ask) == 0);
        CHECK_EQ(ask.l_type, F_RDLCK);
        CHECK_EQ(ask.l_start, 1);
        CHECK_EQ(ask.l_len, 5);
        _exit(g_test_failed != 0);
    }
    CHECK(child_ok(pid));
}

/* One event wakes one of those who wait exclusively. */
static void exclusive_epoll_wakes_one(void) {
    int in[2], told[2];
    pid_t pids[4];
    char byte = 'x';
    REQUIRE(pipe(in) == 0 && pipe(told) == 0);
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            int ep = epoll_create1(0);
            struct epoll_event ev = {.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE};
            close(in[1]);
            if (epoll_ctl(ep, EPOLL_CTL_ADD, in[0], &ev) != 0 || epoll_wait(ep, &ev, 1, -1) != 1 ||
                (ev.events & EPOLLIN) == 0) {
                _exit(ev.events & EPOLLHUP ? 0 : 1);
            }
            _exit(write(told[1], "w", 1) == 1 ? 0 : 1);
        }
        wait_asleep(pids[i]);
    }
    REQUIRE(write(in[1], "1", 1) == 1);
    REQUIRE(read(told[0], &byte, 1) == 1);
    CHECK_EQ(poll_one(told[0], POLLIN, 50), 0); /* the others sleep on */
    REQUIRE(read(in[0], &byte, 1) == 1);
    close(in[1]); /* the end wakes all */
    for (int i = 0; i < 4; i++) {
        CHECK(child_ok(pids[i]));
    }
}

static void unlink_tells_the_link_count_first(void) {
    char buf[512] __attribute__((aligned(8)));
    int in = inotify_init1(IN_NONBLOCK), fd = open("f", O_RDWR | O_CREAT, 0600);
    REQUIRE(in >= 0 && fd >= 0 && close(fd) == 0);
    REQUIRE(inotify_add_watch(in, "f", IN_ATTRIB | IN_DELETE_SELF) > 0);
    REQUIRE(unlink("f") == 0);
    ssize_t n = read(in, buf, sizeof(buf));
    REQUIRE(n == 3 * (ssize_t)sizeof(struct inotify_event));
    const struct inotify_event *e = (const void *)buf;
    CHECK_EQ(e[0].mask, IN_ATTRIB);
    CHECK_EQ(e[1].mask, IN_DELETE_SELF);
    CHECK_EQ(e[2].mask, IN_IGNORED);
}

static void vmsplice_takes_what_fits(void) {
    int p[2];
    static char big[256 * 1024] __attribute__((aligned(4096)));
    REQUIRE(pipe(p) == 0);
    CHECK_ERR(splice(open(".", O_RDONLY), NULL, p[1], NULL, 1, 0), EINVAL);
    int room = fcntl(p[1], F_GETPIPE_SZ);
    struct iovec v = {big, sizeof(big)};
    CHECK_EQ(vmsplice(p[1], &v, 1, 0), room);
    CHECK_ERR(vmsplice(p[1], &v, 1, SPLICE_F_NONBLOCK), EAGAIN);
}

static void addresses_are_looked_at(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_ERR(sendto(s, BAD, 100, 0, (struct sockaddr *)&to, sizeof(to)), EFAULT);
    void *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_ERR(syscall(SYS_futex, none, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
    CHECK_EQ(syscall(SYS_futex, none, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0), 0);
    CHECK_ERR(timer_settime((timer_t)1, 0, NULL, NULL), EINVAL);
    CHECK_ERR(readlink("", (char[8]){0}, 8), ENOENT);
}

static void unknown_numbers_and_flags(void) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    CHECK_ERR(syscall(-1), ENOSYS);
    CHECK_ERR(syscall(-2), ENOSYS);
    CHECK_ERR(syscall(100000), ENOSYS);
    REQUIRE(ftruncate(fd, 4096) == 0);
    void *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED_VALIDATE | (1 << 23), fd, 0);
    CHECK(m == MAP_FAILED && errno == EOPNOTSUPP);
    m = mmap(NULL, 4096, PROT_READ, MAP_SHARED | (1 << 23), fd, 0);
    CHECK(m != MAP_FAILED);
    REQUIRE(mlock(m, 4096) == 0);
    CHECK_ERR(msync(m, 4096, MS_INVALIDATE), EBUSY);
}

static void threads_part_with_unshare(void) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, 0, 0, 0, 0);
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(unshare(CLONE_FILES | CLONE_FS), 0);
        close(fd);
        CHECK_EQ(chdir("/"), 0);
        CHECK_ERR(unshare(1), EINVAL);
        _exit(g_test_failed != 0);
    }
    CHECK(child_ok(pid));
    CHECK(fcntl(fd, F_GETFD) >= 0);
    CHECK_EQ(access("f", F_OK), 0);
}

static void policy_is_reset_on_fork(void) {
    struct sched_param none = {0};
    REQUIRE(sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none) == 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH | SCHED_RESET_ON_FORK);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK((sched_getscheduler(0) & SCHED_RESET_ON_FORK) == 0);
        _exit(g_test_failed != 0);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(prctl(PR_SET_TIMERSLACK, 70000), 0);
    pid = fork();
    if (pid == 0) {
        CHECK_EQ(prctl(PR_SET_TIMERSLACK, 0), 0);
        CHECK_EQ(prctl(PR_GET_TIMERSLACK), 70000); /* the default is what was inherited */
        _exit(g_test_failed != 0);
    }
    CHECK(child_ok(pid));
}

static void outside_of_the_root(void) {
    char buf[256] = "";
    if (geteuid() != 0) {
        SKIP("chroot needs root");
    }
    REQUIRE(mkdir("jail", 0700) == 0 && chroot("jail") == 0);
    CHECK(syscall(SYS_getcwd, buf, sizeof(buf)) > 0);
    CHECK(strncmp(buf, "(unreachable)/", 14) == 0);
}

static void everyones_fence(void) {
    long served = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (served < 0 || (served & MEMBARRIER_CMD_GLOBAL) == 0) {
        SKIP("no global membarrier here");
    }
    CHECK_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0), 0);
}

static void clock_state_is_read(void) {
    struct timex tx = {0};
    CHECK(adjtimex(&tx) >= 0);
    CHECK_EQ(tx.tick, 10000);
    CHECK_ERR(adjtimex((struct timex *)BAD), EFAULT);
}

/* proc_pid_mountinfo(5): a change of the mounts is an exceptional event. */
static void mounts_can_be_watched(void) {
    int fd = open("/proc/self/mountinfo", O_RDONLY);
    struct utsname u;
    REQUIRE(fd >= 0);
    CHECK_EQ(poll_one(fd, POLLPRI, 0), 0);
    if (geteuid() != 0) {
        SKIP("mounting needs root");
    }
    if (unshare(CLONE_NEWNS) == 0) {
        REQUIRE(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        close(fd);
        fd = open("/proc/self/mountinfo", O_RDONLY);
    } else if (uname(&u) != 0 || strstr(u.release, "moat") == NULL) {
        SKIP("no mount namespace");
    }
    REQUIRE(mkdir("m", 0755) == 0 && mount("none", "m", "tmpfs", 0, NULL) == 0);
    CHECK((poll_one(fd, POLLPRI, 1000) & (POLLPRI | POLLERR)) == (POLLPRI | POLLERR));
    CHECK_EQ(poll_one(fd, POLLPRI, 0), 0);
    CHECK_EQ(umount("m"), 0);
    CHECK((poll_one(fd, POLLPRI, 1000) & POLLPRI) != 0);
}

static volatile int g_xcpu;

static void on_xcpu(int signo) {
    (void)signo;
    g_xcpu++;
}

/* The soft limit is told by a signal, the hard one kills. */
static void processor_time_is_limited(void) {
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct rlimit limit = {1, 2};
        signal(SIGXCPU, on_xcpu);
        REQUIRE(setrlimit(RLIMIT_CPU, &limit) == 0);
        pid_t child = fork(); /* begins at 0 with the same limits */
        if (child == 0) {
            signal(SIGXCPU, SIG_DFL);
            for (;;) {
            }
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
        while (g_xcpu == 0) {
        }
        if (g_test_failed != 0) {
            _exit(1);
        }
        for (;;) {
        }
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(void) {
    RUN(running_programs_are_not_written);
    RUN(lock_in_the_way_is_the_first);
    RUN(exclusive_epoll_wakes_one);
    RUN(unlink_tells_the_link_count_first);
    RUN(vmsplice_takes_what_fits);
    RUN(addresses_are_looked_at);
    RUN(unknown_numbers_and_flags);
    RUN(threads_part_with_unshare);
    RUN(policy_is_reset_on_fork);
    RUN(outside_of_the_root);
    RUN(everyones_fence);
    RUN(clock_state_is_read);
    RUN(mounts_can_be_watched);
    RUN(processor_time_is_limited);
    TEST_MAIN_END;
}
