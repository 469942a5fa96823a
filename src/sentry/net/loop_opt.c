/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of IPPROTO_IP, IPPROTO_TCP and IPPROTO_IPV6 on the loopback: tcp(7), ip(7), ipv6(7).
 * Nearly all of them tune packets, of which there are none: their values are kept and given back.
 */
#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "net/loop.h"

#include <asm/errno.h>
#include <asm/ioctls.h>

/* Numbers of the options that are more than a kept value. */
enum {
    OPT_TCP_MAXSEG = 2,
    OPT_TCP_KEEPIDLE = 4,
    OPT_TCP_KEEPINTVL = 5,
    OPT_TCP_KEEPCNT = 6,
    OPT_TCP_INFO = 11,
    OPT_TCP_QUICKACK = 12,
    OPT_TCP_CONGESTION = 13,
    OPT_TCP_MD5SIG = 14,
    OPT_TCP_ULP = 31,
    OPT_IP_TTL = 2,
    OPT_IP_MTU = 14,
    OPT_IP_MULTICAST_TTL = 33,
    OPT_IP_MULTICAST_LOOP = 34,
    OPT_IP_ADD_MEMBERSHIP = 35,
    OPT_IP_DROP_MEMBERSHIP = 36,
    OPT_IPV6_UNICAST_HOPS = 16,
    OPT_IPV6_ADD_MEMBERSHIP = 20,
    OPT_IPV6_DROP_MEMBERSHIP = 21,
    OPT_IPV6_MTU = 24,
    OPT_IPV6_V6ONLY = 26,
};

#define LOOP_MTU 65536

/* Index of a level in loop_sock.options, or -1. */
static int option_slot(const struct socket *s, int level) {
    switch (level) {
    case IPPROTO_IP:
        return 0;
    case IPPROTO_TCP:
        return s->protocol == IPPROTO_TCP ? 1 : -1;
    case IPPROTO_IPV6:
        return s->family == AF_INET6 ? 2 : -1;
    default:
        return -1;
    }
}

void loop_options_free(struct loop_sock *l) {
    for (uint32_t i = 0; i < ARRAY_COUNT(l->options); i++) {
        kfree(l->options[i]);
    }
}

static int32_t option_default(int level, int name) {
    if (level == IPPROTO_TCP) {
        switch (name) {
        case OPT_TCP_MAXSEG:
            return 65483;
        case OPT_TCP_KEEPIDLE:
            return 7200;
        case OPT_TCP_KEEPINTVL:
            return 75;
        case OPT_TCP_KEEPCNT:
            return 9;
        case OPT_TCP_QUICKACK:
            return 1;
        default:
            return 0;
        }
    }
    if (level == IPPROTO_IP) {
        switch (name) {
        case OPT_IP_TTL:
            return 64;
        case OPT_IP_MTU:
            return LOOP_MTU;
        case OPT_IP_MULTICAST_TTL:
        case OPT_IP_MULTICAST_LOOP:
            return 1;
        default:
            return 0;
        }
    }
    switch (name) {
    case OPT_IPV6_UNICAST_HOPS:
        return 64;
    case OPT_IPV6_MTU:
        return LOOP_MTU;
    default:
        return 0;
    }
}

static int option_store(struct loop_sock *l, int slot, int level, int name, int32_t value) {
    int err = 0;
    mutex_lock(&l->bind_mutex);
    if (l->options[slot] == NULL) {
        int32_t *values = kcalloc(LOOP_OPTIONS, sizeof(*values));
        for (uint32_t i = 0; values != NULL && i < LOOP_OPTIONS; i++) {
            values[i] = option_default(level, (int)i);
        }
        l->options[slot] = values;
    }
    if (l->options[slot] == NULL) {
        err = -ENOMEM;
    } else {
        l->options[slot][name] = value;
    }
    mutex_unlock(&l->bind_mutex);
    return err;
}

static int option_set_v6_only(struct loop_sock *l, int32_t value) {
    int err = 0;
    spin_lock(&g_loop_lock);
    if (l->local.port != 0) {
        err = -EINVAL;
    } else {
        l->v6_only = value != 0;
    }
    spin_unlock(&g_loop_lock);
    return err;
}

static bool option_refused(int level, int name) {
    switch (level) {
    case IPPROTO_TCP:
        return name == OPT_TCP_MD5SIG || name == OPT_TCP_ULP;
    case IPPROTO_IP:
        return name == OPT_IP_ADD_MEMBERSHIP || name == OPT_IP_DROP_MEMBERSHIP;
    default:
        return name == OPT_IPV6_ADD_MEMBERSHIP || name == OPT_IPV6_DROP_MEMBERSHIP;
    }
}

int loop_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len) {
    int slot = option_slot(s, level);
    if (slot < 0 || name < 0 || name >= (int)LOOP_OPTIONS) {
        return -ENOPROTOOPT;
    }
    if (option_refused(level, name)) {
        return level == IPPROTO_TCP ? -ENOPROTOOPT : -ENODEV; /* no interface takes multicast */
    }
    if (level == IPPROTO_TCP && name == OPT_TCP_CONGESTION) {
        return len >= 4 && memcmp(value, "reno", 4) != 0 &&
                       (len < 5 || memcmp(value, "cubic", 5) != 0)
                   ? -ENOENT
                   : 0;
    }
    int32_t number;
    if (len >= sizeof(number)) {
        memcpy(&number, value, sizeof(number));
    } else if (len >= 1 && level == IPPROTO_IP) {
        number = *(const uint8_t *)value; /* ip(7): a byte will do */
    } else {
        return -EINVAL;
    }
    if (level == IPPROTO_TCP &&
        (name == OPT_TCP_KEEPIDLE || name == OPT_TCP_KEEPINTVL || name == OPT_TCP_KEEPCNT) &&
        (number < 1 || number > 32767)) {
        return -EINVAL;
    }
    if (level == IPPROTO_IPV6 && name == OPT_IPV6_V6ONLY) {
        return option_set_v6_only(loop_of(s), number);
    }
    return option_store(loop_of(s), slot, level, name, number);
}

static int option_give(void *value, uint32_t *inout_len, const void *data, uint32_t len) {
    *inout_len = MIN(*inout_len, len);
    memcpy(value, data, *inout_len);
    return 0;
}

static int option_get_info(struct socket *s, void *value, uint32_t *inout_len) {
    uint8_t info[232] = {0}; /* struct tcp_info; its first byte is the state */
    uint32_t state = atomic_load(&s->state);
    info[0] = state == SOCK_CONNECTED ? 1 : (state == SOCK_LISTENING ? 10 : 7);
    return option_give(value, inout_len, info, sizeof(info));
}

int loop_getsockopt(struct socket *s, int level, int name, void *value, uint32_t *inout_len) {
    struct loop_sock *l = loop_of(s);
    int slot = option_slot(s, level);
    if (slot < 0 || name < 0 || name >= (int)LOOP_OPTIONS || option_refused(level, name)) {
        return -ENOPROTOOPT;
    }
    if (level == IPPROTO_TCP && name == OPT_TCP_INFO) {
        return option_get_info(s, value, inout_len);
    }
    if (level == IPPROTO_TCP && name == OPT_TCP_CONGESTION) {
        char cubic[16] = "cubic";
        return option_give(value, inout_len, cubic, sizeof(cubic));
    }
    int32_t number;
    if (level == IPPROTO_IPV6 && name == OPT_IPV6_V6ONLY) {
        number = l->v6_only;
    } else {
        mutex_lock(&l->bind_mutex);
        number = l->options[slot] != NULL ? l->options[slot][name] : option_default(level, name);
        mutex_unlock(&l->bind_mutex);
    }
    return option_give(value, inout_len, &number, sizeof(number));
}

int64_t loop_ioctl(struct socket *s, uint32_t request, struct uaddr arg) {
    int32_t value;
    switch (request) {
    case FIONREAD:
        if (atomic_load(&s->state) == SOCK_LISTENING) {
            return -EINVAL;
        }
        spin_lock(&s->lock);
        value = (int32_t)s->rx_bytes;
        if (s->type == SOCK_DGRAM) {
            value =
                list_empty(&s->rx) ? 0 : (int32_t)list_first(&s->rx, struct sock_buf, link)->len;
        }
        spin_unlock(&s->lock);
        break;
    case TIOCOUTQ:
        value = (int32_t)atomic_load(&s->tx_charge);
        break;
    default:
        return -ENOTTY;
    }
    return copyout(arg, &value, sizeof(value));
}
