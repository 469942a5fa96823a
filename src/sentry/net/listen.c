/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening, connecting and accepting between two sockets of the sandbox: listen(2), accept(2).
 */
#include "kernel/cpu.h"
#include "kernel/task.h"
#include "net/socket.h"

#include <asm/errno.h>
#include <linux/fcntl.h>

#define BACKLOG_MAX 4096u /* net.core.somaxconn */

int sock_connect_begin(struct socket *s) {
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

/* Queues the child: 0, -ECONNREFUSED, -EAGAIN when the backlog is full. */
static int sock_offer_once(struct socket *l, struct socket *client, struct socket *child) {
    int err = 0;
    spin_lock(&l->lock);
    if (l->dead || atomic_load(&l->state) != SOCK_LISTENING ||
        (atomic_load(&l->shutdown) & SHUT_BIT_RD) != 0) {
        err = -ECONNREFUSED;
    } else if (l->accept_count > l->backlog) {
        err = -EAGAIN;
    } else {
        child->peer = client;
        socket_get(client);
        child->state = SOCK_CONNECTED;
        client->peer_creds = l->peer_creds;
        client->peer = child;
        socket_get(child);
        atomic_store(&client->state, (uint32_t)SOCK_CONNECTED);
        list_push_back(&l->accept_queue, &child->accept_link);
        atomic_store(&l->accept_count, l->accept_count + 1);
    }
    spin_unlock(&l->lock);
    return err;
}

static bool sock_backlog_room(struct socket *l, void *arg) {
    return atomic_load(&l->accept_count) <= atomic_load(&l->backlog) ||
           atomic_load(&l->state) != SOCK_LISTENING ||
           (atomic_load(&l->shutdown) & SHUT_BIT_RD) != 0;
}

int sock_offer_child(struct socket *l, struct socket *client, struct socket *child,
                     uint64_t deadline_ns) {
    int err;
    while ((err = sock_offer_once(l, client, child)) == -EAGAIN && deadline_ns != 0) {
        err = socket_wait(l, &l->room, POLLOUT, sock_backlog_room, NULL, deadline_ns);
        if (err != 0) {
            break;
        }
    }
    if (err == 0) {
        waitq_wake(&l->waitq, POLLIN | POLLRDNORM);
        waitq_wake(&client->waitq, POLLOUT | POLLWRNORM);
    }
    return err;
}

int sock_listen_begin(struct socket *s, uint32_t backlog) {
    uint32_t state = SOCK_UNCONNECTED;
    if (!atomic_cas(&s->state, &state, SOCK_LISTENING) && state != SOCK_LISTENING) {
        return -EINVAL;
    }
    spin_lock(&s->lock);
    atomic_store(&s->backlog, MIN(backlog, BACKLOG_MAX));
    socket_current_creds(&s->peer_creds, true);
    spin_unlock(&s->lock);
    waitq_wake(&s->room, POLLOUT);
    return 0;
}

static bool sock_acceptable(struct socket *s, void *arg) {
    return atomic_load(&s->accept_count) != 0 || (atomic_load(&s->shutdown) & SHUT_BIT_RD) != 0;
}

static struct socket *sock_take_child(struct socket *s) {
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

int sock_accept(struct socket *s, uint32_t flags, struct socket **out) {
    if (atomic_load(&s->state) != SOCK_LISTENING) {
        return -EINVAL;
    }
    uint64_t deadline_ns = socket_deadline(s->rcvtimeo_ns, (flags & O_NONBLOCK) != 0);
    struct socket *child;
    while ((child = sock_take_child(s)) == NULL) {
        if ((atomic_load(&s->shutdown) & SHUT_BIT_RD) != 0) {
            return -EINVAL;
        }
        int err = socket_wait(s, &s->waitq, POLLIN, sock_acceptable, NULL, deadline_ns);
        if (err != 0) {
            return err;
        }
    }
    waitq_wake(&s->room, POLLOUT);
    *out = child;
    return 0;
}

void sock_unaccept(struct socket *s, struct socket *child) {
    spin_lock(&s->lock);
    list_push_front(&s->accept_queue, &child->accept_link);
    atomic_store(&s->accept_count, s->accept_count + 1);
    spin_unlock(&s->lock);
    waitq_wake(&s->waitq, POLLIN | POLLRDNORM);
}
