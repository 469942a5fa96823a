/* SPDX-License-Identifier: Apache-2.0 */
/* The load average of the sandbox: how many tasks ran or wanted to, over 1, 5 and 15 minutes. */
#ifndef MOAT_SENTRY_LOADAVG_H
#define MOAT_SENTRY_LOADAVG_H

#include "base/types.h"

#define LOADAVG_SHIFT 11u /* fixed point, as in Linux */

/* Current values, for /proc/loadavg and sysinfo(2). */
void loadavg_get(uint64_t out[3]);
/* Somebody woke up: samples are taken from now on, until nothing runs any more.  Cheap when they
 * are taken already; any vCPU, no lock held. */
void loadavg_poke(void);

#endif
