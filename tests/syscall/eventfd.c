/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd(2), signalfd(2). */
#include "harness.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

static void counts(void) {
    int fd = eventfd(3, EFD_NONBLOCK);
    uint64_t v = 4;
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 7);
    CHECK_ERR(read(fd, &v, 8), EAGAIN);
}

static void semaphore(void) {
    int fd = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE);
    uint64_t v;
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
    CHECK_ERR(read(fd, &v, 8), EAGAIN);
}

static void overflow(void) {
    int fd = eventfd(0, EFD_NONBLOCK);
    uint64_t v = UINT64_MAX;
    CHECK_ERR(write(fd, &v, 8), EINVAL);
    v = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(poll_one(fd, POLLIN | POLLOUT, 0), POLLIN);
    v = 1;
    CHECK_ERR(write(fd, &v, 8), EAGAIN);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, UINT64_MAX - 1);
    CHECK_EQ(poll_one(fd, POLLIN | POLLOUT, 0), POLLOUT);
}

static void sizes_and_flags(void) {
    int fd = eventfd(0, EFD_CLOEXEC);
    uint32_t small = 1;
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(write(fd, &small, 4), EINVAL);
    CHECK_ERR(read(fd, &small, 4), EINVAL);
    CHECK_ERR(eventfd(0, 0x10), EINVAL);
}

static void blocking_read_wakes(void) {
    int fd = eventfd(0, 0);
    pid_t pid = fork();
    if (pid == 0) {
        uint64_t v = 0;
        _exit(read(fd, &v, 8) == 8 && v == 42 ? 0 : 1);
    }
    wait_asleep(pid);
    uint64_t v = 42;
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK(child_ok(pid));
}

static void blocking_write_wakes(void) {
    int fd = eventfd(0, 0);
    uint64_t v = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &v, 8), 8);
    pid_t pid = fork();
    if (pid == 0) {
        uint64_t two = 2;
        _exit(write(fd, &two, 8) == 8 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK(child_ok(pid));
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 2);
}

static sigset_t set_of(int a, int b) {
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, a);
    if (b != 0) {
        sigaddset(&s, b);
    }
    return s;
}

static void signalfd_reads(void) {
    sigset_t s = set_of(SIGUSR1, SIGRTMIN);
    REQUIRE(sigprocmask(SIG_BLOCK, &s, NULL) == 0);
    int fd = signalfd(-1, &s, SFD_NONBLOCK);
    REQUIRE(fd >= 0);
    struct signalfd_siginfo info[4];
    CHECK_ERR(read(fd, info, sizeof(info)), EAGAIN);
    CHECK_EQ(poll_one(fd, POLLIN, 0), 0);
    kill(getpid(), SIGUSR1);
    union sigval value = {.sival_int = 77};
    sigqueue(getpid(), SIGRTMIN, value);
    value.sival_int = 78;
    sigqueue(getpid(), SIGRTMIN, value);
    CHECK_EQ(poll_one(fd, POLLIN, 0), POLLIN);
    CHECK_EQ(read(fd, info, sizeof(info)), 3 * (ssize_t)sizeof(info[0]));
    CHECK_EQ(info[0].ssi_signo, SIGUSR1);
    CHECK_EQ(info[0].ssi_pid, getpid());
    CHECK_EQ(info[0].ssi_uid, getuid());
    CHECK_EQ(info[0].ssi_code, SI_USER);
    CHECK_EQ(info[1].ssi_signo, SIGRTMIN);
    CHECK_EQ(info[1].ssi_code, SI_QUEUE);
    CHECK_EQ(info[1].ssi_int, 77);
    CHECK_EQ(info[2].ssi_int, 78);
    CHECK_ERR(read(fd, info, sizeof(info)), EAGAIN);
}

static void signalfd_arguments(void) {
    sigset_t s = set_of(SIGUSR1, 0);
    char small[16];
    int fd = signalfd(-1, &s, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(read(fd, small, sizeof(small)), EINVAL);
    CHECK_ERR(signalfd(-1, &s, 1), EINVAL);
    CHECK_ERR(signalfd(0, &s, 0), EINVAL);
    CHECK_ERR(signalfd(300, &s, 0), EBADF);
    CHECK_ERR(syscall(SYS_signalfd4, -1, &s, 4, 0), EINVAL);
    CHECK_ERR(write(fd, small, sizeof(small)), EINVAL);
}

static void signalfd_changes_mask(void) {
    sigset_t both = set_of(SIGUSR1, SIGUSR2), one = set_of(SIGUSR1, 0);
    REQUIRE(sigprocmask(SIG_BLOCK, &both, NULL) == 0);
    int fd = signalfd(-1, &one, SFD_NONBLOCK);
    kill(getpid(), SIGUSR2);
    struct signalfd_siginfo info;
    CHECK_ERR(read(fd, &info, sizeof(info)), EAGAIN);
    CHECK_EQ(signalfd(fd, &both, 0), fd);
    CHECK_EQ(read(fd, &info, sizeof(info)), (ssize_t)sizeof(info));
    CHECK_EQ(info.ssi_signo, SIGUSR2);
}

static void signalfd_child_status(void) {
    sigset_t s = set_of(SIGCHLD, 0);
    REQUIRE(sigprocmask(SIG_BLOCK, &s, NULL) == 0);
    int fd = signalfd(-1, &s, 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(9);
    }
    struct signalfd_siginfo info;
    CHECK_EQ(read(fd, &info, sizeof(info)), (ssize_t)sizeof(info));
    CHECK_EQ(info.ssi_signo, SIGCHLD);
    CHECK_EQ(info.ssi_code, CLD_EXITED);
    CHECK_EQ(info.ssi_pid, pid);
    CHECK_EQ(info.ssi_status, 9);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void signalfd_wakes_reader_and_epoll(void) {
    sigset_t s = set_of(SIGUSR1, SIGUSR2);
    REQUIRE(sigprocmask(SIG_BLOCK, &s, NULL) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = signalfd(-1, &s, 0), ep = epoll_create1(0);
        struct epoll_event ev = {.events = EPOLLIN};
        struct signalfd_siginfo info;
        if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0 || epoll_wait(ep, &ev, 1, -1) != 1) {
            _exit(1);
        }
        if (read(fd, &info, sizeof(info)) != sizeof(info) || info.ssi_signo != SIGUSR1) {
            _exit(2);
        }
        kill(getppid(), SIGUSR2);
        if (read(fd, &info, sizeof(info)) != sizeof(info) || info.ssi_signo != SIGUSR2) {
            _exit(3);
        }
        _exit(0);
    }
    wait_asleep(pid);
    kill(pid, SIGUSR1);
    int got;
    CHECK_EQ(sigwait(&s, &got), 0);
    CHECK_EQ(got, SIGUSR2);
    wait_asleep(pid);
    kill(pid, SIGUSR2);
    CHECK(child_ok(pid));
}

int main(void) {
    RUN(counts);
    RUN(semaphore);
    RUN(overflow);
    RUN(sizes_and_flags);
    RUN(blocking_read_wakes);
    RUN(blocking_write_wakes);
    RUN(signalfd_reads);
    RUN(signalfd_arguments);
    RUN(signalfd_changes_mask);
    RUN(signalfd_child_status);
    RUN(signalfd_wakes_reader_and_epoll);
    TEST_MAIN_END;
}
