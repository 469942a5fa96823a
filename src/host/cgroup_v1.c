/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits in the files of cgroup v1 (kernel documentation, admin-guide/cgroup-v1).
 *
 * As engines write zero for "not asked for", zero is not written where the kernel has no meaning
 * for it; -1 lifts a limit.  Pairs that the kernel checks against each other are written in the
 * order that it takes.
 */
#include "host/cgroup_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LL(x)  ((long long)(x))
#define ULL(x) ((unsigned long long)(x))

/* ---- memory ---- */

/* memory.limit <= memory.memsw.limit at every moment: the one that grows goes first. */
static int memory_and_swap(const struct cg_apply *a, struct err *err) {
    int64_t limit = asked_i64(&a->r->memory.limit) ? a->r->memory.limit.value : 0;
    int64_t swap = asked_i64(&a->r->memory.swap) ? a->r->memory.swap.value : 0;
    uint64_t now = UINT64_MAX;
    int e = 0;
    if (limit == -1 && swap == 0 && cg_has(a->dir.fd, "memory.memsw.limit_in_bytes")) {
        swap = -1; /* memory without a limit means swap without one */
    }
    if (limit != 0 && swap != 0) {
        (void)cg_read_u64(a->dir.fd, "memory.limit_in_bytes", &now); /* then the swap goes last */
    }
    bool swap_first = limit != 0 && (swap == -1 || (swap > 0 && now < (uint64_t)swap));
    if (swap != 0 && swap_first) {
        e = cg_set(&a->dir, "memory.memsw.limit_in_bytes", err, "%lld", LL(swap));
    }
    if (e == 0 && limit != 0) {
        e = cg_set(&a->dir, "memory.limit_in_bytes", err, "%lld", LL(limit));
    }
    if (e == 0 && swap != 0 && !swap_first) {
        e = cg_set(&a->dir, "memory.memsw.limit_in_bytes", err, "%lld", LL(swap));
    }
    return e;
}

/* Kernel memory limits went from Linux 5.16 on; a limit that is not taken is told. */
static void memory_kernel(const struct cg_apply *a) {
    const struct {
        const struct cgroup_i64 *value;
        const char *file, *name;
    } rows[] = {
        {&a->r->memory.kernel, "memory.kmem.limit_in_bytes", "memory.kernel"},
        {&a->r->memory.kernel_tcp, "memory.kmem.tcp.limit_in_bytes", "memory.kernelTCP"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct err why = {0};
        if (asked_i64(rows[i].value) &&
            cg_set(&a->dir, rows[i].file, &why, "%lld", LL(rows[i].value->value)) != 0) {
            cg_warn(a->warn, "linux.resources.%s is left out: %s", rows[i].name, why.msg);
        }
    }
}

static int memory_hierarchy(const struct cg_apply *a) {
    uint64_t now = 1, want = a->r->memory.use_hierarchy;
    struct err why = {0};
    (void)cg_read_u64(a->dir.fd, "memory.use_hierarchy", &now); /* always 1 where there is none */
    if (a->r->memory.use_hierarchy_set && now != want &&
        cg_set(&a->dir, "memory.use_hierarchy", &why, "%llu", ULL(want)) != 0) {
        cg_warn(a->warn, "linux.resources.memory.useHierarchy is left out: %s", why.msg);
    }
    return 0;
}

int cg_v1_memory(const struct cg_apply *a, struct err *err) {
    uint64_t swappiness = a->r->memory.swappiness.value;
    uint64_t killer_off = 0;
    int e = memory_hierarchy(a);
    memory_kernel(a);
    e = e != 0 ? e : memory_and_swap(a, err);
    if (e == 0 && asked_i64(&a->r->memory.reservation)) {
        e = cg_set(&a->dir, "memory.soft_limit_in_bytes", err, "%lld",
                   LL(a->r->memory.reservation.value));
    }
    if (e == 0 && a->r->memory.disable_oom_killer_set &&
        cg_read_key(a->dir.fd, "memory.oom_control", "oom_kill_disable", &killer_off) == 0 &&
        (killer_off != 0) != a->r->memory.disable_oom_killer) {
        e = cg_set(&a->dir, "memory.oom_control", err, "%d", a->r->memory.disable_oom_killer);
    }
    if (e == 0 && a->r->memory.swappiness.set && swappiness != UINT64_MAX) {
        e = swappiness > 100
                ? err_set(err, -EINVAL, "memory.swappiness is 0 to 100, not %llu", ULL(swappiness))
                : cg_set(&a->dir, "memory.swappiness", err, "%llu", ULL(swappiness));
    }
    return e;
}

/* ---- cpu ---- */

static int cpu_shares(const struct cg_apply *a, struct err *err) {
    uint64_t shares = a->r->cpu.shares.value;
    if (!asked_u64(&a->r->cpu.shares)) {
        return 0;
    }
    if (shares < 2 || shares > 262144) {
        return err_set(err, -EINVAL, "cpu.shares is 2 to 262144, not %llu: the %s allowed is %d",
                       ULL(shares), shares < 2 ? "minimum" : "maximum", shares < 2 ? 2 : 262144);
    }
    return cg_set(&a->dir, "cpu.shares", err, "%llu", ULL(shares));
}

/* Writes the second value between two tries of the first: which order the kernel takes depends on
 * the old values (EINVAL). */
static int pair(const struct cg_apply *a, const char *first, const char *first_text,
                const char *second, const char *second_text, struct err *err) {
    bool again = false;
    int e = 0;
    if (first_text[0] != '\0') {
        e = cg_write(a->dir.fd, first, first_text);
        again = e == -EINVAL && second_text[0] != '\0';
        if (e != 0 && !again) {
            return cg_set(&a->dir, first, err, "%s", first_text);
        }
    }
    if (second_text[0] != '\0') {
        e = cg_set(&a->dir, second, err, "%s", second_text);
    }
    return e == 0 && again ? cg_set(&a->dir, first, err, "%s", first_text) : e;
}

static void text_u64(const struct cgroup_u64 *v, char out[24]) {
    (void)snprintf(out, 24, "%llu", ULL(v->value)); /* 20 digits */
    out[asked_u64(v) ? strlen(out) : 0] = '\0';
}

static void text_i64(const struct cgroup_i64 *v, char out[24]) {
    (void)snprintf(out, 24, "%lld", LL(v->value));
    out[asked_i64(v) ? strlen(out) : 0] = '\0';
}

static int cpu_bandwidth(const struct cg_apply *a, struct err *err) {
    char period[24], quota[24], burst[24] = "";
    text_u64(&a->r->cpu.period, period);
    text_i64(&a->r->cpu.quota, quota);
    if (a->r->cpu.burst.set && !cg_has(a->dir.fd, "cpu.cfs_burst_us")) {
        cg_warn(a->warn, "linux.resources.cpu.burst is left out: this kernel has no "
                         "cpu.cfs_burst_us (Linux 5.14 brought it)");
    } else if (a->r->cpu.burst.set) {
        (void)snprintf(burst, sizeof(burst), "%llu", ULL(a->r->cpu.burst.value)); /* fits */
    }
    /* A burst above the old quota waits for the new one; one below it may have to go first. */
    int early = burst[0] == '\0' ? 0 : cg_write(a->dir.fd, "cpu.cfs_burst_us", burst);
    int e = pair(a, "cpu.cfs_period_us", period, "cpu.cfs_quota_us", quota, err);
    return e == 0 && early != 0 ? cg_set(&a->dir, "cpu.cfs_burst_us", err, "%s", burst) : e;
}

int cg_v1_cpu(const struct cg_apply *a, struct err *err) {
    char period[24], runtime[24];
    bool idle = a->r->cpu.idle.set && a->r->cpu.idle.value != 0;
    int e = 0;
    if (a->r->cpu.idle.set) {
        e = cg_set(&a->dir, "cpu.idle", err, "%lld", LL(a->r->cpu.idle.value));
    }
    if (e == 0 && !idle) { /* an idle group takes no shares */
        e = cpu_shares(a, err);
    }
    e = e != 0 ? e : cpu_bandwidth(a, err);
    text_u64(&a->r->cpu.realtime_period, period);
    text_i64(&a->r->cpu.realtime_runtime, runtime);
    return e != 0 ? e : pair(a, "cpu.rt_period_us", period, "cpu.rt_runtime_us", runtime, err);
}

int cg_v1_cpuset(const struct cg_apply *a, struct err *err) {
    int e = 0;
    if (a->r->cpu.cpus != NULL && a->r->cpu.cpus[0] != '\0') {
        e = cg_set(&a->dir, "cpuset.cpus", err, "%s", a->r->cpu.cpus);
    }
    if (e == 0 && a->r->cpu.mems != NULL && a->r->cpu.mems[0] != '\0') {
        e = cg_set(&a->dir, "cpuset.mems", err, "%s", a->r->cpu.mems);
    }
    return e;
}

int cg_v1_pids(const struct cg_apply *a, struct err *err) {
    return a->r->pids.value < 0 ? cg_set(&a->dir, "pids.max", err, "max")
                                : cg_set(&a->dir, "pids.max", err, "%lld", LL(a->r->pids.value));
}

/* ---- blkio ---- */

static int blkio_throttle(const struct cg_apply *a, const char *file,
                          const struct cgroup_block_list *list, struct err *err) {
    int e = 0;
    for (size_t i = 0; i < list->count && e == 0; i++) {
        const struct cgroup_block_device *d = &list->items[i];
        e = cg_set(&a->dir, file, err, "%lld:%lld %llu", LL(d->major), LL(d->minor), ULL(d->rate));
    }
    return e;
}

static int blkio_weights(const struct cg_apply *a, struct err *err) {
    /* CFQ's names are gone since Linux 5.0, BFQ has its own. */
    const char *bfq = cg_has(a->dir.fd, "blkio.weight") ? "" : "bfq.";
    char file[64];
    int e = 0;
    if (asked_u64(&a->r->block.weight)) {
        (void)snprintf(file, sizeof(file), "blkio.%sweight", bfq); /* fits */
        e = cg_set(&a->dir, file, err, "%llu", ULL(a->r->block.weight.value));
    }
    if (e == 0 && asked_u64(&a->r->block.leaf_weight)) {
        e = cg_set(&a->dir, "blkio.leaf_weight", err, "%llu", ULL(a->r->block.leaf_weight.value));
    }
    for (size_t i = 0; i < a->r->block.weight_device.count && e == 0; i++) {
        const struct cgroup_block_device *d = &a->r->block.weight_device.items[i];
        if (asked_u64(&d->weight)) {
            (void)snprintf(file, sizeof(file), "blkio.%sweight_device", bfq); /* fits */
            e = cg_set(&a->dir, file, err, "%lld:%lld %llu", LL(d->major), LL(d->minor),
                       ULL(d->weight.value));
        }
        if (e == 0 && asked_u64(&d->leaf_weight)) {
            e = cg_set(&a->dir, "blkio.leaf_weight_device", err, "%lld:%lld %llu", LL(d->major),
                       LL(d->minor), ULL(d->leaf_weight.value));
        }
    }
    return e;
}

int cg_v1_blkio(const struct cg_apply *a, struct err *err) {
    int e = blkio_weights(a, err);
    e = e != 0 ? e
               : blkio_throttle(a, "blkio.throttle.read_bps_device", &a->r->block.read_bps, err);
    e = e != 0 ? e
               : blkio_throttle(a, "blkio.throttle.write_bps_device", &a->r->block.write_bps, err);
    e = e != 0 ? e
               : blkio_throttle(a, "blkio.throttle.read_iops_device", &a->r->block.read_iops, err);
    return e != 0 ? e
                  : blkio_throttle(a, "blkio.throttle.write_iops_device", &a->r->block.write_iops,
                                   err);
}

/* ---- the small ones ---- */

int cg_set_hugetlb(const struct cg_apply *a, const char *suffix, struct err *err) {
    char file[96];
    int e = 0;
    for (size_t i = 0; i < a->r->hugepage_count && e == 0; i++) {
        const struct cgroup_hugepage *h = &a->r->hugepages[i];
        (void)snprintf(file, sizeof(file), "hugetlb.%.32s.%s", h->page_size, suffix); /* fits */
        e = cg_set(&a->dir, file, err, "%llu", ULL(h->limit));
        (void)snprintf(file, sizeof(file), "hugetlb.%.32s.rsvd.%s", h->page_size, suffix);
        if (e == 0 && cg_has(a->dir.fd, file)) { /* reservations count since Linux 5.7 */
            e = cg_set(&a->dir, file, err, "%llu", ULL(h->limit));
        }
    }
    return e;
}

int cg_v1_hugetlb(const struct cg_apply *a, struct err *err) {
    return cg_set_hugetlb(a, "limit_in_bytes", err);
}

int cg_v1_net_cls(const struct cg_apply *a, struct err *err) {
    return cg_set(&a->dir, "net_cls.classid", err, "%llu", ULL(a->r->net_class.value));
}

int cg_v1_net_prio(const struct cg_apply *a, struct err *err) {
    int e = 0;
    for (size_t i = 0; i < a->r->net_prio_count && e == 0; i++) {
        e = cg_set(&a->dir, "net_prio.ifpriomap", err, "%s %u", a->r->net_prio[i].name,
                   a->r->net_prio[i].priority);
    }
    return e;
}

/* The same file in v1 and v2. */
int cg_set_rdma(const struct cg_apply *a, struct err *err) {
    int e = 0;
    for (size_t i = 0; i < a->r->rdma_count && e == 0; i++) {
        const struct cgroup_rdma *r = &a->r->rdma[i];
        char text[CG_VALUE_MAX];
        int n = snprintf(text, sizeof(text), "%.128s", r->device);
        if (r->handles.set) {
            n += snprintf(text + n, sizeof(text) - (size_t)n, " hca_handle=%llu",
                          ULL(r->handles.value));
        }
        if (r->objects.set) {
            (void)snprintf(text + n, sizeof(text) - (size_t)n, " hca_object=%llu",
                           ULL(r->objects.value)); /* fits: 128 bytes and two numbers */
        }
        e = cg_set(&a->dir, "rdma.max", err, "%s", text);
    }
    return e;
}
