/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which controller a limit belongs to, and where this host has it: a v1 hierarchy, or v2.  On a
 * hybrid host a controller that no v1 hierarchy holds is looked for in v2.
 */
#include "host/cgroup_internal.h"

#include "host/cgroup_systemd.h"
#include "host/cleanup.h"

#include <errno.h>
#include <string.h>

static bool nonzero_i64(const struct cgroup_i64 *v) {
    return v->set && v->value != 0;
}

static bool nonzero_u64(const struct cgroup_u64 *v) {
    return v->set && v->value != 0;
}

static bool wants_cpu(const struct cgroup_resources *r) {
    return nonzero_u64(&r->cpu.shares) || nonzero_u64(&r->cpu.period) ||
           nonzero_i64(&r->cpu.quota) || r->cpu.burst.set || r->cpu.idle.set ||
           nonzero_u64(&r->cpu.realtime_period) || nonzero_i64(&r->cpu.realtime_runtime);
}

static bool wants_cpuset(const struct cgroup_resources *r) {
    return (r->cpu.cpus != NULL && r->cpu.cpus[0] != '\0') ||
           (r->cpu.mems != NULL && r->cpu.mems[0] != '\0');
}

static bool wants_memory(const struct cgroup_resources *r) {
    return nonzero_i64(&r->memory.limit) || nonzero_i64(&r->memory.reservation) ||
           nonzero_i64(&r->memory.swap) || nonzero_i64(&r->memory.kernel) ||
           nonzero_i64(&r->memory.kernel_tcp) ||
           (r->memory.swappiness.set && r->memory.swappiness.value != UINT64_MAX) ||
           (r->memory.disable_oom_killer_set && r->memory.disable_oom_killer) ||
           r->memory.use_hierarchy_set;
}

static bool wants_pids(const struct cgroup_resources *r) {
    return nonzero_i64(&r->pids);
}

static bool wants_blkio(const struct cgroup_resources *r) {
    return nonzero_u64(&r->block.weight) || nonzero_u64(&r->block.leaf_weight) ||
           r->block.weight_device.count + r->block.read_bps.count + r->block.write_bps.count +
                   r->block.read_iops.count + r->block.write_iops.count >
               0;
}

static bool wants_hugetlb(const struct cgroup_resources *r) {
    return r->hugepage_count > 0;
}

static bool wants_net_cls(const struct cgroup_resources *r) {
    return nonzero_u64(&r->net_class);
}

static bool wants_net_prio(const struct cgroup_resources *r) {
    return r->net_prio_count > 0;
}

static bool wants_rdma(const struct cgroup_resources *r) {
    return r->rdma_count > 0;
}

static bool wants_unified(const struct cgroup_resources *r) {
    return r->unified_count > 0;
}

static const struct cg_controller g_controllers[] = {
    {"cpuset", "cpuset", wants_cpuset, cg_v1_cpuset, cg_v2_cpuset},
    {"cpu", "cpu", wants_cpu, cg_v1_cpu, cg_v2_cpu},
    {"memory", "memory", wants_memory, cg_v1_memory, cg_v2_memory},
    {"pids", "pids", wants_pids, cg_v1_pids, cg_v2_pids},
    {"blkio", "io", wants_blkio, cg_v1_blkio, cg_v2_io},
    {"hugetlb", "hugetlb", wants_hugetlb, cg_v1_hugetlb, cg_v2_hugetlb},
    {"net_cls", NULL, wants_net_cls, cg_v1_net_cls, NULL},
    {"net_prio", NULL, wants_net_prio, cg_v1_net_prio, NULL},
    {"rdma", "rdma", wants_rdma, cg_set_rdma, cg_set_rdma},
    {NULL, "", wants_unified, NULL, cg_v2_unified},
};

/* Opens where the row's limits go: *out_v2 tells which of its functions.  -ENOENT: nowhere. */
static int row_open(const struct cgroup *cg, const struct cg_controller *row, bool *out_v2,
                    const char **out_path) {
    int i = row->v1 == NULL ? -1 : cg_find_at(cg, row->v1);
    *out_v2 = i < 0;
    if (i < 0 && row->v2 != NULL && (row->v2[0] != '\0' || cg->mode == CGROUP_V2)) {
        i = cg_find_at(cg, "");
    }
    *out_path = i < 0 ? NULL : cg->at[i].dir;
    return i < 0 ? -ENOENT : cg_open(cg->at[i].dir);
}

static int row_missing(const struct cgroup *cg, const struct cg_controller *row, const char *name,
                       const struct cg_warn *warn, struct err *err) {
    if (row->v1 == NULL) {
        return err_set(
            err, -ENOTSUP,
            "linux.resources.unified needs a cgroup v2 host, and this container's groups "
            "are cgroup v1: use the other fields of linux.resources");
    }
    if (row->v2 == NULL && cg->mode == CGROUP_V2) {
        cg_warn(warn, "the limits for %s are left out: cgroup v2 has no such controller", name);
        return 0;
    }
    return err_set(err, -ENOTSUP,
                   "the limit for %s cannot be set: the container has no group of that controller "
                   "(it is not mounted on this host, or not delegated): leave the limit out",
                   name);
}

static int row_apply(const struct cgroup *cg, const struct cg_controller *row,
                     const struct cgroup_resources *r, const struct cg_warn *warn,
                     struct err *err) {
    bool v2;
    const char *path;
    const char *name = row->v1 != NULL ? row->v1 : "unified";
    cleanup_fd int fd = row_open(cg, row, &v2, &path);
    if (path == NULL) {
        return row_missing(cg, row, name, warn, err);
    }
    if (fd < 0) {
        return err_sys(err, fd, "cannot open the control group %s", path);
    }
    const struct cg_apply a = {.dir = {.fd = fd, .path = path}, .r = r, .warn = warn};
    return v2 ? row->set_v2(&a, err) : row->set_v1(&a, err);
}

/* Device access: a v1 controller, or a program on the v2 group. */
static int devices_apply(const struct cgroup *cg, const struct cgroup_resources *r,
                         struct err *err) {
    cleanup_free struct cg_device *rules = NULL;
    size_t count;
    int v1 = cg_find_at(cg, "devices");
    int i = v1 >= 0 ? v1 : cg_find_at(cg, "");
    if (i < 0) {
        return err_set(err, -ENOTSUP,
                       "access to devices cannot be limited: the container has neither a group of "
                       "the devices controller nor one of cgroup v2");
    }
    cleanup_fd int fd = cg_open(cg->at[i].dir);
    if (fd < 0) {
        return err_sys(err, fd, "cannot open the control group %s", cg->at[i].dir);
    }
    const struct cg_dir d = {.fd = fd, .path = cg->at[i].dir};
    int e = cg_devices_list(r, &rules, &count, err);
    return e != 0    ? e
           : v1 >= 0 ? cg_devices_v1(&d, rules, count, err)
                     : cg_devices_v2(&d, rules, count, err);
}

/* What a user without rights may have to do without. */
static int soften(const struct cgroup *cg, int e, const char *name, const struct err *why,
                  const struct cg_warn *warn, struct err *err) {
    if (e != 0 && cg->rootless) {
        cg_warn(warn, "the limits for %s are left out: %s", name, why->msg);
        return 0;
    }
    return e != 0 ? err_set(err, e, "%s", why->msg) : 0;
}

int cg_limits(const struct cgroup *cg, const struct cgroup_resources *r, bool devices,
              const struct cg_warn *warn, struct err *err) {
    int e = 0;
    for (size_t i = 0; i < ARRAY_COUNT(g_controllers) && e == 0; i++) {
        const struct cg_controller *row = &g_controllers[i];
        struct err why = {0};
        if (row->wanted(r)) {
            e = row_apply(cg, row, r, warn, &why);
            e = soften(cg, e, row->v1 != NULL ? row->v1 : "unified", &why, warn, err);
        }
    }
    if (e == 0 && devices && cg->count > 0) {
        struct err why = {0};
        e = devices_apply(cg, r, &why);
        e = soften(cg, e, "devices", &why, warn, err);
    }
    return e;
}

int cgroup_update_warn(const struct cgroup *cg, const struct cgroup_resources *resources,
                       void (*warn)(void *arg, const char *message), void *arg, struct err *err) {
    const struct cg_warn w = {.warn = warn, .arg = arg};
    int e = cg->systemd ? cg_systemd_update(cg, resources, err) : 0;
    return e != 0 ? e : cg_limits(cg, resources, false, &w, err);
}

int cgroup_update(const struct cgroup *cg, const struct cgroup_resources *resources,
                  struct err *err) {
    return cgroup_update_warn(cg, resources, NULL, NULL, err);
}
