/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/net: the loopback interface and the tables' headings; the sandbox has no other interface of
 * its own yet.
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
#define INET6_HEADING                                                                              \
    "  sl  local_address                         remote_address                        st "        \
    "tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"

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
    HEADING("sockstat",
            "sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\n"),
    HEADING("tcp", INET_HEADING "\n"),
    HEADING("tcp6", INET6_HEADING "\n"),
    HEADING("udp", INET_HEADING " ref pointer drops\n"),
    HEADING("udp6", INET6_HEADING " ref pointer drops\n"),
    {.name = "unix", .mode = S_IFREG | 0444, .show = show_unix},
    {.name = NULL},
};
