/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a want of memory that the application kernel dealt with by itself known outside.
 *
 * Control groups count what the host's kernel kills, and engines wait for that
 * (memory.oom_control, memory.events).  So it gets to kill a process that exists for nothing else.
 */
#ifndef MOAT_HOST_CGROUP_BELL_H
#define MOAT_HOST_CGROUP_BELL_H

#include "host/cgroup.h"

struct oom_bell {
    int proc, limit_fd, usage_fd; /* -1: nobody listens */
    int score;                    /* oom_score_adj of the container's processes */
    int64_t last_ms;
};

/* Opens what is needed later, as the caller may leave the host's root; cg may be NULL. */
void oom_bell_open(const struct cgroup *cg, struct oom_bell *out);
void oom_bell_close(struct oom_bell *b);
/* By a process in the group.  Returns when the host's kernel has killed; several wants in a moment
 * are one. */
void oom_bell_ring(struct oom_bell *b);

#endif
