/* SPDX-License-Identifier: Apache-2.0 */
/* linux.intelRdt of a native container: its group, kept in a file of the state folder. */
#ifndef MOAT_NATIVE_RDT_H
#define MOAT_NATIVE_RDT_H

#include "oci/isolation.h"

/* All do nothing for a container without it.  create, restore: makes the group and notes it. */
must_check int rdt_make(const struct isolation_target *target, struct err *err);
/* A process, before it runs anything of the container. */
must_check int rdt_enter(const struct isolation_target *target, pid_t pid, struct err *err);
/* Also after a command that was killed halfway. */
must_check int rdt_remove(const struct isolation_target *target, struct err *err);

#endif
