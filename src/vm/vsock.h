/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way between bridge and agent by vsock(7), where the host has vhost-vsock: fewer hands than a
 * serial port's, which go through the hypervisor.
 *
 * Each machine has a context id of its own, which the kernel keeps others from taking while the
 * device is open, and its agent connects to the port of that number.
 */
#ifndef MOAT_VM_VSOCK_H
#define MOAT_VM_VSOCK_H

#include "base/types.h"

struct vsock {
    int device;   /* /dev/vhost-vsock with the id taken, for the hypervisor; or -1 */
    int listener; /* for the bridge, or -1 */
    uint32_t cid;
};

/* Both descriptors, close-on-exec, or neither: many hosts have none, and a serial port does the
 * same. */
void vsock_open(struct vsock *out);
/* The agent's connection, non-blocking; -EAGAIN while there is none (others are turned away). */
must_check int vsock_accept(int listener, uint32_t cid);

#endif
