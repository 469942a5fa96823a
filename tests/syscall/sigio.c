/* SPDX-License-Identifier: Apache-2.0 */
/* Signal-driven I/O: O_ASYNC, F_SETOWN, F_SETOWN_EX, F_SETSIG (fcntl(2)). */
#include "harness.h"

#include <pthread.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define SIG_A (SIGRTMIN + 1)
#define SIG_B (SIGRTMIN + 2)

static void block_all(void) {
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIGALRM);
    REQUIRE(sigprocmask(SIG_SETMASK, &set, NULL) == 0);
}

/* The next of these signals; all are blocked. */
static siginfo_t await(int a, int b) {
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, a);
    sigaddset(&set, b);
    memset(&info, 0, sizeof(info));
    REQUIRE(sigwaitinfo(&set, &info) > 0);
    return info;
}

static void turn_on(int fd, pid_t owner, int sig) {
    REQUIRE(fcntl(fd, F_SETOWN, owner) == 0 && fcntl(fd, F_SETSIG, sig) == 0);
    REQUIRE(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) == 0);
}

static void plain_signal(void) {
    int p[2];
    block_all();
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
    turn_on(p[0], getpid(), 0);
    CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
    CHECK_EQ(fcntl(p[0], F_GETSIG), 0);
    CHECK((fcntl(p[0], F_GETFL) & O_ASYNC) != 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    siginfo_t info = await(SIGIO, SIG_A);
    CHECK_EQ(info.si_signo, SIGIO);
    CHECK_EQ(info.si_code, 0x80); /* SI_KERNEL */
}

static void own_signal_with_words(void) {
    int p[2];
    block_all();
    REQUIRE(pipe(p) == 0);
    turn_on(p[0], getpid(), SIG_A);
    CHECK_EQ(fcntl(p[0], F_GETSIG), SIG_A);
    CHECK_EQ(write(p[1], "x", 1), 1);
    siginfo_t info = await(SIGIO, SIG_A);
    CHECK_EQ(info.si_signo, SIG_A);
    CHECK_EQ(info.si_code, POLL_IN);
    CHECK_EQ(info.si_fd, p[0]);
    CHECK_EQ(info.si_band, POLLIN | POLLRDNORM);
    close(p[1]); /* the end of the stream is something to read, too */
    info = await(SIGIO, SIG_A);
    CHECK_EQ(info.si_code, POLL_IN);
}

static void room_in_a_pipe(void) {
    int p[2];
    char buf[4096] = {0};
    block_all();
    REQUIRE(pipe2(p, O_NONBLOCK) == 0);
    while (write(p[1], buf, sizeof(buf)) > 0) {
    }
    turn_on(p[1], getpid(), SIG_A);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), sizeof(buf));
    siginfo_t info = await(SIGIO, SIG_A);
    CHECK_EQ(info.si_code, POLL_OUT);
    CHECK_EQ(info.si_fd, p[1]);
    CHECK_EQ(info.si_band, POLLOUT | POLLWRNORM | POLLWRBAND);
}

static void sockets(void) {
    int s[2];
    char buf[4096] = {0};
    block_all();
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
    turn_on(s[0], getpid(), SIG_A);
    turn_on(s[1], getpid(), SIG_B);
    CHECK_EQ(send(s[1], "x", 1, 0), 1);
    siginfo_t info = await(SIG_A, SIG_B);
    CHECK_EQ(info.si_signo, SIG_A);
    CHECK_EQ(info.si_code, POLL_IN);
    CHECK_EQ(read(s[0], buf, 1), 1); /* nobody had waited for room */
    while (send(s[0], buf, sizeof(buf), 0) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    info = await(SIG_B, SIG_B);
    CHECK_EQ(info.si_code, POLL_IN);
    while (read(s[1], buf, sizeof(buf)) > 0) {
    }
    info = await(SIG_A, SIG_A);
    CHECK_EQ(info.si_code, POLL_OUT);
    close(s[1]);
    while (info.si_code == POLL_OUT) { /* room again, maybe more than once */
        info = await(SIG_A, SIG_A);
    }
    CHECK_EQ(info.si_code, POLL_HUP);
    CHECK_EQ(info.si_fd, s[0]);
}

static void off_again(void) {
    int p[2], q[2];
    sigset_t pending;
    block_all();
    REQUIRE(pipe(p) == 0 && pipe(q) == 0);
    turn_on(p[0], getpid(), SIG_A);
    turn_on(q[0], getpid(), SIG_B);
    REQUIRE(fcntl(p[0], F_SETFL, fcntl(p[0], F_GETFL) & ~O_ASYNC) == 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(write(q[1], "x", 1), 1);
    (void)await(SIG_B, SIG_B);
    REQUIRE(sigpending(&pending) == 0);
    CHECK(!sigismember(&pending, SIG_A) && !sigismember(&pending, SIGIO));
    int on = 1; /* the other way to ask */
    CHECK_EQ(ioctl(p[0], FIOASYNC, &on), 0);
    CHECK((fcntl(p[0], F_GETFL) & O_ASYNC) != 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(await(SIG_A, SIG_A).si_fd, p[0]);
    close(p[0]);
}

static void wrong_requests(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    struct f_owner_ex o = {.type = 7, .pid = getpid()};
    CHECK_ERR(fcntl(p[0], F_SETOWN, 0x3fffff7), ESRCH);
    CHECK_ERR(fcntl(p[0], F_SETOWN, -0x3fffff7), ESRCH);
    CHECK_ERR(fcntl(p[0], F_SETSIG, 65), EINVAL);
    CHECK_ERR(fcntl(p[0], F_SETSIG, -1), EINVAL);
    CHECK_ERR(fcntl(p[0], F_SETOWN_EX, &o), EINVAL);
    CHECK_ERR(fcntl(p[0], F_SETOWN_EX, BAD), EFAULT);
    CHECK_EQ(fcntl(p[0], F_SETOWN, 0), 0);
    int fd = open("regular", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(fcntl(fd, F_SETFL, O_ASYNC), 0); /* without effect */
}

static void owners(void) {
    int s[2], number = 0;
    struct f_owner_ex o = {.type = F_OWNER_TID, .pid = (int)syscall(SYS_gettid)};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK_EQ(fcntl(s[0], F_SETOWN_EX, &o), 0);
    memset(&o, 0, sizeof(o));
    CHECK_EQ(fcntl(s[0], F_GETOWN_EX, &o), 0);
    CHECK(o.type == F_OWNER_TID && o.pid == getpid());
    REQUIRE(setpgid(0, 0) == 0);
    CHECK_EQ(fcntl(s[0], F_SETOWN, -getpgrp()), 0);
    CHECK_EQ(fcntl(s[0], F_GETOWN_EX, &o), 0);
    CHECK(o.type == F_OWNER_PGRP && o.pid == getpgrp());
    number = getpid();
    CHECK_EQ(ioctl(s[0], 0x8901 /* FIOSETOWN */, &number), 0);
    number = 0;
    CHECK_EQ(ioctl(s[0], 0x8904 /* SIOCGPGRP */, &number), 0);
    CHECK_EQ(number, getpid());
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    CHECK_EQ(fcntl(s[0], F_SETOWN, pid), 0);
    CHECK(child_ok(pid));
    CHECK_EQ(fcntl(s[0], F_GETOWN), 0); /* it is gone */
}

/* The child, and both of the group, get it. */
static void other_processes(void) {
    int p[2];
    block_all();
    REQUIRE(pipe(p) == 0 && setpgid(0, 0) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        siginfo_t info = await(SIG_A, SIG_A);
        CHECK_EQ(info.si_fd, p[0]);
        (void)await(SIG_B, SIG_B);
        _exit(g_test_failed != 0);
    }
    turn_on(p[0], pid, SIG_A);
    CHECK_EQ(write(p[1], "x", 1), 1);
    turn_on(p[0], -getpgrp(), SIG_B);
    CHECK_EQ(write(p[1], "x", 1), 1);
    (void)await(SIG_B, SIG_B);
    CHECK(child_ok(pid));
}

static pthread_barrier_t g_barrier;
static int g_tid;

static void *waiting_thread(void *arg) {
    g_tid = (int)syscall(SYS_gettid);
    pthread_barrier_wait(&g_barrier);
    *(siginfo_t *)arg = await(SIG_A, SIG_A);
    return NULL;
}

static void one_thread(void) {
    int p[2];
    pthread_t thread;
    siginfo_t info;
    sigset_t pending;
    block_all();
    REQUIRE(pipe(p) == 0 && pthread_barrier_init(&g_barrier, NULL, 2) == 0);
    REQUIRE(pthread_create(&thread, NULL, waiting_thread, &info) == 0);
    pthread_barrier_wait(&g_barrier);
    struct f_owner_ex o = {.type = F_OWNER_TID, .pid = g_tid};
    REQUIRE(fcntl(p[0], F_SETOWN_EX, &o) == 0 && fcntl(p[0], F_SETSIG, SIG_A) == 0);
    REQUIRE(fcntl(p[0], F_SETFL, O_ASYNC) == 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    pthread_join(thread, NULL);
    CHECK_EQ(info.si_fd, p[0]);
    REQUIRE(sigpending(&pending) == 0);
    CHECK(!sigismember(&pending, SIG_A));
}

static void terminal(void) {
    block_all();
    int m = posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0);
    int s = open(ptsname(m), O_RDWR | O_NOCTTY | O_NONBLOCK);
    REQUIRE(s >= 0);
    turn_on(s, getpid(), SIG_A);
    CHECK_EQ(write(m, "line\n", 5), 5);
    siginfo_t info = await(SIGIO, SIG_A);
    CHECK_EQ(info.si_signo, SIG_A);
    CHECK_EQ(info.si_fd, s);
}

static void inotify_events(void) {
    block_all();
    int fd = inotify_init1(IN_NONBLOCK);
    REQUIRE(fd >= 0 && inotify_add_watch(fd, ".", IN_CREATE) > 0);
    turn_on(fd, getpid(), SIG_A);
    int f = open("new", O_CREAT | O_WRONLY, 0600);
    CHECK(f >= 0);
    siginfo_t info = await(SIGIO, SIG_A);
    CHECK_EQ(info.si_fd, fd);
    CHECK_EQ(info.si_code, POLL_IN);
}

static void do_not_handled(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    turn_on(p[0], getpid(), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    for (;;) {
        pause();
    }
}

static void not_handled(void) {
    CHECK_EQ(in_child(do_not_handled), 256 + SIGIO);
}

/* Who may not be signalled is not. */
static void needs_permission(void) {
    int p[2], ready[2];
    char c;
    sigset_t pending;
    if (geteuid() != 0) {
        SKIP("needs two users");
    }
    block_all();
    REQUIRE(pipe(p) == 0 && pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        REQUIRE(setresuid(65534, 65534, 65534) == 0);
        turn_on(p[0], getppid(), SIG_A);
        struct f_owner_ex o = {.type = F_OWNER_PID, .pid = getpid()};
        CHECK_EQ(write(p[1], "x", 1), 1);
        REQUIRE(fcntl(p[0], F_SETOWN_EX, &o) == 0);
        CHECK_EQ(write(p[1], "x", 1), 1);
        (void)await(SIG_A, SIG_A);
        _exit(g_test_failed != 0);
    }
    CHECK(child_ok(pid));
    REQUIRE(sigpending(&pending) == 0);
    CHECK(!sigismember(&pending, SIG_A) && !sigismember(&pending, SIGIO));
    close(ready[1]);
    CHECK_EQ(read(ready[0], &c, 1), 0);
}

/* Files with signals come and go while data flow. */
static void many(void) {
    block_all();
    for (int i = 0; i < 200; i++) {
        int p[2];
        REQUIRE(pipe(p) == 0);
        turn_on(p[0], getpid(), SIGIO);
        CHECK_EQ(write(p[1], "x", 1), 1);
        if (i % 2 == 0) {
            close(p[0]);
        }
        if (i % 2 != 0) {
            (void)await(SIGIO, SIGIO);
            close(p[0]);
        }
        close(p[1]);
    }
}

int main(void) {
    RUN(plain_signal);
    RUN(own_signal_with_words);
    RUN(room_in_a_pipe);
    RUN(sockets);
    RUN(off_again);
    RUN(wrong_requests);
    RUN(owners);
    RUN(other_processes);
    RUN(one_thread);
    RUN(terminal);
    RUN(inotify_events);
    RUN(not_handled);
    RUN(needs_permission);
    RUN(many);
    TEST_MAIN_END;
}
