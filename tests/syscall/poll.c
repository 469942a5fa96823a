/* SPDX-License-Identifier: Apache-2.0 */
/* poll(2), ppoll(2), select(2), pselect(2). */
#include "harness.h"

#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>

static volatile sig_atomic_t g_signals;

static void on_signal(int signo) {
    (void)signo;
    g_signals++;
}

static void catch_signal(int signo, int flags) {
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags};
    REQUIRE(sigaction(signo, &sa, NULL) == 0);
}

static void poll_reports_ready(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    struct pollfd fds[2] = {{p[0], POLLIN, 99}, {p[1], POLLOUT, 99}};
    CHECK_EQ(poll(fds, 2, 0), 1);
    CHECK_EQ(fds[0].revents, 0);
    CHECK_EQ(fds[1].revents, POLLOUT);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(poll(fds, 2, -1), 2);
    CHECK_EQ(fds[0].revents, POLLIN);
    CHECK_EQ(fds[0].events, POLLIN);
}

static void poll_invalid_and_negative(void) {
    struct pollfd fds[2] = {{-1, POLLIN, 7}, {900, POLLIN, 0}};
    CHECK_EQ(poll(fds, 1, 0), 0);
    CHECK_EQ(fds[0].revents, 0);
    CHECK_EQ(poll(fds, 2, -1), 1);
    CHECK_EQ(fds[1].revents, POLLNVAL);
}

static void poll_timeout(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    struct pollfd f = {p[0], POLLIN, 0};
    int64_t start = now_ms();
    CHECK_EQ(poll(&f, 1, 50), 0);
    int64_t took = now_ms() - start;
    CHECK(took >= 49 && took < 2000);
    CHECK_EQ(poll(NULL, 0, 1), 0);
}

static void poll_errors(void) {
    struct pollfd f = {0, POLLIN, 0};
    CHECK_ERR(poll(BAD, 1, 0), EFAULT);
    struct rlimit rl;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &rl) == 0);
    rl.rlim_cur = 64;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &rl) == 0);
    CHECK_ERR(syscall(SYS_poll, &f, 65, 0), EINVAL);
}

static void poll_regular_file(void) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(poll_one(fd, POLLIN | POLLOUT | POLLPRI, 0), POLLIN | POLLOUT);
    int dir = open(".", O_RDONLY);
    CHECK_EQ(poll_one(dir, POLLIN, 0), POLLIN);
}

static void poll_many(void) {
    struct pollfd fds[100];
    int p[50][2];
    for (int i = 0; i < 50; i++) {
        REQUIRE(pipe(p[i]) == 0);
        fds[2 * i] = (struct pollfd){p[i][0], POLLIN, 0};
        fds[2 * i + 1] = (struct pollfd){p[i][1], POLLOUT, 0};
    }
    CHECK_EQ(poll(fds, 100, -1), 50);
    CHECK_EQ(write(p[37][1], "x", 1), 1);
    CHECK_EQ(poll(fds, 100, -1), 51);
    CHECK_EQ(fds[74].revents, POLLIN);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 50; i++) {
            fds[i] = (struct pollfd){p[i][0], POLLIN, 0};
        }
        char c;
        if (read(p[37][0], &c, 1) != 1) {
            _exit(1);
        }
        _exit(poll(fds, 50, -1) == 1 && fds[49].revents == POLLIN ? 0 : 2);
    }
    wait_asleep(pid);
    CHECK_EQ(write(p[49][1], "x", 1), 1);
    CHECK(child_ok(pid));
}

static void poll_wakes_by_other_process(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(poll_one(p[0], POLLIN, -1) == POLLIN ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK(child_ok(pid));
}

static void poll_interrupted(void) {
    catch_signal(SIGUSR1, SA_RESTART);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        wait_asleep(parent);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    CHECK_ERR(poll(NULL, 0, 5000), EINTR); /* never restarted: signal(7) */
    CHECK_EQ(g_signals, 1);
    CHECK(child_ok(pid));
}

static void ppoll_masks_signals(void) {
    sigset_t block, none;
    catch_signal(SIGUSR1, 0);
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    REQUIRE(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
    raise(SIGUSR1);
    CHECK_EQ(g_signals, 0);
    struct timespec ts = {5, 0};
    CHECK_ERR(ppoll(NULL, 0, &ts, &none), EINTR);
    CHECK_EQ(g_signals, 1);
    sigset_t now;
    REQUIRE(sigprocmask(SIG_BLOCK, NULL, &now) == 0);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    ts = (struct timespec){0, 1000000};
    CHECK_EQ(ppoll(NULL, 0, &ts, &none), 0);
    REQUIRE(sigprocmask(SIG_BLOCK, NULL, &now) == 0);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
}

static void ppoll_bad_arguments(void) {
    struct timespec bad = {0, 1000000000}, negative = {-1, 0};
    CHECK_ERR(ppoll(NULL, 0, &bad, NULL), EINVAL);
    CHECK_ERR(ppoll(NULL, 0, &negative, NULL), EINVAL);
    sigset_t none;
    sigemptyset(&none);
    struct timespec ts = {0, 0};
    CHECK_ERR(syscall(SYS_ppoll, NULL, 0, &ts, &none, 4), EINVAL);
}

static void select_reports_sets(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    fd_set r, w;
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(p[0], &r);
    FD_SET(p[1], &w);
    struct timeval tv = {0, 0};
    CHECK_EQ(select(p[1] + 1, &r, &w, NULL, &tv), 1);
    CHECK(!FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w));
    CHECK_EQ(write(p[1], "x", 1), 1);
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    CHECK_EQ(select(p[1] + 1, &r, &w, NULL, NULL), 2);
    CHECK(FD_ISSET(p[0], &r));
}

static void select_timeout_is_updated(void) {
    struct timeval tv = {0, 20000};
    CHECK_EQ(select(0, NULL, NULL, NULL, &tv), 0);
    CHECK(tv.tv_sec == 0 && tv.tv_usec == 0);
    int p[2];
    REQUIRE(pipe(p) == 0);
    fd_set w;
    FD_ZERO(&w);
    FD_SET(p[1], &w);
    tv = (struct timeval){100, 0};
    CHECK_EQ(select(p[1] + 1, NULL, &w, NULL, &tv), 1);
    CHECK(tv.tv_sec >= 98 && tv.tv_sec < 100);
}

static void select_errors(void) {
    fd_set r;
    struct timeval tv = {0, 0};
    FD_ZERO(&r);
    FD_SET(40, &r);
    CHECK_ERR(select(41, &r, NULL, NULL, &tv), EBADF);
    CHECK_ERR(select(-1, NULL, NULL, NULL, &tv), EINVAL);
    tv.tv_sec = -1;
    CHECK_ERR(select(0, NULL, NULL, NULL, &tv), EINVAL);
    CHECK_ERR(select(1, BAD, NULL, NULL, NULL), EFAULT);
}

static void select_hangup_is_readable(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    close(p[1]);
    fd_set r;
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    CHECK_EQ(select(p[0] + 1, &r, NULL, NULL, NULL), 1);
    CHECK(FD_ISSET(p[0], &r));
}

static void pselect_masks_signals(void) {
    sigset_t block, none;
    catch_signal(SIGUSR1, SA_RESTART);
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    REQUIRE(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
    raise(SIGUSR1);
    struct timespec ts = {5, 0};
    CHECK_ERR(pselect(0, NULL, NULL, NULL, &ts, &none), EINTR);
    CHECK_EQ(g_signals, 1);
    CHECK_EQ(ts.tv_sec, 5); /* pselect(2): not modified */
}

static void poll_restarts_after_stop(void) {
    pid_t pid = fork();
    if (pid == 0) {
        int64_t start = now_ms();
        int n = poll(NULL, 0, 150);
        _exit(n == 0 && now_ms() - start >= 149 ? 0 : 1);
    }
    wait_asleep(pid);
    kill(pid, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    kill(pid, SIGCONT);
    CHECK(child_ok(pid));
}

int main(void) {
    RUN(poll_reports_ready);
    RUN(poll_invalid_and_negative);
    RUN(poll_timeout);
    RUN(poll_errors);
    RUN(poll_regular_file);
    RUN(poll_many);
    RUN(poll_wakes_by_other_process);
    RUN(poll_interrupted);
    RUN(ppoll_masks_signals);
    RUN(ppoll_bad_arguments);
    RUN(select_reports_sets);
    RUN(select_timeout_is_updated);
    RUN(select_errors);
    RUN(select_hangup_is_readable);
    RUN(pselect_masks_signals);
    RUN(poll_restarts_after_stop);
    TEST_MAIN_END;
}
