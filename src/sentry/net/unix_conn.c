/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of AF_UNIX stream and seqpacket sockets.
 *
 * connect makes the server's end at once and puts it on the listener's queue; accept takes it from
 * there.
 */
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "net/unix.h"

#include <asm/errno.h>
#include <linux/fcntl.h>

/* ---- connect
 * ---------------------------------------------------------------------------------------- */

static int unix_connect_begin(struct socket *s) {
    uint32_t state = SOCK_UNCONNECTED;
    if (atomic_cas(&s->state, &state, SOCK_CONNECTING)) {
        return 0;
    }
    switch (state) {
    case SOCK_CONNECTED:
        return -EISCONN;
    case SOCK_CONNECTING:
        return -EALREADY;
    default:
        return -EINVAL;
    }
}

static bool unix_backlog_room(struct socket *l, void *arg) {
    return atomic_load(&l->accept_count) <= l->backlog ||
           atomic_load(&l->state) != SOCK_LISTENING ||
           (atomic_load(&l->shutdown) & SHUT_BIT_RD) != 0;
}

/* The server's end of a new connection: named as the listener, told who connects. */
static int unix_make_child(struct unix_sock *listener, struct unix_sock *client,
                           struct unix_sock **out) {
    struct unix_sock *child;
    int err = unix_new(listener->s.type, &child);
    if (err != 0) {
        return err;
    }
    child->name = listener->name;
    ref_get(&child->name->ref);
    child->s.peer = &client->s;
    socket_get(&client->s);
    child->s.option_bits = atomic_load(&listener->s.option_bits) & SOCK_OPT_PASSCRED;
    child->s.state = SOCK_CONNECTED;
    socket_current_creds(&child->s.peer_creds, true);
    *out = child;
    return 0;
}

/* Queues the child: 0, -ECONNREFUSED, -EAGAIN when the backlog is full. */
static int unix_enqueue_child(struct unix_sock *listener, struct unix_sock *client,
                              struct unix_sock *child) {
    struct socket *l = &listener->s;
    int err = 0;
    spin_lock(&l->lock);
    if (l->dead || atomic_load(&l->state) != SOCK_LISTENING ||
        (atomic_load(&l->shutdown) & SHUT_BIT_RD) != 0) {
        err = -ECONNREFUSED;
    } else if (l->accept_count > l->backlog) {
        err = -EAGAIN;
    } else {
        client->s.peer_creds = l->peer_creds;
        client->s.peer = &child->s;
        socket_get(&child->s);
        atomic_store(&client->s.state, (uint32_t)SOCK_CONNECTED);
        list_push_back(&l->accept_queue, &child->s.accept_link);
        atomic_store(&l->accept_count, l->accept_count + 1);
    }
    spin_unlock(&l->lock);
    return err;
}

static int unix_connect_to(struct unix_sock *client, struct unix_sock *listener,
                           uint64_t deadline_ns) {
    struct unix_sock *child;
    int err = unix_make_child(listener, client, &child);
    if (err != 0) {
        return err;
    }
    for (;;) {
        err = unix_enqueue_child(listener, client, child);
        if (err != -EAGAIN || deadline_ns == 0) {
            break;
        }
        err = socket_wait(&listener->s, &listener->s.room, POLLOUT, unix_backlog_room, NULL,
                          deadline_ns);
        if (err != 0) {
            break;
        }
    }
    if (err != 0) {
        socket_put(&child->s); /* never seen by anybody: no release */
        return err;
    }
    waitq_wake(&listener->s.waitq, POLLIN | POLLRDNORM);
    waitq_wake(&client->s.waitq, POLLOUT | POLLWRNORM);
    return 0;
}

int unix_stream_connect(struct socket *s, const struct sock_addr *addr, uint32_t flags) {
    struct unix_sock *u = unix_of(s);
    if (addr->u.family != AF_UNIX) {
        return -EINVAL;
    }
    int err = unix_connect_begin(s);
    if (err != 0) {
        return err;
    }
    if (socket_option(s, SOCK_OPT_PASSCRED)) {
        err = unix_autobind(u);
    }
    struct unix_sock *listener = NULL;
    if (err == 0) {
        err = unix_find(addr, s->type, &listener);
    }
    if (err == 0) {
        err = atomic_load(&listener->s.state) != SOCK_LISTENING
                  ? -ECONNREFUSED
                  : unix_connect_to(u, listener,
                                    socket_deadline(s->sndtimeo_ns, (flags & O_NONBLOCK) != 0));
        socket_put(&listener->s);
    }
    if (err != 0) {
        atomic_store(&s->state, (uint32_t)SOCK_UNCONNECTED);
    }
    return err;
}

int unix_pair(struct socket *a, struct socket *b) {
    a->peer = b;
    b->peer = a;
    socket_get(a);
    socket_get(b);
    socket_current_creds(&a->peer_creds, true);
    b->peer_creds = a->peer_creds;
    if (a->type != SOCK_DGRAM) {
        a->state = SOCK_CONNECTED;
        b->state = SOCK_CONNECTED;
    }
    return 0;
}

/* ---- listen, accept
 * ---------------------------------------------------------------------------------- */

int unix_listen(struct socket *s, uint32_t backlog) {
    if (atomic_load(&unix_of(s)->name) == NULL) {
        return -EINVAL;
    }
    uint32_t state = SOCK_UNCONNECTED;
    if (!atomic_cas(&s->state, &state, SOCK_LISTENING) && state != SOCK_LISTENING) {
        return -EINVAL;
    }
    spin_lock(&s->lock);
    s->backlog = MIN(backlog, UNIX_BACKLOG_MAX);
    socket_current_creds(&s->peer_creds, true);
    spin_unlock(&s->lock);
    waitq_wake(&s->room, POLLOUT);
    return 0;
}

static bool unix_acceptable(struct socket *s, void *arg) {
    return atomic_load(&s->accept_count) != 0 || (atomic_load(&s->shutdown) & SHUT_BIT_RD) != 0;
}

static struct socket *unix_take_child(struct socket *s) {
    struct socket *child = NULL;
    spin_lock(&s->lock);
    if (!list_empty(&s->accept_queue)) {
        child = list_first(&s->accept_queue, struct socket, accept_link);
        list_del_init(&child->accept_link);
        atomic_store(&s->accept_count, s->accept_count - 1);
    }
    spin_unlock(&s->lock);
    return child;
}

int unix_accept(struct socket *s, uint32_t flags, struct socket **out) {
    if (atomic_load(&s->state) != SOCK_LISTENING) {
        return -EINVAL;
    }
    uint64_t deadline_ns = socket_deadline(s->rcvtimeo_ns, (flags & O_NONBLOCK) != 0);
    struct socket *child;
    while ((child = unix_take_child(s)) == NULL) {
        if ((atomic_load(&s->shutdown) & SHUT_BIT_RD) != 0) {
            return -EINVAL;
        }
        int err = socket_wait(s, &s->waitq, POLLIN, unix_acceptable, NULL, deadline_ns);
        if (err != 0) {
            return err;
        }
    }
    waitq_wake_count(&s->room, POLLOUT, 1);
    *out = child;
    return 0;
}
