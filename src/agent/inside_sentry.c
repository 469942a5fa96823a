/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of isolation `vm+sentry`: see inside.h.  What stands for a container among the
 * machine's processes is its monitor, which ends with its status and forwards signals, as it does
 * for engines on a host.
 */
#include "agent/inside.h"

#include "host/cleanup.h"
#include "sandbox/sentry.h"

#include <string.h>

static int sentry_inside_signal(const struct isolation_target *target, int signo, bool all) {
    struct err ignored = {0}; /* the code tells enough */
    return sentry_kill(target, signo, all, &ignored);
}

static int sentry_inside_update(const struct isolation_target *target,
                                const struct cgroup_resources *r) {
    struct err ignored = {0};
    return sentry_update(target, r, &ignored);
}

static int sentry_inside_processes(const struct isolation_target *target,
                                   struct moat_ctl_ps_entry *out, size_t max) {
    cleanup_free struct moat_ctl_ps_entry *entries = NULL;
    size_t count = 0;
    struct err ignored = {0};
    int e = sentry_ps(target, &entries, &count, &ignored);
    if (e != 0) {
        return e;
    }
    count = MIN(count, max);
    memcpy(out, entries, count * sizeof(*out));
    return (int)count;
}

/* Memory and processor time stay the control group's: the application kernel's are in them. */
static int sentry_inside_stats(const struct isolation_target *target,
                               struct moat_ctl_stats *inout) {
    struct moat_ctl_stats inside;
    int e = sandbox_ask_stats(target, &inside, sizeof(inside));
    if (e == 0) {
        inout->process_count = inside.process_count;
        inout->thread_count = inside.thread_count;
        inout->pids_limit = inside.pids_limit;
    }
    return e;
}

const struct inside g_inside = {.create = sentry_create,
                                .exec = sentry_exec,
                                .start = sentry_start,
                                .own_kernel = true,
                                .limits = sentry_host_limits,
                                .signal = sentry_inside_signal,
                                .update = sentry_inside_update,
                                .processes = sentry_inside_processes,
                                .stats = sentry_inside_stats};
