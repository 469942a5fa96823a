/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Gofer gives up before it serves: names outside its exports, other processes, the
 * network, privileges, and all system calls but those of seccomp.def.  In this order:
 *
 *   confine_exports   each export becomes a mount of its own that no ".." leads out of, without
 * devices and set-id confine_enter     namespaces, an empty root, no capabilities but those over
 * files, the system-call filter
 */
#ifndef MOAT_GOFER_CONFINE_H
#define MOAT_GOFER_CONFINE_H

#include "gofer.h"

/* Clones the exports' mounts as far as that can be done before confine_enter; -errno only for what
 * is wrong. */
must_check int confine_exports(struct gofer *g);
must_check int confine_enter(struct gofer *g);
/* Last: nothing but seccomp.def from here on. */
must_check int confine_syscalls(const struct gofer *g);

#endif
