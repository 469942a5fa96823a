/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_NETLINK, NETLINK_ROUTE: answers the questions of getifaddrs(3), if_nametoindex(3) and ip(8)
 * about interfaces and addresses.  netlink(7), rtnetlink(7).  Changes are refused: EPERM.
 *
 * Requests are copied once into a buffer of bounded size; replies go to the asker's own receive
 * queue, which pays for them.
 */
#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "net/netdev.h"
#include "net/socket.h"

#include <asm/errno.h>
#include <asm/ioctls.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#define NETLINK_REQUEST_MAX 8192u
#define NETLINK_REPLY_MAX   2048u

struct netlink_sock {
    struct socket s;
    struct list
        link; /* in g_netlink_bound when bound; guarded by g_netlink_lock, as the next two */
    uint32_t port;
    uint32_t groups;
};

static struct spinlock g_netlink_lock = SPINLOCK_INIT(RANK_FILES);
static struct list g_netlink_bound = {&g_netlink_bound, &g_netlink_bound};
static uint32_t g_netlink_next_port = 0xffffffffu; /* for a process's second socket: counts down */

static struct netlink_sock *netlink_of(struct socket *s) {
    return container_of(s, struct netlink_sock, s);
}

/* ---- addresses -------------------------------------------------------------------------- */

static bool netlink_port_used(uint32_t port) {
    struct netlink_sock *n;
    list_for_each_entry (n, &g_netlink_bound, link) {
        if (n->port == port) {
            return true;
        }
    }
    return false;
}

/* Under g_netlink_lock.  The first socket of a process has its pid as port: netlink(7). */
static uint32_t netlink_free_port(void) {
    uint32_t port = (uint32_t)current->process->pid;
    while (netlink_port_used(port) || port == 0) {
        port = g_netlink_next_port--;
    }
    return port;
}

static int netlink_set_port(struct netlink_sock *n, uint32_t port, uint32_t groups) {
    int err = 0;
    spin_lock(&g_netlink_lock);
    if (!list_empty(&n->link)) {
        err = port != 0 && port != n->port ? -EINVAL : 0;
    } else if (port != 0 && netlink_port_used(port)) {
        err = -EADDRINUSE;
    } else {
        n->port = port != 0 ? port : netlink_free_port();
        list_push_back(&g_netlink_bound, &n->link);
    }
    if (err == 0) {
        n->groups = groups;
    }
    spin_unlock(&g_netlink_lock);
    return err;
}

static int netlink_check_addr(const struct sock_addr *addr, struct sockaddr_nl *out) {
    if (addr->len < sizeof(*out) || addr->u.family != AF_NETLINK) {
        return -EINVAL;
    }
    memcpy(out, addr->u.bytes, sizeof(*out));
    return 0;
}

static int netlink_bind(struct socket *s, const struct sock_addr *addr) {
    struct sockaddr_nl nl;
    int err = netlink_check_addr(addr, &nl);
    return err != 0 ? err : netlink_set_port(netlink_of(s), nl.nl_pid, nl.nl_groups);
}

static int netlink_connect(struct socket *s, const struct sock_addr *addr, uint32_t flags) {
    struct sockaddr_nl nl;
    int err = netlink_check_addr(addr, &nl);
    if (err == 0 && (nl.nl_pid != 0 || nl.nl_groups != 0)) {
        err = -ECONNREFUSED; /* the kernel is the only one to talk to */
    }
    return err != 0 ? err : netlink_set_port(netlink_of(s), 0, netlink_of(s)->groups);
}

static int netlink_getname(struct socket *s, bool peer, struct sock_addr *out) {
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
    if (!peer) {
        nl.nl_pid = netlink_of(s)->port;
        nl.nl_groups = netlink_of(s)->groups;
    }
    out->len = sizeof(nl);
    memcpy(out->u.bytes, &nl, sizeof(nl));
    return 0;
}

/* ---- replies ---------------------------------------------------------------------------- */

/* One datagram being written: messages one after the other. */
struct netlink_reply {
    uint32_t len;
    uint32_t start; /* of the message being written */
    bool full;
    uint8_t bytes[NETLINK_REPLY_MAX];
};

static void *reply_reserve(struct netlink_reply *r, uint32_t len) {
    uint32_t padded = ALIGN_UP(len, 4u);
    if (sizeof(r->bytes) - r->len < padded) {
        r->full = true;
        return NULL;
    }
    void *at = r->bytes + r->len;
    memset(at, 0, padded);
    r->len += padded;
    return at;
}

/* Begins a message with its fixed part; NULL when it does not fit. */
static void *reply_begin(struct netlink_reply *r, const struct nlmsghdr *request, uint32_t port,
                         uint16_t type, uint16_t flags, uint32_t fixed_len) {
    r->start = r->len;
    struct nlmsghdr *h = reply_reserve(r, sizeof(*h));
    void *fixed = h == NULL ? NULL : reply_reserve(r, fixed_len);
    if (fixed == NULL) {
        return NULL;
    }
    h->nlmsg_type = type;
    h->nlmsg_flags = flags;
    h->nlmsg_seq = request->nlmsg_seq;
    h->nlmsg_pid = port;
    return fixed;
}

static void reply_attr(struct netlink_reply *r, uint16_t type, const void *data, uint32_t len) {
    struct rtattr *a = reply_reserve(r, (uint32_t)sizeof(*a) + len);
    if (a != NULL) {
        a->rta_type = type;
        a->rta_len = (uint16_t)(sizeof(*a) + len);
        memcpy(a + 1, data, len);
    }
}

static void reply_end(struct netlink_reply *r) {
    struct nlmsghdr *h = (void *)(r->bytes + r->start);
    h->nlmsg_len = r->len - r->start;
}

/* Puts the datagram on the asker's queue. */
static int reply_send(struct netlink_sock *n, struct netlink_reply *r) {
    struct sock_addr from_addr;
    struct iov_iter it;
    struct sock_buf *b;
    if (r->len == 0) {
        return 0;
    }
    if (atomic_load(&n->s.tx_charge) > atomic_load(&n->s.rcvbuf)) {
        return -ENOBUFS;
    }
    (void)netlink_getname(&n->s, true, &from_addr); /* the kernel's address; never fails */
    struct sock_name *from = sock_name_new(&from_addr);
    if (from == NULL) {
        return -ENOBUFS;
    }
    iter_init_kernel(&it, r->bytes, r->len);
    int err = sock_buf_new(&n->s, &it, r->len, &b);
    if (err != 0) {
        sock_name_put(from);
        return err;
    }
    b->from = from;
    b->creds = (struct user_ucred){0, 0, 0};
    spin_lock(&n->s.lock);
    sock_queue_push(&n->s, b);
    spin_unlock(&n->s.lock);
    waitq_wake(&n->s.waitq, POLLIN | POLLRDNORM);
    r->len = 0;
    return 0;
}

static void reply_link(struct netlink_reply *r, const struct nlmsghdr *request, uint32_t port,
                       uint16_t flags, const struct netdev *dev) {
    struct ifinfomsg *info = reply_begin(r, request, port, RTM_NEWLINK, flags, sizeof(*info));
    if (info == NULL) {
        return;
    }
    static const uint8_t no_addr[6];
    uint8_t up = 6; /* IF_OPER_UP */
    info->ifi_type = dev->hw_type;
    info->ifi_index = dev->index;
    info->ifi_flags = dev->flags;
    reply_attr(r, IFLA_IFNAME, dev->name, (uint32_t)strlen(dev->name) + 1);
    reply_attr(r, IFLA_TXQLEN, &dev->tx_queue_len, sizeof(dev->tx_queue_len));
    reply_attr(r, IFLA_OPERSTATE, &up, sizeof(up));
    reply_attr(r, IFLA_MTU, &dev->mtu, sizeof(dev->mtu));
    reply_attr(r, IFLA_ADDRESS, dev->hw_addr, sizeof(dev->hw_addr));
    reply_attr(r, IFLA_BROADCAST, no_addr, sizeof(no_addr));
    reply_attr(r, IFLA_QDISC, "noqueue", sizeof("noqueue"));
    reply_end(r);
}

static void reply_addr(struct netlink_reply *r, const struct nlmsghdr *request, uint32_t port,
                       const struct netdev *dev, const struct netdev_addr *addr) {
    struct ifaddrmsg *info = reply_begin(r, request, port, RTM_NEWADDR, NLM_F_MULTI, sizeof(*info));
    if (info == NULL) {
        return;
    }
    uint32_t len = addr->family == AF_INET ? 4 : 16;
    uint32_t flags = IFA_F_PERMANENT;
    info->ifa_family = (uint8_t)addr->family;
    info->ifa_prefixlen = addr->prefix_len;
    info->ifa_flags = IFA_F_PERMANENT;
    info->ifa_scope = addr->scope;
    info->ifa_index = (uint32_t)dev->index;
    reply_attr(r, IFA_ADDRESS, addr->bytes, len);
    if (addr->family == AF_INET) {
        reply_attr(r, IFA_LOCAL, addr->bytes, len);
        reply_attr(r, IFA_LABEL, dev->name, (uint32_t)strlen(dev->name) + 1);
    }
    reply_attr(r, IFA_FLAGS, &flags, sizeof(flags));
    reply_end(r);
}

static void reply_done(struct netlink_reply *r, const struct nlmsghdr *request, uint32_t port) {
    if (reply_begin(r, request, port, NLMSG_DONE, NLM_F_MULTI, sizeof(int32_t)) != NULL) {
        reply_end(r);
    }
}

static void reply_error(struct netlink_reply *r, const struct nlmsghdr *request, uint32_t port,
                        int error) {
    struct nlmsgerr *e = reply_begin(r, request, port, NLMSG_ERROR, 0, sizeof(*e));
    if (e != NULL) {
        e->error = error;
        e->msg = *request;
        reply_end(r);
    }
}

/* ---- requests --------------------------------------------------------------------------- */

static void route_dump_links(struct netlink_reply *r, const struct nlmsghdr *request,
                             uint32_t port) {
    const struct netdev *dev;
    for (uint32_t i = 0; (dev = netdev_at(i)) != NULL; i++) {
        reply_link(r, request, port, NLM_F_MULTI, dev);
    }
    reply_done(r, request, port);
}

static void route_dump_addrs(struct netlink_reply *r, const struct nlmsghdr *request, uint32_t port,
                             uint8_t family) {
    const struct netdev *dev;
    for (uint32_t i = 0; (dev = netdev_at(i)) != NULL; i++) {
        for (uint32_t k = 0; k < NETDEV_ADDRS_MAX; k++) {
            const struct netdev_addr *addr = &dev->addrs[k];
            if (addr->family != 0 && (family == AF_UNSPEC || family == addr->family)) {
                reply_addr(r, request, port, dev, addr);
            }
        }
    }
    reply_done(r, request, port);
}

/* The interface that a request for one link names by index or IFLA_IFNAME. */
static const struct netdev *route_find_link(const uint8_t *body, uint32_t len) {
    struct ifinfomsg info;
    if (len < sizeof(info)) {
        return NULL;
    }
    memcpy(&info, body, sizeof(info));
    if (info.ifi_index != 0) {
        return netdev_by_index(info.ifi_index);
    }
    uint32_t at = sizeof(info);
    while (at <= len && len - at >= sizeof(struct rtattr)) {
        struct rtattr a;
        memcpy(&a, body + at, sizeof(a));
        if (a.rta_len < sizeof(a) || a.rta_len > len - at) {
            break;
        }
        if (a.rta_type == IFLA_IFNAME) {
            char name[NETDEV_NAME_MAX] = {0};
            memcpy(name, body + at + sizeof(a), MIN(a.rta_len - sizeof(a), sizeof(name) - 1));
            return netdev_by_name(name);
        }
        at += ALIGN_UP((uint32_t)a.rta_len, 4u);
    }
    return NULL;
}

/* Changes have the types NEW, DEL and SET of each group of four; GET is the third. */
static bool route_is_get(uint16_t type) {
    return (type & 3) == 2;
}

/* Answers one request: 0, or the error that its acknowledgement tells. */
static int route_answer(struct netlink_reply *r, const struct nlmsghdr *request,
                        const uint8_t *body, uint32_t len, uint32_t port) {
    bool dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    if (!route_is_get(request->nlmsg_type)) {
        return -EPERM;
    }
    if (request->nlmsg_type == RTM_GETLINK && !dump) {
        const struct netdev *dev = route_find_link(body, len);
        if (dev == NULL) {
            return -ENODEV;
        }
        reply_link(r, request, port, 0, dev);
        return 0;
    }
    if (!dump) {
        return -EOPNOTSUPP;
    }
    switch (request->nlmsg_type) {
    case RTM_GETLINK:
        route_dump_links(r, request, port);
        return 0;
    case RTM_GETADDR:
        route_dump_addrs(r, request, port, len > 0 ? body[0] : AF_UNSPEC);
        return 0;
    case RTM_GETROUTE:
    case RTM_GETNEIGH:
    case RTM_GETRULE:
    case RTM_GETQDISC:
        reply_done(r, request, port); /* there are none */
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static int netlink_handle(struct netlink_sock *n, struct netlink_reply *r, const uint8_t *buf,
                          uint32_t len) {
    uint32_t at = 0;
    while (at <= len && len - at >= sizeof(struct nlmsghdr)) {
        struct nlmsghdr h;
        memcpy(&h, buf + at, sizeof(h));
        if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len - at) {
            break;
        }
        r->len = 0;
        r->full = false;
        if ((h.nlmsg_flags & NLM_F_REQUEST) != 0 && h.nlmsg_type >= NLMSG_MIN_TYPE) {
            int err = route_answer(r, &h, buf + at + sizeof(h), h.nlmsg_len - (uint32_t)sizeof(h),
                                   n->port);
            bool dump = (h.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
            if (err != 0 || ((h.nlmsg_flags & NLM_F_ACK) != 0 && !dump)) {
                reply_error(r, &h, n->port, err);
            }
        }
        int err = r->full ? -ENOBUFS : reply_send(n, r);
        if (err != 0) {
            return err;
        }
        at += ALIGN_UP(h.nlmsg_len, 4u);
    }
    return 0;
}

struct netlink_work { /* too large for the stack */
    struct netlink_reply reply;
    uint8_t request[NETLINK_REQUEST_MAX];
};

static int64_t netlink_send(struct socket *s, struct sock_msg *m) {
    struct netlink_sock *n = netlink_of(s);
    uint64_t len = iter_left(m->it);
    struct sockaddr_nl nl = {0};
    int err = m->name != NULL ? netlink_check_addr(m->name, &nl) : 0;
    if (err == 0 && (nl.nl_pid != 0 || nl.nl_groups != 0)) {
        err = -ECONNREFUSED;
    }
    if (err == 0 && len > NETLINK_REQUEST_MAX) {
        err = -EMSGSIZE;
    }
    if (err == 0) {
        err = netlink_set_port(n, 0, n->groups);
    }
    if (err != 0) {
        return err;
    }
    struct netlink_work *work = kmalloc(sizeof(*work));
    if (work == NULL) {
        return -ENOBUFS;
    }
    if (len != 0 && iter_copy_from(m->it, work->request, len) != (int64_t)len) {
        err = -EFAULT;
    } else {
        err = netlink_handle(n, &work->reply, work->request, (uint32_t)len);
    }
    kfree(work);
    return err != 0 ? err : (int64_t)len;
}

/* ---- the rest --------------------------------------------------------------------------- */

static uint32_t netlink_poll(struct socket *s, struct poll_table *table) {
    return stream_poll(s, table) & ~(uint32_t)POLLHUP;
}

static int netlink_setsockopt(struct socket *s, int level, int name, const void *value,
                              uint32_t len) {
    /* Memberships and the details of acknowledgements: nothing here ever multicasts. */
    return level == 270 /* SOL_NETLINK */ && len >= sizeof(int32_t) ? 0 : -ENOPROTOOPT;
}

static int64_t netlink_ioctl(struct socket *s, uint32_t request, struct uaddr arg) {
    if (request != FIONREAD) {
        return -ENOTTY;
    }
    spin_lock(&s->lock);
    int32_t value =
        list_empty(&s->rx) ? 0 : (int32_t)list_first(&s->rx, struct sock_buf, link)->len;
    spin_unlock(&s->lock);
    return copyout(arg, &value, sizeof(value));
}

static void netlink_release(struct socket *s) {
    struct list bufs;
    spin_lock(&g_netlink_lock);
    list_del_init(&netlink_of(s)->link);
    spin_unlock(&g_netlink_lock);
    sock_queue_drain(s, &bufs);
    sock_bufs_free(&bufs);
}

static void netlink_destroy(struct socket *s) {
    kfree(netlink_of(s));
}

static const struct sock_ops g_netlink_ops = {
    .bind = netlink_bind,
    .connect = netlink_connect,
    .getname = netlink_getname,
    .send = netlink_send,
    .recv = dgram_recv,
    .poll = netlink_poll,
    .ioctl = netlink_ioctl,
    .setsockopt = netlink_setsockopt,
    .release = netlink_release,
    .destroy = netlink_destroy,
};

static int netlink_create(int type, int protocol, struct socket **out) {
    if (type != SOCK_RAW && type != SOCK_DGRAM) {
        return -ESOCKTNOSUPPORT;
    }
    if (protocol != NETLINK_ROUTE) {
        return -EPROTONOSUPPORT;
    }
    struct netlink_sock *n = kzalloc(sizeof(*n));
    if (n == NULL) {
        return -ENOMEM;
    }
    socket_init(&n->s, &g_netlink_ops, AF_NETLINK, type, protocol);
    list_init(&n->link);
    *out = &n->s;
    return 0;
}

const struct sock_family g_netlink_family = {AF_NETLINK, netlink_create};
