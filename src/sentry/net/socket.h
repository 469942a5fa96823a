/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: what all families share.
 *
 * A struct socket is the kernel's half; the file points to it.  It is counted: by the file, by a
 * peer, by each buffer that was sent from it and is not yet read.  `release` runs when the file
 * goes, `destroy` when the last reference does.
 *
 * Locks: rx_mutex (sleeping) is held by who takes buffers off the receive queue; lock (RANK_FILE)
 * guards what says so. Two sockets are never locked at once, but by the collector of descriptors in
 * flight (unix_gc.c).
 */
#ifndef MOAT_SENTRY_SOCKET_H
#define MOAT_SENTRY_SOCKET_H

#include "base/atomic.h"
#include "base/list.h"
#include "fs/vfs.h"
#include "kernel/lock.h"
#include "kernel/wait.h"
#include "net/sockabi.h"

#include <asm/poll.h>

struct socket;
struct seq;

/* ---- buffers ---------------------------------------------------------------------------- */

/* An address that several messages share. */
struct sock_name {
    struct refcount ref;
    struct sock_addr addr;
};

/* Open files on their way (SCM_RIGHTS). */
struct sock_rights {
    struct list link; /* while waiting to be closed */
    uint32_t count;
    struct file *files[]; /* referenced */
};

/* One message, or a piece of a stream. */
struct sock_buf {
    struct list link;           /* in a receive queue */
    struct socket *owner;       /* pays for it; referenced; NULL: nobody any more */
    struct sock_rights *rights; /* NULL: none */
    struct sock_name *from;     /* datagrams: the sender's address, referenced, or NULL */
    uint32_t len;
    uint32_t off;    /* bytes of a stream piece read so far */
    uint32_t charge; /* what it costs the owner's send buffer */
    struct user_ucred creds;
    uint8_t data[];
};

#define SOCK_BUF_MAX     (256u * 1024u) /* data bytes of the largest datagram */
#define STREAM_CHUNK_MAX (32u * 1024u - sizeof(struct sock_buf))

/* One call of sendmsg or recvmsg. */
struct sock_msg {
    struct iov_iter *it;
    uint32_t flags;     /* MSG_*; MSG_DONTWAIT also for O_NONBLOCK files */
    uint32_t out_flags; /* receive: MSG_TRUNC, MSG_CTRUNC */
    struct sock_addr
        *name;      /* send: destination or NULL; receive: filled when not NULL (len 0: none) */
    bool has_creds; /* creds are explicit (send) or to be shown (receive) */
    struct user_ucred creds;
    struct sock_rights
        *rights; /* send: consumed when it returns NULL; receive: the caller owns them */
};

/* ---- the socket ------------------------------------------------------------------------- */

enum sock_state {
    SOCK_UNCONNECTED,
    SOCK_CONNECTING, /* one task is in connect */
    SOCK_CONNECTED,
    SOCK_LISTENING,
};

#define SHUT_BIT_RD 1u
#define SHUT_BIT_WR 2u
#define SHUT_BITS   3u

struct sock_ops {
    /* Addresses are copies, len >= 2.  Flags: O_NONBLOCK or 0. */
    int (*bind)(struct socket *s, const struct sock_addr *addr);
    int (*connect)(struct socket *s, const struct sock_addr *addr, uint32_t flags);
    int (*listen)(struct socket *s, uint32_t backlog);
    int (*accept)(struct socket *s, uint32_t flags, struct socket **out);
    int (*pair)(struct socket *a, struct socket *b);
    int (*getname)(struct socket *s, bool peer, struct sock_addr *out);
    int64_t (*send)(struct socket *s, struct sock_msg *m);
    int64_t (*recv)(struct socket *s, struct sock_msg *m);
    int (*shutdown)(struct socket *s, uint32_t bits);
    uint32_t (*poll)(struct socket *s, struct poll_table *table);
    int64_t (*ioctl)(struct socket *s, uint32_t request, struct uaddr arg); /* -ENOTTY: not known */
    /* Levels other than SOL_SOCKET.  get: fills up to *inout_len bytes. */
    int (*setsockopt)(struct socket *s, int level, int name, const void *value, uint32_t len);
    int (*getsockopt)(struct socket *s, int level, int name, void *value, uint32_t *inout_len);
    /* A message left the receive queue: wakes senders that wait for room.  NULL: nothing to do. */
    void (*drained)(struct socket *s);
    void (*release)(struct socket *s);
    void (*destroy)(struct socket *s); /* frees it */
};

struct socket {
    struct refcount ref;
    const struct sock_ops *ops;
    uint16_t family;
    uint16_t type;
    int32_t protocol;
    struct file *file;  /* not referenced; NULL before accept and after release */
    struct waitq waitq; /* readers by POLLIN, writers by POLLOUT */
    struct waitq room;  /* those who wait for room in this socket's queues */
    struct spinlock lock;
    uint32_t state;    /* enum sock_state; atomic */
    uint32_t shutdown; /* SHUT_BIT_*; atomic */
    int32_t error;     /* SO_ERROR, positive errno; atomic */
    bool dead;         /* released; guarded by lock */
    struct socket
        *peer; /* referenced; stream: set once before SOCK_CONNECTED, else guarded by lock */
    struct mutex rx_mutex;
    struct list rx; /* sock_buf; guarded by lock, as the next two */
    uint32_t rx_count;
    uint64_t rx_bytes;
    uint32_t tx_charge;      /* bytes sent and not yet read; atomic */
    uint32_t sndbuf, rcvbuf; /* atomic */
    uint32_t backlog;
    struct list accept_queue; /* children by accept_link; guarded by lock */
    struct list accept_link;  /* in the listener's queue */
    uint32_t accept_count;
    uint64_t rcvtimeo_ns, sndtimeo_ns; /* 0: none */
    uint32_t rcvlowat;
    uint32_t option_bits;   /* SOCK_OPT_*; atomic */
    int32_t linger_seconds; /* -1: off */
    int32_t priority, mark;
    struct user_ucred peer_creds;
};

/* Boolean options that are kept and reported. */
enum {
    SOCK_OPT_PASSCRED = 1u << 0,
    SOCK_OPT_REUSEADDR = 1u << 1,
    SOCK_OPT_REUSEPORT = 1u << 2,
    SOCK_OPT_KEEPALIVE = 1u << 3,
    SOCK_OPT_BROADCAST = 1u << 4,
    SOCK_OPT_OOBINLINE = 1u << 5,
    SOCK_OPT_DONTROUTE = 1u << 6,
    SOCK_OPT_TIMESTAMP = 1u << 7,
    SOCK_OPT_DEBUG = 1u << 8,
    SOCK_OPT_PASSSEC = 1u << 9,
    SOCK_OPT_NO_CHECK = 1u << 10,
    SOCK_OPT_RXQ_OVFL = 1u << 11,
};

/* ---- families --------------------------------------------------------------------------- */

struct sock_family {
    int family;
    /* A new socket with one reference; type without flags.  -EPROTONOSUPPORT, -ESOCKTNOSUPPORT,
     * -EPERM, -ENOMEM. */
    int (*create)(int type, int protocol, struct socket **out);
};

extern const struct sock_family g_unix_family, g_netlink_family, g_inet_family, g_inet6_family;

/* ---- shared code (sockcore.c) ----------------------------------------------------------- */

void socket_init(struct socket *s, const struct sock_ops *ops, uint16_t family, int type,
                 int protocol);
static inline void socket_get(struct socket *s) {
    ref_get(&s->ref);
}
void socket_put(struct socket *s);
/* Opens a file over the socket (consumes the reference) / over an accepted one; referenced file. */
must_check int socket_file(struct socket *s, uint32_t flags, struct file **out_file);
/* Takes the socket out of a file that nobody else has seen; its reference goes to the caller. */
void socket_unfile(struct file *file);
/* The socket of a file or NULL. */
struct socket *socket_of(const struct file *file);
/* Takes the pending error: 0 or -errno. */
must_check int socket_take_error(struct socket *s);
void socket_set_error(struct socket *s, int error);
static inline bool socket_option(struct socket *s, uint32_t bit) {
    return (atomic_load_relaxed(&s->option_bits) & bit) != 0;
}
/* CLOCK_MONOTONIC deadline of a call that may wait: from the timeout option; 0 with MSG_DONTWAIT.
 */
uint64_t socket_deadline(uint64_t timeout_ns, bool nonblock);
/* Sleeps on `q` until ready(s, arg): 0, -EAGAIN (deadline), -ERESTARTSYS, -EINTR (with a deadline).
 */
must_check int socket_wait(struct socket *s, struct waitq *q, uint32_t mask,
                           bool (*ready)(struct socket *s, void *arg), void *arg,
                           uint64_t deadline_ns);
/* Room in the send buffer, with poll's margin. */
static inline bool socket_writable(struct socket *s) {
    return (uint64_t)atomic_load(&s->tx_charge) * 4 <= atomic_load(&s->sndbuf);
}
/* Marks directions as shut and wakes who waits. */
void socket_shut(struct socket *s, uint32_t bits);
void socket_current_creds(struct user_ucred *out, bool effective);
int64_t socket_send(struct file *file, struct socket *s, struct sock_msg *m);
int64_t socket_recv(struct file *file, struct socket *s, struct sock_msg *m);

/* ---- buffers and queues (sockbuf.c) ----------------------------------------------------- */

must_check struct sock_name *sock_name_new(const struct sock_addr *addr);
void sock_name_put(struct sock_name *name); /* NULL is fine */
/* A buffer of `len` bytes from the iterator, charged to `owner`: 0, -ENOMEM, -EFAULT. */
must_check int sock_buf_new(struct socket *owner, struct iov_iter *from, uint32_t len,
                            struct sock_buf **out);
/* Frees the sender from what the buffer costs. */
void sock_buf_disown(struct sock_buf *b);
/* Frees the sender from what the buffer costs. */
void sock_buf_disown(struct sock_buf *b);
/* Pays back and frees, rights included; no spinlock. */
void sock_buf_free(struct sock_buf *b);
void sock_bufs_free(struct list *bufs);
/* Waits until the send buffer has room: 0, -EPIPE when shut for writing, or as socket_wait. */
must_check int sock_wait_room(struct socket *s, uint64_t deadline_ns);
/* Appends to the receive queue, under s->lock. */
void sock_queue_push(struct socket *s, struct sock_buf *b);
/* Takes all buffers, to free them without the lock. */
void sock_queue_drain(struct socket *s, struct list *out);

/* ---- byte streams and datagrams (stream.c, dgram.c) ------------------------------------- */

int64_t stream_send(struct socket *s, struct sock_msg *m);
int64_t stream_recv(struct socket *s, struct sock_msg *m);
uint32_t stream_poll(struct socket *s, struct poll_table *table);
/* Takes one message; -EAGAIN as 0 at the end of a connected socket. */
int64_t dgram_recv(struct socket *s, struct sock_msg *m);

/* ---- connections (listen.c) -------------------------------------------------------------- */

/* Enters connect: 0 (state CONNECTING), -EISCONN, -EALREADY, -EINVAL (listens). */
must_check int sock_connect_begin(struct socket *s);
/* Connects `client` and the new `child` and puts the child on the listener's queue, waiting for
 * room until the deadline: 0, -ECONNREFUSED, -EAGAIN, as socket_wait. */
must_check int sock_offer_child(struct socket *l, struct socket *client, struct socket *child,
                                uint64_t deadline_ns);
must_check int sock_listen_begin(struct socket *s, uint32_t backlog);
int sock_accept(struct socket *s, uint32_t flags, struct socket **out);
/* Puts an accepted child back to the front: there was no descriptor for it. */
void sock_unaccept(struct socket *s, struct socket *child);

/* ---- rights (unix_rights.c) ------------------------------------------------------------- */

/* Counts the files as in flight: 0 or -ETOOMANYREFS. */
must_check int sock_rights_attach(struct sock_rights *r);
/* The opposite, when they leave a queue. */
void sock_rights_detach(struct sock_rights *r);
/* Closes files that never were, or are no longer, in flight, without recursion. */
void sock_rights_discard(struct sock_rights *r);
/* A copy with its own references, not in flight (MSG_PEEK); NULL without memory. */
must_check struct sock_rights *sock_rights_dup(const struct sock_rights *r);

/* ---- options, control messages, interfaces ---------------------------------------------- */

int socket_setsockopt(struct socket *s, int name, struct uaddr value, int32_t len);
int socket_getsockopt(struct socket *s, int name, void *value, uint32_t *inout_len);
must_check int control_parse(struct socket *s, struct uaddr control, uint64_t len,
                             struct sock_msg *m);
/* Writes what was received; *inout_len: room in, bytes used out.  Consumes m->rights, may add
 * MSG_CTRUNC. */
void control_emit(struct sock_msg *m, struct uaddr control, uint64_t *inout_len);
int64_t netdev_ioctl(uint32_t request, struct uaddr arg);
/* Text of /proc/net/unix. */
int net_unix_show(struct seq *s, void *arg);
uint32_t net_unix_count(void);
/* Text of /proc/net/tcp and its relatives: AF_INET or AF_INET6. */
int net_loop_show(struct seq *s, uint16_t family, bool tcp);
struct net_loop_counts {
    uint32_t tcp, tcp6, udp, udp6; /* in those tables */
    uint32_t tcp_all;              /* with those that are not yet of use */
};
void net_loop_count(struct net_loop_counts *out);

#endif
