/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See net_scan.h.  Sources: rtnetlink(7), linux/if_link.h, if_addr.h, rtnetlink.h, neighbour.h,
 * fib_rules.h.
 */
#include "vm/net_scan.h"

#include "host/netlink.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/ipv6.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void net_plan_leave_out(struct net_plan *p, const char *name, const char *why) {
    size_t len = strlen(p->left_out);
    (void)snprintf(p->left_out + len, sizeof(p->left_out) - len, "%s%s: %s", len > 0 ? "; " : "",
                   name, why); /* cut if need be */
}

/* The number of an interface in the record, or MOAT_NET_NO_LINK. */
static uint32_t link_of(const struct net_plan *p, uint32_t index) {
    for (uint32_t i = 0; i < p->link_count; i++) {
        if (p->index[i] == (int)index) {
            return i;
        }
    }
    return (int)index == p->loopback ? MOAT_NET_LOOPBACK : MOAT_NET_NO_LINK;
}

/* ---- interfaces ---- */

static bool ipv6_is_off(const struct rtattr *af_spec) {
    const struct rtattr *families[AF_INET6 + 1], *inner[IFLA_INET6_MAX + 1];
    int32_t conf[DEVCONF_DISABLE_IPV6 + 1];
    netlink_nested(af_spec, families, ARRAY_COUNT(families));
    if (families[AF_INET6] == NULL) {
        return true;
    }
    netlink_nested(families[AF_INET6], inner, ARRAY_COUNT(inner));
    const struct rtattr *a = inner[IFLA_INET6_CONF];
    if (a == NULL || RTA_PAYLOAD(a) < sizeof(conf)) {
        return false;
    }
    memcpy(conf, netlink_payload(a), sizeof(conf));
    return conf[DEVCONF_DISABLE_IPV6] != 0;
}

static bool is_kind(const struct rtattr *info, const char *wanted) {
    const struct rtattr *a[IFLA_INFO_KIND + 1];
    char kind[16] = "";
    netlink_nested(info, a, ARRAY_COUNT(a));
    return netlink_bytes(a[IFLA_INFO_KIND], kind, sizeof(kind) - 1) > 0 &&
           strcmp(kind, wanted) == 0;
}

/* A machine's own, this one's or another's (net_tap.c). */
static bool is_tap(const char *name, const struct rtattr *info) {
    return strncmp(name, NET_TAP_NAME, strlen(NET_TAP_NAME)) == 0 && is_kind(info, "tun");
}

/* Why frames cannot be led between this interface and a machine; NULL when they can. */
static const char *unfit(const struct ifinfomsg *m, const struct rtattr *const *a) {
    if (m->ifi_type != ARPHRD_ETHER) {
        return "it is no Ethernet device";
    }
    bool stands_on_own = a[IFLA_LINK] != NULL && a[IFLA_LINK_NETNSID] == NULL &&
                         netlink_u32(a[IFLA_LINK], 0) != (uint32_t)m->ifi_index &&
                         netlink_u32(a[IFLA_LINK], 0) != 0 && !is_kind(a[IFLA_LINKINFO], "veth");
    return stands_on_own ? "it stands on another interface of the namespace" : NULL;
}

static void keep_link(void *arg, const struct nlmsghdr *h) {
    struct net_plan *p = arg;
    const struct ifinfomsg *m = netlink_body(h);
    const struct rtattr *a[IFLA_LINK_NETNSID + 1];
    struct moat_net_link l;
    memset(&l, 0, sizeof(l));
    if (!netlink_attributes(h, sizeof(*m), a, ARRAY_COUNT(a)) ||
        netlink_bytes(a[IFLA_IFNAME], l.name, sizeof(l.name) - 1) == 0) {
        return;
    }
    if ((m->ifi_flags & IFF_LOOPBACK) != 0) {
        p->loopback = m->ifi_index;
        return;
    }
    if ((m->ifi_flags & IFF_UP) == 0 || a[IFLA_MASTER] != NULL ||
        is_tap(l.name, a[IFLA_LINKINFO])) {
        return; /* what is part of another serves that one */
    }
    const char *why = unfit(m, a);
    if (why == NULL && netlink_bytes(a[IFLA_ADDRESS], l.mac, sizeof(l.mac)) != sizeof(l.mac)) {
        why = "it has no hardware address";
    }
    if (why == NULL && p->link_count == MOAT_NET_LINKS_MAX) {
        why = "a machine has eight interfaces at most";
    }
    if (why != NULL) {
        net_plan_leave_out(p, l.name, why);
        return;
    }
    l.mtu = netlink_u32(a[IFLA_MTU], 1500);
    l.queue_length = netlink_u32(a[IFLA_TXQLEN], 1000);
    l.flags = ((m->ifi_flags & IFF_NOARP) != 0 ? MOAT_NET_LINK_NOARP : 0) |
              ((m->ifi_flags & IFF_PROMISC) != 0 ? MOAT_NET_LINK_PROMISC : 0) |
              ((m->ifi_flags & IFF_ALLMULTI) != 0 ? MOAT_NET_LINK_ALLMULTI : 0) |
              ((m->ifi_flags & IFF_MULTICAST) != 0 ? MOAT_NET_LINK_MULTICAST : 0) |
              (ipv6_is_off(a[IFLA_AF_SPEC]) ? MOAT_NET_LINK_NO_IPV6 : 0);
    p->index[p->link_count] = m->ifi_index;
    p->links[p->link_count++] = l;
}

/* ---- addresses ---- */

static void keep_address(void *arg, const struct nlmsghdr *h) {
    struct net_plan *p = arg;
    const struct ifaddrmsg *m = netlink_body(h);
    const struct rtattr *a[IFA_RT_PRIORITY + 1];
    struct ifa_cacheinfo life = {.ifa_valid = ~0u, .ifa_prefered = ~0u};
    struct moat_net_address one;
    memset(&one, 0, sizeof(one));
    if (!netlink_attributes(h, sizeof(*m), a, ARRAY_COUNT(a))) {
        return;
    }
    uint32_t flags = netlink_u32(a[IFA_FLAGS], m->ifa_flags);
    one.link = link_of(p, m->ifa_index);
    bool own = one.link == MOAT_NET_LOOPBACK && m->ifa_scope == RT_SCOPE_HOST;
    bool learnt = m->ifa_family == AF_INET6 && (flags & IFA_F_PERMANENT) == 0;
    if (one.link == MOAT_NET_NO_LINK || own || learnt || (flags & IFA_F_DADFAILED) != 0) {
        return;
    }
    if (p->address_count == MOAT_NET_ADDRESSES_MAX) {
        p->too_many = true;
        return;
    }
    (void)netlink_bytes(a[IFA_CACHEINFO], &life, sizeof(life)); /* else for ever */
    one.family = m->ifa_family;
    one.prefix_len = m->ifa_prefixlen;
    one.scope = m->ifa_scope;
    one.flags = flags & (IFA_F_NOPREFIXROUTE | IFA_F_HOMEADDRESS);
    one.valid_s = life.ifa_valid;
    one.preferred_s = life.ifa_prefered;
    one.priority = netlink_u32(a[IFA_RT_PRIORITY], 0);
    one.have =
        (netlink_bytes(a[IFA_LOCAL], one.local, 16) > 0 ? MOAT_NET_HAVE_LOCAL : 0u) |
        (netlink_bytes(a[IFA_ADDRESS], one.peer, 16) > 0 ? MOAT_NET_HAVE_PEER : 0u) |
        (netlink_bytes(a[IFA_BROADCAST], one.broadcast, 4) > 0 ? MOAT_NET_HAVE_BROADCAST : 0u);
    (void)netlink_bytes(a[IFA_LABEL], one.label, sizeof(one.label) - 1); /* else none */
    p->addresses[p->address_count++] = one;
}

/* ---- routes ---- */

static void keep_gateway(struct moat_net_route *r, const struct rtattr *const *a) {
    struct {
        uint16_t family;
        uint8_t bytes[16];
    } via = {0}; /* struct rtvia */
    if (netlink_bytes(a[RTA_GATEWAY], r->via, sizeof(r->via)) > 0) {
        r->via_family = r->family;
    } else if (netlink_bytes(a[RTA_VIA], &via, sizeof(via)) > sizeof(via.family)) {
        r->via_family = (uint8_t)via.family;
        memcpy(r->via, via.bytes, sizeof(r->via));
    }
}

static void keep_metrics(struct moat_net_route *r, const struct rtattr *from) {
    const struct rtattr *a[MOAT_NET_METRICS];
    netlink_nested(from, a, ARRAY_COUNT(a));
    for (uint32_t i = 1; i < MOAT_NET_METRICS; i++) {
        r->metrics[i] = i != RTAX_CC_ALGO ? netlink_u32(a[i], 0) : 0;
    }
}

static void add_route(struct net_plan *p, const struct moat_net_route *r) {
    if (p->route_count == MOAT_NET_ROUTES_MAX) {
        p->too_many = true;
    } else {
        p->routes[p->route_count++] = *r;
    }
}

/* One entry for each next hop. */
static void keep_hops(struct net_plan *p, const struct moat_net_route *r,
                      const struct rtattr *multipath) {
    const struct rtnexthop *hop = netlink_payload(multipath);
    int left = (int)RTA_PAYLOAD(multipath);
    uint32_t first = p->route_count;
    while (left >= (int)sizeof(*hop) && RTNH_OK(hop, left)) {
        struct moat_net_route one = *r;
        const struct rtattr *a[RTA_VIA + 1];
        const void *inside = (const char *)hop + RTNH_LENGTH(0);
        netlink_list(inside, (int)hop->rtnh_len - (int)RTNH_LENGTH(0), a, ARRAY_COUNT(a));
        one.link = link_of(p, (uint32_t)hop->rtnh_ifindex);
        one.hop_flags = hop->rtnh_flags & (RTNH_F_ONLINK | RTNH_F_PERVASIVE);
        one.hop_weight = hop->rtnh_hops;
        one.flags |= MOAT_NET_ROUTE_MORE;
        keep_gateway(&one, a);
        if (one.link != MOAT_NET_NO_LINK) {
            add_route(p, &one);
        }
        int whole = (int)RTNH_ALIGN(hop->rtnh_len);
        left -= whole;
        hop = (const struct rtnexthop *)(const void *)((const char *)hop + whole);
    }
    if (p->route_count > first) {
        p->routes[p->route_count - 1].flags &= ~MOAT_NET_ROUTE_MORE;
    }
}

static bool wanted_route(const struct rtmsg *m, const struct rtattr *const *a) {
    struct rta_cacheinfo cache = {0};
    (void)netlink_bytes(a[RTA_CACHEINFO], &cache, sizeof(cache)); /* else it stays */
    bool kind = m->rtm_type == RTN_UNICAST || m->rtm_type == RTN_BLACKHOLE ||
                m->rtm_type == RTN_UNREACHABLE || m->rtm_type == RTN_PROHIBIT ||
                m->rtm_type == RTN_THROW;
    return kind && netlink_u32(a[RTA_TABLE], m->rtm_table) != RT_TABLE_LOCAL &&
           (m->rtm_flags & RTM_F_CLONED) == 0 && m->rtm_protocol != RTPROT_RA &&
           m->rtm_protocol != RTPROT_REDIRECT && cache.rta_expires == 0 && a[RTA_ENCAP] == NULL;
}

static void keep_route(void *arg, const struct nlmsghdr *h) {
    struct net_plan *p = arg;
    const struct rtmsg *m = netlink_body(h);
    const struct rtattr *a[RTA_MAX + 1];
    struct moat_net_route r;
    memset(&r, 0, sizeof(r));
    if (!netlink_attributes(h, sizeof(*m), a, ARRAY_COUNT(a)) || !wanted_route(m, a)) {
        return;
    }
    r.link = MOAT_NET_NO_LINK;
    r.family = m->rtm_family;
    r.dst_len = m->rtm_dst_len;
    r.src_len = m->rtm_src_len;
    r.scope = m->rtm_scope;
    r.type = m->rtm_type;
    r.protocol = m->rtm_protocol;
    r.tos = m->rtm_tos;
    r.table = netlink_u32(a[RTA_TABLE], m->rtm_table);
    r.priority = netlink_u32(a[RTA_PRIORITY], 0);
    r.hop_flags = m->rtm_flags & (RTNH_F_ONLINK | RTNH_F_PERVASIVE);
    r.flags = a[RTA_PRIORITY] != NULL ? MOAT_NET_HAVE_PRIORITY : 0;
    (void)netlink_bytes(a[RTA_DST], r.dst, sizeof(r.dst)); /* without it: the default, as src */
    (void)netlink_bytes(a[RTA_SRC], r.src, sizeof(r.src));
    if (netlink_bytes(a[RTA_PREFSRC], r.prefsrc, sizeof(r.prefsrc)) > 0) {
        r.flags |= MOAT_NET_HAVE_PREFSRC;
    }
    if (netlink_bytes(a[RTA_PREF], &r.preference, sizeof(r.preference)) > 0) {
        r.flags |= MOAT_NET_HAVE_PREFERENCE;
    }
    keep_metrics(&r, a[RTA_METRICS]);
    if (a[RTA_MULTIPATH] != NULL) {
        keep_hops(p, &r, a[RTA_MULTIPATH]);
        return;
    }
    keep_gateway(&r, a);
    if (r.type == RTN_UNICAST) {
        r.link = link_of(p, netlink_u32(a[RTA_OIF], 0));
    }
    if (r.type != RTN_UNICAST || r.link != MOAT_NET_NO_LINK) {
        add_route(p, &r);
    }
}

/* ---- neighbours and rules ---- */

static void keep_neighbour(void *arg, const struct nlmsghdr *h) {
    struct net_plan *p = arg;
    const struct ndmsg *m = netlink_body(h);
    const struct rtattr *a[NDA_LLADDR + 1];
    struct moat_net_neighbour n;
    memset(&n, 0, sizeof(n));
    if (!netlink_attributes(h, sizeof(*m), a, ARRAY_COUNT(a)) ||
        (m->ndm_state & NUD_PERMANENT) == 0) {
        return;
    }
    n.link = link_of(p, (uint32_t)m->ndm_ifindex);
    n.family = m->ndm_family;
    n.flags = m->ndm_flags & NTF_ROUTER;
    if (n.link >= p->link_count || netlink_bytes(a[NDA_DST], n.address, 16) == 0 ||
        netlink_bytes(a[NDA_LLADDR], n.mac, sizeof(n.mac)) != sizeof(n.mac)) {
        return;
    }
    if (p->neighbour_count == MOAT_NET_NEIGHBOURS_MAX) {
        p->too_many = true;
        return;
    }
    p->neighbours[p->neighbour_count++] = n;
}

/* Those that every namespace has: tables local, main and default. */
static bool is_default_rule(const struct moat_net_rule *r) {
    return (r->priority == 0 && r->table == RT_TABLE_LOCAL) ||
           (r->priority == 32766 && r->table == RT_TABLE_MAIN) ||
           (r->priority == 32767 && r->table == RT_TABLE_DEFAULT);
}

static void keep_rule(void *arg, const struct nlmsghdr *h) {
    struct net_plan *p = arg;
    const struct fib_rule_hdr *m = netlink_body(h);
    const struct rtattr *a[FRA_MAX + 1];
    struct moat_net_rule r;
    memset(&r, 0, sizeof(r));
    if (!netlink_attributes(h, sizeof(*m), a, ARRAY_COUNT(a)) || a[FRA_L3MDEV] != NULL) {
        return;
    }
    r.family = m->family;
    r.dst_len = m->dst_len;
    r.src_len = m->src_len;
    r.tos = m->tos;
    r.action = m->action;
    r.flags = m->flags & FIB_RULE_INVERT;
    r.table = netlink_u32(a[FRA_TABLE], m->table);
    r.priority = netlink_u32(a[FRA_PRIORITY], 0);
    r.mark = netlink_u32(a[FRA_FWMARK], 0);
    r.mark_mask = netlink_u32(a[FRA_FWMASK], ~0u);
    r.target = netlink_u32(a[FRA_GOTO], 0);
    r.suppress_prefix_len = netlink_u32(a[FRA_SUPPRESS_PREFIXLEN], ~0u);
    r.have = (a[FRA_FWMARK] != NULL ? MOAT_NET_HAVE_MARK : 0) |
             (a[FRA_GOTO] != NULL ? MOAT_NET_HAVE_GOTO : 0) |
             (r.suppress_prefix_len != ~0u ? MOAT_NET_HAVE_SUPPRESS : 0);
    (void)netlink_bytes(a[FRA_DST], r.dst, sizeof(r.dst)); /* each may be missing */
    (void)netlink_bytes(a[FRA_SRC], r.src, sizeof(r.src));
    (void)netlink_bytes(a[FRA_IIFNAME], r.in, sizeof(r.in) - 1);
    (void)netlink_bytes(a[FRA_OIFNAME], r.out, sizeof(r.out) - 1);
    if (is_default_rule(&r)) {
        return;
    }
    if (p->rule_count == MOAT_NET_RULES_MAX) {
        p->too_many = true;
        return;
    }
    p->rules[p->rule_count++] = r;
}

/* ---- all of it ---- */

static int scan_once(int fd, struct net_plan *out) {
    static const struct {
        uint16_t ask, answer;
        size_t body;
        netlink_each_fn *keep;
    } steps[] = {{RTM_GETADDR, RTM_NEWADDR, sizeof(struct ifaddrmsg), keep_address},
                 {RTM_GETROUTE, RTM_NEWROUTE, sizeof(struct rtmsg), keep_route},
                 {RTM_GETNEIGH, RTM_NEWNEIGH, sizeof(struct ndmsg), keep_neighbour},
                 {RTM_GETRULE, RTM_NEWRULE, sizeof(struct fib_rule_hdr), keep_rule}};
    struct netlink_request r;
    memset(out, 0, sizeof(*out));
    netlink_begin(&r, RTM_GETLINK, 0, sizeof(r.link));
    int e = netlink_dump(fd, &r, RTM_NEWLINK, keep_link, out);
    for (size_t i = 0; i < 2 * ARRAY_COUNT(steps) && e == 0; i++) {
        netlink_begin(&r, steps[i / 2].ask, 0, steps[i / 2].body);
        r.link.ifi_family = i % 2 == 0 ? AF_INET : AF_INET6; /* the first byte of all of them */
        e = netlink_dump(fd, &r, steps[i / 2].answer, steps[i / 2].keep, out);
        e = e == -EAFNOSUPPORT || e == -EOPNOTSUPP ? 0 : e; /* a kernel without IPv6, or rules */
    }
    return e;
}

int net_scan(int netlink, struct net_plan *out, struct err *err) {
    int e = -EINTR;
    for (int i = 0; i < 20 && e == -EINTR; i++) { /* it may be changing just now */
        e = scan_once(netlink, out);
    }
    if (e != 0) {
        return err_sys(err, e, "cannot read the container's network namespace");
    }
    return !out->too_many ? 0
                          : err_set(err, -E2BIG,
                                    "the container's network namespace has more addresses, routes, "
                                    "neighbours or rules than isolation vm can carry (%u, %u, %u, "
                                    "%u)",
                                    MOAT_NET_ADDRESSES_MAX, MOAT_NET_ROUTES_MAX,
                                    MOAT_NET_NEIGHBOURS_MAX, MOAT_NET_RULES_MAX);
}

static uint32_t new_number(const int *to, uint32_t link) {
    return link >= MOAT_NET_LINKS_MAX ? link
           : to[link] < 0             ? MOAT_NET_LINKS_MAX
                                      : (uint32_t)to[link];
}

void net_plan_place(struct net_plan *p, const int *to, uint32_t count) {
    struct moat_net_link links[MOAT_NET_LINKS_MAX];
    uint32_t n = 0;
    memset(links, 0, sizeof(links));
    for (uint32_t i = 0; i < p->link_count; i++) {
        if (to[i] >= 0) {
            links[to[i]] = p->links[i];
        }
    }
    memcpy(p->links, links, sizeof(links));
    p->link_count = count;
    for (uint32_t i = 0; i < p->address_count; i++) {
        p->addresses[i].link = new_number(to, p->addresses[i].link);
        p->addresses[n] = p->addresses[i];
        n += p->addresses[i].link != MOAT_NET_LINKS_MAX;
    }
    p->address_count = n;
    n = 0;
    for (uint32_t i = 0; i < p->route_count; i++) {
        p->routes[i].link = new_number(to, p->routes[i].link);
        bool goes = p->routes[i].link == MOAT_NET_LINKS_MAX;
        if (goes && n > 0 && (p->routes[i].flags & MOAT_NET_ROUTE_MORE) == 0) {
            p->routes[n - 1].flags &= ~MOAT_NET_ROUTE_MORE; /* it was the last of several hops */
        }
        p->routes[n] = p->routes[i];
        n += !goes;
    }
    p->route_count = n;
    n = 0;
    for (uint32_t i = 0; i < p->neighbour_count; i++) {
        p->neighbours[i].link = new_number(to, p->neighbours[i].link);
        p->neighbours[n] = p->neighbours[i];
        n += p->neighbours[i].link != MOAT_NET_LINKS_MAX;
    }
    p->neighbour_count = n;
}

static void put(char **at, const void *from, uint32_t count, size_t size) {
    memcpy(*at, from, count * size);
    *at += count * size;
}

int net_record(const struct net_plan *p, uint32_t request_id, void **out, size_t *out_len) {
    struct moat_ctl_network n;
    size_t len =
        sizeof(n) + p->link_count * sizeof(p->links[0]) +
        p->address_count * sizeof(p->addresses[0]) + p->route_count * sizeof(p->routes[0]) +
        p->neighbour_count * sizeof(p->neighbours[0]) + p->rule_count * sizeof(p->rules[0]);
    memset(&n, 0, sizeof(n));
    n.h = (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_NETWORK,
                                   (uint32_t)len, request_id};
    n.link_count = p->link_count;
    n.address_count = p->address_count;
    n.route_count = p->route_count;
    n.neighbour_count = p->neighbour_count;
    n.rule_count = p->rule_count;
    char *at = malloc(len);
    if (at == NULL) {
        return -ENOMEM;
    }
    *out = at;
    *out_len = len;
    put(&at, &n, 1, sizeof(n));
    put(&at, p->links, p->link_count, sizeof(p->links[0]));
    put(&at, p->addresses, p->address_count, sizeof(p->addresses[0]));
    put(&at, p->routes, p->route_count, sizeof(p->routes[0]));
    put(&at, p->neighbours, p->neighbour_count, sizeof(p->neighbours[0]));
    put(&at, p->rules, p->rule_count, sizeof(p->rules[0]));
    return 0;
}
