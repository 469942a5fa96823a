/* SPDX-License-Identifier: Apache-2.0 */
/* unix(7): SCM_RIGHTS, SCM_CREDENTIALS, SO_PEERCRED. */
#include "harness.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MAX_FDS 253

static ssize_t send_fds(int sock, const int *fds, int count) {
    char control[CMSG_SPACE(sizeof(int) * (MAX_FDS + 1))] = {0};
    struct iovec v = {"F", 1};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
    return sendmsg(sock, &m, 0);
}

/* Receives into room for `room` descriptors; how many came, flags in *flags. */
static int recv_fds(int sock, int *fds, int room, int in_flags, int *flags) {
    char control[CMSG_SPACE(sizeof(int) * (MAX_FDS + 1))];
    char data[64];
    struct iovec v = {data, sizeof(data)};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = room > 0 ? CMSG_LEN(sizeof(int) * (size_t)room) : 0};
    if (recvmsg(sock, &m, in_flags) <= 0) {
        return -1;
    }
    *flags = m.msg_flags;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
        return 0;
    }
    int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), sizeof(int) * (size_t)count);
    return count;
}

static int open_fds(void) {
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    REQUIRE(d != NULL);
    while (readdir(d) != NULL) {
        count++;
    }
    closedir(d);
    return count;
}

static void pass_one(int type) {
    int sv[2], p[2], got[4], flags;
    REQUIRE(socketpair(AF_UNIX, type, 0, sv) == 0 && pipe(p) == 0);
    CHECK_EQ(send_fds(sv[0], &p[1], 1), 1);
    close(p[1]);
    CHECK_EQ(recv_fds(sv[1], got, 4, 0, &flags), 1);
    CHECK_EQ(flags, 0);
    CHECK_EQ(fcntl(got[0], F_GETFD), 0);
    CHECK_EQ(write(got[0], "via", 3), 3);
    close(got[0]);
    char buf[8];
    CHECK_EQ(read(p[0], buf, 8), 3);
    CHECK_EQ(read(p[0], buf, 8), 0);
}

static void over_stream(void) {
    pass_one(SOCK_STREAM);
}

static void over_dgram(void) {
    pass_one(SOCK_DGRAM);
}

static void over_seqpacket(void) {
    pass_one(SOCK_SEQPACKET);
}

static void between_processes(void) {
    int sv[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("shared", O_RDWR | O_CREAT, 0600);
        _exit(write(fd, "content", 7) == 7 && send_fds(sv[1], &fd, 1) == 1 ? 0 : 1);
    }
    int got[2], flags;
    CHECK_EQ(recv_fds(sv[0], got, 2, 0, &flags), 1);
    CHECK(child_ok(pid));
    char buf[8];
    CHECK_EQ(lseek(got[0], 0, SEEK_CUR), 7);
    CHECK_EQ(pread(got[0], buf, 8, 0), 7);
}

static void cloexec(void) {
    int sv[2], got[2], flags, zero = 0;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(send_fds(sv[0], &zero, 1), 1);
    CHECK_EQ(recv_fds(sv[1], got, 2, MSG_CMSG_CLOEXEC, &flags), 1);
    CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
}

static void several_and_too_many(void) {
    int sv[2], fds[MAX_FDS + 1], got[MAX_FDS], flags;
    for (int i = 0; i <= MAX_FDS; i++) {
        fds[i] = 0;
    }
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_ERR(send_fds(sv[0], fds, MAX_FDS + 1), EINVAL);
    CHECK_EQ(send_fds(sv[0], fds, MAX_FDS), 1);
    CHECK_EQ(recv_fds(sv[1], got, MAX_FDS, 0, &flags), MAX_FDS);
    fds[3] = 999;
    CHECK_ERR(send_fds(sv[0], fds, 5), EBADF);
}

static void control_truncated(void) {
    int sv[2], fds[3] = {0, 0, 0}, got[4], flags;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    int before = open_fds();
    CHECK_EQ(send_fds(sv[0], fds, 3), 1);
    CHECK_EQ(recv_fds(sv[1], got, 1, 0, &flags), 1);
    CHECK(flags & MSG_CTRUNC);
    close(got[0]);
    CHECK_EQ(send_fds(sv[0], fds, 3), 1);
    CHECK_EQ(recv_fds(sv[1], got, 0, 0, &flags), 0);
    CHECK(flags & MSG_CTRUNC);
    CHECK_EQ(send_fds(sv[0], fds, 2), 1);
    char c;
    CHECK_EQ(read(sv[1], &c, 1), 1);
    CHECK_EQ(open_fds(), before);
}

static void no_free_descriptor(void) {
    int sv[2], fds[3] = {0, 0, 0}, got[4], flags;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(send_fds(sv[0], fds, 3), 1);
    struct rlimit rl = {(rlim_t)sv[1] + 2, (rlim_t)sv[1] + 2};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &rl) == 0);
    CHECK_EQ(recv_fds(sv[1], got, 3, 0, &flags), 1);
    CHECK(flags & MSG_CTRUNC);
}

static void rights_end_a_read(void) {
    int sv[2], zero = 0, got[2], flags;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(write(sv[0], "aa", 2), 2);
    CHECK_EQ(send_fds(sv[0], &zero, 1), 1);
    CHECK_EQ(write(sv[0], "bb", 2), 2);
    CHECK_EQ(recv_fds(sv[1], got, 2, 0, &flags), 1);
    char buf[8];
    CHECK_EQ(read(sv[1], buf, 8), 2);
    CHECK(memcmp(buf, "bb", 2) == 0);
}

static void peek_gives_copies(void) {
    int sv[2], p[2], got[2], flags;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0 && pipe(p) == 0);
    CHECK_EQ(send_fds(sv[0], &p[1], 1), 1);
    close(p[1]);
    CHECK_EQ(recv_fds(sv[1], got, 2, MSG_PEEK, &flags), 1);
    CHECK_EQ(write(got[0], "1", 1), 1);
    close(got[0]);
    CHECK_EQ(recv_fds(sv[1], got, 2, 0, &flags), 1);
    CHECK_EQ(write(got[0], "2", 1), 1);
    close(got[0]);
    char buf[4];
    CHECK_EQ(read(p[0], buf, 4), 2);
    CHECK_EQ(read(p[0], buf, 4), 0);
}

static void unread_are_closed(void) {
    int sv[2], p[2];
    char c;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0 && pipe(p) == 0);
    CHECK_EQ(send_fds(sv[0], &p[1], 1), 1);
    close(p[1]);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    CHECK_ERR(read(p[0], &c, 1), EAGAIN);
    close(sv[1]);
    CHECK_EQ(read(p[0], &c, 1), 0);
}

/* Polls until the pipe's writers are gone; a collector may need a moment. */
static bool writers_gone(int fd) {
    return (poll_one(fd, POLLIN, 5000) & POLLHUP) != 0;
}

static void circle_of_two_is_collected(void) {
    int sv[2], p[2], other[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0 && pipe(p) == 0);
    int both[2] = {sv[1], p[1]};
    CHECK_EQ(send_fds(sv[0], both, 2), 1);
    CHECK_EQ(send_fds(sv[1], &sv[0], 1), 1);
    close(p[1]);
    close(sv[0]);
    close(sv[1]);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, other) == 0);
    close(other[0]);
    close(other[1]);
    CHECK(writers_gone(p[0]));
}

static void socket_in_its_own_queue(void) {
    int sv[2], p[2], other[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0 && pipe(p) == 0);
    int both[2] = {sv[1], p[1]};
    CHECK_EQ(send_fds(sv[0], both, 2), 1);
    close(p[1]);
    close(sv[1]);
    close(sv[0]);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, other) == 0);
    close(other[0]);
    CHECK(writers_gone(p[0]));
}

static void reachable_is_not_collected(void) {
    int a[2], b[2], other[2], got[2], flags;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, a) == 0 &&
            socketpair(AF_UNIX, SOCK_STREAM, 0, b) == 0);
    CHECK_EQ(send_fds(b[0], &a[1], 1), 1); /* a[1] lies in b[1] */
    CHECK_EQ(send_fds(a[0], &b[1], 1), 1); /* b[1] lies in a[1]: a circle */
    int keep = dup(b[1]);                  /* but one with a way in */
    close(a[1]);
    close(b[1]);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, other) == 0);
    close(other[0]);
    close(other[1]);
    CHECK_EQ(recv_fds(keep, got, 1, 0, &flags), 1);
    int inner[2];
    CHECK_EQ(recv_fds(got[0], inner, 1, 0, &flags), 1);
    CHECK_EQ(write(a[0], "q", 1), 1);
    char c;
    CHECK_EQ(read(got[0], &c, 1), 1);
}

static void listener_circle_is_collected(void) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "l"};
    int l = socket(AF_UNIX, SOCK_STREAM, 0), p[2], other[2];
    REQUIRE(pipe(p) == 0 && bind(l, (void *)&addr, sizeof(addr)) == 0 && listen(l, 5) == 0);
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(connect(c, (void *)&addr, sizeof(addr)) == 0);
    int both[2] = {l, p[1]};
    CHECK_EQ(send_fds(c, both, 2), 1);
    close(l);
    close(c);
    close(p[1]);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, other) == 0);
    close(other[0]);
    CHECK(writers_gone(p[0]));
}

static void long_chain_closes(void) {
    int p[2], head[2];
    REQUIRE(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, head) == 0);
    CHECK_EQ(send_fds(head[0], &p[1], 1), 1);
    close(p[1]);
    close(head[0]);
    int last = head[1];
    for (int i = 0; i < 2000; i++) {
        int next[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, next) == 0);
        if (send_fds(next[0], &last, 1) != 1) {
            SKIP("the kernel limits the depth of chains");
        }
        close(next[0]);
        close(last);
        last = next[1];
    }
    close(last);
    CHECK(writers_gone(p[0]));
}

static void peer_credentials(void) {
    int sv[2];
    struct ucred c;
    socklen_t len = sizeof(c);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &c, &len), 0);
    CHECK_EQ(len, sizeof(c));
    CHECK_EQ(c.pid, getpid());
    CHECK_EQ(c.uid, geteuid());
    CHECK_EQ(c.gid, getegid());
    int lone = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(getsockopt(lone, SOL_SOCKET, SO_PEERCRED, &c, &len), 0);
    CHECK_EQ(c.pid, 0);
    CHECK_EQ(c.uid, -1u);
}

static void connection_credentials(void) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "l"};
    int l = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(bind(l, (void *)&addr, sizeof(addr)) == 0 && listen(l, 5) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        int c = socket(AF_UNIX, SOCK_STREAM, 0);
        struct ucred cred;
        socklen_t len = sizeof(cred);
        if (connect(c, (void *)&addr, sizeof(addr)) != 0 ||
            getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || cred.pid != getppid()) {
            _exit(1);
        }
        _exit(0);
    }
    int s = accept(l, NULL, NULL);
    struct ucred cred;
    socklen_t len = sizeof(cred);
    CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
    CHECK_EQ(cred.pid, pid);
    CHECK(child_ok(pid));
}

static void pass_credentials(void) {
    int sv[2], on = 1;
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
    CHECK_EQ(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    CHECK_EQ(send(sv[0], "x", 1, 0), 1);
    char control[128], c;
    struct iovec v = {&c, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    CHECK_EQ(recvmsg(sv[1], &m, 0), 1);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    REQUIRE(h != NULL && h->cmsg_type == SCM_CREDENTIALS &&
            h->cmsg_len == CMSG_LEN(sizeof(struct ucred)));
    struct ucred cred;
    memcpy(&cred, CMSG_DATA(h), sizeof(cred));
    CHECK_EQ(cred.pid, getpid());
    CHECK_EQ(cred.uid, getuid());
    CHECK_EQ(cred.gid, getgid());
    CHECK_EQ(m.msg_controllen, CMSG_SPACE(sizeof(struct ucred)));
}

static ssize_t send_cred(int fd, pid_t pid, uid_t uid, gid_t gid) {
    char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
    struct iovec v = {"C", 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    struct ucred c = {pid, uid, gid};
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_CREDENTIALS;
    h->cmsg_len = CMSG_LEN(sizeof(c));
    memcpy(CMSG_DATA(h), &c, sizeof(c));
    return sendmsg(fd, &m, 0);
}

static void forged_credentials(void) {
    int sv[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
    CHECK_EQ(send_cred(sv[0], getpid(), getuid(), getgid()), 1);
    if (geteuid() == 0) {
        REQUIRE(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
    }
    CHECK_ERR(send_cred(sv[0], getpid(), 0, getgid()), EPERM);
    CHECK_ERR(send_cred(sv[0], 1, getuid(), getgid()), EPERM);
}

static void bad_control(void) {
    int sv[2];
    char control[64] = {0};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    struct iovec v = {"x", 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = 5;
    CHECK_ERR(sendmsg(sv[0], &m, 0), EINVAL);
    h->cmsg_len = 5000;
    CHECK_ERR(sendmsg(sv[0], &m, 0), EINVAL);
    h->cmsg_len = CMSG_LEN(4);
    h->cmsg_type = 99;
    CHECK_ERR(sendmsg(sv[0], &m, 0), EINVAL);
    m.msg_control = BAD;
    CHECK_ERR(sendmsg(sv[0], &m, 0), EFAULT);
}

int main(void) {
    RUN(over_stream);
    RUN(over_dgram);
    RUN(over_seqpacket);
    RUN(between_processes);
    RUN(cloexec);
    RUN(several_and_too_many);
    RUN(control_truncated);
    RUN(no_free_descriptor);
    RUN(rights_end_a_read);
    RUN(peek_gives_copies);
    RUN(unread_are_closed);
    RUN(circle_of_two_is_collected);
    RUN(socket_in_its_own_queue);
    RUN(reachable_is_not_collected);
    RUN(listener_circle_is_collected);
    RUN(long_chain_closes);
    RUN(peer_credentials);
    RUN(connection_credentials);
    RUN(pass_credentials);
    RUN(forged_credentials);
    RUN(bad_control);
    TEST_MAIN_END;
}
