/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Harness of the system-call tests.  A program holds tests of one topic; each runs in a child
 * process of its own, in an empty directory, with a time limit, and prints one line:
 *
 *     ok NAME | FAIL NAME: why | skip NAME: why
 *
 * The tests state what Linux does: they must pass on a Linux host first, as root and as an ordinary
 * user.
 */
#ifndef MOAT_TESTS_SYSCALL_HARNESS_H
#define MOAT_TESTS_SYSCALL_HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HARNESS_SKIP    77
#define HARNESS_SECONDS 20

static const char *g_test_name;
static void *volatile g_bad_address = (void *)8; /* volatile: compilers warn of what they can see */
#define BAD ((void *)g_bad_address)
static int g_test_failed;
static int g_tests_failed;

__attribute__((format(printf, 3, 4), unused)) static void test_fail(const char *file, int line,
                                                                    const char *format, ...) {
    va_list args;
    char why[512];
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    if (g_test_failed++ == 0) {
        printf("FAIL %s: %s:%d: %s\n", g_test_name, file, line, why);
        fflush(stdout);
    }
}

#define TEST_FILE                                                                                  \
    (__builtin_strrchr(__FILE__, '/') ? __builtin_strrchr(__FILE__, '/') + 1 : __FILE__)

/* Go on after a failure. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            test_fail(TEST_FILE, __LINE__, "%s (errno %d)", #cond, errno);                         \
        }                                                                                          \
    } while (0)
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long check_a = (long long)(a), check_b = (long long)(b);                              \
        if (check_a != check_b) {                                                                  \
            test_fail(TEST_FILE, __LINE__, "%s is %lld, not %lld (errno %d)", #a, check_a,         \
                      check_b, errno);                                                             \
        }                                                                                          \
    } while (0)
/* The call fails with this errno. */
#define CHECK_ERR(call, want)                                                                      \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long long check_r = (long long)(call);                                                     \
        if (check_r != -1 || errno != (want)) {                                                    \
            test_fail(TEST_FILE, __LINE__, "%s is %lld, errno %d, not errno %d", #call, check_r,   \
                      errno, (want));                                                              \
        }                                                                                          \
    } while (0)
/* End the test after a failure. */
#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            test_fail(TEST_FILE, __LINE__, "%s (errno %d)", #cond, errno);                         \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define SKIP(why)                                                                                  \
    do {                                                                                           \
        printf("skip %s: %s\n", g_test_name, (why));                                               \
        fflush(stdout);                                                                            \
        _exit(HARNESS_SKIP);                                                                       \
    } while (0)

static int harness_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

__attribute__((unused)) static void harness_run(const char *name, void (*fn)(void)) {
    char dir[] = "/tmp/moat-syscall-XXXXXX";
    g_test_name = name;
    if (mkdtemp(dir) == NULL) {
        printf("FAIL %s: mkdtemp: errno %d\n", name, errno);
        g_tests_failed++;
        return;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (chdir(dir) != 0) {
            _exit(1);
        }
        signal(SIGHUP, SIG_DFL); /* nohup and shells without job control leave these ignored */
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        alarm(HARNESS_SECONDS);
        g_test_failed = 0;
        fn();
        fflush(stdout);
        _exit(g_test_failed != 0);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        printf("FAIL %s: fork or waitpid: errno %d\n", name, errno);
        g_tests_failed++;
    } else if (WIFSIGNALED(status)) {
        printf("FAIL %s: ended by signal %d\n", name, WTERMSIG(status));
        g_tests_failed++;
    } else if (WEXITSTATUS(status) == 0) {
        printf("ok %s\n", name);
    } else if (WEXITSTATUS(status) != HARNESS_SKIP) {
        g_tests_failed++;
    }
    nftw(dir, harness_remove, 16, FTW_DEPTH | FTW_PHYS);
    fflush(stdout);
}

#define RUN(fn)       harness_run(#fn, fn)
#define TEST_MAIN_END return g_tests_failed != 0

/* ---- small helpers ---------------------------------------------------------------------- */

__attribute__((unused)) static int64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((unused)) static void sleep_ms(int ms) {
    struct timespec ts = {ms / 1000, (ms % 1000) * 1000000L};
    nanosleep(&ts, NULL);
}

/* Runs fn in a child; its exit status, or 256 + signal. */
__attribute__((unused)) static int in_child(void (*fn)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        fn();
        _exit(g_test_failed != 0);
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Waits for a child that must exit with 0. */
__attribute__((unused)) static bool child_ok(pid_t pid) {
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

__attribute__((unused)) static short poll_one(int fd, short events, int timeout_ms) {
    struct pollfd p = {fd, events, 0};
    return poll(&p, 1, timeout_ms) < 0 ? (short)-1 : p.revents;
}

/* Waits until another process sleeps in the kernel (state S), so that tests need no guessed delays.
 */
__attribute__((unused)) static void wait_asleep(pid_t pid) {
    for (int i = 0; i < 2000; i++) {
        char path[64], text[256];
        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
        if (fd >= 0) {
            close(fd);
        }
        if (n > 0) {
            text[n] = 0;
            const char *state = strrchr(text, ')');
            if (state != NULL && state[2] == 'S') {
                return;
            }
        }
        sleep_ms(1);
    }
}

#endif
