/* SPDX-License-Identifier: Apache-2.0 */
/* Tap devices of machines, and the traffic between them and interfaces. */
#ifndef MOAT_VM_NET_TAP_H
#define MOAT_VM_NET_TAP_H

#include "host/err.h"
#include "moat/network.h"

#include <sys/types.h>

/* Makes a tap device in the caller's network namespace: its descriptor, close-on-exec, or -errno.
 */
must_check int net_tap_open(int netlink, uid_t owner, int *out_index, struct err *err);
/* Leads all traffic between it and the interface `index`.  -EBUSY: a machine has that already. */
must_check int net_tap_join(int netlink, int tap, int index, const struct moat_net_link *link,
                            struct err *err);
/* 0 or -errno; both sides of a tap have the same. */
must_check int net_tap_mtu(int netlink, int tap, uint32_t mtu);
/* Gives the interface back to its namespace, unless a machine has it that is not the owner's. */
void net_tap_clear(int netlink, int index, uid_t owner);

#endif
