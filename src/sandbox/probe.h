/* SPDX-License-Identifier: Apache-2.0 */
/* What the Sentry would choose on this host. */
#ifndef MOAT_SANDBOX_PROBE_H
#define MOAT_SANDBOX_PROBE_H

#include "host/err.h"

#include <stddef.h>

/* Starts a Sentry that only chooses its hand-over, and ends: the choice and its reason, one line,
 * in `text`. */
must_check int sandbox_probe(char *text, size_t size, struct err *err);

#endif
