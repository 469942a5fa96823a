/* SPDX-License-Identifier: Apache-2.0 */
/* What the control task tells of a container's processes. */
#ifndef MOAT_SENTRY_CONTROL_REPORT_H
#define MOAT_SENTRY_CONTROL_REPORT_H

#include "base/types.h"

struct container;

#define CTL_DATA_MAX (128u * 1024u)

/* Fill `data` with struct moat_ctl_ps_entry [] / struct moat_ctl_stats; bytes used. */
uint32_t control_ps(struct container *c, char *data, size_t size);
uint32_t control_stats(struct container *c, char *data, size_t size);
/* Sends a signal from outside to every process. */
void container_signal(struct container *c, int signo);

#endif
