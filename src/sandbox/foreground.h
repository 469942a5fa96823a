/* SPDX-License-Identifier: Apache-2.0 */
/* Isolation `sentry`: the calling process starts the sandbox and is its monitor. */
#ifndef MOAT_SANDBOX_FOREGROUND_H
#define MOAT_SANDBOX_FOREGROUND_H

#include "oci/isolation.h"

extern const struct isolation_ops g_isolation_sentry;

#endif
