/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network namespace of the host has that a virtual machine in its place needs: interfaces
 * that are up, addresses, routes, permanent neighbours and rules.  What the guest's kernel makes or
 * learns by itself (local routes, router advertisements) is left out.
 */
#ifndef MOAT_VM_NET_SCAN_H
#define MOAT_VM_NET_SCAN_H

#include "host/err.h"
#include "moat/network.h"

#define NET_TAP_NAME "moat" /* a machine's taps are called so, with a number */

struct net_plan {
    uint32_t link_count, address_count, route_count, neighbour_count, rule_count;
    int index[MOAT_NET_LINKS_MAX]; /* of the interfaces, in the namespace */
    int loopback;                  /* its index */
    bool too_many;                 /* more than a record holds */
    char left_out[512];            /* what a machine cannot have, for people; may be empty */
    struct moat_net_link links[MOAT_NET_LINKS_MAX];
    struct moat_net_address addresses[MOAT_NET_ADDRESSES_MAX];
    struct moat_net_route routes[MOAT_NET_ROUTES_MAX];
    struct moat_net_neighbour neighbours[MOAT_NET_NEIGHBOURS_MAX];
    struct moat_net_rule rules[MOAT_NET_RULES_MAX];
};

/* Reads the caller's network namespace; `netlink` is a socket in it. */
must_check int net_scan(int netlink, struct net_plan *out, struct err *err);
/* Puts link I at number to[I], below `count`, with all that belongs to it; what belongs to one with
 * to[I] < 0 goes. */
void net_plan_place(struct net_plan *plan, const int *to, uint32_t count);
void net_plan_leave_out(struct net_plan *plan, const char *name, const char *why);
/* The plan as a record; *out is the caller's to free. */
must_check int net_record(const struct net_plan *plan, uint32_t request_id, void **out,
                          size_t *out_len);

#endif
