/* SPDX-License-Identifier: Apache-2.0 */
/* The Gofer's side of the channel (moat/gofer.h): waits for turns, serves them, answers. */
#ifndef MOAT_GOFER_CHANNEL_H
#define MOAT_GOFER_CHANNEL_H

#include "gofer.h"

/* Looks at what this host can do; before confine_syscalls. */
void channel_probe(struct gofer *g);
/* Waits for the Sentry's hello and serves until the Sentry is gone (0), or -errno. */
must_check int channel_run(struct gofer *g);

#endif
