/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of the loopback stack: ip(7), ipv6(7). */
#include "base/string.h"
#include "net/loop.h"

#include <asm/errno.h>

struct user_sockaddr_in {
    uint16_t family;
    uint16_t port; /* network order, as in the next one */
    uint8_t ip[4];
    uint8_t zero[8];
};

struct user_sockaddr_in6 {
    uint16_t family;
    uint16_t port;
    uint32_t flow_info;
    uint8_t ip[16];
    uint32_t scope_id;
};
#define SOCKADDR_IN6_LEN_OLD 24u /* RFC 2133: without the scope */

static const uint8_t g_v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

static uint16_t swap16(uint16_t v) {
    return (uint16_t)(v << 8 | v >> 8);
}

static bool ip_is_v4(const uint8_t ip[16]) {
    return memcmp(ip, g_v4_prefix, sizeof(g_v4_prefix)) == 0;
}

static void ip_set_v4(uint8_t out[16], const uint8_t v4[4]) {
    memcpy(out, g_v4_prefix, sizeof(g_v4_prefix));
    memcpy(out + 12, v4, 4);
}

bool loop_ip_is_any(const uint8_t ip[16]) {
    static const uint8_t any[16];
    return memcmp(ip, any, 16) == 0 || (ip_is_v4(ip) && memcmp(ip + 12, any, 4) == 0);
}

static int parse_v4(const struct sock_addr *in, struct loop_addr *out) {
    struct user_sockaddr_in a;
    if (in->len < sizeof(a)) {
        return -EINVAL;
    }
    memcpy(&a, in->u.bytes, sizeof(a));
    ip_set_v4(out->ip, a.ip);
    out->port = swap16(a.port);
    return 0;
}

static int parse_v6(const struct sock_addr *in, struct loop_addr *out) {
    struct user_sockaddr_in6 a = {0};
    if (in->len < SOCKADDR_IN6_LEN_OLD) {
        return -EINVAL;
    }
    memcpy(&a, in->u.bytes, MIN(in->len, sizeof(a)));
    memcpy(out->ip, a.ip, sizeof(a.ip));
    out->port = swap16(a.port);
    return 0;
}

int loop_addr_parse(const struct socket *s, const struct sock_addr *in, struct loop_addr *out) {
    if (in->u.family != s->family) {
        return in->len < sizeof(struct user_sockaddr_in) ? -EINVAL : -EAFNOSUPPORT;
    }
    return s->family == AF_INET ? parse_v4(in, out) : parse_v6(in, out);
}

void loop_addr_format(uint16_t family, const struct loop_addr *in, struct sock_addr *out) {
    if (family == AF_INET) {
        struct user_sockaddr_in a = {.family = AF_INET, .port = swap16(in->port)};
        memcpy(a.ip, in->ip + 12, sizeof(a.ip));
        out->len = sizeof(a);
        memcpy(out->u.bytes, &a, sizeof(a));
        return;
    }
    struct user_sockaddr_in6 a = {.family = AF_INET6, .port = swap16(in->port)};
    memcpy(a.ip, in->ip, sizeof(a.ip));
    out->len = sizeof(a);
    memcpy(out->u.bytes, &a, sizeof(a));
}

/* 127.0.0.0/8 and ::1. */
static bool ip_is_loopback(const uint8_t ip[16]) {
    static const uint8_t one[16] = {[15] = 1};
    return memcmp(ip, one, 16) == 0 || (ip_is_v4(ip) && ip[12] == 127);
}

int loop_route(const struct loop_sock *l, struct loop_addr *inout_remote, uint8_t out_source[16]) {
    static const uint8_t v4_loopback[4] = {127, 0, 0, 1};
    static const uint8_t v6_loopback[16] = {[15] = 1};
    bool v4 = ip_is_v4(inout_remote->ip);
    if (v4 && l->v6_only) {
        return -ENETUNREACH;
    }
    if (loop_ip_is_any(inout_remote->ip)) { /* the unspecified address means this host: ip(7) */
        if (v4) {
            ip_set_v4(inout_remote->ip, v4_loopback);
        } else {
            memcpy(inout_remote->ip, v6_loopback, 16);
        }
    }
    if (!ip_is_loopback(inout_remote->ip)) {
        return -ENETUNREACH;
    }
    if (!loop_ip_is_any(l->local.ip)) {
        if (ip_is_v4(l->local.ip) != v4) {
            return -EINVAL;
        }
        memcpy(out_source, l->local.ip, 16);
    } else if (v4) {
        ip_set_v4(out_source, v4_loopback);
    } else {
        memcpy(out_source, v6_loopback, 16);
    }
    return 0;
}
