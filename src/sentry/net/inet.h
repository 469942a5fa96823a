/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_INET and AF_INET6: the family rows hand every new socket to the stack that was chosen at boot.
 */
#ifndef MOAT_SENTRY_INET_H
#define MOAT_SENTRY_INET_H

#include "net/socket.h"

#define IPPROTO_IP   0
#define IPPROTO_ICMP 1
#define IPPROTO_TCP  6
#define IPPROTO_UDP  17
#define IPPROTO_IPV6 41

/* A stack behind the socket layer.  `loop` connects sockets of the sandbox only. */
struct inet_stack {
    const char *name;
    /* family AF_INET or AF_INET6; as struct sock_family. */
    int (*create)(int family, int type, int protocol, struct socket **out);
};

extern const struct inet_stack g_loop_stack;

/* Chooses the stack; before the first socket (boot).  Default: g_loop_stack. */
void inet_stack_set(const struct inet_stack *stack);

#endif
