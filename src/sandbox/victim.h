/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which process of a sandbox the host's kernel kills for want of memory: a stub, whose program
 * ends, rather than the Sentry, with which all end.  The pages of the guest's memory count for both
 * that map them, so without help the choice between the two would be chance.
 *
 * process.oomScoreAdj is that of the stubs, and the Sentry's is lower.  Where lowering is not
 * allowed (no CAP_SYS_RESOURCE on the host), the stubs are born with a little more, and the others
 * go back to what they had, which is always allowed.
 */
#ifndef MOAT_SANDBOX_VICTIM_H
#define MOAT_SANDBOX_VICTIM_H

#include "oci/container.h"
#include "sandbox/sandbox.h"

struct victim {
    bool lower; /* the Sentry's may be lowered */
    int score;  /* of the container */
    int proc;   /* the host's /proc, which the caller may leave meanwhile; victim_after closes it */
};

/* Before the Sentry starts: it and its stubs inherit the caller's score. */
void victim_before(const struct container_process *p, struct victim *out);
/* Once the stubs' zygotes exist. */
void victim_after(const struct victim *v, const struct sandbox *s);

#endif
