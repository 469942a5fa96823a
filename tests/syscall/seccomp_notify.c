/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_unotify(2): a supervisor answers calls of a thread, a process and their children. */
#include "harness.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

#define COUNT(a) (unsigned short)(sizeof(a) / sizeof((a)[0]))

/* A filter that hands `nr` over; what seccomp(2) says. */
static long listen_for(int nr, unsigned int flags) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog prog = {COUNT(code), code};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

/* ---- a thread whose getppid(1, 2, 3, 4, 5, 6) is handed over, again and again ---- */

static struct {
    pthread_t thread;
    pthread_barrier_t barrier;
    int listener, tid, calls, last_errno;
    long result;
    unsigned int flags;
} g_target;

static void *target_main(void *arg) {
    (void)arg;
    g_target.tid = (int)syscall(SYS_gettid);
    g_target.listener =
        (int)listen_for(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER | g_target.flags);
    pthread_barrier_wait(&g_target.barrier);
    for (int i = 0; i < g_target.calls; i++) {
        errno = 0;
        long r = syscall(SYS_getppid, 1, 2, 3, 4, 5, 6);
        g_target.last_errno = errno;
        g_target.result = r;
        pthread_barrier_wait(&g_target.barrier);
    }
    return NULL;
}

/* It will make `calls` calls; answered() waits for the end of each. */
static int target_start(int calls, unsigned int flags) {
    g_target.calls = calls;
    g_target.flags = flags;
    REQUIRE(pthread_barrier_init(&g_target.barrier, NULL, 2) == 0);
    REQUIRE(pthread_create(&g_target.thread, NULL, target_main, NULL) == 0);
    pthread_barrier_wait(&g_target.barrier);
    if (g_target.listener < 0 && flags != 0) {
        SKIP("this kernel has not that flag");
    }
    REQUIRE(g_target.listener >= 0);
    return g_target.listener;
}

static long answered(void) {
    pthread_barrier_wait(&g_target.barrier);
    return g_target.result;
}

static struct seccomp_notif receive(int fd) {
    struct seccomp_notif n;
    memset(&n, 0, sizeof(n));
    REQUIRE(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n) == 0);
    return n;
}

static int reply(int fd, uint64_t id, long val, int error, unsigned int flags) {
    struct seccomp_notif_resp r = {.id = id, .val = val, .error = error, .flags = flags};
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

static int events(int fd) {
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

static void await(int fd, short what) {
    struct pollfd p = {fd, what, 0};
    REQUIRE(poll(&p, 1, -1) == 1);
}

/* ---- answers ---- */

static void values_and_errors(void) {
    int fd = target_start(4, 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct seccomp_notif n = receive(fd);
    CHECK_EQ(n.pid, g_target.tid);
    CHECK_EQ(n.flags, 0);
    CHECK_EQ(n.data.nr, SYS_getppid);
    for (unsigned int i = 0; i < 6; i++) {
        CHECK_EQ(n.data.args[i], i + 1);
    }
    CHECK(n.data.instruction_pointer != 0);
    uint64_t first = n.id;
    CHECK_EQ(reply(fd, n.id, 0x123456789abcl, 0, 0), 0);
    CHECK_EQ(answered(), 0x123456789abcl);
    n = receive(fd);
    CHECK(n.id != first);
    CHECK_ERR(reply(fd, first, 0, 0, 0), ENOENT);
    CHECK_EQ(reply(fd, n.id, 5, -EXDEV, 0), 0);
    CHECK_EQ(answered(), -1);
    CHECK_EQ(g_target.last_errno, EXDEV);
    n = receive(fd);
    CHECK_EQ(reply(fd, n.id, 0, 0, 0), 0);
    CHECK_EQ(answered(), 0);
    n = receive(fd);
    CHECK_EQ(reply(fd, n.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), 0);
    CHECK_EQ(answered(), getppid());
    pthread_join(g_target.thread, NULL);
}

static void wrong_requests(void) {
    int fd = target_start(1, 0);
    struct seccomp_notif n;
    struct seccomp_notif_resp r;
    memset(&n, 0, sizeof(n));
    n.pid = 1;
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n), EINVAL);
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, BAD), EFAULT);
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, BAD), EFAULT);
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, BAD), EFAULT);
    CHECK_ERR(ioctl(fd, SECCOMP_IO(9), 0), EINVAL);
    CHECK_EQ(read(fd, &r, sizeof(r)), -1);
    n = receive(fd);
    CHECK_ERR(reply(fd, n.id, 0, 0, 2), EINVAL);
    CHECK_ERR(reply(fd, n.id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
    CHECK_ERR(reply(fd, n.id, 0, -1, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
    CHECK_ERR(reply(fd, n.id + 1, 0, 0, 0), ENOENT);
    CHECK_EQ(reply(fd, n.id, 1, 0, 0), 0);
    CHECK_EQ(answered(), 1);
    pthread_join(g_target.thread, NULL);
}

/* What could not be handed to the supervisor is offered again. */
static void received_again(void) {
    int fd = target_start(1, 0);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct seccomp_notif *readonly = NULL;
    REQUIRE(posix_memalign((void **)&readonly, page, page) == 0);
    memset(readonly, 0, page);
    REQUIRE(syscall(SYS_mprotect, readonly, page, 1 /* PROT_READ */) == 0);
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, readonly), EFAULT);
    CHECK_EQ(events(fd), POLLIN);
    struct seccomp_notif n = receive(fd);
    CHECK_EQ(n.pid, g_target.tid);
    CHECK_EQ(reply(fd, n.id, 6, 0, 0), 0);
    CHECK_EQ(answered(), 6);
    pthread_join(g_target.thread, NULL);
}

static void readiness(void) {
    int fd = target_start(1, 0);
    await(fd, POLLIN);
    CHECK_EQ(events(fd), POLLIN);
    struct seccomp_notif n = receive(fd);
    CHECK_EQ(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), 0);
    CHECK_EQ(events(fd), POLLOUT);
    CHECK_EQ(reply(fd, n.id, 7, 0, 0), 0);
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), ENOENT);
    CHECK_EQ(answered(), 7);
    CHECK_EQ(events(fd) & (POLLIN | POLLOUT), 0);
    pthread_join(g_target.thread, NULL);
    await(fd, POLLIN); /* POLLHUP needs no asking */
    CHECK_EQ(events(fd), POLLHUP);
}

static void wake_flag(void) {
    int fd = target_start(1, 0);
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1ul) != 0) {
        SKIP("this kernel has no SECCOMP_IOCTL_NOTIF_SET_FLAGS");
    }
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 2ul), EINVAL);
    struct seccomp_notif n = receive(fd);
    CHECK_EQ(reply(fd, n.id, 8, 0, 0), 0);
    CHECK_EQ(answered(), 8);
    pthread_join(g_target.thread, NULL);
}

/* ---- installing ---- */

static void flags_and_duplicates(void) {
    unsigned int action = SECCOMP_RET_USER_NOTIF;
    CHECK_EQ(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action), 0);
    CHECK_ERR(listen_for(SYS_getppid, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV), EINVAL);
    CHECK_ERR(listen_for(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC),
              EINVAL);
    CHECK_EQ(listen_for(SYS_getppid, 0), 0); /* nobody listens */
    CHECK_ERR(syscall(SYS_getppid), ENOSYS);
    int fd =
        (int)listen_for(SYS_getuid, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC |
                                        SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
    CHECK(fd >= 0);
    CHECK_ERR(listen_for(SYS_geteuid, SECCOMP_FILTER_FLAG_NEW_LISTENER), EBUSY);
    CHECK_EQ(listen_for(SYS_geteuid, 0), 0);
    CHECK_EQ(close(fd), 0);
    CHECK_ERR(syscall(SYS_getuid), ENOSYS);
    int next = (int)listen_for(SYS_getgid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    CHECK_EQ(next, fd); /* the lowest free one */
}

static void *close_it(void *arg) {
    struct seccomp_notif n = receive(*(int *)arg);
    CHECK(n.id != 0 || n.pid != 0);
    close(*(int *)arg);
    return NULL;
}

static void closed_while_waiting(void) {
    int fd = target_start(2, 0);
    pthread_t closer;
    REQUIRE(pthread_create(&closer, NULL, close_it, &fd) == 0);
    CHECK_EQ(answered(), -1);
    CHECK_EQ(g_target.last_errno, ENOSYS);
    pthread_join(closer, NULL);
    CHECK_EQ(answered(), -1);
    CHECK_EQ(g_target.last_errno, ENOSYS);
    pthread_join(g_target.thread, NULL);
}

/* ---- children ---- */

static void child_of_a_child(void) {
    long r = syscall(SYS_getppid);
    pid_t pid = fork();
    if (pid == 0) {
        _exit((int)syscall(SYS_getppid));
    }
    int status = 0;
    _exit(waitpid(pid, &status, 0) == pid && r == 33 ? WEXITSTATUS(status) : 1);
}

static void children_are_handed_over(void) {
    int fd = (int)listen_for(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    REQUIRE(fd >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        child_of_a_child();
    }
    struct seccomp_notif n = receive(fd);
    CHECK_EQ(n.pid, pid);
    CHECK_EQ(reply(fd, n.id, 33, 0, 0), 0);
    n = receive(fd);
    CHECK(n.pid != (unsigned int)pid);
    CHECK_EQ(reply(fd, n.id, 34, 0, 0), 0);
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(WEXITSTATUS(status), 34);
}

static void killed_while_waiting(void) {
    int fd = (int)listen_for(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    REQUIRE(fd >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)syscall(SYS_getppid);
        _exit(1);
    }
    struct seccomp_notif n = receive(fd);
    CHECK_EQ(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), 0);
    REQUIRE(kill(pid, SIGKILL) == 0);
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status));
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), ENOENT);
    CHECK_ERR(reply(fd, n.id, 0, 0, 0), ENOENT);
    CHECK_EQ(events(fd), 0);
}

/* ---- signals ---- */

static volatile int g_caught;

static void count_signal(int sig) {
    (void)sig;
    g_caught++;
}

static void handle_usr1(int flags) {
    struct sigaction act = {.sa_handler = count_signal, .sa_flags = flags};
    g_caught = 0;
    REQUIRE(sigaction(SIGUSR1, &act, NULL) == 0);
}

static void signal_ends_the_wait(void) {
    handle_usr1(0);
    int fd = target_start(1, 0);
    struct seccomp_notif n = receive(fd);
    REQUIRE(pthread_kill(g_target.thread, SIGUSR1) == 0);
    CHECK_EQ(answered(), -1);
    CHECK_EQ(g_target.last_errno, EINTR);
    CHECK_EQ(g_caught, 1);
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), ENOENT);
    pthread_join(g_target.thread, NULL);
}

static void signal_restarts_the_call(void) {
    handle_usr1(SA_RESTART);
    int fd = target_start(1, 0);
    struct seccomp_notif n = receive(fd), again;
    REQUIRE(pthread_kill(g_target.thread, SIGUSR1) == 0);
    again = receive(fd);
    CHECK(again.id != n.id);
    CHECK_EQ(g_caught, 1);
    CHECK_ERR(reply(fd, n.id, 1, 0, 0), ENOENT);
    CHECK_EQ(reply(fd, again.id, 2, 0, 0), 0);
    CHECK_EQ(answered(), 2);
    pthread_join(g_target.thread, NULL);
}

/* A call that was announced and gave up before anybody asked for it: the request finds nothing. */
static void given_up_before_received(void) {
    handle_usr1(0);
    int fd = target_start(1, 0);
    struct seccomp_notif n;
    await(fd, POLLIN);
    REQUIRE(pthread_kill(g_target.thread, SIGUSR1) == 0);
    CHECK_EQ(answered(), -1);
    memset(&n, 0, sizeof(n));
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n), ENOENT);
    pthread_join(g_target.thread, NULL);
}

static void killable_once_received(void) {
    handle_usr1(0);
    int fd = target_start(1, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    struct seccomp_notif n = receive(fd);
    REQUIRE(pthread_kill(g_target.thread, SIGUSR1) == 0);
    CHECK_EQ(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), 0);
    CHECK_EQ(reply(fd, n.id, 9, 0, 0), 0);
    CHECK_EQ(answered(), 9);
    CHECK_EQ(g_caught, 1);
    pthread_join(g_target.thread, NULL);
}

/* ---- descriptors ---- */

static int add(int fd, uint64_t id, int src, int newfd, unsigned int flags, unsigned int fd_flags) {
    struct seccomp_notif_addfd a = {.id = id,
                                    .flags = flags,
                                    .srcfd = (unsigned int)src,
                                    .newfd = (unsigned int)newfd,
                                    .newfd_flags = fd_flags};
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a);
}

/* In the child: what it got must be the supervisor's eventfd. */
static void use_descriptors(void) {
    uint64_t value = 0;
    int fd = (int)syscall(SYS_getppid);
    bool ok = read(fd, &value, sizeof(value)) == sizeof(value) && value == 41;
    ok = ok && fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(50, F_GETFD) == 0;
    ok = ok && (int)syscall(SYS_getppid) == 51 && fcntl(51, F_GETFD) == 0;
    _exit(ok ? 0 : 1);
}

static void descriptors(void) {
    int fd = (int)listen_for(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    int event = eventfd(41, 0), status = 0;
    REQUIRE(fd >= 0 && event >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        use_descriptors();
    }
    struct seccomp_notif n = receive(fd);
    CHECK_ERR(add(fd, n.id, event, 0, 8, 0), EINVAL);
    CHECK_ERR(add(fd, n.id, event, 0, 0, O_APPEND), EINVAL);
    CHECK_ERR(add(fd, n.id, event, 7, 0, 0), EINVAL); /* without SETFD */
    CHECK_ERR(add(fd, n.id, 999, 0, 0, 0), EBADF);
    CHECK_ERR(add(fd, n.id + 1, event, 0, 0, 0), ENOENT);
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, BAD), EFAULT);
    CHECK_ERR(ioctl(fd, _IOC(_IOC_WRITE, '!', 3, 16), &n), EINVAL);
    CHECK_EQ(add(fd, n.id, event, 50, SECCOMP_ADDFD_FLAG_SETFD, 0), 50);
    CHECK_ERR(add(fd, n.id, event, 1 << 30, SECCOMP_ADDFD_FLAG_SETFD, 0), EBADF);
    int there = add(fd, n.id, event, 0, 0, O_CLOEXEC);
    CHECK(there >= 0);
    CHECK_EQ(reply(fd, n.id, there, 0, 0), 0);
    n = receive(fd);
    int sent = add(fd, n.id, event, 51, SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND, 0);
    if (sent < 0 && errno == EINVAL) { /* before Linux 5.14 */
        CHECK_EQ(add(fd, n.id, event, 51, SECCOMP_ADDFD_FLAG_SETFD, 0), 51);
        CHECK_EQ(reply(fd, n.id, 51, 0, 0), 0);
    } else {
        CHECK_EQ(sent, 51);
        CHECK_ERR(reply(fd, n.id, 0, 0, 0), ENOENT);
    }
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
}

/* A struct of a later kernel: what is behind the known part must be zero. */
static void longer_struct(void) {
    struct {
        struct seccomp_notif_addfd a;
        char more[40];
    } big;
    int fd = target_start(1, 0);
    struct seccomp_notif n = receive(fd);
    memset(&big, 0, sizeof(big));
    big.a.id = n.id;
    big.a.srcfd = 1;
    big.more[39] = 1;
    CHECK_ERR(ioctl(fd, _IOC(_IOC_WRITE, '!', 3, sizeof(big)), &big), E2BIG);
    big.more[39] = 0;
    CHECK(ioctl(fd, _IOC(_IOC_WRITE, '!', 3, sizeof(big)), &big) >= 0);
    CHECK_EQ(reply(fd, n.id, 1, 0, 0), 0);
    CHECK_EQ(answered(), 1);
    pthread_join(g_target.thread, NULL);
}

static void many_at_once(void) {
    enum { CHILDREN = 8, CALLS = 50 };
    int fd = (int)listen_for(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    REQUIRE(fd >= 0);
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            for (int k = 0; k < CALLS; k++) {
                if (syscall(SYS_getppid) != (long)getpid() * 2) {
                    _exit(1);
                }
            }
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN * CALLS; i++) {
        struct seccomp_notif n = receive(fd);
        CHECK_EQ(reply(fd, n.id, (long)n.pid * 2, 0, 0), 0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = -1;
        REQUIRE(wait(&status) > 0);
        CHECK_EQ(status, 0);
    }
}

int main(void) {
    RUN(values_and_errors);
    RUN(wrong_requests);
    RUN(received_again);
    RUN(readiness);
    RUN(wake_flag);
    RUN(flags_and_duplicates);
    RUN(closed_while_waiting);
    RUN(children_are_handed_over);
    RUN(killed_while_waiting);
    RUN(signal_ends_the_wait);
    RUN(signal_restarts_the_call);
    RUN(given_up_before_received);
    RUN(killable_once_received);
    RUN(descriptors);
    RUN(longer_struct);
    RUN(many_at_once);
    TEST_MAIN_END;
}
