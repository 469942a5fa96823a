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

/* ---- connect ---------------------------------------------------------------------------- */

/* The server's end of a new connection: named as the listener, told who connects. */
static int unix_make_child(struct unix_sock *listener, struct unix_sock **out) {
    struct unix_sock *child;
    int err = unix_new(listener->s.type, &child);
    if (err != 0) {
        return err;
    }
    child->name = listener->name;
    ref_get(&child->name->ref);
    child->s.option_bits = atomic_load(&listener->s.option_bits) & SOCK_OPT_PASSCRED;
    socket_current_creds(&child->s.peer_creds, true);
    *out = child;
    return 0;
}

static int unix_connect_to(struct unix_sock *client, struct unix_sock *listener,
                           uint64_t deadline_ns) {
    struct unix_sock *child;
    int err = unix_make_child(listener, &child);
    if (err != 0) {
        return err;
    }
    err = sock_offer_child(&listener->s, &client->s, &child->s, deadline_ns);
    if (err != 0) {
        socket_put(&child->s); /* never seen by anybody: no release */
    }
    return err;
}

int unix_stream_connect(struct socket *s, const struct sock_addr *addr, uint32_t flags) {
    struct unix_sock *u = unix_of(s);
    if (addr->u.family != AF_UNIX) {
        return -EINVAL;
    }
    int err = sock_connect_begin(s);
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

int unix_listen(struct socket *s, uint32_t backlog) {
    return atomic_load(&unix_of(s)->name) == NULL ? -EINVAL : sock_listen_begin(s, backlog);
}
