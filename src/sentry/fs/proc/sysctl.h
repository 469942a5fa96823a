/* SPDX-License-Identifier: Apache-2.0 */
/* Sysctls as others in the kernel need them. */
#ifndef MOAT_SENTRY_SYSCTL_H
#define MOAT_SENTRY_SYSCTL_H

#include "base/types.h"

/* Sets one by its name ("net.core.somaxconn", or with slashes), as a write to /proc/sys would.
 * -ENOENT when there is none that can be set. */
must_check int proc_sysctl_set(const char *name, const char *value);
/* net.ipv4.ip_unprivileged_port_start. */
uint32_t proc_unprivileged_port(void);
/* fs.inotify.max_queued_events, max_user_instances and max_user_watches. */
struct inotify_limits {
    uint64_t events, instances, watches;
};
struct inotify_limits proc_inotify_limits(void);

#endif
