/* SPDX-License-Identifier: Apache-2.0 */
/* The door between the socket layer and the network stacks. */
#include "net/inet.h"

static const struct inet_stack *g_inet_stack = &g_loop_stack; /* constant after boot */

void inet_stack_set(const struct inet_stack *stack) {
    g_inet_stack = stack;
}

static int inet_create(int type, int protocol, struct socket **out) {
    return g_inet_stack->create(AF_INET, type, protocol, out);
}

static int inet6_create(int type, int protocol, struct socket **out) {
    return g_inet_stack->create(AF_INET6, type, protocol, out);
}

const struct sock_family g_inet_family = {AF_INET, inet_create};
const struct sock_family g_inet6_family = {AF_INET6, inet6_create};
