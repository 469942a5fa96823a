/* SPDX-License-Identifier: Apache-2.0 */
/* Moving network interfaces between namespaces, by rtnetlink(7). */
#ifndef MOAT_HOST_NETDEV_H
#define MOAT_HOST_NETDEV_H

#include "host/err.h"

/*
 * Moves the caller's interface `name` into the network namespace `netns` (a descriptor), as
 * `new_name` (NULL: under the same name), where it has its global addresses again and is up.  Its
 * MTU and hardware address stay.  The caller needs CAP_NET_ADMIN here and there, CAP_SYS_ADMIN
 * there; a short-lived child enters the namespace.
 */
must_check int netdev_move(const char *name, const char *new_name, int netns, struct err *err);

#endif
