/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files over donated host descriptors: the standard streams of a container.
 */
#ifndef MOAT_SENTRY_HOSTFILE_H
#define MOAT_SENTRY_HOSTFILE_H

#include "base/types.h"

struct file;

/* Makes an open file over host descriptor `hfd`, which it owns from then on (also on error): pipes,
 * sockets and terminals as streams, regular files with the host's shared offset.  0 or -errno. */
must_check int hostfile_create(int hfd, struct file **out);

#endif
