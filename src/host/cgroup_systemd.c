/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes of systemd: see cgroup_systemd.h. */
#include "host/cgroup_systemd.h"

#include <errno.h>
#include <sys/stat.h>

int cg_systemd_create(const struct cg_host *host, const struct cgroup_options *options,
                      const struct cgroup_resources *resources, pid_t pid, struct cgroup *out,
                      struct err *err) {
    return err_set(err, -ENOTSUP,
                   "--systemd-cgroup: systemd is not this system's manager (no "
                   "/run/systemd/system); run without it");
}

int cg_systemd_update(const struct cgroup *cg, const struct cgroup_resources *resources,
                      struct err *err) {
    return 0;
}

int cg_systemd_stop(const struct cgroup *cg, struct err *err) {
    return 0;
}
