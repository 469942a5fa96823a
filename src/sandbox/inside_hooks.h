/* SPDX-License-Identifier: Apache-2.0 */
/* startContainer hooks: they run inside, before the container's program. */
#ifndef MOAT_SANDBOX_INSIDE_HOOKS_H
#define MOAT_SANDBOX_INSIDE_HOOKS_H

#include "oci/isolation.h"

/* By create: keeps what the hooks will get on standard input, in the file hook-state. */
must_check int inside_hooks_keep(const struct isolation_target *target, const char *state_json,
                                 struct err *err);
/* By start: runs them in order; the first that fails or passes its timeout ends the list. */
must_check int inside_hooks_run(const struct isolation_target *target, struct err *err);

#endif
