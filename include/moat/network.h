/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MOAT_CTL_NETWORK: what the network of a virtual machine is to be, from the host's monitor to the
 * agent: ahead of CREATE, and again when it has changed.  It is what the container's network
 * namespace on the host has, in the words of rtnetlink(7); interface I of the record is the
 * machine's network device with the hardware address MOAT_NET_DEVICE_MAC and I in its last byte.
 * A later record adds to what is there, but that a link without a name is none (any more).
 *
 * Behind the fixed part, in this order: links, addresses, routes, neighbours, rules.
 */
#ifndef MOAT_ABI_NETWORK_H
#define MOAT_ABI_NETWORK_H

#include "moat/control.h"

#define MOAT_NET_LINKS_MAX      8u
#define MOAT_NET_ADDRESSES_MAX  128u
#define MOAT_NET_ROUTES_MAX     256u
#define MOAT_NET_NEIGHBOURS_MAX 256u
#define MOAT_NET_RULES_MAX      64u
#define MOAT_NET_METRICS        18u /* RTAX_MAX + 1 of Linux 6.1 */

/* A locally administered address: "\2moat". */
#define MOAT_NET_DEVICE_MAC                                                                        \
    { 0x02, 0x6d, 0x6f, 0x61, 0x74, 0x00 }

/* What an address, a route or a neighbour belongs to, apart from a link's number. */
#define MOAT_NET_LOOPBACK 0xfffffffeu
#define MOAT_NET_NO_LINK  0xffffffffu

#define MOAT_NET_NAME_MAX 16u /* IFNAMSIZ */

#define MOAT_NET_LINK_NOARP     1u
#define MOAT_NET_LINK_NO_IPV6   2u /* net.ipv6.conf.NAME.disable_ipv6 */
#define MOAT_NET_LINK_PROMISC   4u
#define MOAT_NET_LINK_ALLMULTI  8u
#define MOAT_NET_LINK_MULTICAST 16u

struct moat_net_link {
    char name[MOAT_NET_NAME_MAX]; /* NUL-terminated, as all names here; "": there is none */
    uint8_t mac[6];
    uint16_t pad;
    uint32_t mtu;
    uint32_t flags; /* MOAT_NET_LINK_* */
    uint32_t queue_length;
    uint32_t pad2;
};

/* Which of the optional parts count; families are AF_INET (2) and AF_INET6 (10). */
#define MOAT_NET_HAVE_LOCAL     1u
#define MOAT_NET_HAVE_PEER      2u
#define MOAT_NET_HAVE_BROADCAST 4u

struct moat_net_address {
    uint32_t link;
    uint8_t family, prefix_len, scope, have; /* MOAT_NET_HAVE_* */
    uint32_t flags;                          /* IFA_F_* */
    uint32_t valid_s, preferred_s;
    uint32_t priority; /* of the route to its prefix, 0: the kernel's choice */
    uint8_t local[16], peer[16], broadcast[16];
    char label[MOAT_NET_NAME_MAX];
};

#define MOAT_NET_ROUTE_MORE      1u /* the next entry is one more next hop of the same route */
#define MOAT_NET_HAVE_PREFSRC    2u
#define MOAT_NET_HAVE_PRIORITY   4u
#define MOAT_NET_HAVE_PREFERENCE 8u

struct moat_net_route {
    uint32_t link;
    uint32_t flags;      /* MOAT_NET_ROUTE_MORE, MOAT_NET_HAVE_* */
    uint32_t hop_flags;  /* RTNH_F_* */
    uint32_t hop_weight; /* rtnh_hops */
    uint32_t table, priority;
    uint8_t family, dst_len, src_len, scope;
    uint8_t type, protocol, tos, preference;
    uint8_t via_family; /* of the gateway, 0: none */
    uint8_t pad[7];
    uint8_t dst[16], src[16], prefsrc[16], via[16];
    uint32_t metrics[MOAT_NET_METRICS]; /* by RTAX_*, 0: not set */
};

struct moat_net_neighbour {
    uint32_t link;
    uint8_t family, flags; /* NTF_* */
    uint16_t pad;
    uint8_t address[16];
    uint8_t mac[6];
    uint16_t pad2;
};

#define MOAT_NET_HAVE_MARK     1u
#define MOAT_NET_HAVE_GOTO     2u
#define MOAT_NET_HAVE_SUPPRESS 4u

/* linux/fib_rules.h */
struct moat_net_rule {
    uint32_t flags; /* FIB_RULE_* */
    uint32_t have;  /* MOAT_NET_HAVE_* */
    uint32_t table, priority;
    uint32_t mark, mark_mask, target, suppress_prefix_len;
    uint8_t family, dst_len, src_len, tos;
    uint8_t action, pad[3];
    uint8_t dst[16], src[16];
    char in[MOAT_NET_NAME_MAX], out[MOAT_NET_NAME_MAX];
};

struct moat_ctl_network {
    struct moat_ctl_header h;
    uint32_t link_count, address_count, route_count, neighbour_count, rule_count;
    uint32_t pad;
};

_Static_assert(sizeof(struct moat_ctl_network) == 40, "");
_Static_assert(sizeof(struct moat_net_link) == 40, "");
_Static_assert(sizeof(struct moat_net_address) == 88, "");
_Static_assert(sizeof(struct moat_net_route) == 176, "");
_Static_assert(sizeof(struct moat_net_neighbour) == 32, "");
_Static_assert(sizeof(struct moat_net_rule) == 104, "");
_Static_assert(sizeof(struct moat_ctl_network) + MOAT_NET_LINKS_MAX * sizeof(struct moat_net_link) +
                       MOAT_NET_ADDRESSES_MAX * sizeof(struct moat_net_address) +
                       MOAT_NET_ROUTES_MAX * sizeof(struct moat_net_route) +
                       MOAT_NET_NEIGHBOURS_MAX * sizeof(struct moat_net_neighbour) +
                       MOAT_NET_RULES_MAX * sizeof(struct moat_net_rule) <=
                   MOAT_CTL_MSG_MAX,
               "a record holds the largest network");

#endif
