/* SPDX-License-Identifier: Apache-2.0 */
/* The host's namespaces of a container that runs in a sandbox. */
#ifndef MOAT_SANDBOX_HOSTNS_H
#define MOAT_SANDBOX_HOSTNS_H

#include "oci/container.h"

#define HOSTNS_NAME_MAX 65u /* a host name and its end, uname(2) */

/*
 * By the container's monitor: enters the network, uts and ipc namespaces that linux.namespaces
 * names, or makes new ones.  Engines find them through the monitor's pid (/proc/PID/ns): Docker's
 * prestart hook moves the container's interface there, and containers of a pod join them.  The
 * host's own ones must not stand there, or they would change the host.
 * `hostname`, HOSTNS_NAME_MAX bytes: the name of a uts namespace that was joined by path, else "".
 * New ones need CAP_SYS_ADMIN; an ordinary user has nothing to put there, and goes without.
 */
must_check int hostns_enter(const struct container *c, char *hostname, struct err *err);
/* Did it leave the caller in a network namespace that is the container's? */
bool hostns_network(const struct container *c);

#endif
