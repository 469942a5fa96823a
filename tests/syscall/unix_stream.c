/* SPDX-License-Identifier: Apache-2.0 */
/* unix(7): stream and seqpacket sockets. */
#include "harness.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static struct sockaddr_un g_addr;
static socklen_t g_addr_len;

static void set_path(const char *path) {
    memset(&g_addr, 0, sizeof(g_addr));
    g_addr.sun_family = AF_UNIX;
    strcpy(g_addr.sun_path, path);
    g_addr_len = sizeof(g_addr);
}

static void set_abstract(const char *name) {
    memset(&g_addr, 0, sizeof(g_addr));
    g_addr.sun_family = AF_UNIX;
    snprintf(g_addr.sun_path + 1, 90, "moat-%d-%s", getpid(), name);
    g_addr_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(g_addr.sun_path + 1));
}

static int listener(int type, int backlog) {
    int fd = socket(AF_UNIX, type, 0);
    REQUIRE(fd >= 0 && bind(fd, (void *)&g_addr, g_addr_len) == 0 && listen(fd, backlog) == 0);
    return fd;
}

static int dial(int type) {
    int fd = socket(AF_UNIX, type, 0);
    REQUIRE(fd >= 0);
    REQUIRE(connect(fd, (void *)&g_addr, g_addr_len) == 0);
    return fd;
}

static void pair_moves_both_ways(void) {
    int sv[2];
    char buf[8];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(write(sv[0], "ping", 4), 4);
    CHECK_EQ(read(sv[1], buf, 8), 4);
    CHECK_EQ(send(sv[1], "pong!", 5, 0), 5);
    CHECK_EQ(recv(sv[0], buf, 8, 0), 5);
    CHECK(memcmp(buf, "pong!", 5) == 0);
}

static void pair_flags(void) {
    int sv[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
    CHECK_EQ(fcntl(sv[0], F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(sv[1], F_GETFL) & O_NONBLOCK);
    CHECK_EQ(fcntl(sv[1], F_GETFL) & O_ACCMODE, O_RDWR);
    char c;
    CHECK_ERR(read(sv[0], &c, 1), EAGAIN);
    struct stat st;
    CHECK_EQ(fstat(sv[0], &st), 0);
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_ERR(lseek(sv[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERR(socketpair(AF_UNIX, SOCK_STREAM, 99, sv), EPROTONOSUPPORT);
    CHECK_ERR(socketpair(AF_UNIX, 7, 0, sv), ESOCKTNOSUPPORT);
    CHECK_ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD), EFAULT);
}

static void socket_errors(void) {
    CHECK_ERR(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERR(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERR(socket(AF_UNIX, 15, 0), EINVAL);
    CHECK_ERR(socket(AF_UNIX, SOCK_STREAM | 0x100000, 0), EINVAL);
    int file = open(".", O_RDONLY);
    CHECK_ERR(send(file, "x", 1, 0), ENOTSOCK);
    CHECK_ERR(listen(file, 1), ENOTSOCK);
    CHECK_ERR(send(700, "x", 1, 0), EBADF);
}

static void bytes_are_a_stream(void) {
    int sv[2];
    char buf[16];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(write(sv[0], "abc", 3), 3);
    CHECK_EQ(write(sv[0], "def", 3), 3);
    CHECK_EQ(read(sv[1], buf, 4), 4);
    CHECK(memcmp(buf, "abcd", 4) == 0);
    CHECK_EQ(read(sv[1], buf, 16), 2);
    CHECK_EQ(write(sv[0], "", 0), 0);
}

static void connect_and_accept(void) {
    set_path("sock");
    int l = listener(SOCK_STREAM, 5);
    struct stat st;
    CHECK_EQ(stat("sock", &st), 0);
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_ERR(open("sock", O_RDWR), ENXIO);
    CHECK_EQ(poll_one(l, POLLIN, 0), 0);
    int c = dial(SOCK_STREAM);
    CHECK_EQ(poll_one(l, POLLIN | POLLOUT, 0), POLLIN);
    CHECK_EQ(write(c, "early", 5), 5);
    struct sockaddr_un peer;
    socklen_t len = sizeof(peer);
    int s = accept4(l, (void *)&peer, &len, SOCK_CLOEXEC);
    REQUIRE(s >= 0);
    CHECK_EQ(len, 2);
    CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    char buf[8];
    CHECK_EQ(read(s, buf, 8), 5);
    CHECK_EQ(write(s, "back", 4), 4);
    CHECK_EQ(read(c, buf, 8), 4);
    len = sizeof(peer);
    CHECK_EQ(getpeername(c, (void *)&peer, &len), 0);
    CHECK_EQ(len, 2 + 5);
    CHECK(strcmp(peer.sun_path, "sock") == 0);
    len = sizeof(peer);
    CHECK_EQ(getsockname(s, (void *)&peer, &len), 0);
    CHECK(strcmp(peer.sun_path, "sock") == 0);
    len = 4;
    CHECK_EQ(getsockname(l, (void *)&peer, &len), 0);
    CHECK_EQ(len, 7);
}

static void connect_errors(void) {
    set_path("none");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(connect(fd, (void *)&g_addr, g_addr_len), ENOENT);
    close(open("plain", O_CREAT | O_WRONLY, 0600));
    set_path("plain");
    CHECK_ERR(connect(fd, (void *)&g_addr, g_addr_len), ECONNREFUSED);
    set_path("sock");
    int l = listener(SOCK_STREAM, 1);
    int wrong = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERR(connect(wrong, (void *)&g_addr, g_addr_len), EPROTOTYPE);
    close(l);
    CHECK_ERR(connect(fd, (void *)&g_addr, g_addr_len), ECONNREFUSED);
    CHECK_ERR(connect(fd, (void *)&g_addr, 1), EINVAL);
    g_addr.sun_family = AF_INET;
    CHECK_ERR(connect(fd, (void *)&g_addr, g_addr_len), EINVAL);
    set_abstract("nobody");
    CHECK_ERR(connect(fd, (void *)&g_addr, g_addr_len), ECONNREFUSED);
    int bound = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(bound, (void *)&g_addr, g_addr_len), 0);
    CHECK_ERR(connect(fd, (void *)&g_addr, g_addr_len), ECONNREFUSED);
    CHECK_EQ(listen(bound, 1), 0);
    CHECK_EQ(connect(fd, (void *)&g_addr, g_addr_len), 0);
    CHECK_ERR(connect(fd, (void *)&g_addr, g_addr_len), EISCONN);
}

static void bind_errors(void) {
    set_path("sock");
    int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(a, (void *)&g_addr, g_addr_len), 0);
    CHECK_ERR(bind(b, (void *)&g_addr, g_addr_len), EADDRINUSE);
    set_path("other");
    CHECK_ERR(bind(a, (void *)&g_addr, g_addr_len), EINVAL);
    set_path("no/such/dir");
    CHECK_ERR(bind(b, (void *)&g_addr, g_addr_len), ENOENT);
    set_abstract("taken");
    CHECK_EQ(bind(b, (void *)&g_addr, g_addr_len), 0);
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(bind(c, (void *)&g_addr, g_addr_len), EADDRINUSE);
    close(b);
    CHECK_EQ(bind(c, (void *)&g_addr, g_addr_len), 0);
    CHECK_ERR(bind(c, (void *)&g_addr, 300), EINVAL);
    int unbound = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(listen(unbound, 1), EINVAL);
    CHECK_ERR(accept(c, NULL, NULL), EINVAL);
    int d = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERR(listen(d, 1), EOPNOTSUPP);
}

static void path_stays_and_unlinks(void) {
    set_path("sock");
    int l = listener(SOCK_STREAM, 1);
    CHECK_EQ(rename("sock", "moved"), 0);
    set_path("moved");
    int c = dial(SOCK_STREAM);
    close(c);
    CHECK_EQ(unlink("moved"), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(connect(fd, (void *)&g_addr, g_addr_len), ENOENT);
    CHECK_EQ(poll_one(l, POLLIN, 0), POLLIN);
}

static void autobind(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sa_family_t family = AF_UNIX;
    CHECK_EQ(bind(fd, (void *)&family, sizeof(family)), 0);
    struct sockaddr_un name;
    socklen_t len = sizeof(name);
    CHECK_EQ(getsockname(fd, (void *)&name, &len), 0);
    CHECK_EQ(len, 2 + 6);
    CHECK_EQ(name.sun_path[0], 0);
    for (int i = 1; i < 6; i++) {
        CHECK(strchr("0123456789abcdef", name.sun_path[i]) != NULL);
    }
}

static void unbound_name(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un name;
    socklen_t len = sizeof(name);
    CHECK_EQ(getsockname(fd, (void *)&name, &len), 0);
    CHECK_EQ(len, 2);
    CHECK_ERR(getpeername(fd, (void *)&name, &len), ENOTCONN);
    CHECK_ERR(send(fd, "x", 1, 0), ENOTCONN);
    CHECK_ERR(recv(fd, &name, 1, 0), EINVAL);
    CHECK_EQ(poll_one(fd, POLLIN | POLLOUT, 0), POLLOUT | POLLHUP);
}

static void backlog_limits(void) {
    set_abstract("backlog");
    int l = listener(SOCK_STREAM, 1);
    int a = dial(SOCK_STREAM), b = dial(SOCK_STREAM);
    int c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_ERR(connect(c, (void *)&g_addr, g_addr_len), EAGAIN);
    pid_t pid = fork();
    if (pid == 0) {
        int d = socket(AF_UNIX, SOCK_STREAM, 0);
        _exit(connect(d, (void *)&g_addr, g_addr_len) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK(accept(l, NULL, NULL) >= 0);
    CHECK(child_ok(pid));
    close(a);
    close(b);
}

static void accept_without_descriptors(void) {
    set_abstract("full");
    int l = listener(SOCK_STREAM, 5), c = dial(SOCK_STREAM);
    struct rlimit rl = {(rlim_t)c + 1, (rlim_t)c + 2};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &rl) == 0);
    CHECK_ERR(accept(l, NULL, NULL), EMFILE);
    CHECK_EQ(poll_one(l, POLLIN, 0), POLLIN);
    rl.rlim_cur++;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &rl) == 0);
    int s = accept(l, NULL, NULL);
    CHECK(s >= 0);
    CHECK_EQ(write(c, "still here", 10), 10);
    char buf[16];
    CHECK_EQ(read(s, buf, sizeof(buf)), 10);
}

static void blocking_accept_wakes(void) {
    set_abstract("accept");
    int l = listener(SOCK_STREAM, 5);
    pid_t pid = fork();
    if (pid == 0) {
        int s = accept(l, NULL, NULL);
        _exit(s >= 0 && write(s, "hi", 2) == 2 ? 0 : 1);
    }
    wait_asleep(pid);
    int c = dial(SOCK_STREAM);
    char buf[4];
    CHECK_EQ(read(c, buf, 4), 2);
    CHECK_EQ(read(c, buf, 4), 0);
    CHECK(child_ok(pid));
    fcntl(l, F_SETFL, O_NONBLOCK);
    CHECK_ERR(accept(l, NULL, NULL), EAGAIN);
}

static void end_of_stream(void) {
    int sv[2];
    char buf[8];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(write(sv[0], "last", 4), 4);
    close(sv[0]);
    CHECK_EQ(poll_one(sv[1], POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP | POLLHUP);
    CHECK_EQ(read(sv[1], buf, 8), 4);
    CHECK_EQ(read(sv[1], buf, 8), 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERR(write(sv[1], "x", 1), EPIPE);
}

static void reset_when_unread(void) {
    int sv[2];
    char c;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(write(sv[0], "x", 1), 1);
    close(sv[1]);
    CHECK_ERR(read(sv[0], &c, 1), ECONNRESET);
    CHECK_EQ(read(sv[0], &c, 1), 0);
}

static void send_sigpipe(void) {
    int sv[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    close(sv[1]);
    signal(SIGPIPE, SIG_DFL);
    CHECK_ERR(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    (void)!write(sv[0], "x", 1);
}

static void sigpipe(void) {
    CHECK_EQ(in_child(send_sigpipe), 256 + SIGPIPE);
}

static void shutdown_directions(void) {
    int sv[2];
    char c;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_ERR(shutdown(sv[0], 7), EINVAL);
    CHECK_EQ(shutdown(sv[0], SHUT_WR), 0);
    CHECK_EQ(read(sv[1], &c, 1), 0);
    CHECK_ERR(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(write(sv[1], "y", 1), 1);
    CHECK_EQ(read(sv[0], &c, 1), 1);
    CHECK_EQ(poll_one(sv[1], POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP);
    CHECK_EQ(shutdown(sv[0], SHUT_RD), 0);
    CHECK_ERR(send(sv[1], "y", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(poll_one(sv[1], POLLIN, 0), POLLIN | POLLHUP);
}

static void shutdown_wakes_reader(void) {
    int sv[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        _exit(read(sv[1], &c, 1) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(shutdown(sv[0], SHUT_WR), 0);
    CHECK(child_ok(pid));
}

static void peeking(void) {
    int sv[2];
    char buf[8] = {0};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_EQ(write(sv[0], "ab", 2), 2);
    CHECK_EQ(write(sv[0], "cd", 2), 2);
    CHECK_EQ(recv(sv[1], buf, 3, MSG_PEEK), 3);
    CHECK(memcmp(buf, "abc", 3) == 0);
    CHECK_EQ(recv(sv[1], buf, 8, MSG_PEEK), 4);
    CHECK_EQ(recv(sv[1], buf, 8, 0), 4);
    CHECK(memcmp(buf, "abcd", 4) == 0);
    CHECK_ERR(recv(sv[1], buf, 8, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
}

static void wait_all(void) {
    int sv[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        char buf[6];
        close(sv[0]);
        _exit(recv(sv[1], buf, 6, MSG_WAITALL) == 6 && memcmp(buf, "abcdef", 6) == 0 ? 0 : 1);
    }
    CHECK_EQ(write(sv[0], "abc", 3), 3);
    wait_asleep(pid);
    CHECK_EQ(write(sv[0], "def", 3), 3);
    CHECK(child_ok(pid));
    char buf[8];
    CHECK_EQ(write(sv[0], "xy", 2), 2);
    close(sv[0]);
    CHECK_EQ(recv(sv[1], buf, 8, MSG_WAITALL), 2);
}

static void buffers_fill(void) {
    int sv[2];
    static char block[8192];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv) == 0);
    long total = 0;
    ssize_t n;
    while ((n = write(sv[0], block, sizeof(block))) > 0) {
        total += n;
    }
    CHECK(n == -1 && errno == EAGAIN);
    CHECK(total >= 65536 && total <= 1048576);
    CHECK_EQ(poll_one(sv[0], POLLOUT, 0), 0);
    int unread = 0;
    CHECK_EQ(ioctl(sv[1], FIONREAD, &unread), 0);
    CHECK_EQ(unread, total);
    long got = 0;
    while ((n = read(sv[1], block, sizeof(block))) > 0) {
        got += n;
    }
    CHECK_EQ(got, total);
    CHECK_EQ(poll_one(sv[0], POLLOUT, 0), POLLOUT);
}

static void blocked_writer_wakes(void) {
    int sv[2];
    static char big[1 << 20];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < sizeof(big); i++) {
            big[i] = (char)(i * 7 + i / 4096);
        }
        close(sv[1]);
        _exit(write(sv[0], big, sizeof(big)) == (ssize_t)sizeof(big) ? 0 : 1);
    }
    close(sv[0]);
    wait_asleep(pid);
    size_t have = 0;
    ssize_t n;
    while ((n = read(sv[1], big + have, 9999 < sizeof(big) - have ? 9999 : sizeof(big) - have)) >
           0) {
        have += (size_t)n;
    }
    CHECK_EQ(have, sizeof(big));
    for (size_t i = 0; i < sizeof(big); i++) {
        REQUIRE(big[i] == (char)(i * 7 + i / 4096));
    }
    CHECK(child_ok(pid));
}

static void send_timeout_and_receive_timeout(void) {
    int sv[2];
    static char block[65536];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    struct timeval tv = {0, 30000}, back;
    socklen_t len = sizeof(back);
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
    CHECK_EQ(getsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &back, &len), 0);
    CHECK(len == sizeof(back) && back.tv_sec == 0 && back.tv_usec >= 30000 && back.tv_usec < 45000);
    char c;
    int64_t start = now_ms();
    CHECK_ERR(read(sv[0], &c, 1), EAGAIN);
    CHECK(now_ms() - start >= 29);
    while (write(sv[0], block, sizeof(block)) == sizeof(block)) {
    }
    CHECK_ERR(write(sv[0], &c, 1), EAGAIN);
    tv.tv_usec = 1000000;
    CHECK_ERR(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), EDOM);
}

static void messages_with_vectors(void) {
    int sv[2];
    char a[2], b[8];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    struct iovec out[3] = {{"he", 2}, {"", 0}, {"llo", 3}};
    struct msghdr m = {.msg_iov = out, .msg_iovlen = 3};
    CHECK_EQ(sendmsg(sv[0], &m, 0), 5);
    struct iovec in[2] = {{a, 2}, {b, 8}};
    m = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
    CHECK_EQ(recvmsg(sv[1], &m, 0), 5);
    CHECK(memcmp(a, "he", 2) == 0 && memcmp(b, "llo", 3) == 0);
    CHECK_EQ(m.msg_flags, 0);
    CHECK_ERR(sendmsg(sv[0], BAD, 0), EFAULT);
    m.msg_iovlen = 5000;
    CHECK_ERR(sendmsg(sv[0], &m, 0), EMSGSIZE);
    CHECK_ERR(sendto(sv[0], "x", 1, 0, (void *)&g_addr, 8), EISCONN);
}

static void faults(void) {
    int sv[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    CHECK_ERR(write(sv[0], BAD, 10), EFAULT);
    CHECK_EQ(write(sv[0], "abc", 3), 3);
    CHECK_ERR(read(sv[1], BAD, 3), EFAULT);
    char buf[4];
    CHECK_EQ(read(sv[1], buf, 4), 3);
}

static void seqpacket_keeps_boundaries(void) {
    int sv[2];
    char buf[8];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0);
    CHECK_EQ(send(sv[0], "one", 3, 0), 3);
    CHECK_EQ(send(sv[0], "twoo", 4, 0), 4);
    CHECK_EQ(recv(sv[1], buf, 8, 0), 3);
    struct iovec v = {buf, 2};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(sv[1], &m, 0), 2);
    CHECK(m.msg_flags & MSG_TRUNC);
    CHECK_EQ(send(sv[0], "12345", 5, 0), 5);
    CHECK_EQ(recv(sv[1], buf, 2, MSG_TRUNC), 5);
    close(sv[0]);
    CHECK_EQ(recv(sv[1], buf, 8, 0), 0);
}

static void seqpacket_connects(void) {
    set_abstract("seq");
    int l = listener(SOCK_SEQPACKET, 3);
    int fresh = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    char buf[8];
    CHECK_ERR(recv(fresh, buf, 8, 0), ENOTCONN);
    CHECK_ERR(send(fresh, "x", 1, 0), ENOTCONN);
    int c = dial(SOCK_SEQPACKET);
    int s = accept(l, NULL, NULL);
    CHECK_EQ(write(c, "abc", 3), 3);
    CHECK_EQ(write(c, "de", 2), 2);
    CHECK_EQ(read(s, buf, 8), 3);
    CHECK_EQ(read(s, buf, 8), 2);
    close(s);
    CHECK_ERR(send(c, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(recv(c, buf, 8, 0), 0);
}

static void closing_listener_resets(void) {
    set_abstract("gone");
    int l = listener(SOCK_STREAM, 3);
    int c = dial(SOCK_STREAM);
    close(l);
    char buf;
    CHECK_ERR(read(c, &buf, 1), ECONNRESET);
    CHECK_EQ(read(c, &buf, 1), 0);
}

static void ping_pong(void) {
    int sv[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        for (int i = 0; i < 2000; i++) {
            if (read(sv[1], &c, 1) != 1 || write(sv[1], &c, 1) != 1) {
                _exit(1);
            }
        }
        _exit(0);
    }
    for (int i = 0; i < 2000; i++) {
        char c = (char)i, d;
        REQUIRE(write(sv[0], &c, 1) == 1 && read(sv[0], &d, 1) == 1 && c == d);
    }
    CHECK(child_ok(pid));
}

int main(void) {
    RUN(pair_moves_both_ways);
    RUN(pair_flags);
    RUN(socket_errors);
    RUN(bytes_are_a_stream);
    RUN(connect_and_accept);
    RUN(connect_errors);
    RUN(bind_errors);
    RUN(path_stays_and_unlinks);
    RUN(autobind);
    RUN(unbound_name);
    RUN(backlog_limits);
    RUN(accept_without_descriptors);
    RUN(blocking_accept_wakes);
    RUN(end_of_stream);
    RUN(reset_when_unread);
    RUN(sigpipe);
    RUN(shutdown_directions);
    RUN(shutdown_wakes_reader);
    RUN(peeking);
    RUN(wait_all);
    RUN(buffers_fill);
    RUN(blocked_writer_wakes);
    RUN(send_timeout_and_receive_timeout);
    RUN(messages_with_vectors);
    RUN(faults);
    RUN(seqpacket_keeps_boundaries);
    RUN(seqpacket_connects);
    RUN(closing_listener_resets);
    RUN(ping_pong);
    TEST_MAIN_END;
}
