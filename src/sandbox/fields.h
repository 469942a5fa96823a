/* SPDX-License-Identifier: Apache-2.0 */
/* What of a config.json means something else, or nothing, in a sandbox. */
#ifndef MOAT_SANDBOX_FIELDS_H
#define MOAT_SANDBOX_FIELDS_H

#include "oci/container.h"

/* Warns of what is left out and refuses what cannot be had: -ENOTSUP with *err.  `warn` may be
 * NULL. */
must_check int fields_check(const struct container *c, void (*warn)(void *arg, const char *message),
                            void *arg, struct err *err);

#endif
