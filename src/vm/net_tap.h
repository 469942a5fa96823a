/* SPDX-License-Identifier: Apache-2.0 */
/* A tap device for an interface, and the traffic between them. */
#ifndef MOAT_VM_NET_TAP_H
#define MOAT_VM_NET_TAP_H

#include "host/err.h"
#include "moat/network.h"

/*
 * Makes a tap device in the caller's network namespace and leads all traffic between it and the
 * interface `index`; its descriptor, close-on-exec, or -errno and nothing left.  -EBUSY: a machine
 * is there already.
 */
must_check int net_tap_open(int netlink, int index, const struct moat_net_link *link,
                            struct err *err);
/* Gives the interface back to its namespace, unless a machine that lives has it. */
void net_tap_clear(int netlink, int index);

#endif
