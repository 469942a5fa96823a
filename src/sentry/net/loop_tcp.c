/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP of the loopback stack: tcp(7).
 *
 * Connections are made at once.  Closing one end tells the other what a FIN or a reset would: the
 * end of the stream, or ECONNRESET when data was left unread or SO_LINGER asks for it; data sent to
 * a closed end is answered by EPIPE later.
 */
#include "base/string.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "net/loop.h"

#include <asm/errno.h>
#include <linux/fcntl.h>

#define TCP_SNDBUF (1024u * 1024u)

int loop_new(uint16_t family, int type, struct loop_sock **out) {
    struct loop_sock *l = kzalloc(sizeof(*l));
    if (l == NULL) {
        return -ENOMEM;
    }
    bool tcp = type == SOCK_STREAM;
    socket_init(&l->s, tcp ? &g_loop_tcp_ops : &g_loop_udp_ops, family, type,
                tcp ? IPPROTO_TCP : IPPROTO_UDP);
    if (tcp) {
        l->s.sndbuf = TCP_SNDBUF;
    }
    if (family == AF_INET) {
        l->local.ip[10] = l->local.ip[11] = 0xff; /* 0.0.0.0 */
        l->remote = l->local;
    }
    list_init(&l->port_link);
    loop_list_add(l);
    mutex_init(&l->bind_mutex);
    *out = l;
    return 0;
}

void loop_destroy(struct socket *s) {
    struct loop_sock *l = loop_of(s);
    loop_unbind(l); /* one that nobody closed: a connection that did not come about */
    socket_put(s->peer);
    loop_options_free(l);
    kfree(l);
}

static int loop_create(int family, int type, int protocol, struct socket **out) {
    struct loop_sock *l;
    bool fits = (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP)) ||
                (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP));
    if (type == SOCK_RAW) {
        return -EPERM;
    }
    if (!fits) {
        return type == SOCK_STREAM || type == SOCK_DGRAM ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
    }
    int err = loop_new((uint16_t)family, type, &l);
    if (err == 0) {
        *out = &l->s;
    }
    return err;
}

const struct inet_stack g_loop_stack = {"loop", loop_create};

/* ---- connect, listen -------------------------------------------------------------------- */

/* The listener at `remote`, referenced; names both ends of the connection to be. */
static int tcp_find_listener(struct loop_sock *l, struct loop_addr *remote,
                             struct loop_sock **out) {
    uint8_t source[16];
    spin_lock(&g_loop_lock);
    int err = loop_route(l, remote, source);
    struct loop_sock *listener = err == 0 ? loop_find(IPPROTO_TCP, remote, &l->local) : NULL;
    if (listener != NULL) {
        socket_get(&listener->s);
        memcpy(l->local.ip, source, sizeof(source));
        l->remote = *remote;
    }
    spin_unlock(&g_loop_lock);
    *out = listener;
    return err != 0 ? err : (listener == NULL ? -ECONNREFUSED : 0);
}

static int tcp_connect_to(struct loop_sock *l, struct loop_sock *listener, uint64_t deadline_ns) {
    struct loop_sock *child;
    int err = loop_new(listener->s.family, SOCK_STREAM, &child);
    if (err != 0) {
        return err;
    }
    child->local = l->remote;
    child->remote = l->local;
    child->s.option_bits = atomic_load(&listener->s.option_bits);
    child->s.sndbuf = atomic_load(&listener->s.sndbuf);
    child->s.rcvbuf = atomic_load(&listener->s.rcvbuf);
    err = sock_offer_child(&listener->s, &l->s, &child->s, deadline_ns);
    if (err != 0) {
        socket_put(&child->s);
    }
    return err;
}

/* Connects at once: 0 or -errno, and then the socket is as before. */
static int tcp_connect_now(struct loop_sock *l, struct loop_addr *remote, uint64_t deadline_ns) {
    struct loop_sock *listener = NULL;
    struct loop_addr old = l->local; /* nobody else changes it while this connects */
    int err = loop_autobind(l);
    if (err == 0) {
        err = tcp_find_listener(l, remote, &listener);
    }
    if (err == 0) {
        err = tcp_connect_to(l, listener, deadline_ns);
        err = err == -EAGAIN ? -ECONNREFUSED : err; /* a full backlog; nobody tries again later */
        socket_put(&listener->s);
    }
    if (err != 0) {
        spin_lock(&g_loop_lock);
        l->remote.port = 0;
        memcpy(l->local.ip, old.ip, sizeof(old.ip));
        spin_unlock(&g_loop_lock);
        atomic_store(&l->s.state, (uint32_t)SOCK_UNCONNECTED);
    }
    return err;
}

/* connect(2) that does not wait: the outcome is there, but as on a network it is told by poll,
 * SO_ERROR or the next call. */
static int tcp_connect_untold(struct loop_sock *l, int err) {
    if (err != 0 && err != -ECONNREFUSED) {
        return err;
    }
    if (err != 0) {
        socket_set_error(&l->s, -err);
        waitq_wake(&l->s.waitq, POLLERR | POLLHUP | POLLIN | POLLOUT);
    } else {
        atomic_store(&l->connect_untold, true);
    }
    return -EINPROGRESS;
}

static int tcp_connect(struct socket *s, const struct sock_addr *addr, uint32_t flags) {
    struct loop_sock *l = loop_of(s);
    struct loop_addr remote;
    if (addr->u.family == AF_UNSPEC) {
        return atomic_load(&s->state) == SOCK_UNCONNECTED ? 0 : -EOPNOTSUPP;
    }
    int err = loop_addr_parse(s, addr, &remote);
    if (err == 0) {
        err = socket_take_error(s);
    }
    if (err == 0) {
        err = sock_connect_begin(s);
        err = err == -EINVAL ? -EISCONN : err; /* a listening socket */
    }
    if (err == -EISCONN && atomic_exchange(&l->connect_untold, false)) {
        return 0;
    }
    if (err != 0) {
        return err;
    }
    bool nonblock = (flags & O_NONBLOCK) != 0;
    err = tcp_connect_now(l, &remote, socket_deadline(s->sndtimeo_ns, nonblock));
    return nonblock ? tcp_connect_untold(l, err) : err;
}

static int tcp_listen(struct socket *s, uint32_t backlog) {
    int err = loop_autobind(loop_of(s));
    return err != 0 ? err : sock_listen_begin(s, backlog);
}

/* ---- close ------------------------------------------------------------------------------ */

/* What the other end sees: the end of the stream, or a reset. */
static void tcp_tell_peer(struct socket *peer, bool reset) {
    if (reset) {
        socket_set_error(peer, ECONNRESET);
    }
    socket_shut(peer, reset ? SHUT_BITS : SHUT_BIT_RD);
}

static void tcp_close(struct socket *s, bool reset);

static void tcp_close_children(struct list *children) {
    while (!list_empty(children)) {
        struct socket *child = list_first(children, struct socket, accept_link);
        list_del_init(&child->accept_link);
        tcp_close(child, true);
        socket_put(child);
    }
}

/* One level deep: a child never listens. */
static void tcp_close(struct socket *s, bool reset) {
    struct list bufs, children;
    list_init(&children);
    loop_unbind(loop_of(s));
    spin_lock(&s->lock);
    s->dead = true;
    struct socket *peer = s->peer;
    s->peer = NULL;
    list_splice_back(&children, &s->accept_queue);
    atomic_store(&s->accept_count, 0u);
    spin_unlock(&s->lock);
    sock_queue_drain(s, &bufs);
    if (peer != NULL) {
        tcp_tell_peer(peer, reset || !list_empty(&bufs) || s->linger_seconds == 0);
    }
    socket_shut(s, SHUT_BITS);
    sock_bufs_free(&bufs);
    tcp_close_children(&children);
    socket_put(peer);
}

static void tcp_release(struct socket *s) {
    tcp_close(s, false);
}

static int tcp_shutdown(struct socket *s, uint32_t bits) {
    uint32_t state = atomic_load(&s->state);
    if (state == SOCK_LISTENING) {
        if ((bits & SHUT_BIT_RD) != 0) {
            socket_shut(s, SHUT_BIT_RD); /* accept ends */
        }
        return 0;
    }
    if (state != SOCK_CONNECTED) {
        return -ENOTCONN;
    }
    socket_shut(s, bits);
    spin_lock(&s->lock);
    struct socket *peer = s->peer;
    if (peer != NULL) {
        socket_get(peer);
    }
    spin_unlock(&s->lock);
    if (peer != NULL && (bits & SHUT_BIT_WR) != 0) {
        socket_shut(peer, SHUT_BIT_RD);
    }
    socket_put(peer);
    return 0;
}

/* ---- data ------------------------------------------------------------------------------- */

static int64_t tcp_send(struct socket *s, struct sock_msg *m) {
    if (atomic_load(&s->state) != SOCK_CONNECTED) {
        return -EPIPE; /* send(2) on a TCP socket that is not connected */
    }
    return stream_send(s, m);
}

static int64_t tcp_recv(struct socket *s, struct sock_msg *m) {
    if (atomic_load(&s->state) != SOCK_CONNECTED) {
        int err = socket_take_error(s);
        return err != 0 ? err : -ENOTCONN;
    }
    if ((m->flags & MSG_ERRQUEUE) != 0) {
        return -EAGAIN;
    }
    return stream_recv(s, m);
}

static uint32_t tcp_poll(struct socket *s, struct poll_table *table) {
    uint32_t events = stream_poll(s, table);
    if ((events & POLLERR) != 0) {
        events |= POLLIN | POLLRDNORM | POLLRDHUP; /* a read tells the error */
    }
    return events;
}

const struct sock_ops g_loop_tcp_ops = {
    .bind = loop_bind,
    .connect = tcp_connect,
    .listen = tcp_listen,
    .accept = sock_accept,
    .getname = loop_getname,
    .send = tcp_send,
    .recv = tcp_recv,
    .shutdown = tcp_shutdown,
    .poll = tcp_poll,
    .ioctl = loop_ioctl,
    .setsockopt = loop_setsockopt,
    .getsockopt = loop_getsockopt,
    .release = tcp_release,
    .destroy = loop_destroy,
};
