/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory the programs of a sandbox get.
 *
 * A container's memory limit is kept by its control group, which counts the sandbox's own costs
 * besides: the application kernel's heap, the Gofer, the monitor, page tables.  The guest's memory
 * file gets the rest as its size, so that it is full before the group is: the application kernel
 * then chooses which program ends (kernel/oom.h), and the host's kernel need not kill one of the
 * sandbox's processes, which may be the application kernel itself.
 */
#ifndef MOAT_SANDBOX_GUEST_MEMORY_H
#define MOAT_SANDBOX_GUEST_MEMORY_H

#include "base/types.h"
#include "oci/container.h"

/* Bytes for the programs of `c`; 0: no limit. */
uint64_t guest_memory_size(const struct container *c);
/* A new limit of the group (0: none) for the file system behind `fs`, the context that made it
 * (fsopen(2)); memory in use stays, then nothing is added.  -1 as fs is nothing to do. */
void guest_memory_resize(int fs, uint64_t limit);

#endif
