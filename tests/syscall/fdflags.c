/* SPDX-License-Identifier: Apache-2.0 */
/* dup(2), fcntl(2), close(2), close_range(2): the descriptor table. */
#include "harness.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static int null(void) {
    int fd = open("/dev/null", O_RDWR);
    REQUIRE(fd >= 0);
    return fd;
}

static void lowest_number_first(void) {
    int a = null(), b = null(), c = null();
    CHECK(a < b && b < c);
    close(a);
    close(b);
    CHECK_EQ(null(), a);
    CHECK_EQ(null(), b);
    CHECK_EQ(null(), c + 1);
}

static void dup_and_friends(void) {
    int a = null();
    CHECK_EQ(dup2(a, 50), 50);
    CHECK_EQ(dup2(a, a), a);
    CHECK_EQ(dup(a), a + 1);
    CHECK_EQ(fcntl(50, F_GETFD), 0);
    CHECK_EQ(dup3(a, 51, O_CLOEXEC), 51);
    CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(dup3(a, a, 0), EINVAL);
    CHECK_ERR(dup3(a, 52, O_NONBLOCK), EINVAL);
    CHECK_ERR(dup(700), EBADF);
    CHECK_ERR(dup2(700, 5), EBADF);
    CHECK_ERR(dup2(a, -1), EBADF);
    CHECK_EQ(fcntl(a, F_DUPFD, 60), 60);
    CHECK_EQ(fcntl(a, F_DUPFD_CLOEXEC, 60), 61);
    CHECK_EQ(fcntl(61, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(fcntl(a, F_DUPFD, -1), EINVAL);
}

static void dup2_closes_target(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    int a = null();
    CHECK_EQ(dup2(a, p[1]), p[1]);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 0);
}

static void descriptor_flags(void) {
    int a = null();
    CHECK_EQ(fcntl(a, F_SETFD, FD_CLOEXEC), 0);
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(ioctl(a, FIONCLEX), 0);
    CHECK_EQ(fcntl(a, F_GETFD), 0);
    CHECK_EQ(ioctl(a, FIOCLEX), 0);
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(dup(a), F_GETFD), 0);
    CHECK_ERR(fcntl(a, 9999), EINVAL);
    CHECK_ERR(fcntl(800, F_GETFD), EBADF);
}

static void status_flags(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    int copy = dup(p[0]);
    CHECK_EQ(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
    CHECK(fcntl(copy, F_GETFL) & O_NONBLOCK);
    char c;
    CHECK_ERR(read(copy, &c, 1), EAGAIN);
    int off = 0, on = 1;
    CHECK_EQ(ioctl(p[0], FIONBIO, &off), 0);
    CHECK(!(fcntl(copy, F_GETFL) & O_NONBLOCK));
    CHECK_EQ(ioctl(p[0], FIONBIO, &on), 0);
    CHECK(fcntl(copy, F_GETFL) & O_NONBLOCK);
    int f = open("f", O_RDWR | O_CREAT | O_APPEND, 0600);
    CHECK_EQ(fcntl(f, F_GETFL) & (O_ACCMODE | O_APPEND | O_CREAT), O_RDWR | O_APPEND);
    CHECK_EQ(fcntl(f, F_SETFL, O_RDONLY), 0);
    CHECK_EQ(fcntl(f, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR);
}

static void closing(void) {
    int a = null();
    CHECK_EQ(close(a), 0);
    CHECK_ERR(close(a), EBADF);
    CHECK_ERR(close(-1), EBADF);
    CHECK_ERR(read(a, &a, 1), EBADF);
}

static void ranges(void) {
    int a = null();
    for (int i = 20; i < 40; i++) {
        REQUIRE(dup2(a, i) == i);
    }
    CHECK_EQ(syscall(SYS_close_range, 25, 30, 0), 0);
    CHECK_ERR(fcntl(25, F_GETFD), EBADF);
    CHECK_ERR(fcntl(30, F_GETFD), EBADF);
    CHECK_EQ(fcntl(24, F_GETFD), 0);
    CHECK_EQ(fcntl(31, F_GETFD), 0);
    CHECK_EQ(syscall(SYS_close_range, 31, 35, 4 /* CLOSE_RANGE_CLOEXEC */), 0);
    CHECK_EQ(fcntl(33, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(syscall(SYS_close_range, 20, ~0u, 0), 0);
    CHECK_ERR(fcntl(39, F_GETFD), EBADF);
    CHECK_ERR(syscall(SYS_close_range, 10, 5, 0), EINVAL);
    CHECK_ERR(syscall(SYS_close_range, 5, 10, 64), EINVAL);
}

static void limit_on_descriptors(void) {
    struct rlimit rl = {20, 20};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &rl) == 0);
    int fd, last = -1;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0) {
        last = fd;
        REQUIRE(fd < 20);
    }
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, 19);
    CHECK_ERR(dup(0), EMFILE);
    CHECK_ERR(dup2(0, 20), EBADF);
    CHECK_ERR(fcntl(0, F_DUPFD, 20), EINVAL);
    int p[2];
    CHECK_ERR(pipe(p), EMFILE);
    close(10);
    CHECK_ERR(pipe(p), EMFILE);
    CHECK_EQ(open("/dev/null", O_RDONLY), 10);
}

static void fork_copies_the_table(void) {
    int a = null();
    pid_t pid = fork();
    if (pid == 0) {
        close(a);
        _exit(dup2(0, a + 5) == a + 5 ? 0 : 1);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(fcntl(a, F_GETFD), 0);
    CHECK_ERR(fcntl(a + 5, F_GETFD), EBADF);
}

static void large_numbers(void) {
    struct rlimit rl;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &rl) == 0);
    int want = rl.rlim_cur > 5000 ? 4999 : (int)rl.rlim_cur - 1;
    CHECK_EQ(dup2(0, want), want);
    CHECK_EQ(fcntl(want, F_GETFD), 0);
    CHECK_EQ(close(want), 0);
}

static void owner_of_signals(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
    CHECK_EQ(fcntl(p[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
    CHECK_EQ(fcntl(p[0], F_SETSIG, SIGUSR1), 0);
    CHECK_EQ(fcntl(p[0], F_GETSIG), SIGUSR1);
}

#ifndef F_CREATED_QUERY
#define F_CREATED_QUERY 1028
#endif

static void who_made_it(void) {
    int first = open("f", O_RDWR | O_CREAT, 0600);
    if (fcntl(first, F_CREATED_QUERY, 0) < 0 && errno == EINVAL) {
        SKIP("this kernel has no F_CREATED_QUERY");
    }
    CHECK_EQ(fcntl(first, F_CREATED_QUERY, 0), 1);
    CHECK_EQ(fcntl(dup(first), F_CREATED_QUERY, 0), 1);
    CHECK_EQ(fcntl(open("f", O_RDWR | O_CREAT, 0600), F_CREATED_QUERY, 0), 0);
    CHECK_EQ(fcntl(open("f", O_PATH), F_CREATED_QUERY, 0), 0);
    CHECK_ERR(fcntl(99, F_CREATED_QUERY, 0), EBADF);
}

int main(void) {
    RUN(lowest_number_first);
    RUN(dup_and_friends);
    RUN(dup2_closes_target);
    RUN(descriptor_flags);
    RUN(status_flags);
    RUN(closing);
    RUN(ranges);
    RUN(limit_on_descriptors);
    RUN(fork_copies_the_table);
    RUN(large_numbers);
    RUN(owner_of_signals);
    RUN(who_made_it);
    TEST_MAIN_END;
}
