/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's network between the two files that set it: a record, and the devices. */
#ifndef MOAT_AGENT_NET_H
#define MOAT_AGENT_NET_H

#include "host/err.h"
#include "moat/network.h"

/* A record that was checked, with pointers into it. */
struct net {
    int fd;
    const struct moat_ctl_network *fixed;
    const struct moat_net_link *links;
    const struct moat_net_address *addresses;
    const struct moat_net_route *routes;
    const struct moat_net_neighbour *neighbours;
    const struct moat_net_rule *rules;
    bool own_link_local[MOAT_NET_LINKS_MAX];
};

/* net_links.c: makes interfaces of the devices that the record wants, sets them up, and takes back
 * the others; 0 or -errno with *err. */
must_check int net_set_links(struct net *n, struct err *err);
/* Waits a moment for those that cannot send yet; `watch` is bound to RTMGRP_LINK. */
void net_await_carriers(const struct net *n, int watch);
/* The index of a link of the record, 0: none. */
uint32_t net_index_of(const struct net *n, uint32_t link);

#endif
