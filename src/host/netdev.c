/* SPDX-License-Identifier: Apache-2.0 */
/* See netdev.h.  Sources: netlink(7), rtnetlink(7), linux/if_link.h, linux/if_addr.h. */
#include "host/netdev.h"

#include "host/child.h"
#include "host/cleanup.h"
#include "host/netlink.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#define ADDRESSES_MAX 64

/* An address as the kernel tells it: the parts that make it again. */
struct address {
    uint8_t family, prefix_len, scope;
    uint8_t local[16], peer[16], broadcast[4];
    uint8_t local_len, peer_len, broadcast_len;
};

struct addresses {
    unsigned index; /* of their interface */
    struct address items[ADDRESSES_MAX];
    size_t count;
};

/* ---- addresses ---- */

/* Permanent addresses of global scope: the kernel makes the others by itself. */
static void keep_address(void *arg, const struct nlmsghdr *h) {
    struct addresses *out = arg;
    const struct ifaddrmsg *m = netlink_body(h);
    const struct rtattr *a[IFA_MAX + 1];
    if (!netlink_attributes(h, sizeof(*m), a, ARRAY_COUNT(a))) {
        return;
    }
    struct address one = {
        .family = m->ifa_family, .prefix_len = m->ifa_prefixlen, .scope = m->ifa_scope};
    one.local_len = (uint8_t)netlink_bytes(a[IFA_LOCAL], one.local, sizeof(one.local));
    one.peer_len = (uint8_t)netlink_bytes(a[IFA_ADDRESS], one.peer, sizeof(one.peer));
    one.broadcast_len =
        (uint8_t)netlink_bytes(a[IFA_BROADCAST], one.broadcast, sizeof(one.broadcast));
    bool wanted = m->ifa_index == out->index && m->ifa_scope < RT_SCOPE_LINK &&
                  (netlink_u32(a[IFA_FLAGS], m->ifa_flags) & IFA_F_PERMANENT) != 0 &&
                  (one.local_len | one.peer_len) != 0;
    if (wanted && out->count < ADDRESSES_MAX) {
        out->items[out->count++] = one;
    }
}

static int list_addresses(int fd, unsigned index, struct addresses *out) {
    struct netlink_request r;
    int e = -EINTR;
    for (int i = 0; i < 10 && e == -EINTR; i++) {
        *out = (struct addresses){.index = index};
        netlink_begin(&r, RTM_GETADDR, 0, sizeof(r.address));
        e = netlink_dump(fd, &r, RTM_NEWADDR, keep_address, out);
    }
    return e;
}

static int add_address(int fd, unsigned index, const struct address *a) {
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(r.address));
    r.address = (struct ifaddrmsg){.ifa_family = a->family,
                                   .ifa_prefixlen = a->prefix_len,
                                   .ifa_scope = a->scope,
                                   .ifa_flags = IFA_F_PERMANENT,
                                   .ifa_index = index};
    if (a->local_len > 0) {
        netlink_attach(&r, IFA_LOCAL, a->local, a->local_len);
    }
    if (a->peer_len > 0) {
        netlink_attach(&r, IFA_ADDRESS, a->peer, a->peer_len);
    }
    if (a->broadcast_len > 0) {
        netlink_attach(&r, IFA_BROADCAST, a->broadcast, a->broadcast_len);
    }
    return netlink_ask(fd, &r);
}

/* ---- the move ---- */

static int send_away(int fd, unsigned index, const char *new_name, int netns) {
    struct netlink_request r;
    uint32_t target = (uint32_t)netns;
    netlink_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link = (struct ifinfomsg){.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    netlink_attach(&r, IFLA_NET_NS_FD, &target, sizeof(target));
    netlink_attach(&r, IFLA_IFNAME, new_name, strlen(new_name) + 1);
    return netlink_ask(fd, &r);
}

static int bring_up(int fd, unsigned index) {
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link = (struct ifinfomsg){.ifi_family = AF_UNSPEC,
                                .ifi_index = (int)index,
                                .ifi_flags = IFF_UP,
                                .ifi_change = IFF_UP};
    return netlink_ask(fd, &r);
}

struct arrival {
    const char *name;
    int netns;
    const struct addresses *list;
};

/* In a child: what happens inside. */
static int finish_inside(void *arg, struct err *err) {
    const struct arrival *a = arg;
    (void)err; /* the caller has words for all of it */
    if (setns(a->netns, CLONE_NEWNET) != 0) {
        return -errno;
    }
    int fd = netlink_open();
    unsigned index = if_nametoindex(a->name); /* it may have got another number */
    if (fd < 0 || index == 0) {
        return fd < 0 ? fd : -errno;
    }
    int e = 0;
    for (size_t i = 0; i < a->list->count && e == 0; i++) {
        e = add_address(fd, index, &a->list->items[i]);
    }
    return e != 0 ? e : bring_up(fd, index);
}

int netdev_move(const char *name, const char *new_name, int netns, struct err *err) {
    const char *inside = new_name != NULL ? new_name : name;
    struct addresses list = {.count = 0};
    unsigned index = if_nametoindex(name);
    if (index == 0) {
        return err_sys(err, -errno, "no network interface %s on the host", name);
    }
    cleanup_fd int fd = netlink_open();
    int e = fd < 0 ? fd : list_addresses(fd, index, &list);
    if (e != 0) {
        return err_sys(err, e, "cannot read the addresses of the network interface %s", name);
    }
    e = send_away(fd, index, inside, netns);
    if (e != 0) {
        return err_sys(err, e, "cannot move the network interface %s to the container as %s", name,
                       inside);
    }
    struct arrival a = {.name = inside, .netns = netns, .list = &list};
    e = child_run(finish_inside, &a, err);
    return e == 0
               ? 0
               : err_sys(err, e,
                         "the network interface %s is in the container, but its addresses cannot "
                         "be set there",
                         inside);
}
