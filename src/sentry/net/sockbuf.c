/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers of messages: what they cost, who pays, and the receive queues.
 *
 * The sender pays until the message is read.  A sender may exceed its send buffer by one message,
 * as Linux allows.
 */
#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "net/socket.h"

#include <asm/errno.h>

struct sock_name *sock_name_new(const struct sock_addr *addr) {
    struct sock_name *name = kmalloc(sizeof(*name));
    if (name != NULL) {
        ref_init(&name->ref);
        name->addr = *addr;
    }
    return name;
}

void sock_name_put(struct sock_name *name) {
    if (name != NULL && ref_put(&name->ref)) {
        kfree(name);
    }
}

int sock_buf_new(struct socket *owner, struct iov_iter *from, uint32_t len, struct sock_buf **out) {
    struct sock_buf *b = kmalloc(sizeof(*b) + len);
    if (b == NULL) {
        return -ENOMEM;
    }
    if (len != 0 && iter_copy_from(from, b->data, len) != (int64_t)len) {
        kfree(b);
        return -EFAULT;
    }
    b->rights = NULL;
    b->from = NULL;
    b->len = len;
    b->off = 0;
    b->charge = (uint32_t)sizeof(*b) + len;
    b->owner = owner;
    socket_get(owner);
    (void)atomic_fetch_add(&owner->tx_charge, b->charge);
    *out = b;
    return 0;
}

static void sock_pay_back(struct socket *owner, uint32_t charge) {
    uint64_t limit = atomic_load(&owner->sndbuf);
    uint64_t before = atomic_fetch_sub(&owner->tx_charge, charge);
    /* Only the step below a quarter is told, so that a writer wakes up to some room and not for
     * each message. */
    if (before * 4 > limit && (before - charge) * 4 <= limit) {
        waitq_wake(&owner->waitq, POLLOUT | POLLWRNORM);
    }
}

void sock_buf_free(struct sock_buf *b) {
    if (b->rights != NULL) {
        sock_rights_detach(b->rights);
        sock_rights_discard(b->rights);
    }
    sock_name_put(b->from);
    sock_buf_disown(b);
    kfree(b);
}

void sock_buf_disown(struct sock_buf *b) {
    struct socket *owner = b->owner;
    if (owner != NULL) {
        b->owner = NULL;
        sock_pay_back(owner, b->charge);
        socket_put(owner);
    }
}

void sock_bufs_free(struct list *bufs) {
    struct sock_buf *b, *next;
    list_for_each_entry_safe (b, next, bufs, link) {
        list_del_init(&b->link);
        sock_buf_free(b);
    }
}

static bool sock_has_room(struct socket *s, void *arg) {
    return atomic_load(&s->tx_charge) < atomic_load(&s->sndbuf) ||
           (atomic_load(&s->shutdown) & SHUT_BIT_WR) != 0 || atomic_load(&s->error) != 0;
}

int sock_wait_room(struct socket *s, uint64_t deadline_ns) {
    if (!sock_has_room(s, NULL)) {
        int err = socket_wait(s, &s->waitq, POLLOUT, sock_has_room, NULL, deadline_ns);
        if (err != 0) {
            return err;
        }
    }
    int err = socket_take_error(s);
    if (err != 0) {
        return err;
    }
    return (atomic_load(&s->shutdown) & SHUT_BIT_WR) != 0 ? -EPIPE : 0;
}

void sock_queue_push(struct socket *s, struct sock_buf *b) {
    list_push_back(&s->rx, &b->link);
    s->rx_bytes += b->len;
    atomic_store(&s->rx_count, s->rx_count + 1);
}

void sock_queue_drain(struct socket *s, struct list *out) {
    list_init(out);
    spin_lock(&s->lock);
    list_splice_back(out, &s->rx);
    s->rx_bytes = 0;
    atomic_store(&s->rx_count, 0u);
    spin_unlock(&s->lock);
}
