/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/net/tcp, tcp6, udp, udp6 and sockstat of the loopback stack: proc(5), the columns of
 * Documentation/networking/proc_net_tcp.rst.
 */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/seq.h"
#include "kernel/cpu.h"
#include "net/loop.h"

#define TCP_WIDTH 149u /* rows are filled up with blanks */
#define UDP_WIDTH 127u

/* enum of linux/net/tcp_states.h, which user space sees here. */
enum {
    STATE_ESTABLISHED = 1,
    STATE_FIN_WAIT2 = 5,
    STATE_CLOSE = 7,
    STATE_CLOSE_WAIT = 8,
    STATE_LISTEN = 10
};

static struct list g_loop_all; /* all_link; guarded by g_loop_lock; made at its first use */

void loop_list_add(struct loop_sock *l) {
    spin_lock(&g_loop_lock);
    if (g_loop_all.next == NULL) {
        list_init(&g_loop_all);
    }
    list_push_back(&g_loop_all, &l->all_link);
    spin_unlock(&g_loop_lock);
}

/* What a row says of a socket, and the socket is none of its own any more. */
struct row {
    struct loop_addr local, remote;
    uint32_t state, queued, uid;
    uint64_t ino; /* 0: not accepted yet */
    uint32_t refs;
};

static uint32_t tcp_state(struct socket *s) {
    if (atomic_load(&s->state) == SOCK_LISTENING) {
        return STATE_LISTEN;
    }
    switch (atomic_load(&s->shutdown)) {
    case 0:
        return STATE_ESTABLISHED;
    case SHUT_BIT_RD:
        return STATE_CLOSE_WAIT;
    case SHUT_BIT_WR:
        return STATE_FIN_WAIT2;
    default:
        return STATE_CLOSE;
    }
}

/* Is it in the table?  TCP sockets that neither listen nor are connected are not. */
static bool is_shown(struct loop_sock *l) {
    uint32_t state = atomic_load(&l->s.state);
    if (l->s.protocol != IPPROTO_TCP) {
        return l->local.port != 0;
    }
    return state == SOCK_LISTENING || state == SOCK_CONNECTED;
}

/* Under g_loop_lock. */
static void row_of(struct loop_sock *l, struct row *out) {
    struct socket *s = &l->s;
    bool tcp = s->protocol == IPPROTO_TCP;
    memset(out, 0, sizeof(*out));
    out->local = l->local;
    out->remote = l->remote;
    out->state = tcp ? tcp_state(s) : l->remote.port != 0 ? STATE_ESTABLISHED : STATE_CLOSE;
    spin_lock(&s->lock);
    out->queued = out->state == STATE_LISTEN ? s->accept_count : (uint32_t)s->rx_bytes;
    if (s->file != NULL) {
        out->ino = s->file->inode->ino;
        out->uid = s->file->inode->uid;
    }
    out->refs = s->ref.n;
    spin_unlock(&s->lock);
}

/* Words of an address in network order, as this machine reads them. */
static void put_addr(struct seq *s, uint16_t family, const struct loop_addr *a) {
    for (uint32_t i = family == AF_INET ? 12 : 0; i < 16; i += 4) {
        uint32_t word;
        memcpy(&word, a->ip + i, sizeof(word));
        seq_printf(s, "%08X", word);
    }
    seq_printf(s, ":%04X ", a->port);
}

static void pad_line(struct seq *s, size_t start, uint32_t width) {
    while (!s->failed && s->len - start < width) {
        seq_putc(s, ' ');
    }
    seq_putc(s, '\n');
}

static void put_row(struct seq *s, uint32_t index, uint16_t family, bool tcp, const struct row *r) {
    size_t start = s->len;
    seq_printf(s, tcp ? "%4u: " : "%5u: ", index);
    put_addr(s, family, &r->local);
    put_addr(s, family, &r->remote);
    seq_printf(s, "%02X 00000000:%08X 00:00000000 00000000 %5u        0 %llu %u 0000000000000000",
               r->state, r->queued, r->uid, (unsigned long long)r->ino, r->refs);
    if (!tcp) {
        seq_printf(s, " 0");
    } else {
        seq_printf(s, r->state == STATE_LISTEN ? " 100 0 0 10 0" : " 20 0 0 10 -1");
    }
    if (family == AF_INET) {
        pad_line(s, start, tcp ? TCP_WIDTH : UDP_WIDTH);
    } else {
        seq_putc(s, '\n');
    }
}

static void put_heading(struct seq *s, uint16_t family, bool tcp) {
    size_t start = s->len;
    if (family == AF_INET) {
        seq_printf(
            s,
            "%s  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   "
            "uid  timeout inode%s",
            tcp ? "" : " ", tcp ? "" : " ref pointer drops");
        pad_line(s, start, tcp ? TCP_WIDTH : UDP_WIDTH);
    } else {
        seq_printf(s,
                   "  sl  local_address                         remote_address                     "
                   "   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode%s\n",
                   tcp ? "" : " ref pointer drops");
    }
}

int net_loop_show(struct seq *s, uint16_t family, bool tcp) {
    struct loop_sock *l;
    struct row row;
    uint32_t index = 0;
    put_heading(s, family, tcp);
    spin_lock(&g_loop_lock);
    if (g_loop_all.next != NULL) {
        list_for_each_entry (l, &g_loop_all, all_link) {
            if (l->s.family == family && (l->s.protocol == IPPROTO_TCP) == tcp && is_shown(l)) {
                row_of(l, &row);
                put_row(s, index++, family, tcp, &row);
            }
        }
    }
    spin_unlock(&g_loop_lock);
    return 0;
}

void net_loop_count(struct net_loop_counts *out) {
    struct loop_sock *l;
    memset(out, 0, sizeof(*out));
    spin_lock(&g_loop_lock);
    if (g_loop_all.next != NULL) {
        list_for_each_entry (l, &g_loop_all, all_link) {
            bool tcp = l->s.protocol == IPPROTO_TCP, v4 = l->s.family == AF_INET;
            out->tcp_all += tcp;
            out->tcp += tcp && v4 && is_shown(l);
            out->tcp6 += tcp && !v4 && is_shown(l);
            out->udp += !tcp && v4 && is_shown(l);
            out->udp6 += !tcp && !v4 && is_shown(l);
        }
    }
    spin_unlock(&g_loop_lock);
}
