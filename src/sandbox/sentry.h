/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Isolation `sentry`: the application kernel.
 *
 * A container made by create has a monitor process, the caller's child, that starts the sandbox,
 * sits in the container's control groups, serves control.sock in the state folder and ends with the
 * container's exit code; each exec has a smaller one that talks to it.
 */
#ifndef MOAT_SANDBOX_SENTRY_H
#define MOAT_SANDBOX_SENTRY_H

#include "moat/control.h"
#include "oci/isolation.h"
#include "sandbox/sandbox.h"

extern const struct isolation_ops g_isolation_sentry;

/* The operations behind it, one file each: create.c, exec.c, requests.c. */
must_check int sentry_create(const struct isolation_target *target,
                             const struct isolation_setup *setup, pid_t *out_pid, struct err *err);
/* The same with something else than a Sentry behind the monitor, and no look at the fields. */
must_check int sandbox_create(const struct isolation_target *target,
                              const struct isolation_setup *setup, const struct sandbox_kind *kind,
                              pid_t *out_pid, struct err *err);
must_check int sandbox_exec(const struct isolation_target *target,
                            struct container_process *process, const struct isolation_setup *setup,
                            const struct sandbox_kind *kind, pid_t *out_pid, struct err *err);
must_check int sentry_exec(const struct isolation_target *target, struct container_process *process,
                           const struct isolation_setup *setup, pid_t *out_pid, struct err *err);
must_check int sentry_start(const struct isolation_target *target, struct err *err);
must_check int sentry_kill(const struct isolation_target *target, int signo, bool all,
                           struct err *err);
/* The processes of the container; *out is the caller's to free. */
must_check int sentry_ps(const struct isolation_target *target, struct moat_ctl_ps_entry **out,
                         size_t *out_count, struct err *err);
must_check int sentry_processes(const struct isolation_target *target, struct json_object **out,
                                struct err *err);
/* Limits and statistics (limits.c). */
void sentry_host_limits(struct cgroup_resources *r);
must_check int sentry_update(const struct isolation_target *target,
                             const struct cgroup_resources *resources, struct err *err);
must_check int sentry_stats(const struct isolation_target *target, struct json_object *data,
                            struct err *err);
/* The data of the reply to STATS, of exactly that size: 0, or -errno when what holds the container
 * is frozen, or on its way out. */
must_check int sandbox_ask_stats(const struct isolation_target *target, void *out, size_t size);
/* Connects to the container's monitor; -EBUSY when the sandbox is frozen, and would not answer. */
must_check int sentry_connect(const struct isolation_target *target, struct err *err);
/* Sends a fixed record whose reference names the container; -ESRCH when its monitor is gone. */
must_check int sentry_request(const struct isolation_target *target, struct moat_ctl_ref *record,
                              size_t len, uint16_t type, void *reply, size_t reply_max,
                              struct err *err);
/* In the Sentry: all there is for one container of a pod; the freezer has the others besides. */
must_check int sentry_pause(const struct isolation_target *target, bool paused, struct err *err);
must_check int sentry_destroy(const struct isolation_target *target, struct err *err);

#endif
