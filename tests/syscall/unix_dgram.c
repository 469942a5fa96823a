/* SPDX-License-Identifier: Apache-2.0 */
/* unix(7): datagrams; sendmmsg(2), recvmmsg(2). */
#include "harness.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

struct name {
    struct sockaddr_un addr;
    socklen_t len;
};

static struct name abstract(const char *text) {
    struct name n = {.addr.sun_family = AF_UNIX};
    snprintf(n.addr.sun_path + 1, 90, "moat-%d-%s", getpid(), text);
    n.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(n.addr.sun_path + 1));
    return n;
}

static int bound(struct name *n) {
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    REQUIRE(fd >= 0 && bind(fd, (void *)&n->addr, n->len) == 0);
    return fd;
}

static void boundaries(void) {
    int sv[2];
    char buf[16];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
    CHECK_EQ(send(sv[0], "one", 3, 0), 3);
    CHECK_EQ(send(sv[0], "", 0, 0), 0);
    CHECK_EQ(send(sv[0], "three", 5, 0), 5);
    CHECK_EQ(recv(sv[1], buf, 16, 0), 3);
    CHECK_EQ(recv(sv[1], buf, 16, 0), 0);
    CHECK_EQ(recv(sv[1], buf, 3, MSG_PEEK | MSG_TRUNC), 5);
    CHECK_EQ(recv(sv[1], buf, 3, 0), 3);
    CHECK_ERR(recv(sv[1], buf, 3, MSG_DONTWAIT), EAGAIN);
}

static void addresses(void) {
    struct name na = abstract("a"), nb = abstract("b");
    int a = bound(&na), b = bound(&nb);
    CHECK_EQ(sendto(a, "hello", 5, 0, (void *)&nb.addr, nb.len), 5);
    char buf[16];
    struct sockaddr_un from;
    socklen_t len = sizeof(from);
    CHECK_EQ(recvfrom(b, buf, 16, 0, (void *)&from, &len), 5);
    CHECK_EQ(len, na.len);
    CHECK(memcmp(&from, &na.addr, len) == 0);
    int anonymous = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(sendto(anonymous, "x", 1, 0, (void *)&nb.addr, nb.len), 1);
    len = sizeof(from);
    CHECK_EQ(recvfrom(b, buf, 16, 0, (void *)&from, &len), 1);
    CHECK_EQ(len, 0);
}

static void path_names(void) {
    struct name n = {.addr = {AF_UNIX, "dgram"}, .len = sizeof(struct sockaddr_un)};
    int a = bound(&n), b = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(connect(b, (void *)&n.addr, n.len), 0);
    CHECK_EQ(send(b, "by path", 7, 0), 7);
    char buf[16];
    CHECK_EQ(recv(a, buf, 16, 0), 7);
    CHECK_EQ(unlink("dgram"), 0);
    CHECK_EQ(send(b, "still", 5, 0), 5);
    CHECK_ERR(sendto(b, "x", 1, 0, (void *)&n.addr, n.len), ENOENT);
}

static void connected_only_hears_its_peer(void) {
    struct name na = abstract("a"), nb = abstract("b"), nc = abstract("c");
    int a = bound(&na), b = bound(&nb), c = bound(&nc);
    CHECK_EQ(connect(a, (void *)&nb.addr, nb.len), 0);
    CHECK_ERR(sendto(c, "x", 1, 0, (void *)&na.addr, na.len), EPERM);
    CHECK_ERR(connect(c, (void *)&na.addr, na.len), EPERM);
    CHECK_EQ(sendto(b, "y", 1, 0, (void *)&na.addr, na.len), 1);
    struct sockaddr_un peer;
    socklen_t len = sizeof(peer);
    CHECK_EQ(getpeername(a, (void *)&peer, &len), 0);
    CHECK(len == nb.len && memcmp(&peer, &nb.addr, len) == 0);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    CHECK_EQ(connect(a, &none, sizeof(none)), 0);
    CHECK_ERR(getpeername(a, (void *)&peer, &len), ENOTCONN);
    CHECK_EQ(sendto(c, "x", 1, 0, (void *)&na.addr, na.len), 1);
    CHECK_ERR(send(a, "x", 1, 0), ENOTCONN);
}

static void dead_peers(void) {
    struct name nb = abstract("b");
    int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = bound(&nb);
    CHECK_EQ(connect(a, (void *)&nb.addr, nb.len), 0);
    close(b);
    CHECK_ERR(send(a, "x", 1, 0), ECONNREFUSED);
    CHECK_ERR(send(a, "x", 1, 0), ENOTCONN);
    CHECK_ERR(sendto(a, "x", 1, 0, (void *)&nb.addr, nb.len), ECONNREFUSED);
}

static void queue_is_bounded(void) {
    struct name nb = abstract("b");
    int a = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), b = bound(&nb);
    CHECK_EQ(connect(a, (void *)&nb.addr, nb.len), 0);
    int sent = 0;
    while (send(a, "x", 1, 0) == 1) {
        REQUIRE(++sent < 100000);
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK(sent >= 10);
    CHECK_EQ(poll_one(a, POLLOUT, 0), 0);
    pid_t poller = fork();
    if (poller == 0) {
        _exit(poll_one(a, POLLOUT, -1) == POLLOUT ? 0 : 1);
    }
    pid_t sender = fork();
    if (sender == 0) {
        fcntl(a, F_SETFL, 0);
        _exit(send(a, "y", 1, 0) == 1 ? 0 : 1);
    }
    wait_asleep(poller);
    wait_asleep(sender);
    char c;
    for (int i = 0; i < sent; i++) {
        REQUIRE(recv(b, &c, 1, 0) == 1);
    }
    CHECK(child_ok(poller));
    CHECK(child_ok(sender));
    CHECK_EQ(recv(b, &c, 1, 0), 1);
    CHECK_EQ(c, 'y');
}

static void large_messages(void) {
    int sv[2];
    static char big[300000];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
    CHECK_ERR(send(sv[0], big, sizeof(big), 0), EMSGSIZE);
    CHECK_EQ(send(sv[0], big, 100000, 0), 100000);
    int n = 0;
    CHECK_EQ(ioctl(sv[1], FIONREAD, &n), 0);
    CHECK_EQ(n, 100000);
    CHECK_EQ(recv(sv[1], big, sizeof(big), 0), 100000);
}

static void shut_down(void) {
    int sv[2];
    char c;
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
    CHECK_EQ(shutdown(sv[0], SHUT_WR), 0);
    signal(SIGPIPE, SIG_DFL);
    CHECK_ERR(send(sv[0], "x", 1, 0), EPIPE);
    CHECK_EQ(shutdown(sv[1], SHUT_RD), 0);
    CHECK_EQ(recv(sv[1], &c, 1, 0), 0);
}

static void to_itself(void) {
    struct name n = abstract("self");
    int a = bound(&n);
    char c;
    CHECK_EQ(sendto(a, "x", 1, 0, (void *)&n.addr, n.len), 1);
    CHECK_EQ(recv(a, &c, 1, 0), 1);
}

static void many_at_once(void) {
    int sv[2];
    char in[4][8];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
    struct iovec ov[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}}, iv[4];
    struct mmsghdr out[3] = {0}, got[4] = {0};
    for (int i = 0; i < 3; i++) {
        out[i].msg_hdr.msg_iov = &ov[i];
        out[i].msg_hdr.msg_iovlen = 1;
    }
    for (int i = 0; i < 4; i++) {
        iv[i] = (struct iovec){in[i], 8};
        got[i].msg_hdr.msg_iov = &iv[i];
        got[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(sendmmsg(sv[0], out, 3, 0), 3);
    CHECK_EQ(out[2].msg_len, 3);
    CHECK_EQ(recvmmsg(sv[1], got, 4, MSG_WAITFORONE, NULL), 3);
    CHECK_EQ(got[0].msg_len, 1);
    CHECK_EQ(got[1].msg_len, 2);
    CHECK(memcmp(in[2], "ccc", 3) == 0);
    CHECK_ERR(recvmmsg(sv[1], got, 4, MSG_DONTWAIT, NULL), EAGAIN);
}

static void message_name_truncates(void) {
    struct name na = abstract("aaaa"), nb = abstract("b");
    int a = bound(&na), b = bound(&nb);
    CHECK_EQ(sendto(a, "x", 1, 0, (void *)&nb.addr, nb.len), 1);
    char c, small[8] = {0};
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_name = small, .msg_namelen = 5};
    CHECK_EQ(recvmsg(b, &m, 0), 1);
    CHECK_EQ(m.msg_namelen, na.len);
    CHECK(memcmp(small, &na.addr, 5) == 0 && small[5] == 0);
}

static void blocked_receiver_wakes(void) {
    struct name n = abstract("wake");
    int a = bound(&n);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        _exit(recv(a, &c, 1, 0) == 1 ? 0 : 1);
    }
    wait_asleep(pid);
    int b = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(sendto(b, "x", 1, 0, (void *)&n.addr, n.len), 1);
    CHECK(child_ok(pid));
}

int main(void) {
    RUN(boundaries);
    RUN(addresses);
    RUN(path_names);
    RUN(connected_only_hears_its_peer);
    RUN(dead_peers);
    RUN(queue_is_bounded);
    RUN(large_messages);
    RUN(shut_down);
    RUN(to_itself);
    RUN(many_at_once);
    RUN(message_name_truncates);
    RUN(blocked_receiver_wakes);
    TEST_MAIN_END;
}
