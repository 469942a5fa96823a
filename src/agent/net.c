/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of the machine, as the host tells it (moat/network.h), set by rtnetlink(7).  The
 * containers of a machine share it: it is the network namespace that the agent itself is in.
 *
 * Trust: the host is obeyed; counts, links, families and names are checked, what the rest means
 * the kernel checks.
 */
#include "agent/net.h"

#include "agent/agent.h"
#include "host/cleanup.h"
#include "host/netlink.h"
#include "moat/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* ---- the record ---- */

static bool good_name(const char name[MOAT_NET_NAME_MAX], bool may_be_empty) {
    size_t len = strnlen(name, MOAT_NET_NAME_MAX);
    return len < MOAT_NET_NAME_MAX && (len > 0 || may_be_empty) && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 && strchr(name, '/') == NULL;
}

static bool good_family(uint8_t family, bool or_none) {
    return family == AF_INET || family == AF_INET6 || (or_none && family == 0);
}

static size_t address_len(uint8_t family) {
    return family == AF_INET ? 4 : 16;
}

static bool good_link(const struct net *n, uint32_t link, bool or_none) {
    return (link < n->fixed->link_count && n->links[link].name[0] != '\0') ||
           link == MOAT_NET_LOOPBACK || (or_none && link == MOAT_NET_NO_LINK);
}

static bool good_items(const struct net *n) {
    bool ok = true;
    for (uint32_t i = 0; i < n->fixed->link_count; i++) {
        ok = ok && good_name(n->links[i].name, true);
    }
    for (uint32_t i = 0; i < n->fixed->address_count; i++) {
        const struct moat_net_address *a = &n->addresses[i];
        ok = ok && good_link(n, a->link, false) && good_family(a->family, false) &&
             good_name(a->label, true);
    }
    for (uint32_t i = 0; i < n->fixed->route_count; i++) {
        const struct moat_net_route *r = &n->routes[i];
        ok = ok && good_link(n, r->link, true) && good_family(r->family, false) &&
             good_family(r->via_family, true);
    }
    for (uint32_t i = 0; i < n->fixed->neighbour_count; i++) {
        ok = ok && good_link(n, n->neighbours[i].link, false) &&
             good_family(n->neighbours[i].family, false);
    }
    for (uint32_t i = 0; i < n->fixed->rule_count; i++) {
        const struct moat_net_rule *r = &n->rules[i];
        ok = ok && good_family(r->family, false) && good_name(r->in, true) &&
             good_name(r->out, true);
    }
    return ok;
}

static int parse(const void *record, size_t size, struct net *n) {
    const struct moat_ctl_network *f = record;
    if (size < sizeof(*f) || f->link_count > MOAT_NET_LINKS_MAX ||
        f->address_count > MOAT_NET_ADDRESSES_MAX || f->route_count > MOAT_NET_ROUTES_MAX ||
        f->neighbour_count > MOAT_NET_NEIGHBOURS_MAX || f->rule_count > MOAT_NET_RULES_MAX) {
        return -EINVAL;
    }
    n->fixed = f;
    n->links = (const struct moat_net_link *)(f + 1);
    n->addresses = (const struct moat_net_address *)(n->links + f->link_count);
    n->routes = (const struct moat_net_route *)(n->addresses + f->address_count);
    n->neighbours = (const struct moat_net_neighbour *)(n->routes + f->route_count);
    n->rules = (const struct moat_net_rule *)(n->neighbours + f->neighbour_count);
    size_t whole = (size_t)((const char *)(n->rules + f->rule_count) - (const char *)record);
    return size == whole && good_items(n) ? 0 : -EINVAL;
}

/* ---- what is on them ---- */

static int add_address(const struct net *n, const struct moat_net_address *a) {
    const struct ifa_cacheinfo life = {.ifa_valid = a->valid_s, .ifa_prefered = a->preferred_s};
    size_t len = address_len(a->family);
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(r.address));
    r.address = (struct ifaddrmsg){.ifa_family = a->family,
                                   .ifa_prefixlen = a->prefix_len,
                                   .ifa_scope = a->scope,
                                   .ifa_index = net_index_of(n, a->link)};
    /* The host's kernel has made sure that nobody else has it. */
    netlink_attach_u32(&r, IFA_FLAGS, a->flags | (a->family == AF_INET6 ? IFA_F_NODAD : 0));
    if ((a->have & MOAT_NET_HAVE_LOCAL) != 0) {
        netlink_attach(&r, IFA_LOCAL, a->local, len);
    }
    if ((a->have & MOAT_NET_HAVE_PEER) != 0) {
        netlink_attach(&r, IFA_ADDRESS, a->peer, len);
    }
    if ((a->have & MOAT_NET_HAVE_BROADCAST) != 0 && a->family == AF_INET) {
        netlink_attach(&r, IFA_BROADCAST, a->broadcast, len);
    }
    if (a->label[0] != '\0' && a->family == AF_INET) {
        netlink_attach(&r, IFA_LABEL, a->label, strlen(a->label) + 1);
    }
    if (a->priority != 0) {
        netlink_attach_u32(&r, IFA_RT_PRIORITY, a->priority);
    }
    netlink_attach(&r, IFA_CACHEINFO, &life, sizeof(life));
    return netlink_ask(n->fd, &r);
}

static void attach_gateway(struct netlink_request *r, const struct moat_net_route *route) {
    struct {
        uint16_t family;
        uint8_t address[16];
    } via = {.family = route->via_family}; /* struct rtvia */
    size_t len = address_len(route->via_family);
    if (route->via_family == route->family) {
        netlink_attach(r, RTA_GATEWAY, route->via, len);
    } else if (route->via_family != 0) {
        memcpy(via.address, route->via, len);
        netlink_attach(r, RTA_VIA, &via, sizeof(via.family) + len);
    }
}

static void attach_metrics(struct netlink_request *r, const struct moat_net_route *route) {
    size_t mark = 0;
    for (uint16_t i = 1; i < MOAT_NET_METRICS; i++) {
        if (route->metrics[i] != 0) {
            mark = mark != 0 ? mark : netlink_nest(r, RTA_METRICS);
            netlink_attach_u32(r, i, route->metrics[i]);
        }
    }
    if (mark != 0) {
        netlink_nest_end(r, mark);
    }
}

/* A next hop is an attribute whose header is struct rtnexthop; its length is set at its end. */
static void attach_hop(const struct net *n, struct netlink_request *r,
                       const struct moat_net_route *route) {
    size_t at = NLMSG_ALIGN(r->h.nlmsg_len);
    /* Room for the header, which is a bare attribute with four bytes of payload. */
    netlink_attach_u32(r, 0, 0);
    attach_gateway(r, route);
    if (!r->overflow) {
        const struct rtnexthop hop = {.rtnh_len = (uint16_t)(r->h.nlmsg_len - at),
                                      .rtnh_flags = (uint8_t)route->hop_flags,
                                      .rtnh_hops = (uint8_t)route->hop_weight,
                                      .rtnh_ifindex = (int)net_index_of(n, route->link)};
        _Static_assert(sizeof(hop) == RTA_LENGTH(4), "the header of a next hop");
        memcpy((char *)r + at, &hop, sizeof(hop));
    }
}

static void begin_route(struct netlink_request *r, const struct moat_net_route *route) {
    size_t len = address_len(route->family);
    netlink_begin(r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(r->route));
    r->route = (struct rtmsg){.rtm_family = route->family,
                              .rtm_dst_len = route->dst_len,
                              .rtm_src_len = route->src_len,
                              .rtm_tos = route->tos,
                              .rtm_table = RT_TABLE_UNSPEC,
                              .rtm_protocol = route->protocol,
                              .rtm_scope = route->scope,
                              .rtm_type = route->type};
    netlink_attach_u32(r, RTA_TABLE, route->table);
    if (route->dst_len != 0) {
        netlink_attach(r, RTA_DST, route->dst, len);
    }
    if (route->src_len != 0) {
        netlink_attach(r, RTA_SRC, route->src, len);
    }
    if ((route->flags & MOAT_NET_HAVE_PREFSRC) != 0) {
        netlink_attach(r, RTA_PREFSRC, route->prefsrc, len);
    }
    if ((route->flags & MOAT_NET_HAVE_PRIORITY) != 0) {
        netlink_attach_u32(r, RTA_PRIORITY, route->priority);
    }
    if ((route->flags & MOAT_NET_HAVE_PREFERENCE) != 0) {
        netlink_attach(r, RTA_PREF, &route->preference, sizeof(route->preference));
    }
    attach_metrics(r, route);
}

/* `count` entries are the next hops of one route. */
static int add_route(const struct net *n, const struct moat_net_route *routes, uint32_t count) {
    struct netlink_request r;
    begin_route(&r, routes);
    if (count > 1) {
        size_t mark = netlink_nest(&r, RTA_MULTIPATH);
        for (uint32_t i = 0; i < count; i++) {
            attach_hop(n, &r, &routes[i]);
        }
        netlink_nest_end(&r, mark);
    } else {
        attach_gateway(&r, routes);
        r.route.rtm_flags = routes->hop_flags;
        if (routes->link != MOAT_NET_NO_LINK) {
            netlink_attach_u32(&r, RTA_OIF, net_index_of(n, routes->link));
        }
    }
    int e = netlink_ask(n->fd, &r);
    return e == -EEXIST ? 0 : e; /* the kernel makes those to an address's prefix by itself */
}

/* Those without a gateway first: by them gateways are reached. */
static int add_routes(const struct net *n, bool gateways, struct err *err) {
    uint32_t count = n->fixed->route_count, hops;
    for (uint32_t i = 0; i < count; i += hops) {
        const struct moat_net_route *r = &n->routes[i];
        for (hops = 1; i + hops < count && (r[hops - 1].flags & MOAT_NET_ROUTE_MORE) != 0; hops++) {
        }
        int e = (hops > 1 || r->via_family != 0) == gateways ? add_route(n, r, hops) : 0;
        if (e != 0) {
            char text[INET6_ADDRSTRLEN] = "?";
            (void)inet_ntop(r->family, r->dst, text, sizeof(text)); /* a valid family */
            return err_sys(err, e, "cannot set the route to %s/%u in the guest", text, r->dst_len);
        }
    }
    return 0;
}

static int add_neighbour(const struct net *n, const struct moat_net_neighbour *from) {
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(r.neighbour));
    r.neighbour = (struct ndmsg){.ndm_family = from->family,
                                 .ndm_ifindex = (int)net_index_of(n, from->link),
                                 .ndm_state = NUD_PERMANENT,
                                 .ndm_flags = from->flags};
    netlink_attach(&r, NDA_DST, from->address, address_len(from->family));
    netlink_attach(&r, NDA_LLADDR, from->mac, sizeof(from->mac));
    return netlink_ask(n->fd, &r);
}

static int add_rule(const struct net *n, const struct moat_net_rule *from) {
    size_t len = address_len(from->family);
    struct netlink_request r;
    netlink_begin(&r, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, sizeof(r.rule));
    r.rule = (struct fib_rule_hdr){.family = from->family,
                                   .dst_len = from->dst_len,
                                   .src_len = from->src_len,
                                   .tos = from->tos,
                                   .action = from->action,
                                   .flags = from->flags};
    netlink_attach_u32(&r, FRA_PRIORITY, from->priority);
    if (from->table != 0) {
        netlink_attach_u32(&r, FRA_TABLE, from->table);
    }
    if (from->dst_len != 0) {
        netlink_attach(&r, FRA_DST, from->dst, len);
    }
    if (from->src_len != 0) {
        netlink_attach(&r, FRA_SRC, from->src, len);
    }
    if ((from->have & MOAT_NET_HAVE_MARK) != 0) {
        netlink_attach_u32(&r, FRA_FWMARK, from->mark);
        netlink_attach_u32(&r, FRA_FWMASK, from->mark_mask);
    }
    if ((from->have & MOAT_NET_HAVE_GOTO) != 0) {
        netlink_attach_u32(&r, FRA_GOTO, from->target);
    }
    if ((from->have & MOAT_NET_HAVE_SUPPRESS) != 0) {
        netlink_attach_u32(&r, FRA_SUPPRESS_PREFIXLEN, from->suppress_prefix_len);
    }
    if (from->in[0] != '\0') {
        netlink_attach(&r, FRA_IIFNAME, from->in, strlen(from->in) + 1);
    }
    if (from->out[0] != '\0') {
        netlink_attach(&r, FRA_OIFNAME, from->out, strlen(from->out) + 1);
    }
    int e = netlink_ask(n->fd, &r);
    return e == -EEXIST ? 0 : e;
}

static int set_rest(const struct net *n, struct err *err) {
    int e = 0;
    for (uint32_t i = 0; i < n->fixed->address_count && e == 0; i++) {
        e = add_address(n, &n->addresses[i]);
    }
    if (e != 0) {
        return err_sys(err, e, "cannot set an address in the guest");
    }
    e = add_routes(n, false, err);
    e = e != 0 ? e : add_routes(n, true, err);
    if (e != 0) {
        return e;
    }
    for (uint32_t i = 0; i < n->fixed->neighbour_count && e == 0; i++) {
        e = add_neighbour(n, &n->neighbours[i]);
    }
    if (e != 0) {
        return err_sys(err, e, "cannot set a neighbour in the guest");
    }
    for (uint32_t i = 0; i < n->fixed->rule_count && e == 0; i++) {
        e = add_rule(n, &n->rules[i]);
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot set a routing rule in the guest");
}

int agent_network(const void *record, size_t size, struct err *err) {
    struct net n = {.fd = -1};
    cleanup_free void *copy = malloc(size); /* aligned, as a frame's payload need not be */
    if (copy == NULL) {
        return err_sys(err, -ENOMEM, "cannot take the request");
    }
    memcpy(copy, record, size);
    int e = parse(copy, size, &n);
    if (e != 0) {
        return err_sys(err, e, "a network that makes no sense");
    }
    cleanup_fd int fd = netlink_open();
    if (fd < 0) {
        return err_sys(err, fd, "the guest has no rtnetlink");
    }
    const struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    cleanup_fd int watch = netlink_open();
    if (watch < 0 || bind(watch, (const struct sockaddr *)&links, sizeof(links)) != 0) {
        return err_sys(err, -errno, "the guest cannot watch its interfaces");
    }
    n.fd = fd;
    e = net_set_links(&n, err);
    e = e != 0 ? e : set_rest(&n, err);
    if (e == 0) {
        net_await_carriers(&n, watch);
    }
    return e;
}
