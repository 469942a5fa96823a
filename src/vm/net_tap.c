/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See net_tap.h.  Sources: Documentation/networking/tuntap.rst, tc-mirred(8), tc-u32(8),
 * tc-matchall(8), linux/pkt_sched.h, linux/pkt_cls.h, linux/tc_act/tc_mirred.h.
 */
#include "vm/net_tap.h"

#include "host/cleanup.h"
#include "host/netlink.h"
#include "vm/net_scan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* By this preference our filters are known ("mo"). */
#define PREFERENCE 0x6d6fu
#define INGRESS    TC_H_MAKE(TC_H_INGRESS, 0)
#define TAP_MTU    (65535 - 14) /* the most that a tap takes */

#define NOBODY ((uid_t)-1)

struct filters {
    bool ours;
    uint32_t target; /* where ours redirects, 0: to a device that is gone */
    uint32_t others;
};

/* ---- queueing discipline and filters ---- */

static void begin_traffic(struct netlink_request *r, uint16_t type, uint16_t flags, int index) {
    netlink_begin(r, type, flags, sizeof(r->traffic));
    r->traffic.tcm_ifindex = index;
}

static int add_ingress(int fd, int index) {
    struct netlink_request r;
    begin_traffic(&r, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index);
    r.traffic.tcm_parent = TC_H_INGRESS;
    r.traffic.tcm_handle = INGRESS;
    netlink_attach(&r, TCA_KIND, "ingress", sizeof("ingress"));
    int e = netlink_ask(fd, &r);
    return e == -EEXIST ? 0 : e;
}

static void remove_ingress(int fd, int index) {
    struct netlink_request r;
    begin_traffic(&r, RTM_DELQDISC, 0, index);
    r.traffic.tcm_parent = TC_H_INGRESS;
    r.traffic.tcm_handle = INGRESS;
    (void)netlink_ask(fd, &r); /* without a filter it does nothing */
}

static void begin_filter(struct netlink_request *r, uint16_t type, uint16_t flags, int index) {
    begin_traffic(r, type, flags, index);
    r->traffic.tcm_parent = INGRESS;
    r->traffic.tcm_info = TC_H_MAKE(PREFERENCE << 16, htons(ETH_P_ALL));
}

/* "Everything goes out at `target`", as the only action of a list. */
static void attach_redirect(struct netlink_request *r, uint16_t list, int target) {
    const struct tc_mirred redirect = {
        .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)target};
    size_t actions = netlink_nest(r, list);
    size_t first = netlink_nest(r, 1);
    netlink_attach(r, TCA_ACT_KIND, "mirred", sizeof("mirred"));
    size_t options = netlink_nest(r, TCA_ACT_OPTIONS);
    netlink_attach(r, TCA_MIRRED_PARMS, &redirect, sizeof(redirect));
    netlink_nest_end(r, options);
    netlink_nest_end(r, first);
    netlink_nest_end(r, actions);
}

/* With the filter kinds that a kernel may have: u32 with a key that matches all, or matchall. */
static int add_redirect(int fd, int index, int target) {
    _Alignas(8) char all[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)] = {0};
    struct tc_u32_sel *sel = (struct tc_u32_sel *)(void *)all;
    struct netlink_request r;
    sel->flags = TC_U32_TERMINAL;
    sel->nkeys = 1; /* of no bits */
    begin_filter(&r, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index);
    netlink_attach(&r, TCA_KIND, "u32", sizeof("u32"));
    size_t options = netlink_nest(&r, TCA_OPTIONS);
    netlink_attach(&r, TCA_U32_SEL, all, sizeof(all));
    attach_redirect(&r, TCA_U32_ACT, target);
    netlink_nest_end(&r, options);
    int e = netlink_ask(fd, &r);
    if (e != -ENOENT && e != -EOPNOTSUPP) {
        return e;
    }
    begin_filter(&r, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index);
    netlink_attach(&r, TCA_KIND, "matchall", sizeof("matchall"));
    options = netlink_nest(&r, TCA_OPTIONS);
    attach_redirect(&r, TCA_MATCHALL_ACT, target);
    netlink_nest_end(&r, options);
    return netlink_ask(fd, &r);
}

static void keep_filter(void *arg, const struct nlmsghdr *h) {
    struct filters *out = arg;
    const struct tcmsg *m = netlink_body(h);
    const struct rtattr *a[TCA_OPTIONS + 1], *options[16], *actions[2],
        *action[TCA_ACT_OPTIONS + 1];
    const struct rtattr *mirred[TCA_MIRRED_PARMS + 1];
    struct tc_mirred redirect;
    char kind[16] = "";
    if (!netlink_attributes(h, sizeof(*m), a, ARRAY_COUNT(a))) {
        return;
    }
    if (TC_H_MAJ(m->tcm_info) != PREFERENCE << 16) {
        out->others++;
        return;
    }
    out->ours = true;
    (void)netlink_bytes(a[TCA_KIND], kind, sizeof(kind) - 1); /* else empty */
    netlink_nested(a[TCA_OPTIONS], options, ARRAY_COUNT(options));
    netlink_nested(options[strcmp(kind, "u32") == 0 ? TCA_U32_ACT : TCA_MATCHALL_ACT], actions,
                   ARRAY_COUNT(actions));
    netlink_nested(actions[1], action, ARRAY_COUNT(action));
    netlink_nested(action[TCA_ACT_OPTIONS], mirred, ARRAY_COUNT(mirred));
    if (netlink_bytes(mirred[TCA_MIRRED_PARMS], &redirect, sizeof(redirect)) == sizeof(redirect)) {
        out->target = redirect.ifindex;
    }
}

static int list_filters(int fd, int index, struct filters *out) {
    struct netlink_request r;
    int e = -EINTR;
    for (int i = 0; i < 10 && e == -EINTR; i++) {
        *out = (struct filters){.ours = false};
        begin_traffic(&r, RTM_GETTFILTER, 0, index);
        r.traffic.tcm_parent = INGRESS;
        e = netlink_dump(fd, &r, RTM_NEWTFILTER, keep_filter, out);
    }
    return e;
}

struct owner {
    int index; /* of the tap */
    uid_t uid;
};

static void keep_owner(void *arg, const struct nlmsghdr *h) {
    struct owner *out = arg;
    const struct ifinfomsg *m = netlink_body(h);
    const struct rtattr *a[IFLA_LINKINFO + 1], *info[IFLA_INFO_DATA + 1], *tun[IFLA_TUN_OWNER + 1];
    if (m->ifi_index == out->index && netlink_attributes(h, sizeof(*m), a, ARRAY_COUNT(a))) {
        netlink_nested(a[IFLA_LINKINFO], info, ARRAY_COUNT(info));
        netlink_nested(info[IFLA_INFO_DATA], tun, ARRAY_COUNT(tun));
        out->uid = netlink_u32(tun[IFLA_TUN_OWNER], 0);
    }
}

static bool is_owner(int netlink, uint32_t tap, uid_t uid) {
    struct owner found = {.index = (int)tap};
    struct netlink_request r;
    netlink_begin(&r, RTM_GETLINK, 0, sizeof(r.link));
    int e = netlink_dump(netlink, &r, RTM_NEWLINK, keep_owner, &found);
    return (e == 0 || e == -EINTR) && found.uid == uid;
}

void net_tap_clear(int netlink, int index, uid_t owner) {
    struct netlink_request r;
    struct filters there;
    if (list_filters(netlink, index, &there) != 0 || !there.ours ||
        (there.target != 0 && !is_owner(netlink, there.target, owner))) {
        return;
    }
    begin_filter(&r, RTM_DELTFILTER, 0, index);
    if (netlink_ask(netlink, &r) == 0 && there.others == 0) {
        remove_ingress(netlink, index);
    }
}

int net_tap_mtu(int netlink, int index, uint32_t mtu) {
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link.ifi_index = index;
    netlink_attach_u32(&r, IFLA_MTU, MIN(mtu, (uint32_t)TAP_MTU));
    return netlink_ask(netlink, &r);
}

int net_tap_join(int netlink, int tap, int index, const struct moat_net_link *link,
                 struct err *err) {
    struct filters there = {.ours = false};
    net_tap_clear(netlink, index, NOBODY); /* what a crash left */
    net_tap_clear(netlink, tap, NOBODY);   /* or an interface that is gone */
    int e = net_tap_mtu(netlink, tap, link->mtu);
    e = e != 0 ? e : add_ingress(netlink, index);
    e = e != 0 ? e : list_filters(netlink, index, &there);
    if (e == 0 && there.ours) {
        return err_set(err, -EBUSY, "the network interface %s belongs to another machine",
                       link->name);
    }
    e = e != 0 ? e : add_redirect(netlink, index, tap);
    e = e != 0 ? e : add_ingress(netlink, tap);
    e = e != 0 ? e : add_redirect(netlink, tap, index);
    return e == 0 ? 0
                  : err_sys(err, e,
                            "cannot redirect the traffic of the network interface %s (the kernel "
                            "needs sch_ingress, act_mirred, and cls_u32 or cls_matchall)",
                            link->name);
}

/* ---- the tap ---- */

/* Without an address or any traffic of its own. */
static int set_up_tap(int netlink, int tap) {
    const uint8_t no_addresses = IN6_ADDR_GEN_MODE_NONE;
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link.ifi_index = tap;
    size_t spec = netlink_nest(&r, IFLA_AF_SPEC);
    size_t inet6 = netlink_nest(&r, AF_INET6);
    netlink_attach(&r, IFLA_INET6_ADDR_GEN_MODE, &no_addresses, sizeof(no_addresses));
    netlink_nest_end(&r, inet6);
    netlink_nest_end(&r, spec);
    (void)netlink_ask(netlink, &r); /* a kernel without IPv6 */
    netlink_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link.ifi_index = tap;
    r.link.ifi_flags = r.link.ifi_change = IFF_UP;
    return netlink_ask(netlink, &r);
}

int net_tap_open(int netlink, uid_t owner, int *out_index, struct err *err) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
                            .ifr_name = NET_TAP_NAME "%d"}; /* the kernel counts */
    cleanup_fd int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0 ||
        ioctl(fd, TUNSETOWNER, (unsigned long)owner) != 0) {
        return err_sys(err, -errno,
                       "cannot make a tap device by /dev/net/tun, which connects a virtual machine "
                       "to the network (kernel module tun)");
    }
    *out_index = (int)if_nametoindex(request.ifr_name);
    int e = *out_index == 0 ? -errno : set_up_tap(netlink, *out_index);
    return e == 0 ? steal_fd(&fd) : err_sys(err, e, "cannot set up the tap device of a machine");
}
