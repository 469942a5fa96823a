/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_UNIX: life of its sockets and the tables of operations.  unix(7).
 */
#include "net/unix.h"

#include "fs/seq.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"

#include <asm/errno.h>
#include <asm/ioctls.h>
#include <linux/sockios.h>

static struct list g_unix_all; /* guarded by g_unix_lock; made at its first use */

/* ---- life ------------------------------------------------------------------------------- */

static const struct sock_ops *unix_ops_of(int type) {
    switch (type) {
    case SOCK_STREAM:
        return &g_unix_stream_ops;
    case SOCK_SEQPACKET:
        return &g_unix_seqpacket_ops;
    default:
        return &g_unix_dgram_ops;
    }
}

int unix_new(int type, struct unix_sock **out) {
    struct unix_sock *u = kzalloc(sizeof(*u));
    if (u == NULL) {
        return -ENOMEM;
    }
    socket_init(&u->s, unix_ops_of(type), AF_UNIX, type, 0);
    mutex_init(&u->bind_mutex);
    list_init(&u->hash_link);
    list_init(&u->connectors);
    list_init(&u->connector_link);
    list_init(&u->inflight_link);
    spin_lock(&g_unix_lock);
    if (g_unix_all.next == NULL) {
        list_init(&g_unix_all);
    }
    list_push_back(&g_unix_all, &u->all_link);
    spin_unlock(&g_unix_lock);
    *out = u;
    return 0;
}

static int unix_create(int type, int protocol, struct socket **out) {
    if (protocol != 0 && protocol != AF_UNIX) {
        return -EPROTONOSUPPORT;
    }
    if (type == SOCK_RAW) {
        type = SOCK_DGRAM; /* as Linux does for old programs */
    }
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET) {
        return -ESOCKTNOSUPPORT;
    }
    struct unix_sock *u;
    int err = unix_new(type, &u);
    if (err == 0) {
        *out = &u->s;
    }
    return err;
}

const struct sock_family g_unix_family = {AF_UNIX, unix_create};

static void unix_destroy(struct socket *s) {
    struct unix_sock *u = unix_of(s);
    spin_lock(&g_unix_lock);
    list_del_init(&u->all_link);
    spin_unlock(&g_unix_lock);
    socket_put(s->peer);
    sock_name_put(u->name);
    kfree(u);
}

/* What a peer of a connection sees when this end goes. */
static void unix_hang_up_peer(struct socket *peer, bool unread) {
    if (unread) {
        socket_set_error(peer, ECONNRESET);
    }
    socket_shut(peer, SHUT_BITS);
}

static void unix_close(struct socket *s, bool embryo);

/* Connections nobody accepted. */
static void unix_close_children(struct list *children) {
    while (!list_empty(children)) {
        struct socket *child = list_first(children, struct socket, accept_link);
        list_del_init(&child->accept_link);
        unix_close(child, true);
        socket_put(child);
    }
}

/* One level deep: only listeners have children, and a child never listens. */
static void unix_close(struct socket *s, bool embryo) {
    struct unix_sock *u = unix_of(s);
    struct list bufs, children;
    list_init(&children);
    unix_unhash(u);
    unix_dgram_unlink(u);
    spin_lock(&s->lock);
    s->dead = true;
    struct socket *peer = s->peer;
    s->peer = NULL;
    list_splice_back(&children, &s->accept_queue);
    atomic_store(&s->accept_count, 0u);
    spin_unlock(&s->lock);
    sock_queue_drain(s, &bufs);
    if (peer != NULL && s->type != SOCK_DGRAM) {
        unix_hang_up_peer(peer, embryo || !list_empty(&bufs));
    }
    socket_shut(s, SHUT_BITS); /* those who wait for room here */
    sock_bufs_free(&bufs);
    unix_close_children(&children);
    socket_put(peer);
    if (u->path.dentry != NULL) {
        path_put(&u->path);
    }
}

static void unix_release(struct socket *s) {
    unix_close(s, false);
    unix_collect();
}

/* ---- operations ------------------------------------------------------------------------- */

static int unix_shutdown(struct socket *s, uint32_t bits) {
    socket_shut(s, bits);
    spin_lock(&s->lock);
    struct socket *peer = s->type != SOCK_DGRAM ? s->peer : NULL;
    if (peer != NULL) {
        socket_get(peer);
    }
    spin_unlock(&s->lock);
    if (peer != NULL) {
        uint32_t mirrored = ((bits & SHUT_BIT_RD) != 0 ? SHUT_BIT_WR : 0) |
                            ((bits & SHUT_BIT_WR) != 0 ? SHUT_BIT_RD : 0);
        socket_shut(peer, mirrored);
        socket_put(peer);
    }
    return 0;
}

static int64_t unix_unread(struct socket *s) {
    spin_lock(&s->lock);
    uint64_t bytes = s->rx_bytes;
    if (s->type == SOCK_DGRAM) {
        bytes = list_empty(&s->rx) ? 0 : list_first(&s->rx, struct sock_buf, link)->len;
    }
    spin_unlock(&s->lock);
    return (int64_t)bytes;
}

static int64_t unix_ioctl(struct socket *s, uint32_t request, struct uaddr arg) {
    int32_t value;
    switch (request) {
    case FIONREAD: /* SIOCINQ */
        if (atomic_load(&s->state) == SOCK_LISTENING) {
            return -EINVAL;
        }
        value = (int32_t)unix_unread(s);
        break;
    case TIOCOUTQ: /* SIOCOUTQ */
        value = (int32_t)atomic_load(&s->tx_charge);
        break;
    default:
        return -ENOTTY;
    }
    return copyout(arg, &value, sizeof(value));
}

static int64_t unix_stream_send(struct socket *s, struct sock_msg *m) {
    if (m->name != NULL) {
        return atomic_load(&s->state) == SOCK_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    }
    return stream_send(s, m);
}

static int64_t unix_stream_recv(struct socket *s, struct sock_msg *m) {
    if (atomic_load(&s->state) != SOCK_CONNECTED) {
        return -EINVAL;
    }
    int64_t n = stream_recv(s, m);
    if (n > 0 && m->name != NULL) {
        unix_name_fill(unix_of(s->peer), m->name);
        m->name->len = m->name->len == UNIX_FAMILY_LEN ? 0 : m->name->len;
    }
    return n;
}

static int64_t unix_seqpacket_recv(struct socket *s, struct sock_msg *m) {
    return atomic_load(&s->state) != SOCK_CONNECTED ? -ENOTCONN : dgram_recv(s, m);
}

const struct sock_ops g_unix_stream_ops = {
    .bind = unix_bind,
    .connect = unix_stream_connect,
    .listen = unix_listen,
    .accept = sock_accept,
    .pair = unix_pair,
    .getname = unix_getname,
    .send = unix_stream_send,
    .recv = unix_stream_recv,
    .shutdown = unix_shutdown,
    .poll = stream_poll,
    .ioctl = unix_ioctl,
    .release = unix_release,
    .destroy = unix_destroy,
};

const struct sock_ops g_unix_seqpacket_ops = {
    .bind = unix_bind,
    .connect = unix_stream_connect,
    .listen = unix_listen,
    .accept = sock_accept,
    .pair = unix_pair,
    .getname = unix_getname,
    .send = unix_seqpacket_send,
    .recv = unix_seqpacket_recv,
    .shutdown = unix_shutdown,
    .poll = unix_dgram_poll,
    .ioctl = unix_ioctl,
    .release = unix_release,
    .destroy = unix_destroy,
};

const struct sock_ops g_unix_dgram_ops = {
    .bind = unix_bind,
    .connect = unix_dgram_connect,
    .pair = unix_pair,
    .getname = unix_getname,
    .send = unix_dgram_send,
    .recv = dgram_recv,
    .shutdown = unix_shutdown,
    .poll = unix_dgram_poll,
    .ioctl = unix_ioctl,
    .drained = unix_dgram_drained,
    .release = unix_release,
    .destroy = unix_destroy,
};

/* ---- /proc/net/unix --------------------------------------------------------------------- */

static uint32_t unix_proc_state(struct socket *s) {
    switch (atomic_load(&s->state)) {
    case SOCK_CONNECTED:
        return 3; /* SS_CONNECTED */
    case SOCK_CONNECTING:
        return 2;
    default:
        return 1;
    }
}

static void unix_show_one(struct seq *out, struct unix_sock *u) {
    struct socket *s = &u->s;
    spin_lock(&s->lock);
    uint64_t ino = s->file != NULL ? s->file->inode->ino : 0;
    spin_unlock(&s->lock);
    seq_printf(out, "0000000000000000: %08X 00000000 %08X %04X %02X %5llu", s->ref.n,
               atomic_load(&s->state) == SOCK_LISTENING ? 0x10000u : 0u, (uint32_t)s->type,
               unix_proc_state(s), (unsigned long long)ino);
    struct sock_name *name = atomic_load(&u->name);
    if (name != NULL) {
        seq_putc(out, ' ');
        bool abstract = name->addr.u.bytes[UNIX_FAMILY_LEN] == 0;
        uint32_t end = abstract ? name->addr.len : name->addr.len - 1; /* not a path's last NUL */
        for (uint32_t i = UNIX_FAMILY_LEN; i < end; i++) {
            seq_putc(out, name->addr.u.bytes[i] == 0 ? '@' : (char)name->addr.u.bytes[i]);
        }
    }
    seq_putc(out, '\n');
}

uint32_t net_unix_count(void) {
    struct unix_sock *u;
    uint32_t count = 0;
    spin_lock(&g_unix_lock);
    if (g_unix_all.next != NULL) {
        list_for_each_entry (u, &g_unix_all, all_link) {
            count++;
        }
    }
    spin_unlock(&g_unix_lock);
    return count;
}

int net_unix_show(struct seq *s, void *arg) {
    seq_printf(s, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    struct unix_sock *u;
    spin_lock(&g_unix_lock);
    if (g_unix_all.next != NULL) {
        list_for_each_entry (u, &g_unix_all, all_link) {
            unix_show_one(s, u);
        }
    }
    spin_unlock(&g_unix_lock);
    return 0;
}
