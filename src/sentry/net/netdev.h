/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network interfaces as programs see them: netdevice(7), rtnetlink(7).  For now the loopback alone;
 * a network stack adds its interfaces to the table.
 */
#ifndef MOAT_SENTRY_NETDEV_H
#define MOAT_SENTRY_NETDEV_H

#include "base/types.h"

#define NETDEV_NAME_MAX  16u
#define NETDEV_ADDRS_MAX 4u

struct netdev_addr {
    uint16_t family; /* AF_INET: 4 bytes, AF_INET6: 16 bytes; 0: unused */
    uint8_t prefix_len;
    uint8_t scope; /* RT_SCOPE_* */
    uint8_t bytes[16];
};

struct netdev {
    int32_t index;
    char name[NETDEV_NAME_MAX];
    uint16_t hw_type; /* ARPHRD_* */
    uint32_t flags;   /* IFF_* */
    uint32_t mtu;
    uint32_t tx_queue_len;
    uint8_t hw_addr[6];
    struct netdev_addr addrs[NETDEV_ADDRS_MAX];
};

/* The n-th interface from 0, or NULL at the end. */
const struct netdev *netdev_at(uint32_t n);
const struct netdev *netdev_by_index(int32_t index);
const struct netdev *netdev_by_name(const char *name);

#endif
