/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP of the loopback stack: udp(7).  A datagram for nobody is refused to a connected sender and
 * lost for others; one that does not fit the receiver's buffer is lost.
 */
#include "base/string.h"
#include "kernel/cpu.h"
#include "kernel/task.h"
#include "net/loop.h"

#include <asm/errno.h>

#define UDP_MAX 65507u

static int udp_connect(struct socket *s, const struct sock_addr *addr, uint32_t flags) {
    struct loop_sock *l = loop_of(s);
    struct loop_addr remote;
    uint8_t source[16];
    if (addr->u.family == AF_UNSPEC) {
        spin_lock(&g_loop_lock);
        l->remote.port = 0;
        spin_unlock(&g_loop_lock);
        atomic_store(&s->state, (uint32_t)SOCK_UNCONNECTED);
        return 0;
    }
    int err = loop_addr_parse(s, addr, &remote);
    if (err == 0) {
        err = loop_autobind(l);
    }
    if (err != 0) {
        return err;
    }
    spin_lock(&g_loop_lock);
    err = loop_route(l, &remote, source);
    if (err == 0) {
        memcpy(l->local.ip, source, sizeof(source));
        l->remote = remote;
        atomic_store(&s->state, (uint32_t)SOCK_CONNECTED);
    }
    spin_unlock(&g_loop_lock);
    return err;
}

/* Source, destination and receiver of a datagram; the receiver is referenced, NULL when there is
 * none. */
static int udp_resolve(struct loop_sock *l, const struct sock_addr *name,
                       struct loop_addr *out_from, struct socket **out) {
    struct loop_addr to;
    int err = 0;
    spin_lock(&g_loop_lock);
    to = l->remote;
    if (name != NULL) {
        err = loop_addr_parse(&l->s, name, &to);
    } else if (to.port == 0) {
        err = -EDESTADDRREQ;
    }
    if (err == 0 && to.port == 0) {
        err = -EINVAL;
    }
    if (err == 0) {
        err = loop_route(l, &to, out_from->ip);
    }
    if (err == 0) {
        out_from->port = l->local.port;
        struct loop_sock *receiver = loop_find(IPPROTO_UDP, &to, out_from);
        *out = receiver != NULL ? &receiver->s : NULL;
        if (receiver != NULL) {
            socket_get(*out);
        }
    }
    spin_unlock(&g_loop_lock);
    return err;
}

/* Puts the datagram on the receiver's queue or loses it. */
static void udp_deliver(struct socket *receiver, struct sock_buf *b) {
    sock_buf_disown(b); /* from here on it is the receiver's buffer that is filled */
    spin_lock(&receiver->lock);
    uint64_t used = receiver->rx_bytes + (uint64_t)receiver->rx_count * sizeof(*b);
    bool taken = !receiver->dead && used < atomic_load(&receiver->rcvbuf);
    if (taken) {
        sock_queue_push(receiver, b);
    }
    spin_unlock(&receiver->lock);
    if (taken) {
        waitq_wake(&receiver->waitq, POLLIN | POLLRDNORM);
    } else {
        sock_buf_free(b);
    }
}

static int udp_build(struct socket *s, struct socket *receiver, const struct loop_addr *from,
                     struct sock_msg *m, struct sock_buf **out) {
    struct sock_addr addr;
    int err = sock_wait_room(s, socket_deadline(s->sndtimeo_ns, (m->flags & MSG_DONTWAIT) != 0));
    if (err == 0) {
        err = sock_buf_new(s, m->it, (uint32_t)iter_left(m->it), out);
    }
    if (err != 0) {
        return err;
    }
    loop_addr_format(receiver->family, from, &addr);
    (*out)->from = sock_name_new(&addr);
    socket_current_creds(&(*out)->creds, false);
    return 0;
}

/* Nobody is there: the data are read, as a network would, and gone. */
static int64_t udp_lose(struct socket *s, struct sock_msg *m) {
    int64_t len = (int64_t)iter_left(m->it);
    struct sock_buf *b;
    int err = sock_buf_new(s, m->it, (uint32_t)len, &b);
    if (err != 0) {
        return err;
    }
    sock_buf_free(b);
    return len;
}

static int64_t udp_send(struct socket *s, struct sock_msg *m) {
    struct loop_sock *l = loop_of(s);
    struct socket *receiver = NULL;
    struct loop_addr from;
    int64_t len = (int64_t)iter_left(m->it);
    if ((m->flags & MSG_OOB) != 0) {
        return -EOPNOTSUPP;
    }
    if (len > UDP_MAX) {
        return -EMSGSIZE;
    }
    int err = socket_take_error(s);
    if (err == 0 && (atomic_load(&s->shutdown) & SHUT_BIT_WR) != 0) {
        err = -EPIPE;
    }
    if (err == 0) {
        err = loop_autobind(l);
    }
    if (err == 0) {
        err = udp_resolve(l, m->name, &from, &receiver);
    }
    if (err != 0) {
        return err;
    }
    if (receiver == NULL) {
        if (atomic_load(&s->state) == SOCK_CONNECTED) {
            socket_set_error(s, ECONNREFUSED);
            waitq_wake(&s->waitq, POLLERR);
        }
        return udp_lose(s, m);
    }
    struct sock_buf *b;
    err = udp_build(s, receiver, &from, m, &b);
    if (err == 0) {
        udp_deliver(receiver, b);
    }
    socket_put(receiver);
    return err != 0 ? err : len;
}

static int64_t udp_recv(struct socket *s, struct sock_msg *m) {
    if ((m->flags & MSG_ERRQUEUE) != 0) {
        return -EAGAIN;
    }
    return dgram_recv(s, m);
}

static int udp_shutdown(struct socket *s, uint32_t bits) {
    if (atomic_load(&s->state) != SOCK_CONNECTED) {
        return -ENOTCONN;
    }
    socket_shut(s, bits);
    return 0;
}

static uint32_t udp_poll(struct socket *s, struct poll_table *table) {
    uint32_t events = stream_poll(s, table);
    if (atomic_load(&s->shutdown) != SHUT_BITS) {
        events &= ~(uint32_t)POLLHUP;
    }
    return events;
}

static void udp_release(struct socket *s) {
    struct list bufs;
    loop_unbind(loop_of(s));
    spin_lock(&s->lock);
    s->dead = true;
    spin_unlock(&s->lock);
    sock_queue_drain(s, &bufs);
    sock_bufs_free(&bufs);
}

const struct sock_ops g_loop_udp_ops = {
    .bind = loop_bind,
    .connect = udp_connect,
    .getname = loop_getname,
    .send = udp_send,
    .recv = udp_recv,
    .shutdown = udp_shutdown,
    .poll = udp_poll,
    .ioctl = loop_ioctl,
    .setsockopt = loop_setsockopt,
    .getsockopt = loop_getsockopt,
    .release = udp_release,
    .destroy = loop_destroy,
};
