/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink.h.  Sources: netlink(7), rtnetlink(7), linux/netlink.h, linux/rtnetlink.h. */
#include "host/netlink.h"

#include "host/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define REPLY_MAX 65536u

int netlink_open(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return fd >= 0 ? fd : -errno;
}

void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, size_t body) {
    memset(r, 0, sizeof(*r));
    r->h.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
    r->h.nlmsg_type = type;
    r->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    r->h.nlmsg_seq = 1;
}

void netlink_attach(struct netlink_request *r, uint16_t type, const void *value, size_t len) {
    size_t at = NLMSG_ALIGN(r->h.nlmsg_len);
    size_t whole = RTA_ALIGN(RTA_LENGTH(len));
    if (r->overflow || len > sizeof(r->attributes) ||
        at + whole > offsetof(struct netlink_request, overflow)) {
        r->overflow = true;
        return;
    }
    struct rtattr *a = (struct rtattr *)(void *)((char *)r + at);
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(len);
    if (len > 0) {
        memcpy(RTA_DATA(a), value, len);
    }
    r->h.nlmsg_len = (uint32_t)(at + whole);
}

void netlink_attach_u32(struct netlink_request *r, uint16_t type, uint32_t value) {
    netlink_attach(r, type, &value, sizeof(value));
}

size_t netlink_nest(struct netlink_request *r, uint16_t type) {
    size_t mark = NLMSG_ALIGN(r->h.nlmsg_len);
    netlink_attach(r, type, NULL, 0);
    return mark;
}

void netlink_nest_end(struct netlink_request *r, size_t mark) {
    if (!r->overflow) {
        struct rtattr *a = (struct rtattr *)(void *)((char *)r + mark);
        a->rta_len = (uint16_t)(r->h.nlmsg_len - mark);
    }
}

int netlink_ask(int fd, struct netlink_request *r) {
    _Alignas(8) char buf[4096];
    r->h.nlmsg_flags |= NLM_F_ACK;
    if (r->overflow) {
        return -EMSGSIZE;
    }
    if (send(fd, r, r->h.nlmsg_len, 0) < 0) {
        return -errno;
    }
    ssize_t n = recv(fd, buf, sizeof(buf), 0);
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)buf;
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || h->nlmsg_type != NLMSG_ERROR) {
        return n < 0 ? -errno : -EPROTO;
    }
    return ((const struct nlmsgerr *)netlink_body(h))->error;
}

/* One datagram of a dump: 1 when it was the last, 0 when more follow, or -errno. */
static int take_part(char *buf, int left, uint16_t wanted, netlink_each_fn *each, void *arg) {
    int e = 0;
    for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)buf; NLMSG_OK(h, left);
         h = NLMSG_NEXT(h, left)) {
        e = (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0 ? -EINTR : e;
        if (h->nlmsg_type == NLMSG_DONE) {
            return e != 0 ? e : 1;
        }
        if (h->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *error = netlink_body(h);
            return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*error)) && error->error < 0 ? error->error
                                                                                    : -EPROTO;
        }
        if (h->nlmsg_type == wanted) {
            each(arg, h);
        }
    }
    return e;
}

int netlink_dump(int fd, struct netlink_request *r, uint16_t wanted, netlink_each_fn *each,
                 void *arg) {
    cleanup_free char *buf = malloc(REPLY_MAX);
    bool interrupted = false;
    int e = 0;
    r->h.nlmsg_flags |= NLM_F_DUMP;
    if (buf == NULL || r->overflow) {
        return buf == NULL ? -ENOMEM : -EMSGSIZE;
    }
    if (send(fd, r, r->h.nlmsg_len, 0) < 0) {
        return -errno;
    }
    while (e == 0) {
        ssize_t n = recv(fd, buf, REPLY_MAX, MSG_TRUNC);
        if (n < 0 || n > (ssize_t)REPLY_MAX) {
            return n < 0 ? -errno : -EMSGSIZE;
        }
        e = take_part(buf, (int)n, wanted, each, arg);
        interrupted = interrupted || e == -EINTR;
        e = e == -EINTR ? 0 : e; /* the rest has to be read all the same */
        if (n == 0) {
            return -EPROTO;
        }
    }
    return e < 0 ? e : interrupted ? -EINTR : 0;
}

void netlink_list(const struct rtattr *a, int left, const struct rtattr **out, size_t count) {
    memset(out, 0, count * sizeof(*out));
    while (RTA_OK(a, left)) {
        size_t type = a->rta_type & NLA_TYPE_MASK;
        if (type < count) {
            out[type] = a;
        }
        int whole = (int)RTA_ALIGN(a->rta_len);
        left -= whole;
        a = (const struct rtattr *)(const void *)((const char *)a + whole);
    }
}

bool netlink_attributes(const struct nlmsghdr *h, size_t body, const struct rtattr **out,
                        size_t count) {
    if (h->nlmsg_len < NLMSG_SPACE(body)) {
        memset(out, 0, count * sizeof(*out));
        return h->nlmsg_len >= NLMSG_LENGTH(body);
    }
    const char *at = (const char *)h + NLMSG_SPACE(body);
    netlink_list((const struct rtattr *)(const void *)at, (int)(h->nlmsg_len - NLMSG_SPACE(body)),
                 out, count);
    return true;
}

void netlink_nested(const struct rtattr *from, const struct rtattr **out, size_t count) {
    netlink_list(from != NULL ? netlink_payload(from) : NULL,
                 from != NULL ? (int)RTA_PAYLOAD(from) : 0, out, count);
}

uint32_t netlink_u32(const struct rtattr *a, uint32_t otherwise) {
    uint32_t value = otherwise;
    if (a != NULL && RTA_PAYLOAD(a) == sizeof(value)) {
        memcpy(&value, netlink_payload(a), sizeof(value));
    }
    return value;
}

size_t netlink_bytes(const struct rtattr *a, void *out, size_t max) {
    size_t len = a != NULL ? RTA_PAYLOAD(a) : 0;
    if (len == 0 || len > max) {
        return 0;
    }
    memcpy(out, netlink_payload(a), len);
    return len;
}
