/* SPDX-License-Identifier: Apache-2.0 */
/* The host's network namespace of a container that runs in a sandbox. */
#ifndef MOAT_SANDBOX_HOSTNET_H
#define MOAT_SANDBOX_HOSTNET_H

#include "oci/container.h"

/*
 * By the container's monitor: enters the network namespace that linux.namespaces names, or a new
 * one.  Engines find it through the monitor's pid (/proc/PID/ns/net): Docker's prestart hook moves
 * the container's interface into it, and containers of a pod join it.  The host's own one must not
 * stand there, or they would change the host.  Without such an entry nothing is done.
 * A new one needs CAP_SYS_ADMIN; an ordinary user has no interface to move, and goes without.
 */
must_check int hostnet_enter(const struct container *c, struct err *err);

#endif
