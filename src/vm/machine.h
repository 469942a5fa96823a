/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a virtual machine: the bridge, PID 1 of namespaces of its own, and its children,
 * the hypervisor and the file server.  The end of the bridge is the end of all.
 */
#ifndef MOAT_VM_MACHINE_H
#define MOAT_VM_MACHINE_H

#include "oci/container.h"
#include "sandbox/sandbox.h"

#include <limits.h>

/* Memory of a machine in which `asked` bytes are to be usable that is not: the guest's kernel, its
 * tables, a description of each page, what it keeps free, the agent (measured with Debian's 6.1 as
 * what is missing in MemAvailable). */
static inline uint64_t machine_guest_overhead(uint64_t asked) {
    return ALIGN_UP(74 * MIB + asked / 26, MIB);
}
#define MACHINE_DEFAULT_MEMORY (1024u * MIB) /* of a machine, where nobody asks */
/* What an application kernel and its Gofer take of a machine that runs the container in one. */
#define MACHINE_SENTRY_OVERHEAD (16u * MIB)
/* What a machine takes on the host beyond its own memory: the hypervisor, with the code that it has
 * translated where it emulates, and the file server. */
#define MACHINE_HOST_OVERHEAD (256u * MIB)

/* Starts a machine for `c`, as sandbox_start starts a sandbox: out->control_fd speaks
 * moat/control.h. */
must_check int machine_start(const struct container *c, const struct sandbox_options *options,
                             struct sandbox *out, struct err *err);
/* The same; containers run in an application kernel inside the machine. */
must_check int machine_start_sentry(const struct container *c,
                                    const struct sandbox_options *options, struct sandbox *out,
                                    struct err *err);

/* The template (vm/template.h) for machines of the size that `c` asks for, made if it is not there;
 * *out_place gets its folder. */
must_check int machine_template(const struct container *c, char out_place[PATH_MAX],
                                struct err *err);

#endif
