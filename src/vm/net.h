/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a machine: each interface of the container's network namespace is led to a tap
 * device beside it, whose descriptor the hypervisor gets, by redirecting what arrives at either to
 * the other (tc: ingress queueing discipline, filter u32 or matchall, action mirred).
 *
 * A tap goes with its last descriptor.  The queueing discipline and filter of the interface are
 * known by the filter's preference, and taken back by net_detach or, after a crash, net_clear.
 */
#ifndef MOAT_VM_NET_H
#define MOAT_VM_NET_H

#include "sandbox/sandbox.h"
#include "vm/net_scan.h"

#define NET_ID_REQUEST 3u /* id of the NETWORK record; CREATE and START have the first two */

/* What the hypervisor's process waits for on its connection, with a tap's descriptor for each. */
struct net_devices {
    uint32_t count;
};

/* The operations of a machine in a namespace of its own (struct sandbox_network): attach is
 * called in the container's network namespace, sends the devices over s->network_fd, which then
 * tells whether the hypervisor could be started (struct err, or its end), and the record to the
 * agent. */
extern const struct sandbox_network g_machine_network;

/* Takes back what a machine that was killed together with its monitor left in the network namespace
 * at `path`, though it may not be gone yet (`owner`: its user id, -1 where that may be another's by
 * now); a namespace that is not there has nothing. */
must_check int net_clear(const char *path, uid_t owner, struct err *err);

#endif
