/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams between two sockets of the sandbox: unix(7) SOCK_STREAM and the loopback's
 * connections.
 *
 * A send makes one buffer a call (or a few large ones) and puts it on the peer's queue; a receive
 * consumes buffers from the front.  Rights travel with the first byte of their buffer and end a
 * receive, so that two sets never mix.
 */
#include "kernel/cpu.h"
#include "kernel/task.h"
#include "net/socket.h"

#include <asm/errno.h>

/* ---- sending ---------------------------------------------------------------------------- */

/* A stream that cannot be written: TCP tells a pending error first (tcp(7)), unix sockets keep it
 * for the reader. */
static int stream_broken(struct socket *s) {
    int err = s->family == AF_UNIX ? 0 : socket_take_error(s);
    return err != 0 ? err : -EPIPE;
}

/* A unix socket's peer that reads no more ends the writing; TCP has no message for that and throws
 * the data away. */
static bool stream_peer_deaf(struct socket *peer) {
    return peer->family == AF_UNIX && (atomic_load_relaxed(&peer->shutdown) & SHUT_BIT_RD) != 0;
}

/* Puts the buffer on the peer's queue: 0, or -EPIPE when the peer reads no more. */
static int stream_deliver(struct socket *peer, struct sock_buf *b) {
    spin_lock(&peer->lock);
    if (peer->dead || stream_peer_deaf(peer)) {
        spin_unlock(&peer->lock);
        return -EPIPE;
    }
    sock_queue_push(peer, b);
    spin_unlock(&peer->lock);
    waitq_wake(&peer->waitq, POLLIN | POLLRDNORM);
    return 0;
}

static int stream_send_piece(struct socket *s, struct sock_msg *m, uint64_t deadline_ns,
                             uint32_t *out_len) {
    struct socket *peer = s->peer;
    if (stream_peer_deaf(peer)) {
        return stream_broken(s);
    }
    int err = sock_wait_room(s, deadline_ns);
    if (err != 0) {
        return err;
    }
    struct sock_buf *b;
    uint32_t len = (uint32_t)MIN(iter_left(m->it), STREAM_CHUNK_MAX);
    err = sock_buf_new(s, m->it, len, &b);
    if (err != 0) {
        return err;
    }
    b->creds = m->creds;
    if (m->rights != NULL) {
        err = sock_rights_attach(m->rights);
        if (err != 0) {
            sock_buf_free(b);
            return err;
        }
        b->rights = m->rights;
        m->rights = NULL;
    }
    err = stream_deliver(peer, b);
    if (err != 0) {
        sock_buf_free(b);
        if (s->family == AF_UNIX) {
            return err;
        }
        socket_set_error(
            s, EPIPE); /* the reset that answers data to a closed port: told by the next call */
        socket_shut(s, SHUT_BITS);
    }
    *out_len = len;
    return 0;
}

int64_t stream_send(struct socket *s, struct sock_msg *m) {
    if (atomic_load(&s->state) != SOCK_CONNECTED) {
        return -ENOTCONN;
    }
    if ((m->flags & MSG_OOB) != 0) {
        return -EOPNOTSUPP;
    }
    if ((atomic_load(&s->shutdown) & SHUT_BIT_WR) != 0) {
        return stream_broken(s);
    }
    if (!m->has_creds) {
        socket_current_creds(&m->creds, false);
    }
    uint64_t deadline_ns = socket_deadline(s->sndtimeo_ns, (m->flags & MSG_DONTWAIT) != 0);
    int64_t done = 0;
    while (iter_left(m->it) != 0) {
        uint32_t len = 0;
        int err = stream_send_piece(s, m, deadline_ns, &len);
        if (err != 0) {
            return done != 0 ? done : err;
        }
        done += len;
    }
    return done;
}

/* ---- receiving -------------------------------------------------------------------------- */

static bool stream_readable(struct socket *s, void *arg) {
    return atomic_load(&s->rx_count) != 0 || (atomic_load(&s->shutdown) & SHUT_BIT_RD) != 0 ||
           atomic_load(&s->error) != 0;
}

/* Sleeps for the first byte, without rx_mutex: 0 (look again), 1 at the end of the stream, or
 * -errno. */
static int stream_wait_data(struct socket *s, uint64_t deadline_ns) {
    int err = socket_take_error(s);
    if (err != 0) {
        return err;
    }
    if ((atomic_load(&s->shutdown) & SHUT_BIT_RD) != 0) {
        return atomic_load(&s->rx_count) != 0 ? 0 : 1;
    }
    if (deadline_ns == 0) {
        return -EAGAIN;
    }
    mutex_unlock(&s->rx_mutex);
    err = socket_wait(s, &s->waitq, POLLIN | POLLRDHUP, stream_readable, NULL, deadline_ns);
    mutex_lock(&s->rx_mutex);
    return err;
}

/* The buffer at the front, or the one after `after` for a peek. */
static struct sock_buf *stream_front(struct socket *s, struct sock_buf *after) {
    struct sock_buf *b = NULL;
    spin_lock(&s->lock);
    struct list *link = after != NULL ? after->link.next : s->rx.next;
    if (link != &s->rx) {
        b = list_entry(link, struct sock_buf, link);
    }
    spin_unlock(&s->lock);
    return b;
}

static bool stream_same_creds(const struct user_ucred *a, const struct user_ucred *b) {
    return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* Takes `n` bytes that were copied off the buffer; true when rights came with them. */
static bool stream_consume(struct socket *s, struct sock_buf *b, uint32_t n, struct sock_msg *m) {
    bool empty;
    spin_lock(&s->lock);
    struct sock_rights *rights = b->rights;
    b->rights = NULL;
    b->off += n;
    s->rx_bytes -= n;
    empty = b->off == b->len;
    if (empty) {
        list_del_init(&b->link);
        atomic_store(&s->rx_count, s->rx_count - 1);
    }
    spin_unlock(&s->lock);
    if (rights != NULL) {
        sock_rights_detach(rights);
        m->rights = rights;
    }
    if (empty) {
        sock_buf_free(b);
    }
    return rights != NULL;
}

struct stream_read {
    int64_t done;
    int64_t target; /* enough to return */
    struct sock_buf *peeked;
};

/* Copies from one buffer; true to go on with the next one. */
static bool stream_read_buf(struct socket *s, struct sock_msg *m, struct stream_read *r,
                            struct sock_buf *b) {
    bool peek = (m->flags & MSG_PEEK) != 0;
    if (r->done == 0) {
        m->creds = b->creds;
    } else if (socket_option(s, SOCK_OPT_PASSCRED) && !stream_same_creds(&m->creds, &b->creds)) {
        return false; /* bytes of different senders never mix */
    }
    uint32_t n = (uint32_t)MIN(iter_left(m->it), b->len - b->off);
    int64_t copied = n == 0 ? 0 : iter_copy_to(m->it, b->data + b->off, n);
    if (copied != (int64_t)n) {
        r->done = r->done != 0 ? r->done : -EFAULT;
        return false;
    }
    r->done += n;
    if (!peek) {
        return !stream_consume(s, b, n, m) && iter_left(m->it) != 0;
    }
    r->peeked = b;
    if (b->rights != NULL) {
        m->rights = sock_rights_dup(b->rights);
        return false;
    }
    return iter_left(m->it) != 0;
}

int64_t stream_recv(struct socket *s, struct sock_msg *m) {
    if ((m->flags & MSG_OOB) != 0) {
        return -EOPNOTSUPP;
    }
    uint64_t deadline_ns = socket_deadline(s->rcvtimeo_ns, (m->flags & MSG_DONTWAIT) != 0);
    int64_t size = (int64_t)iter_left(m->it);
    struct stream_read r = {
        .target = (m->flags & MSG_WAITALL) != 0 ? size : MIN((int64_t)s->rcvlowat, size)};
    mutex_lock(&s->rx_mutex);
    for (;;) {
        struct sock_buf *b = stream_front(s, r.peeked);
        if (b != NULL) {
            if (!stream_read_buf(s, m, &r, b)) {
                break;
            }
            continue;
        }
        if (r.done >= MAX(r.target, 1)) {
            break;
        }
        int err = stream_wait_data(s, deadline_ns);
        if (err != 0) {
            r.done = r.done != 0 || err == 1 ? r.done : err;
            break;
        }
        r.done = r.peeked != NULL ? 0 : r.done;
        if (r.peeked != NULL) { /* rx_mutex was let go: start over */
            iter_revert(m->it, (size_t)size - iter_left(m->it));
            r.peeked = NULL;
        }
    }
    mutex_unlock(&s->rx_mutex);
    m->has_creds = r.done >= 0 && socket_option(s, SOCK_OPT_PASSCRED);
    return r.done;
}

/* ---- polling ---------------------------------------------------------------------------- */

uint32_t stream_poll(struct socket *s, struct poll_table *table) {
    poll_wait(table, &s->waitq);
    uint32_t state = atomic_load(&s->state);
    uint32_t shut = atomic_load(&s->shutdown);
    uint32_t events = atomic_load(&s->error) != 0 ? POLLERR : 0;
    if (state == SOCK_LISTENING) {
        return events | (atomic_load(&s->accept_count) != 0 ? POLLIN | POLLRDNORM : 0);
    }
    if (shut == SHUT_BITS || state == SOCK_UNCONNECTED) {
        events |= POLLHUP;
    }
    if ((shut & SHUT_BIT_RD) != 0) {
        events |= POLLRDHUP | POLLIN | POLLRDNORM;
    }
    if (atomic_load(&s->rx_count) != 0) {
        events |= POLLIN | POLLRDNORM;
    }
    if (socket_writable(s)) {
        events |= POLLOUT | POLLWRNORM | POLLWRBAND;
    }
    return events;
}
