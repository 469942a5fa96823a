/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/net: the loopback interface, the sockets, and the headings of what there is none of; the
 * sandbox has no other interface of its own yet.
 */
#include "fs/proc/proc.h"
#include "net/socket.h"

#include <linux/stat.h>

static int show_heading(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "%s", (const char *)(uintptr_t)node->entry->value);
    return 0;
}

static int show_unix(struct seq *s, const struct proc_node *node) {
    return net_unix_show(s, NULL);
}

#define HEADING(n, text)                                                                           \
    { .name = (n), .mode = S_IFREG | 0444, .show = show_heading, .value = (uintptr_t)(text) }

#define INET_HEADING                                                                               \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "  \
    "inode"
/* Of node->entry->value: which table. */
#define TABLE(family, tcp) ((uintptr_t)((uintptr_t)(family) << 1 | (tcp)))

static int show_loop(struct seq *s, const struct proc_node *node) {
    return net_loop_show(s, (uint16_t)(node->entry->value >> 1), (node->entry->value & 1) != 0);
}

static int show_sockstat(struct seq *s, const struct proc_node *node) {
    struct net_loop_counts c;
    net_loop_count(&c);
    if (node->entry->value == AF_INET6) {
        seq_printf(s, "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse 0\nRAW6: inuse 0\n", c.tcp6,
                   c.udp6);
        seq_printf(s, "FRAG6: inuse 0 memory 0\n");
        return 0;
    }
    seq_printf(s, "sockets: used %u\n", c.tcp_all + c.udp + c.udp6 + net_unix_count());
    seq_printf(s, "TCP: inuse %u orphan 0 tw 0 alloc %u mem 0\nUDP: inuse %u mem 0\n", c.tcp,
               c.tcp_all, c.udp);
    seq_printf(s, "UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n");
    return 0;
}

const struct proc_entry g_proc_net[] = {
    HEADING("arp",
            "IP address       HW type     Flags       HW address            Mask     Device\n"),
    HEADING("dev", "Inter-|   Receive                                                |  Transmit\n"
                   " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
                   "packets errs drop "
                   "fifo colls carrier compressed\n"
                   "    lo:       0       0    0    0    0     0          0         0        0     "
                   "  0    0    0    "
                   "0     0       0          0\n"),
    HEADING("if_inet6", "00000000000000000000000000000001 01 80 10 80       lo\n"),
    HEADING("netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    "
                       "Drops    Inode\n"),
    HEADING("packet", "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n"),
    HEADING(
        "protocols",
        "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss "
        "gs se re sp bi br ha uh gp em\n"),
    HEADING("raw", INET_HEADING " ref pointer drops\n"),
    HEADING(
        "route",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"),
    {.name = "sockstat", .mode = S_IFREG | 0444, .show = show_sockstat, .value = AF_INET},
    {.name = "sockstat6", .mode = S_IFREG | 0444, .show = show_sockstat, .value = AF_INET6},
    {.name = "tcp", .mode = S_IFREG | 0444, .show = show_loop, .value = TABLE(AF_INET, 1)},
    {.name = "tcp6", .mode = S_IFREG | 0444, .show = show_loop, .value = TABLE(AF_INET6, 1)},
    {.name = "udp", .mode = S_IFREG | 0444, .show = show_loop, .value = TABLE(AF_INET, 0)},
    {.name = "udp6", .mode = S_IFREG | 0444, .show = show_loop, .value = TABLE(AF_INET6, 0)},
    {.name = "unix", .mode = S_IFREG | 0444, .show = show_unix},
    {.name = NULL},
};
