/* SPDX-License-Identifier: Apache-2.0 */
/* See netdev.h.  Sources: netlink(7), rtnetlink(7), linux/if_link.h, linux/if_addr.h. */
#include "host/netdev.h"

#include "host/cleanup.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ADDRESSES_MAX 64
#define REPLY_MAX     32768

struct request {
    struct nlmsghdr h;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg addr;
    };
    char attributes[256];
};

/* An address as the kernel tells it: the parts that make it again. */
struct address {
    uint8_t family, prefix_len, scope;
    uint8_t local[16], peer[16], broadcast[4];
    uint8_t local_len, peer_len, broadcast_len;
};

struct addresses {
    struct address items[ADDRESSES_MAX];
    size_t count;
};

static void begin(struct request *r, uint16_t type, uint16_t flags, size_t body) {
    memset(r, 0, sizeof(*r));
    r->h.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
    r->h.nlmsg_type = type;
    r->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    r->h.nlmsg_seq = 1;
}

static void attach(struct request *r, uint16_t type, const void *value, size_t len) {
    struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->h.nlmsg_len));
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(len);
    memcpy(RTA_DATA(a), value, len);
    r->h.nlmsg_len = NLMSG_ALIGN(r->h.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
}

static int open_netlink(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return fd >= 0 ? fd : -errno;
}

/* One request that is answered by an acknowledgement. */
static int ask(int fd, struct request *r) {
    _Alignas(8) char buf[4096];
    if (send(fd, r, r->h.nlmsg_len, 0) < 0) {
        return -errno;
    }
    ssize_t n = recv(fd, buf, sizeof(buf), 0);
    struct nlmsghdr *h = (struct nlmsghdr *)buf;
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || h->nlmsg_type != NLMSG_ERROR) {
        return n < 0 ? -errno : -EPROTO;
    }
    return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
}

/* ---- addresses ---- */

static void keep_bytes(struct rtattr *a, uint8_t *out, size_t max, uint8_t *out_len) {
    size_t len = RTA_PAYLOAD(a);
    if (len <= max) {
        memcpy(out, RTA_DATA(a), len);
        *out_len = (uint8_t)len;
    }
}

/* Permanent addresses of global scope: the kernel makes the others by itself. */
static void keep_address(struct nlmsghdr *h, unsigned index, struct addresses *out) {
    struct ifaddrmsg *m = NLMSG_DATA(h);
    uint32_t flags = m->ifa_flags;
    struct address one = {
        .family = m->ifa_family, .prefix_len = m->ifa_prefixlen, .scope = m->ifa_scope};
    int left = (int)IFA_PAYLOAD(h);
    for (struct rtattr *a = IFA_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == IFA_LOCAL) {
            keep_bytes(a, one.local, sizeof(one.local), &one.local_len);
        } else if (a->rta_type == IFA_ADDRESS) {
            keep_bytes(a, one.peer, sizeof(one.peer), &one.peer_len);
        } else if (a->rta_type == IFA_BROADCAST) {
            keep_bytes(a, one.broadcast, sizeof(one.broadcast), &one.broadcast_len);
        } else if (a->rta_type == IFA_FLAGS && RTA_PAYLOAD(a) == sizeof(flags)) {
            memcpy(&flags, RTA_DATA(a), sizeof(flags));
        }
    }
    bool wanted = m->ifa_index == index && m->ifa_scope < RT_SCOPE_LINK &&
                  (flags & IFA_F_PERMANENT) != 0 && (one.local_len | one.peer_len) != 0;
    if (wanted && out->count < ADDRESSES_MAX) {
        out->items[out->count++] = one;
    }
}

static int list_addresses(int fd, unsigned index, struct addresses *out) {
    struct request r;
    cleanup_free char *buf = malloc(REPLY_MAX);
    begin(&r, RTM_GETADDR, NLM_F_DUMP, sizeof(r.addr));
    if (buf == NULL) {
        return -ENOMEM;
    }
    if (send(fd, &r, r.h.nlmsg_len, 0) < 0) {
        return -errno;
    }
    for (;;) {
        ssize_t n = recv(fd, buf, REPLY_MAX, 0);
        int left = (int)n;
        if (n < 0) {
            return -errno;
        }
        for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, left);
             h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE) {
                return 0;
            }
            if (h->nlmsg_type == NLMSG_ERROR) {
                return -EIO;
            }
            if (h->nlmsg_type == RTM_NEWADDR) {
                keep_address(h, index, out);
            }
        }
    }
}

static int add_address(int fd, unsigned index, const struct address *a) {
    struct request r;
    begin(&r, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(r.addr));
    r.addr = (struct ifaddrmsg){.ifa_family = a->family,
                                .ifa_prefixlen = a->prefix_len,
                                .ifa_scope = a->scope,
                                .ifa_flags = IFA_F_PERMANENT,
                                .ifa_index = index};
    if (a->local_len > 0) {
        attach(&r, IFA_LOCAL, a->local, a->local_len);
    }
    if (a->peer_len > 0) {
        attach(&r, IFA_ADDRESS, a->peer, a->peer_len);
    }
    if (a->broadcast_len > 0) {
        attach(&r, IFA_BROADCAST, a->broadcast, a->broadcast_len);
    }
    return ask(fd, &r);
}

/* ---- the move ---- */

static int send_away(int fd, unsigned index, const char *new_name, int netns) {
    struct request r;
    uint32_t target = (uint32_t)netns;
    begin(&r, RTM_NEWLINK, NLM_F_ACK, sizeof(r.link));
    r.link = (struct ifinfomsg){.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    attach(&r, IFLA_NET_NS_FD, &target, sizeof(target));
    attach(&r, IFLA_IFNAME, new_name, strlen(new_name) + 1);
    return ask(fd, &r);
}

static int bring_up(int fd, unsigned index) {
    struct request r;
    begin(&r, RTM_NEWLINK, NLM_F_ACK, sizeof(r.link));
    r.link = (struct ifinfomsg){.ifi_family = AF_UNSPEC,
                                .ifi_index = (int)index,
                                .ifi_flags = IFF_UP,
                                .ifi_change = IFF_UP};
    return ask(fd, &r);
}

/* In a child: what happens inside; its exit status is the error number. */
static int finish_inside(const char *name, int netns, const struct addresses *list) {
    if (setns(netns, CLONE_NEWNET) != 0) {
        return errno;
    }
    int fd = open_netlink();
    unsigned index = if_nametoindex(name); /* it may have got another number */
    if (fd < 0 || index == 0) {
        return fd < 0 ? -fd : errno;
    }
    int e = 0;
    for (size_t i = 0; i < list->count && e == 0; i++) {
        e = add_address(fd, index, &list->items[i]);
    }
    return -(e != 0 ? e : bring_up(fd, index));
}

static int run_inside(const char *name, int netns, const struct addresses *list) {
    int status;
    pid_t pid = fork();
    if (pid < 0) {
        return -errno;
    }
    if (pid == 0) {
        _exit(finish_inside(name, netns, list));
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

int netdev_move(const char *name, const char *new_name, int netns, struct err *err) {
    const char *inside = new_name != NULL ? new_name : name;
    struct addresses list = {.count = 0};
    unsigned index = if_nametoindex(name);
    if (index == 0) {
        return err_sys(err, -errno, "no network interface %s on the host", name);
    }
    cleanup_fd int fd = open_netlink();
    int e = fd < 0 ? fd : list_addresses(fd, index, &list);
    if (e != 0) {
        return err_sys(err, e, "cannot read the addresses of the network interface %s", name);
    }
    e = send_away(fd, index, inside, netns);
    if (e != 0) {
        return err_sys(err, e, "cannot move the network interface %s to the container as %s", name,
                       inside);
    }
    e = run_inside(inside, netns, &list);
    return e == 0
               ? 0
               : err_sys(err, e,
                         "the network interface %s is in the container, but its addresses cannot "
                         "be set there",
                         inside);
}
