/* SPDX-License-Identifier: Apache-2.0 */
/* mq_overview(7). */
#include "harness.h"

#include <mqueue.h>

static char g_name[64];

static mqd_t open_queue(int flags, long max, long size) {
    struct mq_attr attr = {.mq_maxmsg = max, .mq_msgsize = size};
    snprintf(g_name, sizeof(g_name), "/moat-%d", getpid());
    mqd_t q = mq_open(g_name, O_CREAT | O_EXCL | O_RDWR | flags, 0600, &attr);
    if (q == (mqd_t)-1 && (errno == ENOSYS || errno == EMFILE)) {
        SKIP("no queues here");
    }
    REQUIRE(q != (mqd_t)-1);
    return q;
}

static void priorities(void) {
    mqd_t q = open_queue(O_NONBLOCK, 5, 16);
    char buf[16];
    unsigned int prio;
    CHECK_EQ(mq_send(q, "low", 3, 1), 0);
    CHECK_EQ(mq_send(q, "high", 4, 9), 0);
    CHECK_EQ(mq_send(q, "low2", 4, 1), 0);
    CHECK_EQ(mq_receive(q, buf, sizeof(buf), &prio), 4);
    CHECK(prio == 9 && memcmp(buf, "high", 4) == 0);
    CHECK_EQ(mq_receive(q, buf, sizeof(buf), &prio), 3);
    CHECK_EQ(mq_receive(q, buf, sizeof(buf), &prio), 4);
    CHECK_ERR(mq_receive(q, buf, sizeof(buf), &prio), EAGAIN);
    CHECK_ERR(mq_receive(q, buf, 8, &prio), EMSGSIZE);
    CHECK_ERR(mq_send(q, "more than sixteen", 17, 0), EMSGSIZE);
    CHECK_ERR(mq_send(q, "x", 1, 40000), EINVAL);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(mq_send(q, "x", 1, 0), 0);
    }
    CHECK_ERR(mq_send(q, "x", 1, 0), EAGAIN);
    struct mq_attr attr;
    CHECK_EQ(mq_getattr(q, &attr), 0);
    CHECK(attr.mq_curmsgs == 5 && attr.mq_maxmsg == 5 && attr.mq_msgsize == 16 &&
          attr.mq_flags == O_NONBLOCK);
    CHECK_EQ(mq_unlink(g_name), 0);
}

static void names(void) {
    mqd_t q = open_queue(0, 2, 8);
    CHECK(mq_open(g_name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL) == (mqd_t)-1 && errno == EEXIST);
    mqd_t r = mq_open(g_name, O_RDONLY);
    CHECK(r != (mqd_t)-1);
    CHECK_ERR(mq_send(r, "x", 1, 0), EBADF);
    CHECK_EQ(fcntl(r, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(mq_unlink(g_name), 0);
    CHECK_ERR(mq_unlink(g_name), ENOENT);
    CHECK(mq_open(g_name, O_RDWR) == (mqd_t)-1 && errno == ENOENT);
    CHECK_EQ(mq_send(q, "x", 1, 0), 0);
    char buf[8];
    CHECK_EQ(mq_receive(r, buf, 8, NULL), 1);
    struct mq_attr bad = {.mq_maxmsg = 0, .mq_msgsize = 8};
    CHECK(mq_open(g_name, O_CREAT | O_RDWR, 0600, &bad) == (mqd_t)-1 && errno == EINVAL);
}

static void blocking_and_timeouts(void) {
    mqd_t q = open_queue(0, 1, 8);
    char buf[8];
    pid_t pid = fork();
    if (pid == 0) {
        _exit(mq_receive(q, buf, 8, NULL) == 2 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(mq_send(q, "hi", 2, 0), 0);
    CHECK(child_ok(pid));
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    CHECK_ERR(mq_timedreceive(q, buf, 8, NULL, &ts), ETIMEDOUT);
    CHECK_EQ(mq_send(q, "full", 4, 0), 0);
    CHECK_ERR(mq_timedsend(q, "x", 1, 0, &ts), ETIMEDOUT);
    CHECK_EQ(poll_one(q, POLLIN | POLLOUT, 0), POLLIN);
    CHECK_EQ(mq_receive(q, buf, 8, NULL), 4);
    CHECK_EQ(poll_one(q, POLLIN | POLLOUT, 0), POLLOUT);
    mq_unlink(g_name);
}

static void notification(void) {
    mqd_t q = open_queue(0, 4, 8);
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    struct sigevent ev = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
    CHECK_EQ(mq_notify(q, &ev), 0);
    CHECK_ERR(mq_notify(q, &ev), EBUSY);
    CHECK_EQ(mq_send(q, "x", 1, 0), 0);
    struct timespec ts = {5, 0};
    CHECK_EQ(sigtimedwait(&set, &info, &ts), SIGUSR1);
    CHECK_EQ(info.si_code, SI_MESGQ);
    CHECK_EQ(info.si_value.sival_int, 42);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(mq_send(q, "y", 1, 0), 0);
    ts.tv_sec = 0;
    CHECK_ERR(sigtimedwait(&set, &info, &ts), EAGAIN); /* once only */
    CHECK_EQ(mq_notify(q, &ev), 0);
    CHECK_EQ(mq_notify(q, NULL), 0);
    mq_unlink(g_name);
}

int main(void) {
    RUN(priorities);
    RUN(names);
    RUN(blocking_and_timeouts);
    RUN(notification);
    TEST_MAIN_END;
}
