/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loopback stack: TCP and UDP between the sockets of one sandbox, without packets.  A
 * connection is two sockets that know each other (stream.c); ports and addresses decide who meets
 * whom.
 *
 * Addresses are kept in the form of IPv6, those of IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).
 * Lock: g_loop_lock (RANK_FILES) guards the table of ports and the addresses of all sockets; before
 * a socket's lock.
 */
#ifndef MOAT_SENTRY_LOOP_H
#define MOAT_SENTRY_LOOP_H

#include "net/inet.h"

#define LOOP_OPTIONS 128u /* option numbers per level that are kept */

struct loop_addr {
    uint8_t ip[16];
    uint16_t port; /* host order; 0: none */
};

struct loop_sock {
    struct socket s;
    struct loop_addr local;  /* guarded by g_loop_lock, as the next four */
    struct loop_addr remote; /* port 0: not connected */
    bool bound_by_user;      /* bind(2) chose the port: it stays after a UDP disconnect */
    bool v6_only;
    bool connect_untold;   /* TCP: a connect that does not wait is done, and the next call tells so;
                              atomic */
    struct list port_link; /* in the table while it owns its port */
    struct list all_link;  /* in /proc/net's list until it is closed */
    struct mutex bind_mutex;
    int32_t *options[3]; /* values of IP, TCP and IPv6 options; made when first set; guarded by
                            bind_mutex */
};

static inline struct loop_sock *loop_of(struct socket *s) {
    return container_of(s, struct loop_sock, s);
}

extern struct spinlock g_loop_lock;
extern const struct sock_ops g_loop_tcp_ops, g_loop_udp_ops;

/* ---- addresses (loop_addr.c) ---- */
/* From user space's sockaddr: -EINVAL, -EAFNOSUPPORT. */
must_check int loop_addr_parse(const struct socket *s, const struct sock_addr *in,
                               struct loop_addr *out);
/* As a sockaddr of the socket's family. */
void loop_addr_format(uint16_t family, const struct loop_addr *in, struct sock_addr *out);
bool loop_ip_is_any(const uint8_t ip[16]);
/* The address to talk to and the source to talk from: -ENETUNREACH for what is not the loopback,
 * -EINVAL for families that do not meet. */
must_check int loop_route(const struct loop_sock *l, struct loop_addr *inout_remote,
                          uint8_t out_source[16]);

/* ---- ports (loop_port.c) ---- */
int loop_bind(struct socket *s, const struct sock_addr *addr);
/* Gives a socket without a port one of the ephemeral ports. */
must_check int loop_autobind(struct loop_sock *l);
void loop_unbind(struct loop_sock *l);
int loop_getname(struct socket *s, bool peer, struct sock_addr *out);
/* Under g_loop_lock: who listens (TCP) or receives (UDP) at `to` what comes from `from`; not
 * referenced, or NULL. */
struct loop_sock *loop_find(int protocol, const struct loop_addr *to, const struct loop_addr *from);

/* ---- /proc/net (loop_show.c) ---- */
void loop_list_add(struct loop_sock *l);

/* ---- options (loop_opt.c) ---- */
int loop_setsockopt(struct socket *s, int level, int name, const void *value, uint32_t len);
int loop_getsockopt(struct socket *s, int level, int name, void *value, uint32_t *inout_len);
int64_t loop_ioctl(struct socket *s, uint32_t request, struct uaddr arg);
void loop_options_free(struct loop_sock *l);

must_check int loop_new(uint16_t family, int type, struct loop_sock **out);
void loop_destroy(struct socket *s);

#endif
