/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of rtnetlink(7) and what the kernel answers.  Answers come from the kernel alone (the
 * socket is not bound to a group, and netlink sockets of others cannot send to it), and are checked
 * for their lengths all the same.
 */
#ifndef MOAT_HOST_NETLINK_H
#define MOAT_HOST_NETLINK_H

#include "base/types.h"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

struct netlink_request {
    struct nlmsghdr h;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg address;
        struct rtmsg route;
        struct ndmsg neighbour;
        struct tcmsg traffic;
        struct fib_rule_hdr rule;
    };
    char attributes[1000];
    bool overflow; /* an attribute did not fit: the request is refused */
};

/* A socket in the caller's network namespace, or -errno. */
must_check int netlink_open(void);
/* An empty request; `body` is the size of the union's member in use. */
void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, size_t body);
void netlink_attach(struct netlink_request *r, uint16_t type, const void *value, size_t len);
void netlink_attach_u32(struct netlink_request *r, uint16_t type, uint32_t value);
/* What is attached until the end is inside; the mark is for the end. */
must_check size_t netlink_nest(struct netlink_request *r, uint16_t type);
void netlink_nest_end(struct netlink_request *r, size_t mark);
/* Sends it (NLM_F_ACK is added) and waits for the acknowledgement: 0 or -errno. */
must_check int netlink_ask(int fd, struct netlink_request *r);

/* What is behind the header, for reading alone. */
static inline const void *netlink_body(const struct nlmsghdr *h) {
    return (const char *)h + NLMSG_HDRLEN;
}
static inline const void *netlink_payload(const struct rtattr *a) {
    return (const char *)a + RTA_LENGTH(0);
}

typedef void netlink_each_fn(void *arg, const struct nlmsghdr *h);
/* Sends it as a dump and calls `each` for every message of type `wanted` in the answer; -EINTR when
 * what is dumped changed meanwhile: what was gathered is to be thrown away. */
must_check int netlink_dump(int fd, struct netlink_request *r, uint16_t wanted,
                            netlink_each_fn *each, void *arg);

/*
 * The attributes behind a body of `body` bytes, by type: out[type] or NULL, `count` elements.
 * False when the message is shorter than the body.
 */
must_check bool netlink_attributes(const struct nlmsghdr *h, size_t body, const struct rtattr **out,
                                   size_t count);
/* Likewise those inside an attribute; NULL has none. */
void netlink_nested(const struct rtattr *from, const struct rtattr **out, size_t count);
/* Likewise of a bare list of `left` bytes. */
void netlink_list(const struct rtattr *a, int left, const struct rtattr **out, size_t count);
/* The payload as a number, or `otherwise` where it is none of that size. */
uint32_t netlink_u32(const struct rtattr *a, uint32_t otherwise);
/* Copies at most `max` bytes; how many, 0 without the attribute or when it is longer. */
size_t netlink_bytes(const struct rtattr *a, void *out, size_t max);

#endif
