/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large a machine is made for a container, and what a running one can still be given.
 *
 * QEMU's microvm gets neither memory nor processors while it runs (it has no ACPI memory slots, and
 * its processors are fixed at boot), so room for a later update is there from the start: the
 * annotations dev.moat.vm.max-memory and dev.moat.vm.max-cpus ask for it, the limits of the
 * container's control groups, in the guest and on the host, keep it until then.
 */
#ifndef MOAT_VM_SIZE_H
#define MOAT_VM_SIZE_H

#include "host/err.h"
#include "oci/container.h"

struct vm_size {
    uint64_t memory; /* bytes, for programs; 0: nobody asked */
    uint32_t cpus;
};

/* kvm: an emulated machine has one processor where nobody asks, as each takes half a second. */
must_check int vm_size_of(const struct container *c, bool kvm, struct vm_size *out,
                          struct err *err);
/* -EINVAL when the machine of `c` is too small for the new limits. */
must_check int vm_size_check_update(const struct container *c, const struct cgroup_resources *asked,
                                    struct err *err);

#endif
