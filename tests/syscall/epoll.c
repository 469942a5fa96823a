/* SPDX-License-Identifier: Apache-2.0 */
/* epoll(7). */
#include "harness.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static int g_ep;

static int add(int ep, int fd, uint32_t events) {
    struct epoll_event ev = {.events = events, .data.u64 = 0x1234567800000000ull + (uint32_t)fd};
    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

static int mod(int ep, int fd, uint32_t events) {
    struct epoll_event ev = {.events = events, .data.u64 = (uint32_t)fd};
    return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
}

/* Events of the only ready descriptor, 0 when none is ready, -1 for more. */
static int ready(int ep, int timeout_ms) {
    struct epoll_event ev[4];
    int n = epoll_wait(ep, ev, 4, timeout_ms);
    return n == 0 ? 0 : (n == 1 ? (int)ev[0].events : -1);
}

static void create_flags(void) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    CHECK(ep >= 0);
    CHECK_EQ(fcntl(ep, F_GETFD), FD_CLOEXEC);
    CHECK(epoll_create(1) >= 0);
    CHECK_ERR(epoll_create(0), EINVAL);
    CHECK_ERR(epoll_create1(1), EINVAL);
}

static void level_triggered(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(ep, p[0], EPOLLIN), 0);
    CHECK_EQ(ready(ep, 0), 0);
    CHECK_EQ(write(p[1], "ab", 2), 2);
    CHECK_EQ(ready(ep, 0), EPOLLIN);
    CHECK_EQ(ready(ep, -1), EPOLLIN);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(ready(ep, 0), EPOLLIN);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(ready(ep, 0), 0);
}

static void edge_triggered(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(add(ep, p[0], EPOLLIN | EPOLLET), 0);
    CHECK_EQ(ready(ep, 0), EPOLLIN);
    CHECK_EQ(ready(ep, 0), 0);
    CHECK_EQ(write(p[1], "b", 1), 1);
    CHECK_EQ(ready(ep, 0), EPOLLIN);
    CHECK_EQ(ready(ep, 0), 0);
}

static void one_shot(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(ep, p[0], EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(ready(ep, 0), EPOLLIN);
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(ready(ep, 0), 0);
    CHECK_EQ(mod(ep, p[0], EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(ready(ep, 0), EPOLLIN);
    CHECK_EQ(ready(ep, 0), 0);
    close(p[1]);
    CHECK_EQ(ready(ep, 0), 0);
}

static void data_comes_back(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(ep, p[1], EPOLLOUT), 0);
    struct epoll_event ev;
    CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
    CHECK(ev.data.u64 == 0x1234567800000000ull + (uint32_t)p[1]);
}

static void ctl_errors(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_ERR(mod(ep, p[0], EPOLLIN), ENOENT);
    CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL), ENOENT);
    CHECK_EQ(add(ep, p[0], EPOLLIN), 0);
    CHECK_ERR(add(ep, p[0], EPOLLIN), EEXIST);
    CHECK_ERR(add(ep, 500, EPOLLIN), EBADF);
    CHECK_ERR(add(500, p[0], EPOLLIN), EBADF);
    CHECK_ERR(add(p[0], p[1], EPOLLIN), EINVAL);
    CHECK_ERR(add(ep, ep, EPOLLIN), EINVAL);
    CHECK_ERR(epoll_ctl(ep, 77, p[1], &(struct epoll_event){0}), EINVAL);
    CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], BAD), EFAULT);
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    CHECK_ERR(add(ep, fd, EPOLLIN), EPERM);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL), 0);
    CHECK_EQ(add(ep, p[0], EPOLLIN), 0);
}

static void wait_errors(void) {
    int p[2], ep = epoll_create1(0);
    struct epoll_event ev;
    REQUIRE(pipe(p) == 0);
    CHECK_ERR(epoll_wait(ep, &ev, 0, 0), EINVAL);
    CHECK_ERR(epoll_wait(ep, &ev, -1, 0), EINVAL);
    CHECK_ERR(epoll_wait(p[0], &ev, 1, 0), EINVAL);
    CHECK_ERR(epoll_wait(600, &ev, 1, 0), EBADF);
    CHECK_EQ(add(ep, p[1], EPOLLOUT), 0);
    CHECK_ERR(epoll_wait(ep, BAD, 1, 0), EFAULT);
    CHECK_EQ(ready(ep, 0), EPOLLOUT);
}

static void modify_changes_interest(void) {
    int sv[2], ep = epoll_create1(0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(add(ep, sv[0], EPOLLIN), 0);
    CHECK_EQ(ready(ep, 0), 0);
    CHECK_EQ(mod(ep, sv[0], EPOLLOUT), 0);
    CHECK_EQ(ready(ep, 0), EPOLLOUT);
    CHECK_EQ(mod(ep, sv[0], 0), 0);
    CHECK_EQ(ready(ep, 0), 0);
    CHECK_EQ(write(sv[1], "x", 1), 1);
    CHECK_EQ(mod(ep, sv[0], EPOLLIN | EPOLLOUT), 0);
    CHECK_EQ(ready(ep, 0), EPOLLIN | EPOLLOUT);
}

static void hangup_without_interest(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(ep, p[0], 0), 0);
    close(p[1]);
    CHECK_EQ(ready(ep, 0), EPOLLHUP);
}

static void socket_hangup(void) {
    int sv[2], ep = epoll_create1(0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(add(ep, sv[0], EPOLLIN | EPOLLRDHUP), 0);
    CHECK_EQ(shutdown(sv[1], SHUT_WR), 0);
    CHECK_EQ(ready(ep, 0), EPOLLIN | EPOLLRDHUP);
    close(sv[1]);
    CHECK_EQ(ready(ep, 0), EPOLLIN | EPOLLRDHUP | EPOLLHUP);
}

static void close_removes(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(ep, p[1], EPOLLOUT), 0);
    int copy = dup(p[1]);
    close(p[1]);
    CHECK_EQ(ready(ep, 0), EPOLLOUT); /* the open file lives on: epoll(7) Q6 */
    close(copy);
    CHECK_EQ(ready(ep, 0), 0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(ep, p[1], EPOLLOUT), 0);
}

static void same_file_under_two_numbers(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    int copy = dup(p[1]);
    CHECK_EQ(add(ep, p[1], EPOLLOUT), 0);
    CHECK_EQ(add(ep, copy, EPOLLOUT), 0);
    struct epoll_event ev[4];
    CHECK_EQ(epoll_wait(ep, ev, 4, 0), 2);
}

static void many_items_take_turns(void) {
    int ep = epoll_create1(0), fds[64], seen[64] = {0};
    for (int i = 0; i < 64; i++) {
        fds[i] = eventfd(1, 0);
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ev) == 0);
    }
    for (int round = 0; round < 64 / 4; round++) {
        struct epoll_event ev[4];
        REQUIRE(epoll_wait(ep, ev, 4, 0) == 4);
        for (int k = 0; k < 4; k++) {
            seen[ev[k].data.u32]++;
        }
    }
    for (int i = 0; i < 64; i++) {
        CHECK_EQ(seen[i], 1);
    }
    struct epoll_event all[100];
    CHECK_EQ(epoll_wait(ep, all, 100, 0), 64);
}

static void wakes_by_other_process(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(ep, p[0], EPOLLIN), 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(ready(ep, -1) == EPOLLIN ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK(child_ok(pid));
}

static void added_while_waiting(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(ready(ep, -1) == EPOLLOUT ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(add(ep, p[1], EPOLLOUT), 0);
    CHECK(child_ok(pid));
}

static void timeouts(void) {
    int ep = epoll_create1(0);
    int64_t start = now_ms();
    CHECK_EQ(ready(ep, 40), 0);
    CHECK(now_ms() - start >= 39);
#ifdef SYS_epoll_pwait2
    struct timespec ts = {0, 30000000};
    struct epoll_event ev;
    start = now_ms();
    CHECK_EQ(syscall(SYS_epoll_pwait2, ep, &ev, 1, &ts, NULL, 8), 0);
    CHECK(now_ms() - start >= 29);
    ts.tv_nsec = -1;
    CHECK_ERR(syscall(SYS_epoll_pwait2, ep, &ev, 1, &ts, NULL, 8), EINVAL);
#endif
}

static volatile sig_atomic_t g_signals;

static void on_signal(int signo) {
    (void)signo;
    g_signals++;
}

static void pwait_masks(void) {
    int ep = epoll_create1(0);
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigset_t block, none;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    REQUIRE(sigaction(SIGUSR1, &sa, NULL) == 0 && sigprocmask(SIG_BLOCK, &block, NULL) == 0);
    raise(SIGUSR1);
    struct epoll_event ev;
    CHECK_ERR(epoll_pwait(ep, &ev, 1, 5000, &none), EINTR);
    CHECK_EQ(g_signals, 1);
    CHECK_EQ(epoll_pwait(ep, &ev, 1, 1, &none), 0);
    raise(SIGUSR1);
    CHECK_EQ(g_signals, 1);
}

static void nested_sets(void) {
    int p[2], inner = epoll_create1(0), outer = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(inner, p[0], EPOLLIN), 0);
    CHECK_EQ(add(outer, inner, EPOLLIN), 0);
    CHECK_EQ(ready(outer, 0), 0);
    CHECK_EQ(poll_one(outer, POLLIN, 0), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(ready(outer, 0), EPOLLIN);
    CHECK_EQ(poll_one(outer, POLLIN, 0), POLLIN);
    CHECK_EQ(poll_one(inner, POLLIN, 0), POLLIN);
    CHECK_EQ(ready(inner, 0), EPOLLIN);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(ready(outer, 0), 0);
    CHECK_EQ(poll_one(inner, POLLIN, 0), 0);
}

static void nested_wakes(void) {
    int p[2], inner = epoll_create1(0), outer = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(inner, p[0], EPOLLIN), 0);
    CHECK_EQ(add(outer, inner, EPOLLIN), 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(ready(outer, -1) == EPOLLIN ? 0 : 1);
    }
    pid_t poller = fork();
    if (poller == 0) {
        _exit(poll_one(inner, POLLIN, -1) == POLLIN ? 0 : 1);
    }
    wait_asleep(pid);
    wait_asleep(poller);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK(child_ok(pid));
    CHECK(child_ok(poller));
}

static void loops_are_refused(void) {
    int a = epoll_create1(0), b = epoll_create1(0), c = epoll_create1(0);
    CHECK_EQ(add(a, b, EPOLLIN), 0);
    CHECK_ERR(add(b, a, EPOLLIN), ELOOP);
    CHECK_EQ(add(b, c, EPOLLIN), 0);
    CHECK_ERR(add(c, a, EPOLLIN), ELOOP);
}

static void deep_nesting_is_refused(void) {
    int ep[10], made = 1;
    for (int i = 0; i < 10; i++) {
        ep[i] = epoll_create1(0);
    }
    for (int i = 1; i < 10; i++) {
        if (add(ep[i], ep[i - 1], EPOLLIN) != 0) {
            CHECK_EQ(errno, ELOOP);
            break;
        }
        made++;
    }
    CHECK_EQ(made, 5);
}

static void exclusive_flags(void) {
    int p[2], ep = epoll_create1(0), other = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(ep, p[0], EPOLLIN | EPOLLEXCLUSIVE), 0);
    CHECK_ERR(mod(ep, p[0], EPOLLIN), EINVAL);
    CHECK_ERR(add(other, p[0], EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL);
    CHECK_ERR(add(other, ep, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
    CHECK_ERR(mod(ep, p[0], EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(ready(ep, 0), EPOLLIN);
}

static void *wait_and_take(void *arg) {
    long got = 0;
    struct epoll_event ev;
    while (epoll_wait(g_ep, &ev, 1, -1) == 1) {
        if (ev.data.fd < 0) {
            break;
        }
        uint64_t value;
        if (read(ev.data.fd, &value, 8) == 8) {
            got += (long)value;
        }
    }
    *(long *)arg = got;
    return NULL;
}

static void threads_share_a_set(void) {
    g_ep = epoll_create1(0);
    int counter = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE), stop = eventfd(0, 0);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = counter};
    REQUIRE(epoll_ctl(g_ep, EPOLL_CTL_ADD, counter, &ev) == 0);
    ev.data.fd = -1;
    REQUIRE(epoll_ctl(g_ep, EPOLL_CTL_ADD, stop, &ev) == 0);
    pthread_t threads[4];
    long got[4];
    for (int i = 0; i < 4; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, wait_and_take, &got[i]) == 0);
    }
    uint64_t one = 1, left;
    for (int i = 0; i < 2000; i++) {
        REQUIRE(write(counter, &one, 8) == 8);
    }
    for (int i = 0; i < 5000 && poll_one(counter, POLLIN, 0) == POLLIN; i++) {
        sleep_ms(1);
    }
    CHECK(read(counter, &left, 8) == -1 && errno == EAGAIN);
    REQUIRE(write(stop, &one, 8) == 8);
    long total = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        total += got[i];
    }
    CHECK_EQ(total, 2000);
}

static void *churn(void *arg) {
    for (int i = 0; i < 2000; i++) {
        int fd = eventfd(1, 0);
        struct epoll_event ev = {.events = EPOLLIN | (i % 2 ? EPOLLET : 0), .data.fd = fd};
        epoll_ctl(g_ep, EPOLL_CTL_ADD, fd, &ev);
        if (i % 3 == 0) {
            epoll_ctl(g_ep, EPOLL_CTL_DEL, fd, NULL);
        }
        close(fd);
    }
    return arg;
}

static void close_races_with_wait(void) {
    g_ep = epoll_create1(0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    }
    for (int i = 0; i < 4000; i++) {
        struct epoll_event ev[8];
        REQUIRE(epoll_wait(g_ep, ev, 8, 0) >= 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQ(ready(g_ep, 0), 0);
}

static void survives_fork(void) {
    int p[2], ep = epoll_create1(0);
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(add(ep, p[0], EPOLLIN), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        _exit(0);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(ready(ep, 0), EPOLLIN);
}

int main(void) {
    RUN(create_flags);
    RUN(level_triggered);
    RUN(edge_triggered);
    RUN(one_shot);
    RUN(data_comes_back);
    RUN(ctl_errors);
    RUN(wait_errors);
    RUN(modify_changes_interest);
    RUN(hangup_without_interest);
    RUN(socket_hangup);
    RUN(close_removes);
    RUN(same_file_under_two_numbers);
    RUN(many_items_take_turns);
    RUN(wakes_by_other_process);
    RUN(added_while_waiting);
    RUN(timeouts);
    RUN(pwait_masks);
    RUN(nested_sets);
    RUN(nested_wakes);
    RUN(loops_are_refused);
    RUN(deep_nesting_is_refused);
    RUN(exclusive_flags);
    RUN(threads_share_a_set);
    RUN(close_races_with_wait);
    RUN(survives_fork);
    TEST_MAIN_END;
}
