/* SPDX-License-Identifier: Apache-2.0 */
/* host/cgroup_systemd.h in a machine, which has no systemd: nothing asks for it. */
#include "host/cgroup_systemd.h"

#include <errno.h>

int cg_systemd_create(const struct cg_host *host, const struct cgroup_options *options,
                      const struct cgroup_resources *resources, pid_t pid, struct cgroup *out,
                      struct err *err) {
    return err_set(err, -ENOTSUP, "there is no systemd in a virtual machine");
}

int cg_systemd_update(const struct cgroup *cg, const struct cgroup_resources *resources,
                      struct err *err) {
    return err_set(err, -ENOTSUP, "there is no systemd in a virtual machine");
}

int cg_systemd_stop(const struct cgroup *cg, struct err *err) {
    return 0;
}
