/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of isolation `vm+sentry`: see inside.h.  What stands for a container among the
 * machine's processes is its monitor, which ends with its status and forwards signals, as it does
 * for engines on a host.
 */
#include "agent/inside.h"

#include "sandbox/sentry.h"

#include <errno.h>
#include <stdlib.h>
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

static int ask(const struct isolation_target *target, uint16_t type, void *reply, size_t max,
               size_t *out_size) {
    struct moat_ctl_reply fixed;
    struct moat_ctl_ref msg;
    struct err ignored = {0};
    int e = sentry_request(target, &msg, sizeof(msg), type, reply, max, &ignored);
    if (e != 0) {
        return e;
    }
    memcpy(&fixed, reply, sizeof(fixed));
    *out_size = fixed.data_size;
    return fixed.data_size <= max - sizeof(fixed) ? 0 : -EPROTO;
}

static int sentry_inside_processes(const struct isolation_target *target,
                                   struct moat_ctl_ps_entry *out, size_t max) {
    static char reply[MOAT_CTL_MSG_MAX];
    size_t size = 0;
    int e = ask(target, MOAT_CTL_PS, reply, sizeof(reply), &size);
    size_t count = MIN(size / sizeof(*out), max);
    if (e == 0) {
        memcpy(out, reply + sizeof(struct moat_ctl_reply), count * sizeof(*out));
    }
    return e == 0 ? (int)count : e;
}

/* Memory and processor time stay the control group's: the application kernel's are in them. */
static int sentry_inside_stats(const struct isolation_target *target,
                               struct moat_ctl_stats *inout) {
    struct {
        struct moat_ctl_reply fixed;
        struct moat_ctl_stats data;
    } reply;
    size_t size = 0;
    int e = ask(target, MOAT_CTL_STATS, &reply, sizeof(reply), &size);
    if (e == 0 && size == sizeof(reply.data)) {
        inout->process_count = reply.data.process_count;
        inout->thread_count = reply.data.thread_count;
        inout->pids_limit = reply.data.pids_limit;
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
