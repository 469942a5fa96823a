/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams of AF_UNIX, and the sending half of seqpacket sockets.
 *
 * A datagram socket takes messages of others until its queue is full; then senders wait on its
 * `room` queue.  Pollers of a connected sender wait on the sender's own queue: the receiver keeps a
 * list of its connectors and wakes them.
 */
#include "kernel/cpu.h"
#include "kernel/task.h"
#include "net/unix.h"

#include <asm/errno.h>

/* ---- peers ------------------------------------------------------------------------------ */

static struct socket *unix_peer_get(struct socket *s) {
    spin_lock(&s->lock);
    struct socket *peer = s->peer;
    if (peer != NULL) {
        socket_get(peer);
    }
    spin_unlock(&s->lock);
    return peer;
}

/* May `s` send to `t`?  Only when t is connected to nobody else. */
static bool unix_may_send(struct socket *s, struct socket *t) {
    spin_lock(&t->lock);
    bool ok = t->peer == NULL || t->peer == s;
    spin_unlock(&t->lock);
    return ok;
}

/* Changes the peer (NULL: none); the reference on `peer` is consumed. */
static void unix_dgram_set_peer(struct unix_sock *u, struct socket *peer) {
    spin_lock(&g_unix_lock);
    list_del_init(&u->connector_link);
    if (peer != NULL) {
        list_push_back(&unix_of(peer)->connectors, &u->connector_link);
    }
    spin_lock(&u->s.lock);
    struct socket *old = u->s.peer;
    u->s.peer = peer;
    spin_unlock(&u->s.lock);
    spin_unlock(&g_unix_lock);
    if (old != NULL && old != peer) {
        /* What came from the old peer is not for the new connection; the old peer learns it. */
        struct list bufs;
        bool lost = atomic_load(&u->s.rx_count) != 0;
        sock_queue_drain(&u->s, &bufs);
        sock_bufs_free(&bufs);
        spin_lock(&old->lock);
        lost = lost && !old->dead && old->peer == &u->s;
        spin_unlock(&old->lock);
        if (lost) {
            socket_set_error(old, ECONNRESET);
            waitq_wake(&old->waitq, POLLERR);
        }
    }
    socket_put(old);
}

int unix_dgram_connect(struct socket *s, const struct sock_addr *addr, uint32_t flags) {
    struct unix_sock *u = unix_of(s);
    if (addr->u.family == AF_UNSPEC) {
        unix_dgram_set_peer(u, NULL);
        atomic_store(&s->state, (uint32_t)SOCK_UNCONNECTED);
        waitq_wake(&s->waitq, POLLOUT | POLLWRNORM);
        return 0;
    }
    int err = socket_option(s, SOCK_OPT_PASSCRED) ? unix_autobind(u) : 0;
    if (err != 0) {
        return err;
    }
    struct unix_sock *target;
    err = unix_find(addr, s->type, &target);
    if (err != 0) {
        return err;
    }
    if (!unix_may_send(s, &target->s)) {
        socket_put(&target->s);
        return -EPERM;
    }
    unix_dgram_set_peer(u, &target->s);
    atomic_store(&s->state, (uint32_t)SOCK_CONNECTED);
    waitq_wake(&s->waitq, POLLOUT | POLLWRNORM);
    return 0;
}

void unix_dgram_unlink(struct unix_sock *u) {
    struct unix_sock *c, *next;
    spin_lock(&g_unix_lock);
    list_del_init(&u->connector_link);
    list_for_each_entry_safe (c, next, &u->connectors, connector_link) {
        list_del_init(&c->connector_link);
        waitq_wake(&c->s.waitq,
                   POLLOUT | POLLWRNORM | POLLERR); /* the next send tells ECONNREFUSED */
    }
    spin_unlock(&g_unix_lock);
}

void unix_dgram_drained(struct socket *s) {
    if (atomic_load(&s->rx_count) != UNIX_DGRAM_QUEUE) {
        return; /* the queue was not full before */
    }
    waitq_wake(&s->room, POLLOUT);
    struct unix_sock *c;
    spin_lock(&g_unix_lock);
    list_for_each_entry (c, &unix_of(s)->connectors, connector_link) {
        waitq_wake(&c->s.waitq, POLLOUT | POLLWRNORM);
    }
    spin_unlock(&g_unix_lock);
}

/* ---- sending ---------------------------------------------------------------------------- */

static bool unix_dgram_full(struct socket *t) {
    return atomic_load(&t->rx_count) > UNIX_DGRAM_QUEUE;
}

static bool unix_dgram_room(struct socket *t, void *arg) {
    return !unix_dgram_full(t) || (atomic_load(&t->shutdown) & SHUT_BIT_RD) != 0;
}

/* Queues at the target: 0, -ECONNREFUSED, -EPERM, -EPIPE, -EAGAIN when its queue is full. */
static int unix_dgram_deliver(struct socket *s, struct socket *t, struct sock_buf *b) {
    int err = 0;
    spin_lock(&t->lock);
    if (t->dead) {
        err = -ECONNREFUSED;
    } else if (t->peer != NULL && t->peer != s) {
        err = -EPERM;
    } else if ((atomic_load(&t->shutdown) & SHUT_BIT_RD) != 0) {
        err = -EPIPE;
    } else if (t != s && t->peer != s && unix_dgram_full(t)) {
        err = -EAGAIN;
    } else {
        sock_queue_push(t, b);
    }
    spin_unlock(&t->lock);
    if (err == 0) {
        waitq_wake(&t->waitq, POLLIN | POLLRDNORM);
    }
    return err;
}

static int unix_dgram_deliver_wait(struct socket *s, struct socket *t, struct sock_buf *b,
                                   uint64_t deadline_ns) {
    for (;;) {
        int err = unix_dgram_deliver(s, t, b);
        if (err != -EAGAIN || deadline_ns == 0) {
            return err;
        }
        err = socket_wait(t, &t->room, POLLOUT, unix_dgram_room, NULL, deadline_ns);
        if (err != 0) {
            return err;
        }
    }
}

static int unix_dgram_build(struct unix_sock *u, struct sock_msg *m, uint64_t deadline_ns,
                            struct sock_buf **out) {
    struct socket *s = &u->s;
    uint64_t len = iter_left(m->it);
    uint32_t limit = atomic_load(&s->sndbuf);
    if (limit < UNIX_DGRAM_MARGIN || len > limit - UNIX_DGRAM_MARGIN || len > SOCK_BUF_MAX) {
        return -EMSGSIZE;
    }
    int err = sock_wait_room(s, deadline_ns);
    if (err != 0) {
        return err;
    }
    err = sock_buf_new(s, m->it, (uint32_t)len, out);
    if (err != 0) {
        return err;
    }
    struct sock_buf *b = *out;
    if (!m->has_creds) {
        socket_current_creds(&m->creds, false);
    }
    b->creds = m->creds;
    b->from = atomic_load(&u->name);
    if (b->from != NULL) {
        ref_get(&b->from->ref);
    }
    if (m->rights != NULL) {
        err = sock_rights_attach(m->rights);
        if (err != 0) {
            sock_buf_free(b);
            return err;
        }
        b->rights = m->rights;
        m->rights = NULL;
    }
    return 0;
}

static int64_t unix_dgram_send_to(struct socket *s, struct socket *t, struct sock_msg *m) {
    uint64_t deadline_ns = socket_deadline(s->sndtimeo_ns, (m->flags & MSG_DONTWAIT) != 0);
    int64_t len = (int64_t)iter_left(m->it);
    struct sock_buf *b;
    int err = unix_dgram_build(unix_of(s), m, deadline_ns, &b);
    if (err != 0) {
        return err;
    }
    err = unix_dgram_deliver_wait(s, t, b, deadline_ns);
    if (err != 0) {
        sock_buf_free(b);
        return err;
    }
    return len;
}

int64_t unix_dgram_send(struct socket *s, struct sock_msg *m) {
    if ((m->flags & MSG_OOB) != 0) {
        return -EOPNOTSUPP;
    }
    struct unix_sock *u = unix_of(s);
    int err = socket_option(s, SOCK_OPT_PASSCRED) ? unix_autobind(u) : 0;
    if (err != 0) {
        return err;
    }
    struct socket *target;
    if (m->name != NULL) {
        struct unix_sock *found;
        err = unix_find(m->name, s->type, &found);
        if (err != 0) {
            return err;
        }
        target = &found->s;
    } else {
        target = unix_peer_get(s);
        if (target == NULL) {
            return -ENOTCONN;
        }
    }
    int64_t result = unix_dgram_send_to(s, target, m);
    if (result == -ECONNREFUSED && m->name == NULL && s->type == SOCK_DGRAM) {
        unix_dgram_set_peer(u, NULL); /* the connection ended with the peer */
        atomic_store(&s->state, (uint32_t)SOCK_UNCONNECTED);
    }
    socket_put(target);
    return result;
}

int64_t unix_seqpacket_send(struct socket *s, struct sock_msg *m) {
    if (atomic_load(&s->state) != SOCK_CONNECTED) {
        return -ENOTCONN;
    }
    m->name = NULL; /* unix(7): ignored */
    int64_t result = unix_dgram_send(s, m);
    return result == -ECONNREFUSED ? -EPIPE : result;
}

/* ---- polling ---------------------------------------------------------------------------- */

uint32_t unix_dgram_poll(struct socket *s, struct poll_table *table) {
    uint32_t events = stream_poll(s, table);
    if (s->type == SOCK_DGRAM && atomic_load(&s->shutdown) != SHUT_BITS) {
        events &= ~(uint32_t)POLLHUP; /* a datagram socket needs no connection */
    }
    if (s->type == SOCK_DGRAM && (events & POLLOUT) != 0) {
        struct socket *peer = unix_peer_get(s);
        if (peer != NULL) {
            spin_lock(&peer->lock);
            bool full = peer->peer != s && peer != s && !peer->dead && unix_dgram_full(peer);
            spin_unlock(&peer->lock);
            socket_put(peer);
            if (full) {
                events &= ~(uint32_t)(POLLOUT | POLLWRNORM | POLLWRBAND);
            }
        }
    }
    return events;
}
