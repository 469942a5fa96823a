/* SPDX-License-Identifier: Apache-2.0 */
/* What the Sentry's process does to itself between clone and exec. */
#ifndef MOAT_SANDBOX_CONFINE_H
#define MOAT_SANDBOX_CONFINE_H

#include "host/err.h"

#include <sys/types.h>

/* Namespaces the Sentry gets. */
unsigned long confine_namespaces(bool own_network);
/* By the parent: maps root of the child's user namespace to an unprivileged identity of the host
 * (nobody for root, the caller itself for an ordinary user). */
must_check int confine_map_ids(pid_t child, struct err *err);
/* By the child, in its namespaces: becomes the mapped root, makes the memory file system
 * (descriptor in *out_memory_dir, limited to `memory_limit` bytes unless 0; *out_memory_fs is the
 * context by which its size can be changed) and leaves the host's
 * file tree for an empty, read-only root.  The old tree goes while the child runs on: a helper
 * holds a copy of `status_fd` open until it is gone, and writes a struct err there if it cannot be.
 */
must_check int confine_enter(uint64_t memory_limit, int status_fd, int *out_memory_dir,
                             int *out_memory_fs, struct err *err);

#endif
