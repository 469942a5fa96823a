/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving whole messages: datagrams and sequenced packets. */
#include "kernel/cpu.h"
#include "kernel/task.h"
#include "net/socket.h"

#include <asm/errno.h>

static bool dgram_readable(struct socket *s, void *arg) {
    return atomic_load(&s->rx_count) != 0 || (atomic_load(&s->shutdown) & SHUT_BIT_RD) != 0 ||
           atomic_load(&s->error) != 0;
}

/* Waits without rx_mutex: 0 (look again), 1 when nothing more will come, or -errno. */
static int dgram_wait(struct socket *s, uint64_t deadline_ns) {
    int err = socket_take_error(s);
    if (err != 0) {
        return err;
    }
    bool shut = (atomic_load(&s->shutdown) & SHUT_BIT_RD) != 0;
    if (shut && atomic_load(&s->rx_count) != 0) {
        return 0;
    }
    if (shut && (s->type == SOCK_SEQPACKET || deadline_ns != 0)) {
        return 1;
    }
    if (deadline_ns == 0) {
        return -EAGAIN;
    }
    mutex_unlock(&s->rx_mutex);
    err = socket_wait(s, &s->waitq, POLLIN | POLLRDHUP, dgram_readable, NULL, deadline_ns);
    mutex_lock(&s->rx_mutex);
    return err;
}

static struct sock_buf *dgram_front(struct socket *s) {
    struct sock_buf *b = NULL;
    spin_lock(&s->lock);
    if (!list_empty(&s->rx)) {
        b = list_first(&s->rx, struct sock_buf, link);
    }
    spin_unlock(&s->lock);
    return b;
}

static void dgram_take(struct socket *s, struct sock_buf *b, struct sock_msg *m) {
    spin_lock(&s->lock);
    list_del_init(&b->link);
    atomic_store(&s->rx_count, s->rx_count - 1);
    s->rx_bytes -= b->len;
    struct sock_rights *rights = b->rights;
    b->rights = NULL;
    spin_unlock(&s->lock);
    if (rights != NULL) {
        sock_rights_detach(rights);
        m->rights = rights;
    }
    sock_buf_free(b);
    if (s->ops->drained != NULL) {
        s->ops->drained(s);
    }
}

static int64_t dgram_read_buf(struct socket *s, struct sock_msg *m, struct sock_buf *b) {
    uint32_t n = (uint32_t)MIN(iter_left(m->it), b->len);
    bool fault = n != 0 && iter_copy_to(m->it, b->data, n) != (int64_t)n;
    int64_t result = n;
    if (n < b->len) {
        m->out_flags |= MSG_TRUNC;
        result = (m->flags & MSG_TRUNC) != 0 ? b->len : n;
    }
    if (m->name != NULL) {
        m->name->len = 0;
        if (b->from != NULL) {
            *m->name = b->from->addr;
        }
    }
    m->creds = b->creds;
    m->has_creds = socket_option(s, SOCK_OPT_PASSCRED);
    if ((m->flags & MSG_PEEK) == 0) {
        dgram_take(s, b, m);
    } else if (b->rights != NULL) {
        m->rights = sock_rights_dup(b->rights);
    }
    return fault ? -EFAULT : result;
}

int64_t dgram_recv(struct socket *s, struct sock_msg *m) {
    if ((m->flags & MSG_OOB) != 0) {
        return -EOPNOTSUPP;
    }
    uint64_t deadline_ns = socket_deadline(s->rcvtimeo_ns, (m->flags & MSG_DONTWAIT) != 0);
    int64_t result;
    mutex_lock(&s->rx_mutex);
    for (;;) {
        struct sock_buf *b = dgram_front(s);
        if (b != NULL) {
            result = dgram_read_buf(s, m, b);
            break;
        }
        int err = dgram_wait(s, deadline_ns);
        if (err != 0) {
            result = err == 1 ? 0 : err;
            break;
        }
    }
    mutex_unlock(&s->rx_mutex);
    return result;
}
