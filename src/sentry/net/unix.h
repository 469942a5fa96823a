/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of AF_UNIX: unix(7).
 *
 * Locks: bind_mutex (sleeping) > g_unix_lock or g_unix_rights_lock (RANK_FILES, never both) >
 * socket lock (RANK_FILE).
 */
#ifndef MOAT_SENTRY_UNIX_H
#define MOAT_SENTRY_UNIX_H

#include "net/socket.h"

#include <linux/un.h>

#define UNIX_FAMILY_LEN   2u
#define UNIX_DGRAM_QUEUE  10u /* net.unix.max_dgram_qlen */
#define UNIX_DGRAM_MARGIN 32u /* of the send buffer, kept from datagrams */

struct unix_sock {
    struct socket s;
    struct mutex bind_mutex;
    struct sock_name *name; /* bound address; set once, atomic */
    struct path path;       /* of a path address; dentry NULL: none */
    struct list hash_link;  /* guarded by g_unix_lock, as the next three */
    struct list all_link;
    struct list connectors; /* datagram sockets whose peer this is, by connector_link */
    struct list connector_link;
    struct list inflight_link; /* guarded by g_unix_rights_lock, as the rest */
    uint32_t inflight;         /* references that messages in queues hold on the file */
    uint32_t gc_left;          /* of them, not yet explained by queues of candidates */
    bool gc_candidate;
};

static inline struct unix_sock *unix_of(struct socket *s) {
    return container_of(s, struct unix_sock, s);
}

extern struct spinlock g_unix_lock;
extern const struct sock_ops g_unix_stream_ops, g_unix_dgram_ops, g_unix_seqpacket_ops;

/* Names (unix_name.c). */
int unix_bind(struct socket *s, const struct sock_addr *addr);
must_check int unix_autobind(struct unix_sock *u);
/* The socket bound to an address, referenced.  -ECONNREFUSED, -EPROTOTYPE, errors of the path walk.
 */
must_check int unix_find(const struct sock_addr *addr, uint16_t type, struct unix_sock **out);
int unix_getname(struct socket *s, bool peer, struct sock_addr *out);
void unix_name_fill(struct unix_sock *u, struct sock_addr *out);
void unix_unhash(struct unix_sock *u);

/* Connections (unix_conn.c). */
must_check int unix_new(int type, struct unix_sock **out);
int unix_stream_connect(struct socket *s, const struct sock_addr *addr, uint32_t flags);
int unix_listen(struct socket *s, uint32_t backlog);
int unix_pair(struct socket *a, struct socket *b);

/* Datagrams (unix_dgram.c). */
int unix_dgram_connect(struct socket *s, const struct sock_addr *addr, uint32_t flags);
int64_t unix_dgram_send(struct socket *s, struct sock_msg *m);
int64_t unix_seqpacket_send(struct socket *s, struct sock_msg *m);
uint32_t unix_dgram_poll(struct socket *s, struct poll_table *table);
void unix_dgram_drained(struct socket *s);
/* Lets go of the peer and of those whose peer `u` is. */
void unix_dgram_unlink(struct unix_sock *u);

/* Closes circles of sockets that only messages in flight hold (unix_gc.c). */
void unix_collect(void);

#endif
