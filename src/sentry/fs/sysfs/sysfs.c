/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfs (sysfs(5)), the little of it that programs look at: how many processors there are, huge
 * pages, the loopback interface; and the place where a cgroup hierarchy is mounted.  Table-driven
 * through proc's code for generated text.
 */
#include "fs/proc/proc.h"

#include "base/fmt.h"
#include "base/string.h"
#include "hal.h"
#include "kernel/container.h"
#include "kernel/cpu.h"
#include "mm/mm.h"

#include <asm-generic/errno.h>
#include <linux/magic.h>
#include <linux/stat.h>

#define DIR(n, table)                                                                              \
    { .name = (n), .mode = S_IFDIR | 0555, .children = (table) }
#define FIXED(n, text)                                                                             \
    { .name = (n), .mode = S_IFREG | 0444, .show = show_text, .value = (uintptr_t)(text) }
#define LINK(n, target)                                                                            \
    { .name = (n), .mode = S_IFLNK | 0777, .readlink = read_target, .value = (uintptr_t)(target) }
#define END                                                                                        \
    { .name = NULL }

static int show_text(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "%s\n", (const char *)(uintptr_t)node->entry->value);
    return 0;
}

static int64_t read_target(const struct proc_node *node, char *buf, size_t size) {
    const char *text = (const char *)(uintptr_t)node->entry->value;
    size_t len = MIN(strlen(text), size);
    memcpy(buf, text, len);
    return (int64_t)len;
}

static const struct proc_entry g_empty[] = {END};

/* ---- processors
 * --------------------------------------------------------------------------------------- */

static void cpu_range(struct seq *s) {
    uint32_t cpus = cpu_count();
    seq_printf(s, cpus > 1 ? "0-%u\n" : "%u\n", cpus - 1);
}

static int show_cpus(struct seq *s, const struct proc_node *node) {
    cpu_range(s);
    return 0;
}

static void cpu_mask(struct seq *s, uint64_t mask) {
    if (cpu_count() > 32) {
        seq_printf(s, "%08x,%08x\n", (uint32_t)(mask >> 32), (uint32_t)mask);
    } else {
        seq_printf(s, "%0*x\n", (int)(cpu_count() + 3) / 4, (uint32_t)mask);
    }
}

static int show_all_mask(struct seq *s, const struct proc_node *node) {
    cpu_mask(s, cpu_count() >= 64 ? UINT64_MAX : (1ull << cpu_count()) - 1);
    return 0;
}

static int show_own_mask(struct seq *s, const struct proc_node *node) {
    cpu_mask(s, 1ull << node->number);
    return 0;
}

static int show_own_number(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "%d\n", node->number);
    return 0;
}

static const struct proc_entry g_topology[] = {
    {.name = "core_cpus", .mode = S_IFREG | 0444, .show = show_own_mask},
    {.name = "core_cpus_list", .mode = S_IFREG | 0444, .show = show_own_number},
    {.name = "core_id", .mode = S_IFREG | 0444, .show = show_own_number},
    {.name = "core_siblings", .mode = S_IFREG | 0444, .show = show_all_mask},
    {.name = "core_siblings_list", .mode = S_IFREG | 0444, .show = show_cpus},
    FIXED("die_id", "0"),
    {.name = "package_cpus_list", .mode = S_IFREG | 0444, .show = show_cpus},
    FIXED("physical_package_id", "0"),
    {.name = "thread_siblings", .mode = S_IFREG | 0444, .show = show_own_mask},
    {.name = "thread_siblings_list", .mode = S_IFREG | 0444, .show = show_own_number},
    END,
};

static const struct proc_entry g_one_cpu[] = {DIR("topology", g_topology), END};
static const struct proc_entry g_cpu_dir_entry = {
    .name = "", .mode = S_IFDIR | 0555, .children = g_one_cpu};

static int cpu_lookup(const struct proc_node *dir, const char *name, struct proc_node *out) {
    int32_t number;
    if (strncmp(name, "cpu", 3) != 0 || !proc_parse_number(name + 3, &number) ||
        (uint32_t)number >= cpu_count()) {
        return -ENOENT;
    }
    out->entry = &g_cpu_dir_entry;
    out->number = number;
    return 0;
}

static bool cpu_next(const struct proc_node *dir, uint64_t *index, char name[PROC_NAME_MAX],
                     uint32_t *out_mode) {
    if (*index >= cpu_count()) {
        return false;
    }
    *out_mode = g_cpu_dir_entry.mode;
    (void)fmt_snprintf(name, PROC_NAME_MAX, "cpu%u", (uint32_t)*index);
    return true;
}

static const struct proc_dir g_cpus = {.lookup = cpu_lookup, .next = cpu_next};

static const struct proc_entry g_cpu[] = {
    FIXED("isolated", ""),
    FIXED("kernel_max", "63"),
    FIXED("offline", ""),
    {.name = "online", .mode = S_IFREG | 0444, .show = show_cpus},
    {.name = "possible", .mode = S_IFREG | 0444, .show = show_cpus},
    {.name = "present", .mode = S_IFREG | 0444, .show = show_cpus},
    END,
};

/* ---- memory nodes
 * ----------------------------------------------------------------------------------------- */

static int show_node_meminfo(struct seq *s, const struct proc_node *node) {
    uint64_t total = proc_memory_total() >> 10;
    uint64_t free = proc_memory_free() >> 10;
    seq_printf(s, "Node 0 MemTotal:       %8llu kB\n", (unsigned long long)total);
    seq_printf(s, "Node 0 MemFree:        %8llu kB\n", (unsigned long long)free);
    seq_printf(s, "Node 0 MemUsed:        %8llu kB\n", (unsigned long long)(total - free));
    return 0;
}

static const struct proc_entry g_node0[] = {
    {.name = "cpulist", .mode = S_IFREG | 0444, .show = show_cpus},
    {.name = "cpumap", .mode = S_IFREG | 0444, .show = show_all_mask},
    FIXED("distance", "10"),
    {.name = "meminfo", .mode = S_IFREG | 0444, .show = show_node_meminfo},
    END,
};

static const struct proc_entry g_node[] = {
    FIXED("has_cpu", "0"),
    FIXED("has_memory", "0"),
    FIXED("has_normal_memory", "0"),
    DIR("node0", g_node0),
    FIXED("online", "0"),
    FIXED("possible", "0"),
    END,
};

/* ---- the loopback interface
 * ----------------------------------------------------------------------------------- */

static const struct proc_entry g_lo[] = {
    FIXED("addr_len", "6"),
    FIXED("address", "00:00:00:00:00:00"),
    FIXED("broadcast", "00:00:00:00:00:00"),
    FIXED("carrier", "1"),
    FIXED("dev_id", "0x0"),
    FIXED("flags", "0x9"),
    FIXED("ifindex", "1"),
    FIXED("iflink", "1"),
    FIXED("mtu", "65536"),
    FIXED("operstate", "unknown"),
    FIXED("tx_queue_len", "1000"),
    FIXED("type", "772"),
    END,
};

static const struct proc_entry g_class_net[] = {LINK("lo", "../../devices/virtual/net/lo"), END};
static const struct proc_entry g_class[] = {DIR("net", g_class_net), END};
static const struct proc_entry g_virtual_net[] = {DIR("lo", g_lo), END};
static const struct proc_entry g_virtual[] = {DIR("net", g_virtual_net), END};

/* ---- the rest
 * --------------------------------------------------------------------------------------------------
 */

static const struct proc_entry g_system[] = {
    {.name = "cpu", .mode = S_IFDIR | 0555, .children = g_cpu, .dir = &g_cpus},
    DIR("node", g_node),
    END,
};
static const struct proc_entry g_devices[] = {DIR("system", g_system), DIR("virtual", g_virtual),
                                              END};
static const struct proc_entry g_dev[] = {DIR("block", g_empty), DIR("char", g_empty), END};
static const struct proc_entry g_fs[] = {DIR("cgroup", g_empty), END};

static const struct proc_entry g_thp[] = {
    FIXED("defrag", "always defer defer+madvise [madvise] never"),
    FIXED("enabled", "always [madvise] never"),
    FIXED("hpage_pmd_size", "2097152"),
    FIXED("shmem_enabled", "always within_size advise [never] deny force"),
    FIXED("use_zero_page", "1"),
    END,
};
static const struct proc_entry g_mm[] = {DIR("hugepages", g_empty),
                                         DIR("transparent_hugepage", g_thp), END};
static const struct proc_entry g_kernel[] = {DIR("mm", g_mm), END};

static const struct proc_entry g_top[] = {
    DIR("block", g_empty),     DIR("bus", g_empty),
    DIR("class", g_class),     DIR("dev", g_dev),
    DIR("devices", g_devices), DIR("firmware", g_empty),
    DIR("fs", g_fs),           DIR("kernel", g_kernel),
    DIR("module", g_empty),    END,
};

static const struct proc_entry g_root = DIR("", g_top);

static int sysfs_mount(const struct fs_type *type, const char *source, uint32_t flags,
                       const char *data, struct super_block **out_sb) {
    return proc_tree_mount(type, SYSFS_MAGIC, &g_root, out_sb);
}

const struct fs_type g_sysfs_type = {.name = "sysfs", .flags = FS_NODEV, .mount = sysfs_mount};

/* ---- file systems that are there to be mounted
 * ------------------------------------------------------------------- */

static int show_cgroup_procs(struct seq *s, const struct proc_node *node) {
    struct process *p = process_next(1);
    while (p != NULL) {
        seq_printf(s, "%d\n", p->pid);
        int32_t next = p->pid + 1;
        process_put(p);
        p = process_next(next);
    }
    return 0;
}

/* ---- a control group as version 2 shows it (Documentation/admin-guide/cgroup-v2.rst of Linux)
 * ---- What programs size themselves by: the limits are the container's, kept by the host. */

enum { CGROUP_MEMORY_MAX, CGROUP_MEMORY_CURRENT, CGROUP_PIDS_MAX, CGROUP_PIDS_CURRENT };

static void show_limit(struct seq *s, uint64_t limit) {
    if (limit == 0) {
        seq_printf(s, "max\n");
    } else {
        seq_printf(s, "%llu\n", (unsigned long long)limit);
    }
}

static int show_cgroup_value(struct seq *s, const struct proc_node *node) {
    const struct container *c = current->process->member;
    switch (node->entry->value) {
    case CGROUP_MEMORY_MAX: {
        uint64_t limit = c != NULL ? atomic_load(&c->memory_limit) : 0;
        show_limit(s, limit != 0 ? limit : hal_memory()->limit_bytes);
        return 0;
    }
    case CGROUP_MEMORY_CURRENT:
        seq_printf(s, "%llu\n", (unsigned long long)(frames_used() * PAGE_SIZE));
        return 0;
    case CGROUP_PIDS_MAX:
        show_limit(s, c != NULL ? atomic_load(&c->pids_limit) : 0);
        return 0;
    default:
        seq_printf(s, "%u\n", c != NULL ? c->thread_count : 0); /* racy at worst */
        return 0;
    }
}

static int show_cgroup_cpu(struct seq *s, const struct proc_node *node) {
    const struct container *c = current->process->member;
    uint64_t quota = c != NULL ? atomic_load(&c->cpu_quota_us) : 0;
    uint64_t period = c != NULL ? atomic_load(&c->cpu_period_us) : 0;
    period = period != 0 ? period : 100000;
    if (quota == 0) {
        seq_printf(s, "max %llu\n", (unsigned long long)period);
    } else {
        seq_printf(s, "%llu %llu\n", (unsigned long long)quota, (unsigned long long)period);
    }
    return 0;
}

#define CGROUP_VALUE(n, which)                                                                     \
    { .name = (n), .mode = S_IFREG | 0444, .show = show_cgroup_value, .value = (which) }

static const struct proc_entry g_cgroup[] = {
    FIXED("cgroup.controllers", "cpu memory pids"),
    FIXED("cgroup.max.depth", "max"),
    FIXED("cgroup.max.descendants", "max"),
    {.name = "cgroup.procs", .mode = S_IFREG | 0444, .show = show_cgroup_procs},
    FIXED("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0"),
    FIXED("cgroup.subtree_control", ""),
    {.name = "cgroup.threads", .mode = S_IFREG | 0444, .show = show_cgroup_procs},
    {.name = "cpu.max", .mode = S_IFREG | 0444, .show = show_cgroup_cpu},
    CGROUP_VALUE("memory.current", CGROUP_MEMORY_CURRENT),
    CGROUP_VALUE("memory.max", CGROUP_MEMORY_MAX),
    FIXED("memory.swap.max", "0"),
    CGROUP_VALUE("pids.current", CGROUP_PIDS_CURRENT),
    CGROUP_VALUE("pids.max", CGROUP_PIDS_MAX),
    END,
};
static const struct proc_entry g_cgroup_root = DIR("", g_cgroup);
static const struct proc_entry g_mqueue_root = {
    .name = "", .mode = S_IFDIR | S_ISVTX | 0777, .children = g_empty};

static int cgroup2_mount(const struct fs_type *type, const char *source, uint32_t flags,
                         const char *data, struct super_block **out_sb) {
    return proc_tree_mount(type, CGROUP2_SUPER_MAGIC, &g_cgroup_root, out_sb);
}

const struct fs_type g_cgroup2_type = {
    .name = "cgroup2", .flags = FS_NODEV, .mount = cgroup2_mount};

static int mqueue_mount(const struct fs_type *type, const char *source, uint32_t flags,
                        const char *data, struct super_block **out_sb) {
    return proc_tree_mount(type, 0x19800202 /* MQUEUE_MAGIC */, &g_mqueue_root, out_sb);
}

const struct fs_type g_mqueue_type = {.name = "mqueue", .flags = FS_NODEV, .mount = mqueue_mount};
