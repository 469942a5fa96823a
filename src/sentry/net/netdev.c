/* SPDX-License-Identifier: Apache-2.0 */
/* The table of interfaces and the ioctls that ask for it: netdevice(7). */
#include "net/netdev.h"

#include "base/string.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "net/sockabi.h"
#include "net/socket.h"

#include <asm/errno.h>
#include <linux/sockios.h>

#define IFF_UP       0x1u
#define IFF_LOOPBACK 0x8u
#define IFF_RUNNING  0x40u
#define IFF_LOWER_UP 0x10000u
#define SCOPE_HOST   254u /* RT_SCOPE_HOST */
#define HW_LOOPBACK  772u /* ARPHRD_LOOPBACK */

static const struct netdev g_netdevs[] = {
    {
        .index = 1,
        .name = "lo",
        .hw_type = HW_LOOPBACK,
        .flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_LOWER_UP,
        .mtu = 65536,
        .tx_queue_len = 1000,
        .addrs = {{AF_INET, 8, SCOPE_HOST, {127, 0, 0, 1}},
                  {AF_INET6, 128, SCOPE_HOST, {[15] = 1}}},
    },
};

const struct netdev *netdev_at(uint32_t n) {
    return n < ARRAY_COUNT(g_netdevs) ? &g_netdevs[n] : NULL;
}

const struct netdev *netdev_by_index(int32_t index) {
    for (uint32_t i = 0; i < ARRAY_COUNT(g_netdevs); i++) {
        if (g_netdevs[i].index == index) {
            return &g_netdevs[i];
        }
    }
    return NULL;
}

const struct netdev *netdev_by_name(const char *name) {
    for (uint32_t i = 0; i < ARRAY_COUNT(g_netdevs); i++) {
        if (strncmp(g_netdevs[i].name, name, NETDEV_NAME_MAX) == 0) {
            return &g_netdevs[i];
        }
    }
    return NULL;
}

/* ---- ioctls ----------------------------------------------------------------------------- */

struct user_ifreq {
    char name[NETDEV_NAME_MAX];
    union {
        struct {
            uint16_t family;
            uint16_t port;
            uint8_t addr[4];
            uint8_t pad[8];
        } in;
        struct {
            uint16_t family;
            uint8_t bytes[14];
        } hw;
        int32_t value;
        int16_t flags;
        uint8_t bytes[24];
    } u;
};
_Static_assert(sizeof(struct user_ifreq) == 40, "struct ifreq is 40 bytes");

struct user_ifconf {
    int32_t len;
    int32_t pad;
    uint64_t buf;
};

static const struct netdev_addr *netdev_inet_addr(const struct netdev *dev) {
    for (uint32_t i = 0; i < NETDEV_ADDRS_MAX; i++) {
        if (dev->addrs[i].family == AF_INET) {
            return &dev->addrs[i];
        }
    }
    return NULL;
}

static int netdev_fill_addr(const struct netdev *dev, uint32_t request, struct user_ifreq *r) {
    const struct netdev_addr *addr = netdev_inet_addr(dev);
    if (addr == NULL) {
        return -EADDRNOTAVAIL;
    }
    memset(&r->u, 0, sizeof(r->u));
    r->u.in.family = AF_INET;
    uint32_t mask = addr->prefix_len == 0 ? 0 : ~0u << (32 - addr->prefix_len);
    for (uint32_t i = 0; i < 4; i++) {
        uint8_t mask_byte = (uint8_t)(mask >> (24 - 8 * i));
        switch (request) {
        case SIOCGIFNETMASK:
            r->u.in.addr[i] = mask_byte;
            break;
        case SIOCGIFBRDADDR:
            r->u.in.addr[i] =
                (dev->flags & IFF_LOOPBACK) != 0 ? 0 : (uint8_t)(addr->bytes[i] | ~mask_byte);
            break;
        default:
            r->u.in.addr[i] = addr->bytes[i];
            break;
        }
    }
    return 0;
}

static int64_t netdev_conf(struct uaddr arg) {
    struct user_ifconf conf;
    int err = copyin(&conf, arg, sizeof(conf));
    if (err != 0) {
        return err;
    }
    int32_t used = 0;
    const struct netdev *dev;
    for (uint32_t n = 0; (dev = netdev_at(n)) != NULL; n++) {
        struct user_ifreq r = {0};
        memcpy(r.name, dev->name, sizeof(r.name));
        if (netdev_fill_addr(dev, SIOCGIFADDR, &r) != 0) {
            continue;
        }
        if (conf.buf != 0 && conf.len - used < (int32_t)sizeof(r)) {
            break;
        }
        err = conf.buf != 0 ? copyout(uaddr_of(conf.buf + (uint64_t)used), &r, sizeof(r)) : 0;
        if (err != 0) {
            return err;
        }
        used += (int32_t)sizeof(r);
    }
    conf.len = used;
    return copyout(arg, &conf, sizeof(conf));
}

static int netdev_fill(const struct netdev *dev, uint32_t request, struct user_ifreq *r) {
    switch (request) {
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
        return netdev_fill_addr(dev, request, r);
    case SIOCGIFFLAGS:
        r->u.flags = (int16_t)dev->flags;
        return 0;
    case SIOCGIFMETRIC:
        r->u.value = 0;
        return 0;
    case SIOCGIFMTU:
        r->u.value = (int32_t)dev->mtu;
        return 0;
    case SIOCGIFINDEX:
        r->u.value = dev->index;
        return 0;
    case SIOCGIFTXQLEN:
        r->u.value = (int32_t)dev->tx_queue_len;
        return 0;
    case SIOCGIFHWADDR:
        memset(&r->u, 0, sizeof(r->u));
        r->u.hw.family = dev->hw_type;
        memcpy(r->u.hw.bytes, dev->hw_addr, sizeof(dev->hw_addr));
        return 0;
    case SIOCGIFNAME:
        memcpy(r->name, dev->name, sizeof(r->name));
        return 0;
    default:
        return -ENOTTY;
    }
}

static bool netdev_is_setter(uint32_t request) {
    switch (request) {
    case SIOCSIFFLAGS:
    case SIOCSIFADDR:
    case SIOCSIFNETMASK:
    case SIOCSIFBRDADDR:
    case SIOCSIFMTU:
    case SIOCSIFNAME:
    case SIOCSIFHWADDR:
    case SIOCSIFTXQLEN:
    case SIOCADDRT:
    case SIOCDELRT:
        return true;
    default:
        return false;
    }
}

int64_t netdev_ioctl(uint32_t request, struct uaddr arg) {
    if (request == SIOCGIFCONF) {
        return netdev_conf(arg);
    }
    if (netdev_is_setter(request)) {
        return -EPERM;
    }
    if (request < SIOCGIFNAME || request > SIOCGIFTXQLEN) {
        return -ENOTTY;
    }
    struct user_ifreq r;
    int err = copyin(&r, arg, sizeof(r));
    if (err != 0) {
        return err;
    }
    r.name[sizeof(r.name) - 1] = 0;
    const struct netdev *dev =
        request == SIOCGIFNAME ? netdev_by_index(r.u.value) : netdev_by_name(r.name);
    if (dev == NULL) {
        return -ENODEV;
    }
    err = netdev_fill(dev, request, &r);
    return err != 0 ? err : copyout(arg, &r, sizeof(r));
}
