/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's files that a machine may see: the root as `0` and the volumes as `1`, `2`, ..., each a
 * mount of its own, read-only where nothing is to be written, never with devices.
 */
#ifndef MOAT_VM_SHARE_H
#define MOAT_VM_SHARE_H

#include "host/err.h"
#include "moat/agent.h"
#include "oci/container.h"

struct share {
    int trees[MOAT_AGENT_EXPORTS]; /* detached mounts */
    bool folder[MOAT_AGENT_EXPORTS], read_only[MOAT_AGENT_EXPORTS];
    uint32_t count;
};

/* Takes the mounts, while paths mean what the caller meant. */
must_check int share_open(const struct container *c, struct share *out, struct err *err);
/* For a file server that takes a folder: in a mount namespace of its own, puts them together below
 * `place`, which is hidden by it. */
must_check int share_attach(struct share *s, const char *place, struct err *err);
void share_close(struct share *s);

#endif
