/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of the loopback stack: who owns which, and who is meant by an address.
 */
#include "fs/proc/sysctl.h"
#include "base/hash.h"
#include "base/string.h"
#include "kernel/cpu.h"
#include "kernel/task.h"
#include "net/loop.h"

#include <asm/errno.h>
#include <linux/capability.h>

#define PORT_BUCKETS 256u
#define PORT_FIRST   32768u /* net.ipv4.ip_local_port_range */
#define PORT_LAST    60999u

struct spinlock g_loop_lock = SPINLOCK_INIT(RANK_FILES);
static struct list g_ports[PORT_BUCKETS]; /* by port; a head is made at its first use */
static uint32_t g_port_next;              /* where the search for an ephemeral port goes on */

static struct list *port_bucket(uint16_t port) {
    struct list *head = &g_ports[port % PORT_BUCKETS];
    if (head->next == NULL) {
        list_init(head);
    }
    return head;
}

static bool is_v4(const uint8_t ip[16]) {
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

/* Does a socket bound to `local` hear what is sent to `ip`?  An unspecified address hears its
 * family, and an IPv6 one IPv4 too unless it is v6_only. */
static bool port_hears(const struct loop_sock *l, const uint8_t ip[16]) {
    if (memcmp(l->local.ip, ip, 16) == 0) {
        return true;
    }
    if (!loop_ip_is_any(l->local.ip)) {
        return false;
    }
    if (is_v4(l->local.ip)) {
        return is_v4(ip);
    }
    return !is_v4(ip) || !l->v6_only;
}

static bool port_may_share(const struct loop_sock *a, const struct loop_sock *b) {
    uint32_t both = atomic_load(&a->s.option_bits) & atomic_load(&b->s.option_bits);
    if ((both & SOCK_OPT_REUSEPORT) != 0) {
        return true;
    }
    bool listens =
        atomic_load(&a->s.state) == SOCK_LISTENING || atomic_load(&b->s.state) == SOCK_LISTENING;
    return (both & SOCK_OPT_REUSEADDR) != 0 && !listens;
}

/* Is the port in use for an address that meets l's?  Under g_loop_lock. */
static bool port_conflicts(const struct loop_sock *l, uint16_t port) {
    struct loop_sock *other;
    struct list *bucket = port_bucket(port);
    list_for_each_entry (other, bucket, port_link) {
        if (other == l || other->local.port != port || other->s.protocol != l->s.protocol) {
            continue;
        }
        bool meets = port_hears(other, l->local.ip) || port_hears(l, other->local.ip);
        if (meets && !port_may_share(l, other)) {
            return true;
        }
    }
    return false;
}

static void port_take(struct loop_sock *l, uint16_t port) {
    l->local.port = port;
    list_push_back(port_bucket(port), &l->port_link);
}

/* An ephemeral port nobody uses at all, so that a connection is known by it; 0 when all are in use.
 */
static uint16_t port_ephemeral(const struct loop_sock *l) {
    uint32_t span = PORT_LAST - PORT_FIRST + 1;
    for (uint32_t tries = 0; tries < span; tries++) {
        uint16_t port = (uint16_t)(PORT_FIRST + (g_port_next++ % span));
        struct loop_sock *other;
        bool used = false;
        struct list *bucket = port_bucket(port);
        list_for_each_entry (other, bucket, port_link) {
            used = used || (other->local.port == port && other->s.protocol == l->s.protocol);
        }
        if (!used) {
            return port;
        }
    }
    return 0;
}

int loop_autobind(struct loop_sock *l) {
    int err = 0;
    spin_lock(&g_loop_lock);
    if (l->local.port == 0) {
        uint16_t port = port_ephemeral(l);
        if (port == 0) {
            err = -EADDRNOTAVAIL;
        } else {
            port_take(l, port);
        }
    }
    spin_unlock(&g_loop_lock);
    return err;
}

void loop_unbind(struct loop_sock *l) {
    spin_lock(&g_loop_lock);
    list_del_init(&l->port_link);
    list_del_init(&l->all_link);
    spin_unlock(&g_loop_lock);
}

static int bind_locked(struct loop_sock *l, const struct loop_addr *want) {
    if (l->local.port != 0) {
        return -EINVAL;
    }
    struct loop_addr old = l->local;
    memcpy(l->local.ip, want->ip, 16);
    uint16_t port = want->port != 0 ? want->port : port_ephemeral(l);
    if (port == 0 || port_conflicts(l, port)) {
        l->local = old;
        return -EADDRINUSE;
    }
    port_take(l, port);
    l->bound_by_user = true;
    return 0;
}

int loop_bind(struct socket *s, const struct sock_addr *addr) {
    struct loop_sock *l = loop_of(s);
    struct loop_addr want, probe;
    uint8_t source[16];
    int err = loop_addr_parse(s, addr, &want);
    if (err != 0) {
        return err;
    }
    if (want.port != 0 && want.port < proc_unprivileged_port() && !capable(CAP_NET_BIND_SERVICE)) {
        return -EACCES;
    }
    spin_lock(&g_loop_lock);
    probe = want;
    struct loop_sock unbound = {.v6_only = l->v6_only};
    if (!loop_ip_is_any(want.ip) && loop_route(&unbound, &probe, source) != 0) {
        err = -EADDRNOTAVAIL;
    } else {
        err = bind_locked(l, &want);
    }
    spin_unlock(&g_loop_lock);
    return err;
}

int loop_getname(struct socket *s, bool peer, struct sock_addr *out) {
    struct loop_sock *l = loop_of(s);
    spin_lock(&g_loop_lock);
    struct loop_addr a = peer ? l->remote : l->local;
    spin_unlock(&g_loop_lock);
    if (peer && a.port == 0) {
        return -ENOTCONN;
    }
    loop_addr_format(s->family, &a, out);
    return 0;
}

/* ---- finding ---------------------------------------------------------------------------- */

/* How well a socket fits: 0 not at all, then wildcard, exact address, connected to the sender. */
static uint32_t find_score(const struct loop_sock *l, const struct loop_addr *to,
                           const struct loop_addr *from) {
    if (l->local.port != to->port || !port_hears(l, to->ip)) {
        return 0;
    }
    if (l->s.protocol == IPPROTO_TCP) {
        if (atomic_load(&l->s.state) != SOCK_LISTENING) {
            return 0;
        }
    } else if (l->remote.port != 0) {
        bool from_peer = l->remote.port == from->port && memcmp(l->remote.ip, from->ip, 16) == 0;
        return from_peer ? 4 : 0;
    }
    if (memcmp(l->local.ip, to->ip, 16) == 0) {
        return 3;
    }
    return is_v4(l->local.ip) == is_v4(to->ip) ? 2 : 1;
}

struct loop_sock *loop_find(int protocol, const struct loop_addr *to,
                            const struct loop_addr *from) {
    struct loop_sock *l, *best = NULL;
    uint32_t best_score = 0;
    struct list *bucket = port_bucket(to->port);
    list_for_each_entry (l, bucket, port_link) {
        uint32_t score = l->s.protocol == protocol ? find_score(l, to, from) : 0;
        if (score > best_score) {
            best = l;
            best_score = score;
        }
    }
    if (best != NULL && socket_option(&best->s, SOCK_OPT_REUSEPORT)) {
        list_del_init(&best->port_link); /* sharers of a port take turns */
        list_push_back(bucket, &best->port_link);
    }
    return best;
}
