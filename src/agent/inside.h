/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How containers are run inside the machine.  There are two agents: that of isolation `vm` runs
 * them by the native isolation's code (inside_native.c), that of `vm+sentry` in an application
 * kernel of their own (inside_sentry.c); the image that a machine starts with holds one of them.
 *
 * A target names a box (box_target).  Operations that make or start something are a starter's; the
 * others the agent calls itself, and those that are NULL it answers from the control groups.
 */
#ifndef MOAT_AGENT_INSIDE_H
#define MOAT_AGENT_INSIDE_H

#include "moat/control.h"
#include "oci/isolation.h"

struct inside {
    int (*create)(const struct isolation_target *target, const struct isolation_setup *setup,
                  pid_t *out_pid, struct err *err);
    int (*exec)(const struct isolation_target *target, struct container_process *process,
                const struct isolation_setup *setup, pid_t *out_pid, struct err *err);
    int (*start)(const struct isolation_target *target, struct err *err);
    /* The containers of a machine share an application kernel, whose programs lie beside the
     * agent's. */
    bool own_kernel;
    /* What the group of a container has to allow; or NULL. */
    void (*limits)(struct cgroup_resources *r);
    /* All that follow: 0 or -errno, or NULL. */
    int (*signal)(const struct isolation_target *target, int signo, bool all);
    int (*update)(const struct isolation_target *target, const struct cgroup_resources *r);
    /* Writes at most `max` entries; their number or -errno. */
    int (*processes)(const struct isolation_target *target, struct moat_ctl_ps_entry *out,
                     size_t max);
    int (*stats)(const struct isolation_target *target, struct moat_ctl_stats *inout);
};

extern const struct inside g_inside;

#endif
