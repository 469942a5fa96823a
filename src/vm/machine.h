/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a virtual machine: the bridge, PID 1 of namespaces of its own, and its children,
 * the hypervisor and the file server.  The end of the bridge is the end of all.
 */
#ifndef MOAT_VM_MACHINE_H
#define MOAT_VM_MACHINE_H

#include "oci/container.h"
#include "sandbox/sandbox.h"

/* What a machine takes on the host beyond the memory that the container may have: the guest's
 * kernel, the hypervisor (with the code it has translated, where it emulates), the file server. */
#define MACHINE_GUEST_OVERHEAD (96u * MIB)
#define MACHINE_OVERHEAD       (MACHINE_GUEST_OVERHEAD + 256u * MIB)

/* Starts a machine for `c`, as sandbox_start starts a sandbox: out->control_fd speaks
 * moat/control.h. */
must_check int machine_start(const struct container *c, const struct sandbox_options *options,
                             struct sandbox *out, struct err *err);

#endif
