/* SPDX-License-Identifier: Apache-2.0 */
/* tcp(7), udp(7), ip(7), ipv6(7) over the loopback; socket options; netlink(7). */
#include "harness.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr_in v4(uint32_t ip, int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip), .sin_port = htons((uint16_t)port)};
}

static int port_of(int fd) {
    struct sockaddr_in6 a;
    socklen_t len = sizeof(a);
    REQUIRE(getsockname(fd, (void *)&a, &len) == 0);
    return ntohs(a.sin6_port);
}

static int tcp_listener(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = v4(INADDR_LOOPBACK, 0);
    REQUIRE(fd >= 0 && bind(fd, (void *)&a, sizeof(a)) == 0 && listen(fd, 16) == 0);
    return fd;
}

static int tcp_dial(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port);
    REQUIRE(fd >= 0 && connect(fd, (void *)&a, sizeof(a)) == 0);
    return fd;
}

static void tcp_pair(int *client, int *server) {
    int l = tcp_listener();
    *client = tcp_dial(port_of(l));
    *server = accept(l, NULL, NULL);
    REQUIRE(*server >= 0);
    close(l);
}

static void tcp_connects(void) {
    int l = tcp_listener();
    int c = tcp_dial(port_of(l));
    struct sockaddr_in a, b;
    socklen_t len = sizeof(a);
    int s = accept4(l, (void *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    REQUIRE(s >= 0);
    CHECK_EQ(len, sizeof(a));
    CHECK_EQ(ntohs(a.sin_port), port_of(c));
    CHECK_EQ(ntohl(a.sin_addr.s_addr), INADDR_LOOPBACK);
    len = sizeof(b);
    CHECK_EQ(getpeername(c, (void *)&b, &len), 0);
    CHECK_EQ(ntohs(b.sin_port), port_of(l));
    CHECK_EQ(write(c, "hello", 5), 5);
    CHECK_EQ(poll_one(s, POLLIN, 5000), POLLIN);
    char buf[16];
    CHECK_EQ(read(s, buf, 16), 5);
    CHECK_EQ(write(s, "hi", 2), 2);
    CHECK_EQ(recv(c, buf, 2, MSG_WAITALL), 2);
    CHECK_ERR(recv(s, buf, 2, 0), EAGAIN);
}

static void tcp_refused_and_errors(void) {
    int l = tcp_listener(), port = port_of(l);
    close(l);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port);
    CHECK_ERR(connect(fd, (void *)&a, sizeof(a)), ECONNREFUSED);
    CHECK_ERR(connect(fd, (void *)&a, 4), EINVAL);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    CHECK_ERR(connect(fd, (void *)&six, sizeof(six)), EAFNOSUPPORT);
    char c;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERR(recv(fd, &c, 1, 0), ENOTCONN);
    CHECK_ERR(send(fd, &c, 1, MSG_NOSIGNAL), EPIPE);
    CHECK_ERR(shutdown(fd, SHUT_WR), ENOTCONN);
    CHECK_ERR(getpeername(fd, (void *)&a, &(socklen_t){sizeof(a)}), ENOTCONN);
    CHECK_ERR(accept(fd, NULL, NULL), EINVAL);
    CHECK_ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    CHECK_ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
}

static void tcp_end_of_stream(void) {
    int c, s;
    char buf[8];
    tcp_pair(&c, &s);
    CHECK_EQ(write(c, "bye", 3), 3);
    CHECK_EQ(shutdown(c, SHUT_WR), 0);
    CHECK_EQ(recv(s, buf, 8, MSG_WAITALL), 3);
    CHECK_EQ(read(s, buf, 8), 0);
    CHECK_EQ(poll_one(s, POLLIN | POLLRDHUP, 1000), POLLIN | POLLRDHUP);
    CHECK_EQ(write(s, "back", 4), 4);
    CHECK_EQ(recv(c, buf, 4, MSG_WAITALL), 4);
    close(s);
    CHECK_EQ(read(c, buf, 8), 0);
}

static void tcp_write_to_closed(void) {
    int c, s;
    tcp_pair(&c, &s);
    close(s);
    CHECK_EQ(poll_one(c, POLLIN, 1000), POLLIN);
    CHECK_EQ(send(c, "x", 1, MSG_NOSIGNAL), 1);
    CHECK((poll_one(c, 0, 1000) & (POLLHUP | POLLERR)) != 0);
    CHECK_ERR(send(c, "x", 1, MSG_NOSIGNAL), EPIPE);
}

static void tcp_reset(void) {
    int c, s;
    char buf;
    tcp_pair(&c, &s);
    CHECK_EQ(write(c, "unread", 6), 6);
    CHECK_EQ(poll_one(s, POLLIN, 1000), POLLIN);
    close(s);
    CHECK((poll_one(c, POLLIN, 1000) & POLLHUP) != 0);
    CHECK_ERR(read(c, &buf, 1), ECONNRESET);
    tcp_pair(&c, &s);
    struct linger hard = {1, 0};
    CHECK_EQ(setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    close(s);
    CHECK((poll_one(c, POLLIN, 1000) & POLLHUP) != 0);
    CHECK_ERR(read(c, &buf, 1), ECONNRESET);
}

static void tcp_large_transfer(void) {
    int c, s;
    static char block[65536];
    tcp_pair(&c, &s);
    pid_t pid = fork();
    if (pid == 0) {
        close(s);
        for (int i = 0; i < 100; i++) {
            memset(block, i, sizeof(block));
            size_t at = 0;
            while (at < sizeof(block)) {
                ssize_t n = write(c, block + at, sizeof(block) - at);
                if (n <= 0) {
                    _exit(1);
                }
                at += (size_t)n;
            }
        }
        _exit(0);
    }
    close(c);
    long total = 0;
    ssize_t n;
    while ((n = read(s, block, sizeof(block))) > 0) {
        for (ssize_t i = 0; i < n; i += 1000) {
            REQUIRE(block[i] == (char)((total + i) / 65536));
        }
        total += n;
    }
    CHECK_EQ(total, 6553600);
    CHECK(child_ok(pid));
}

static void tcp_bind_conflicts(void) {
    int l = tcp_listener();
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port_of(l)), any = v4(INADDR_ANY, port_of(l));
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    CHECK_ERR(bind(fd, (void *)&a, sizeof(a)), EADDRINUSE);
    CHECK_ERR(bind(fd, (void *)&any, sizeof(any)), EADDRINUSE);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    CHECK_ERR(bind(fd, (void *)&a, sizeof(a)), EADDRINUSE);
    a.sin_port = 0;
    CHECK_EQ(bind(fd, (void *)&a, sizeof(a)), 0);
    CHECK_ERR(bind(fd, (void *)&a, sizeof(a)), EINVAL);
    struct sockaddr_in foreign = v4(0xc0000201, 0); /* 192.0.2.1 */
    int other = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERR(bind(other, (void *)&foreign, sizeof(foreign)), EADDRNOTAVAIL);
    close(l);
}

static void tcp_privileged_port(void) {
    if (geteuid() == 0) {
        REQUIRE(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
    }
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    int start = 1024;
    if (f != NULL && fscanf(f, "%d", &start) == 1 && start < 1024) {
        SKIP("low ports are free for everybody here");
    }
    struct sockaddr_in a = v4(INADDR_LOOPBACK, 81);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERR(bind(fd, (void *)&a, sizeof(a)), EACCES);
}

static void tcp_poll_and_epoll(void) {
    int l = tcp_listener(), ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN};
    REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, l, &ev) == 0);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
    int c = tcp_dial(port_of(l));
    CHECK_EQ(epoll_wait(ep, &ev, 1, 1000), 1);
    int s = accept(l, NULL, NULL);
    CHECK_EQ(poll_one(c, POLLIN | POLLOUT, 0), POLLOUT);
    close(s);
    CHECK_EQ(poll_one(c, POLLIN | POLLRDHUP, 1000), POLLIN | POLLRDHUP);
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(poll_one(fresh, POLLIN | POLLOUT, 0), POLLOUT | POLLHUP);
}

static void tcp_nonblocking_connect(void) {
    int l = tcp_listener(), err = -1;
    socklen_t len = sizeof(err);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = v4(INADDR_LOOPBACK, port_of(l));
    int r = connect(c, (void *)&a, sizeof(a));
    CHECK(r == 0 || errno == EINPROGRESS);
    CHECK_EQ(poll_one(c, POLLOUT, 5000), POLLOUT);
    CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    CHECK_EQ(err, 0);
    if (r != 0) {
        CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
    }
    CHECK_ERR(connect(c, (void *)&a, sizeof(a)), EISCONN);
    close(l);
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    r = connect(c, (void *)&a, sizeof(a));
    CHECK(r == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED));
    if (errno == EINPROGRESS) {
        CHECK((poll_one(c, POLLOUT, 5000) & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
        CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_ERROR, &err, &len), 0);
        CHECK_EQ(err, ECONNREFUSED);
    }
}

static void tcp_blocking_accept_wakes(void) {
    int l = tcp_listener();
    pid_t pid = fork();
    if (pid == 0) {
        int s = accept(l, NULL, NULL);
        _exit(s >= 0 && write(s, "k", 1) == 1 ? 0 : 1);
    }
    wait_asleep(pid);
    int c = tcp_dial(port_of(l));
    char k = 0;
    CHECK_EQ(read(c, &k, 1), 1);
    CHECK(child_ok(pid));
}

static void tcp_options(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), value = 1;
    socklen_t len = sizeof(value);
    CHECK_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)), 0);
    value = 0;
    CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    CHECK_EQ(value, 1);
    value = 120;
    CHECK_EQ(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof(value)), 0);
    CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &len), 0);
    CHECK_EQ(value, 120);
    value = 0;
    CHECK_ERR(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof(value)), EINVAL);
    CHECK_ERR(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, 1), EINVAL);
    CHECK_ERR(setsockopt(fd, IPPROTO_TCP, 9999, &value, sizeof(value)), ENOPROTOOPT);
    CHECK_EQ(getsockopt(fd, IPPROTO_IP, IP_TTL, &value, &len), 0);
    CHECK_EQ(value, 64);
}

static void v6_connects(void) {
    int l = socket(AF_INET6, SOCK_STREAM, 0);
    if (l < 0) {
        SKIP("no IPv6 here");
    }
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (bind(l, (void *)&a, sizeof(a)) != 0) {
        SKIP("no ::1 here");
    }
    CHECK_EQ(listen(l, 4), 0);
    a.sin6_port = htons((uint16_t)port_of(l));
    int c = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
    struct sockaddr_in6 peer;
    socklen_t len = sizeof(peer);
    int s = accept(l, (void *)&peer, &len);
    CHECK(s >= 0);
    CHECK_EQ(len, sizeof(peer));
    CHECK(IN6_IS_ADDR_LOOPBACK(&peer.sin6_addr));
    CHECK_EQ(write(c, "six", 3), 3);
    char buf[4];
    CHECK_EQ(recv(s, buf, 3, MSG_WAITALL), 3);
}

static void v6_hears_v4(void) {
    int l = socket(AF_INET6, SOCK_STREAM, 0), zero = 0;
    if (l < 0) {
        SKIP("no IPv6 here");
    }
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    CHECK_EQ(setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)), 0);
    REQUIRE(bind(l, (void *)&a, sizeof(a)) == 0 && listen(l, 4) == 0);
    int c = tcp_dial(port_of(l));
    struct sockaddr_in6 peer;
    socklen_t len = sizeof(peer);
    int s = accept(l, (void *)&peer, &len);
    CHECK(s >= 0);
    CHECK(IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
    CHECK_EQ(ntohs(peer.sin6_port), port_of(c));
}

static int udp_bound(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = v4(INADDR_LOOPBACK, 0);
    REQUIRE(fd >= 0 && bind(fd, (void *)&a, sizeof(a)) == 0);
    return fd;
}

static void udp_datagrams(void) {
    int a = udp_bound(), b = udp_bound();
    struct sockaddr_in to = v4(INADDR_LOOPBACK, port_of(b)), from;
    socklen_t len = sizeof(from);
    char buf[8];
    CHECK_EQ(sendto(a, "one", 3, 0, (void *)&to, sizeof(to)), 3);
    CHECK_EQ(sendto(a, "", 0, 0, (void *)&to, sizeof(to)), 0);
    CHECK_EQ(sendto(a, "three", 5, 0, (void *)&to, sizeof(to)), 5);
    CHECK_EQ(poll_one(b, POLLIN, 1000), POLLIN);
    CHECK_EQ(recvfrom(b, buf, 8, 0, (void *)&from, &len), 3);
    CHECK_EQ(ntohs(from.sin_port), port_of(a));
    CHECK_EQ(recv(b, buf, 8, 0), 0);
    CHECK_EQ(recv(b, buf, 2, MSG_TRUNC), 5);
    CHECK_ERR(recv(b, buf, 2, MSG_DONTWAIT), EAGAIN);
    static char big[70000];
    CHECK_ERR(sendto(a, big, sizeof(big), 0, (void *)&to, sizeof(to)), EMSGSIZE);
    CHECK_EQ(sendto(a, big, 60000, 0, (void *)&to, sizeof(to)), 60000);
    CHECK_ERR(send(a, "x", 1, 0), EDESTADDRREQ);
}

static void udp_connected(void) {
    int a = udp_bound(), b = udp_bound(), c = udp_bound();
    struct sockaddr_in to_b = v4(INADDR_LOOPBACK, port_of(b)),
                       to_a = v4(INADDR_LOOPBACK, port_of(a));
    char buf[8];
    CHECK_EQ(connect(a, (void *)&to_b, sizeof(to_b)), 0);
    CHECK_EQ(send(a, "x", 1, 0), 1);
    CHECK_EQ(recv(b, buf, 8, 0), 1);
    CHECK_EQ(sendto(c, "no", 2, 0, (void *)&to_a, sizeof(to_a)), 2);
    CHECK_EQ(sendto(b, "yes", 3, 0, (void *)&to_a, sizeof(to_a)), 3);
    CHECK_EQ(recv(a, buf, 8, 0), 3);
    close(b);
    CHECK_EQ(send(a, "x", 1, 0), 1);
    CHECK_EQ(poll_one(a, POLLIN, 1000) & POLLERR, POLLERR);
    CHECK_ERR(recv(a, buf, 8, 0), ECONNREFUSED);
    CHECK_ERR(recv(a, buf, 8, MSG_DONTWAIT), EAGAIN);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    CHECK_EQ(connect(a, &none, sizeof(none)), 0);
    CHECK_ERR(send(a, "x", 1, 0), EDESTADDRREQ);
}

static void udp_blocked_receiver_wakes(void) {
    int a = udp_bound();
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        _exit(recv(a, &c, 1, 0) == 1 ? 0 : 1);
    }
    wait_asleep(pid);
    struct sockaddr_in to = v4(INADDR_LOOPBACK, port_of(a));
    int b = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQ(sendto(b, "x", 1, 0, (void *)&to, sizeof(to)), 1);
    CHECK(port_of(b) != 0);
    CHECK(child_ok(pid));
}

static int int_option(int fd, int name) {
    int value = -1;
    socklen_t len = sizeof(value);
    REQUIRE(getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0);
    return value;
}

static void generic_options(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), on = 1;
    CHECK_EQ(int_option(fd, SO_TYPE), SOCK_STREAM);
    CHECK_EQ(int_option(fd, SO_DOMAIN), AF_UNIX);
    CHECK_EQ(int_option(fd, SO_PROTOCOL), 0);
    CHECK_EQ(int_option(fd, SO_ERROR), 0);
    CHECK_EQ(int_option(fd, SO_ACCEPTCONN), 0);
    CHECK_EQ(int_option(fd, SO_PASSCRED), 0);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    CHECK_EQ(int_option(fd, SO_PASSCRED), 1);
    CHECK_EQ(int_option(fd, SO_RCVLOWAT), 1);
    int l = tcp_listener();
    CHECK_EQ(int_option(l, SO_ACCEPTCONN), 1);
    CHECK_EQ(int_option(l, SO_PROTOCOL), IPPROTO_TCP);
    CHECK_EQ(int_option(l, SO_REUSEADDR), 0);
    CHECK_EQ(setsockopt(l, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), 0);
    CHECK_EQ(int_option(l, SO_KEEPALIVE), 1);
    CHECK_ERR(setsockopt(l, SOL_SOCKET, SO_KEEPALIVE, &on, 2), EINVAL);
    CHECK_ERR(setsockopt(l, SOL_SOCKET, SO_KEEPALIVE, BAD, sizeof(on)), EFAULT);
    CHECK_ERR(setsockopt(l, SOL_SOCKET, 9999, &on, sizeof(on)), ENOPROTOOPT);
    CHECK_ERR(getsockopt(l, SOL_SOCKET, 9999, &on, &(socklen_t){4}), ENOPROTOOPT);
    CHECK_ERR(setsockopt(0, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), ENOTSOCK);
}

static void buffer_sizes(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), size = 20000;
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    CHECK_EQ(int_option(fd, SO_SNDBUF), 40000);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    CHECK_EQ(int_option(fd, SO_RCVBUF), 40000);
    size = 1;
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    CHECK(int_option(fd, SO_SNDBUF) >= 2048);
}

static void linger_option(void) {
    int fd = tcp_listener();
    struct linger l = {1, 7};
    socklen_t len = sizeof(l);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
    l = (struct linger){0, 0};
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len), 0);
    CHECK(l.l_onoff == 1 && l.l_linger == 7);
}

static void interfaces(void) {
    struct ifaddrs *list, *i;
    bool link = false, inet = false;
    REQUIRE(getifaddrs(&list) == 0);
    for (i = list; i != NULL; i = i->ifa_next) {
        if (strcmp(i->ifa_name, "lo") != 0) {
            continue;
        }
        CHECK(i->ifa_flags & IFF_LOOPBACK);
        link = link || (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_PACKET);
        if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET) {
            const struct sockaddr_in *a = (const void *)i->ifa_addr;
            inet = inet || ntohl(a->sin_addr.s_addr) == INADDR_LOOPBACK;
        }
    }
    CHECK(link);
    CHECK(inet);
    freeifaddrs(list);
    CHECK_EQ(if_nametoindex("lo"), 1);
    char name[IF_NAMESIZE] = {0};
    CHECK(if_indextoname(1, name) != NULL && strcmp(name, "lo") == 0);
    CHECK_EQ(if_nametoindex("nonesuch0"), 0);
}

static void interface_ioctls(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {0};
    strcpy(r.ifr_name, "lo");
    CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &r), 0);
    CHECK((r.ifr_flags & (IFF_UP | IFF_LOOPBACK)) == (IFF_UP | IFF_LOOPBACK));
    CHECK_EQ(ioctl(fd, SIOCGIFADDR, &r), 0);
    CHECK_EQ(ntohl(((struct sockaddr_in *)(void *)&r.ifr_addr)->sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK_EQ(ioctl(fd, SIOCGIFMTU, &r), 0);
    CHECK_EQ(r.ifr_mtu, 65536);
    strcpy(r.ifr_name, "none7");
    CHECK_ERR(ioctl(fd, SIOCGIFFLAGS, &r), ENODEV);
    struct ifreq many[8];
    struct ifconf conf = {.ifc_len = sizeof(many), .ifc_req = many};
    CHECK_EQ(ioctl(fd, SIOCGIFCONF, &conf), 0);
    CHECK(conf.ifc_len >= (int)sizeof(many[0]) && strcmp(many[0].ifr_name, "lo") == 0);
}

static void netlink_basics(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    REQUIRE(fd >= 0);
    struct sockaddr_nl a = {.nl_family = AF_NETLINK};
    socklen_t len = sizeof(a);
    CHECK_EQ(bind(fd, (void *)&a, sizeof(a)), 0);
    CHECK_EQ(getsockname(fd, (void *)&a, &len), 0);
    CHECK(a.nl_pid != 0);
    struct {
        struct nlmsghdr h;
        struct rtgenmsg g;
    } req = {{sizeof(req), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 77, 0}, {AF_UNSPEC}};
    CHECK_EQ(send(fd, &req, sizeof(req), 0), (ssize_t)sizeof(req));
    bool done = false, lo = false;
    while (!done) {
        char buf[8192] __attribute__((aligned(8)));
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        REQUIRE(n > 0);
        for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
            CHECK_EQ(h->nlmsg_seq, 77);
            done = done || h->nlmsg_type == NLMSG_DONE;
            if (h->nlmsg_type == RTM_NEWLINK) {
                lo = lo || ((struct ifinfomsg *)NLMSG_DATA(h))->ifi_index == 1;
            }
        }
    }
    CHECK(lo);
}

/* ---- /proc/net ---- */

static unsigned long inode_of(int fd) {
    struct stat st;
    REQUIRE(fstat(fd, &st) == 0);
    return (unsigned long)st.st_ino;
}

struct proc_row {
    char local[64], remote[64];
    unsigned int state, queued, uid;
    size_t width;
};

/* The row of a socket in a table of /proc/net; false when it has none. */
static bool proc_row(const char *path, int fd, struct proc_row *out) {
    unsigned long want = inode_of(fd), inode = 0;
    char line[512];
    bool found = false;
    FILE *f = fopen(path, "r");
    REQUIRE(f != NULL && fgets(line, sizeof(line), f) != NULL);
    CHECK(strstr(line, "sl  local_address") != NULL);
    while (!found && fgets(line, sizeof(line), f) != NULL) {
        found = sscanf(line, "%*d: %63s %63s %x %*x:%x %*x:%*x %*x %u %*u %lu", out->local,
                       out->remote, &out->state, &out->queued, &out->uid, &inode) == 6 &&
                inode == want;
        out->width = strlen(line);
    }
    fclose(f);
    return found;
}

static void check_row(const char *path, int fd, const char *ip, int local, const char *remote_ip,
                      int remote, unsigned int state) {
    char want[64];
    struct proc_row row;
    REQUIRE(proc_row(path, fd, &row));
    snprintf(want, sizeof(want), "%s:%04X", ip, (unsigned int)local);
    CHECK(strcmp(row.local, want) == 0);
    snprintf(want, sizeof(want), "%s:%04X", remote_ip, (unsigned int)remote);
    CHECK(strcmp(row.remote, want) == 0);
    CHECK_EQ(row.state, state);
    CHECK_EQ(row.uid, getuid());
}

static void proc_tcp(void) {
    const char *path = "/proc/net/tcp";
    struct proc_row row;
    int idle = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(!proc_row(path, idle, &row));
    int l = tcp_listener(), port = port_of(l);
    check_row(path, l, "0100007F", port, "00000000", 0, 10);
    CHECK(proc_row(path, l, &row) && row.queued == 0 && row.width == 150);
    int c = tcp_dial(port);
    CHECK(proc_row(path, l, &row) && row.queued == 1); /* one to accept */
    int s = accept(l, NULL, NULL);
    REQUIRE(s >= 0 && write(c, "12345", 5) == 5);
    check_row(path, c, "0100007F", port_of(c), "0100007F", port, 1);
    check_row(path, s, "0100007F", port, "0100007F", port_of(c), 1);
    CHECK(poll_one(s, POLLIN, 5000) == POLLIN && proc_row(path, s, &row) && row.queued == 5);
    REQUIRE(shutdown(c, SHUT_WR) == 0 && poll_one(s, POLLRDHUP, 5000) == POLLRDHUP);
    CHECK(proc_row(path, s, &row) && row.state == 8);                     /* CLOSE_WAIT */
    CHECK(proc_row(path, c, &row) && (row.state == 4 || row.state == 5)); /* FIN_WAIT1, then 2 */
    CHECK(!proc_row("/proc/net/tcp6", l, &row) && !proc_row("/proc/net/udp", l, &row));
}

static void proc_tcp6(void) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    int l = socket(AF_INET6, SOCK_STREAM, 0);
    if (l < 0 || bind(l, (void *)&a, sizeof(a)) != 0) {
        SKIP("no IPv6 here");
    }
    REQUIRE(listen(l, 1) == 0);
    check_row("/proc/net/tcp6", l, "00000000000000000000000000000000", port_of(l),
              "00000000000000000000000000000000", 0, 10);
    int c = tcp_dial(port_of(l));
    int s = accept(l, NULL, NULL);
    check_row("/proc/net/tcp6", s, "0000000000000000FFFF00000100007F", port_of(l),
              "0000000000000000FFFF00000100007F", port_of(c), 1);
    check_row("/proc/net/tcp", c, "0100007F", port_of(c), "0100007F", port_of(l), 1);
}

static void proc_udp(void) {
    struct proc_row row;
    struct sockaddr_in a = v4(INADDR_LOOPBACK, 0);
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(!proc_row("/proc/net/udp", s, &row));
    REQUIRE(bind(s, (void *)&a, sizeof(a)) == 0);
    check_row("/proc/net/udp", s, "0100007F", port_of(s), "00000000", 0, 7);
    CHECK(proc_row("/proc/net/udp", s, &row) && row.width == 128);
    a = v4(INADDR_LOOPBACK, port_of(s));
    REQUIRE(connect(c, (void *)&a, sizeof(a)) == 0);
    check_row("/proc/net/udp", c, "0100007F", port_of(c), "0100007F", port_of(s), 1);
}

static void proc_sockstat(void) {
    unsigned int used = 0, tcp = 0, more = 0;
    char line[128];
    int l = tcp_listener();
    CHECK(l >= 0);
    FILE *f = fopen("/proc/net/sockstat", "r");
    REQUIRE(f != NULL && fscanf(f, "sockets: used %u\n", &used) == 1);
    REQUIRE(fscanf(f, "TCP: inuse %u orphan %*u tw %*u alloc %u mem %*u\n", &tcp, &more) == 2);
    CHECK(used >= 1 && tcp >= 1 && more >= tcp);
    CHECK(fgets(line, sizeof(line), f) != NULL && strncmp(line, "UDP: inuse ", 11) == 0);
    fclose(f);
}

int main(void) {
    RUN(tcp_connects);
    RUN(tcp_refused_and_errors);
    RUN(tcp_end_of_stream);
    RUN(tcp_write_to_closed);
    RUN(tcp_reset);
    RUN(tcp_large_transfer);
    RUN(tcp_bind_conflicts);
    RUN(tcp_privileged_port);
    RUN(tcp_poll_and_epoll);
    RUN(tcp_nonblocking_connect);
    RUN(tcp_blocking_accept_wakes);
    RUN(tcp_options);
    RUN(v6_connects);
    RUN(v6_hears_v4);
    RUN(udp_datagrams);
    RUN(udp_connected);
    RUN(udp_blocked_receiver_wakes);
    RUN(generic_options);
    RUN(buffer_sizes);
    RUN(linger_option);
    RUN(interfaces);
    RUN(interface_ioctls);
    RUN(netlink_basics);
    RUN(proc_tcp);
    RUN(proc_tcp6);
    RUN(proc_udp);
    RUN(proc_sockstat);
    TEST_MAIN_END;
}
