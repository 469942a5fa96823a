/* SPDX-License-Identifier: Apache-2.0 */
/* Pausing, limiting and watching a container that exists. */
#ifndef MOAT_RUNTIME_CONTROL_H
#define MOAT_RUNTIME_CONTROL_H

#include "runtime/lifecycle.h"

/* Stops all its processes, or lets them go on. */
must_check int lifecycle_pause(const struct runtime *rt, const char *id, bool paused,
                               struct err *err);
/* Writes the limits that are set; the others stay. */
must_check int lifecycle_update(const struct runtime *rt, const char *id,
                                const struct cgroup_resources *resources, struct err *err);

/* One line of `events`: an object {"type", "id", "data"}, which the callee puts.  A failure ends
 * the watch. */
typedef int (*lifecycle_event_fn)(void *arg, struct json_object *event, struct err *err);

/* The statistics of this moment as one event. */
must_check int lifecycle_stats(const struct runtime *rt, const char *id, lifecycle_event_fn emit,
                               void *arg, struct err *err);
/* Statistics every interval_ms, and "oom" when the kernel has killed for want of memory, until the
 * container's process is gone. */
must_check int lifecycle_events(const struct runtime *rt, const char *id, uint64_t interval_ms,
                                lifecycle_event_fn emit, void *arg, struct err *err);

#endif
