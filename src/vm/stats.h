/* SPDX-License-Identifier: Apache-2.0 */
/* What a container uses inside its machine. */
#ifndef MOAT_VM_STATS_H
#define MOAT_VM_STATS_H

#include "oci/isolation.h"

/* struct isolation_ops, stats: cpu, memory and pids are those of the container's control group in
 * the guest; the host's numbers, the machine's as a whole, stay where the guest does not answer. */
must_check int vm_stats(const struct isolation_target *target, struct json_object *data,
                        struct err *err);

#endif
