/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network devices as interfaces: see net.h.  Sources: rtnetlink(7), linux/if_link.h, and the files
 * bind and unbind of a driver, Documentation/driver-api/driver-model.
 */
#include "agent/net.h"

#include "agent/agent.h"
#include "host/cleanup.h"
#include "host/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/virtio_ids.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define CARRIER_WAIT_MS 300
#define DRIVER          "/sys/bus/virtio/drivers/virtio_net"

/* A network device of the machine.  It has a driver while it is an interface, and only then. */
static struct device {
    int index;       /* of the interface, 0: there is none */
    bool set;        /* it is as the host wants it */
    char device[32]; /* the name in sysfs, once it is known */
} g_devices[MOAT_NET_LINKS_MAX];

static bool g_driver; /* is loaded */

/* The link that an interface leads to: "../../../virtio3". */
static void keep_device_name(struct device *d, const char *interface) {
    char path[80], link[128];
    (void)snprintf(path, sizeof(path), "/sys/class/net/%s/device", interface); /* fits */
    ssize_t n = readlink(path, link, sizeof(link) - 1);
    link[n > 0 ? n : 0] = '\0';
    const char *name = strrchr(link, '/');
    (void)snprintf(d->device, sizeof(d->device), "%.31s", name != NULL ? name + 1 : "");
}

/* The machine's devices are known by the hardware addresses that they are made with. */
static void find_device(void *arg, const struct nlmsghdr *h) {
    static const uint8_t first[6] = MOAT_NET_DEVICE_MAC;
    const struct ifinfomsg *m = netlink_body(h);
    const struct rtattr *a[IFLA_IFNAME + 1];
    char name[MOAT_NET_NAME_MAX] = "";
    uint8_t mac[6];
    if (netlink_attributes(h, sizeof(*m), a, ARRAY_COUNT(a)) &&
        netlink_bytes(a[IFLA_ADDRESS], mac, sizeof(mac)) == sizeof(mac) &&
        netlink_bytes(a[IFLA_IFNAME], name, sizeof(name) - 1) > 0 && memcmp(mac, first, 5) == 0 &&
        mac[5] < MOAT_NET_LINKS_MAX && !g_devices[mac[5]].set) {
        g_devices[mac[5]].index = m->ifi_index;
        keep_device_name(&g_devices[mac[5]], name);
    }
}

static int find_devices(const struct net *n) {
    struct netlink_request r;
    netlink_begin(&r, RTM_GETLINK, 0, sizeof(r.link));
    return netlink_dump(n->fd, &r, RTM_NEWLINK, find_device, NULL);
}

static int tell_driver(const char *file, const struct device *d) {
    cleanup_fd int fd = openat(AT_FDCWD, file, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && d->device[0] != '\0' && write(fd, d->device, strlen(d->device)) > 0 ? 0
                                                                                          : -errno;
}

static bool is_wanted(const struct net *n, uint32_t i) {
    return i < n->fixed->link_count && n->links[i].name[0] != '\0';
}

/* Wanted devices become interfaces, others are none. */
static int choose_devices(const struct net *n, struct err *err) {
    bool some = false;
    int e = 0;
    for (uint32_t i = 0; i < MOAT_NET_LINKS_MAX; i++) {
        some = some || is_wanted(n, i);
        if (is_wanted(n, i) && g_driver && g_devices[i].index == 0) {
            e = tell_driver(DRIVER "/bind", &g_devices[i]);
        }
    }
    if (some && !g_driver) {
        boot_load_driver(VIRTIO_ID_NET);
        g_driver = true;
    }
    e = some && e == 0 ? find_devices(n) : e;
    for (uint32_t i = 0; i < MOAT_NET_LINKS_MAX && e == 0; i++) {
        struct device *d = &g_devices[i];
        if (is_wanted(n, i)) {
            e = d->index == 0 ? -ENODEV : 0;
        } else if (d->index != 0) {
            e = tell_driver(DRIVER "/unbind", d);
            d->index = 0;
            d->set = false;
        }
    }
    return e == 0 ? 0 : err_sys(err, e, "the guest cannot choose its network devices");
}

static int rename_link(const struct net *n, uint32_t i, const char *name) {
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link.ifi_index = g_devices[i].index;
    netlink_attach(&r, IFLA_IFNAME, name, strlen(name) + 1);
    return netlink_ask(n->fd, &r);
}

/* The kernel makes a link-local address of its own unless it is told one. */
static void attach_inet6(const struct net *n, struct netlink_request *r, uint32_t i) {
    const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
    if (n->own_link_local[i]) {
        size_t spec = netlink_nest(r, IFLA_AF_SPEC);
        size_t inet6 = netlink_nest(r, AF_INET6);
        netlink_attach(r, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
        netlink_nest_end(r, inet6);
        netlink_nest_end(r, spec);
    }
}

static void set_ipv6_off(const char *name) {
    char path[80];
    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name); /* fits */
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "1", 1); /* a kernel without IPv6 has none anyway */
    }
}

static int set_link(const struct net *n, uint32_t i) {
    static const struct {
        uint32_t flag, iff;
    } flags[] = {{MOAT_NET_LINK_NOARP, IFF_NOARP},
                 {MOAT_NET_LINK_PROMISC, IFF_PROMISC},
                 {MOAT_NET_LINK_ALLMULTI, IFF_ALLMULTI},
                 {MOAT_NET_LINK_MULTICAST, IFF_MULTICAST}};
    const struct moat_net_link *l = &n->links[i];
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link.ifi_index = g_devices[i].index;
    netlink_attach(&r, IFLA_ADDRESS, l->mac, sizeof(l->mac));
    netlink_attach_u32(&r, IFLA_MTU, l->mtu);
    netlink_attach_u32(&r, IFLA_TXQLEN, l->queue_length);
    attach_inet6(n, &r, i);
    int e = netlink_ask(n->fd, &r);
    e = e != 0 ? e : rename_link(n, i, l->name);
    if (e == 0 && (l->flags & MOAT_NET_LINK_NO_IPV6) != 0) {
        set_ipv6_off(l->name);
    }
    netlink_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link.ifi_index = g_devices[i].index;
    r.link.ifi_flags = r.link.ifi_change = IFF_UP;
    for (size_t k = 0; k < ARRAY_COUNT(flags); k++) {
        r.link.ifi_change |= flags[k].iff;
        r.link.ifi_flags |= (l->flags & flags[k].flag) != 0 ? flags[k].iff : 0;
    }
    return e != 0 ? e : netlink_ask(n->fd, &r);
}

/* Of one that is in use only this changes: its name cannot. */
static int set_mtu(const struct net *n, uint32_t i) {
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link.ifi_index = g_devices[i].index;
    netlink_attach_u32(&r, IFLA_MTU, n->links[i].mtu);
    return netlink_ask(n->fd, &r);
}

int net_set_links(struct net *n, struct err *err) {
    int e = choose_devices(n, err);
    for (uint32_t i = 0; i < n->fixed->address_count; i++) {
        const struct moat_net_address *a = &n->addresses[i];
        if (a->family == AF_INET6 && a->scope == RT_SCOPE_LINK && a->link < n->fixed->link_count) {
            n->own_link_local[a->link] = true;
        }
    }
    /* First out of each other's way: one's name may be the one that another is to have. */
    for (uint32_t i = 0; i < n->fixed->link_count && e == 0; i++) {
        char name[] = "moat-net0";
        name[sizeof(name) - 2] = (char)('0' + i); /* eight at most */
        if (is_wanted(n, i) && !g_devices[i].set) {
            e = rename_link(n, i, name);
            e = e == 0 ? 0 : err_sys(err, e, "cannot rename a network device of the guest");
        }
    }
    for (uint32_t i = 0; i < n->fixed->link_count && e == 0; i++) {
        if (is_wanted(n, i)) {
            e = g_devices[i].set ? set_mtu(n, i) : set_link(n, i);
            g_devices[i].set = e == 0;
            e = e == 0
                    ? 0
                    : err_sys(err, e, "cannot set up the guest's interface %s", n->links[i].name);
        }
    }
    return e;
}

uint32_t net_index_of(const struct net *n, uint32_t link) {
    return link < n->fixed->link_count ? (uint32_t)g_devices[link].index
           : link == MOAT_NET_LOOPBACK ? 1 /* of every network namespace, net/core/dev.c */
                                       : 0;
}

/* The driver says a moment after its start that there is a carrier; what is sent before that is
 * lost.
 */
struct carriers {
    uint32_t missing;
};

static void count_missing(void *arg, const struct nlmsghdr *h) {
    struct carriers *c = arg;
    const struct ifinfomsg *m = netlink_body(h);
    for (uint32_t i = 0; i < MOAT_NET_LINKS_MAX; i++) {
        bool ours = g_devices[i].index != 0 && g_devices[i].index == m->ifi_index;
        c->missing += ours && (m->ifi_flags & IFF_RUNNING) == 0;
    }
}

void net_await_carriers(const struct net *n, int watch) {
    struct carriers c = {.missing = 1};
    for (int i = 0; i < 64 && c.missing > 0; i++) {
        struct netlink_request r;
        struct pollfd change = {.fd = watch, .events = POLLIN};
        char buf[8192];
        c.missing = 0;
        netlink_begin(&r, RTM_GETLINK, 0, sizeof(r.link));
        if (netlink_dump(n->fd, &r, RTM_NEWLINK, count_missing, &c) == -EINTR) {
            c.missing = 1; /* it has just changed */
        } else if (c.missing > 0 && poll(&change, 1, CARRIER_WAIT_MS) != 1) {
            return; /* an interface whose other end is not up either */
        }
        while (recv(watch, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
        }
    }
}
