/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/sys (proc_sys(5)): the values programs ask for.  A few can be set, by root, and belong to
 * the whole sandbox; host and domain name belong to the container.
 */
#include "fs/proc/proc.h"
#include "fs/proc/sysctl.h"

#include "base/fmt.h"
#include "base/string.h"
#include "kernel/container.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/uts.h"
#include "mm/mm.h"

#include <asm-generic/errno.h>
#include <linux/capability.h>
#include <linux/stat.h>

/* ---- numbers and texts
 * ----------------------------------------------------------------------------------- */

static int show_text(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "%s\n", (const char *)(uintptr_t)node->entry->value);
    return 0;
}

/* Values that can be set; each is one word, read and written whole.  Indexes are the rows' `value`.
 */
enum sysctl_word {
    SYSCTL_OVERCOMMIT,
    SYSCTL_SWAPPINESS,
    SYSCTL_MAX_MAP_COUNT,
    SYSCTL_FILE_MAX,
    SYSCTL_NR_OPEN,
    SYSCTL_PIPE_MAX,
    SYSCTL_SOMAXCONN,
    SYSCTL_PANIC,
    SYSCTL_SHMMAX,
    SYSCTL_SHMALL,
    SYSCTL_SHMMNI,
    SYSCTL_MSGMAX,
    SYSCTL_MSGMNB,
    SYSCTL_MSGMNI,
    SYSCTL_INOTIFY_WATCHES,
    SYSCTL_INOTIFY_INSTANCES,
    SYSCTL_INOTIFY_EVENTS,
    SYSCTL_MQ_QUEUES,
    SYSCTL_MQ_MSG,
    SYSCTL_MQ_MSGSIZE,
    SYSCTL_RANDOMIZE,
    SYSCTL_SHM_RMID_FORCED,
    SYSCTL_UNPRIVILEGED_PORT,
    SYSCTL_FIN_TIMEOUT,
    SYSCTL_KEEPALIVE_INTVL,
    SYSCTL_KEEPALIVE_PROBES,
    SYSCTL_KEEPALIVE_TIME,
    SYSCTL_SYNCOOKIES,
    SYSCTL_IP_FORWARD,
    SYSCTL_DGRAM_QLEN,
    SYSCTL_WORDS,
};

static uint64_t g_sysctl[SYSCTL_WORDS] = {
    /* atomic */
    [SYSCTL_OVERCOMMIT] = 0,
    [SYSCTL_SWAPPINESS] = 60,
    [SYSCTL_MAX_MAP_COUNT] = MM_AREAS_MAX,
    [SYSCTL_FILE_MAX] = 1048576,
    [SYSCTL_NR_OPEN] = 1048576,
    [SYSCTL_PIPE_MAX] = 1048576,
    [SYSCTL_SOMAXCONN] = 4096,
    [SYSCTL_PANIC] = 0,
    [SYSCTL_SHMMAX] = 18446744073692774399ull,
    [SYSCTL_SHMALL] = 18446744073692774399ull,
    [SYSCTL_SHMMNI] = 4096,
    [SYSCTL_MSGMAX] = 8192,
    [SYSCTL_MSGMNB] = 16384,
    [SYSCTL_MSGMNI] = 32000,
    [SYSCTL_INOTIFY_WATCHES] = 65536,
    [SYSCTL_INOTIFY_INSTANCES] = 128,
    [SYSCTL_INOTIFY_EVENTS] = 16384,
    [SYSCTL_MQ_QUEUES] = 256,
    [SYSCTL_MQ_MSG] = 10,
    [SYSCTL_MQ_MSGSIZE] = 8192,
    [SYSCTL_RANDOMIZE] = 2,
    [SYSCTL_UNPRIVILEGED_PORT] = 1024,
    [SYSCTL_FIN_TIMEOUT] = 60,
    [SYSCTL_KEEPALIVE_INTVL] = 75,
    [SYSCTL_KEEPALIVE_PROBES] = 9,
    [SYSCTL_KEEPALIVE_TIME] = 7200,
    [SYSCTL_SYNCOOKIES] = 1,
    [SYSCTL_DGRAM_QLEN] = 10,
};

static int show_word(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "%llu\n", (unsigned long long)atomic_load(&g_sysctl[node->entry->value]));
    return 0;
}

static int store_word(const struct proc_node *node, struct task *t, char *text, size_t len) {
    uint64_t value;
    int err = proc_parse_value(text, &value);
    if (err == 0) {
        atomic_store(&g_sysctl[node->entry->value], value);
    }
    return err;
}

/* Values that are several words: kept as they were written.  Indexes are the rows' `value`. */
enum sysctl_list {
    SYSCTL_PORT_RANGE,
    SYSCTL_PING_RANGE,
    SYSCTL_SEM,
    SYSCTL_RMEM,
    SYSCTL_WMEM,
    SYSCTL_LISTS
};

#define LIST_SIZE 64u
static struct spinlock g_list_lock = SPINLOCK_INIT(RANK_FS);
static char g_list[SYSCTL_LISTS][LIST_SIZE] = {
    /* guarded by g_list_lock */
    [SYSCTL_PORT_RANGE] = "32768\t60999",           [SYSCTL_PING_RANGE] = "1\t0",
    [SYSCTL_SEM] = "32000\t1024000000\t500\t32000", [SYSCTL_RMEM] = "4096\t131072\t6291456",
    [SYSCTL_WMEM] = "4096\t16384\t4194304",
};

static int show_list(struct seq *s, const struct proc_node *node) {
    char text[LIST_SIZE];
    spin_lock(&g_list_lock);
    memcpy(text, g_list[node->entry->value], sizeof(text));
    spin_unlock(&g_list_lock);
    seq_printf(s, "%s\n", text);
    return 0;
}

/* Numbers between blanks, written back with tabs. */
static int store_list(const struct proc_node *node, struct task *t, char *text, size_t len) {
    char out[LIST_SIZE] = "";
    size_t used = 0;
    bool gap = false;
    for (const char *p = text; *p != '\0'; p++) {
        bool digit = *p >= '0' && *p <= '9';
        if (!digit && *p != ' ' && *p != '\t' && *p != '\n') {
            return -EINVAL;
        }
        if (!digit) {
            gap = used > 0;
            continue;
        }
        if (used + 2 >= sizeof(out)) {
            return -EINVAL;
        }
        if (gap) {
            out[used++] = '\t';
            gap = false;
        }
        out[used++] = *p;
    }
    if (used == 0) {
        return -EINVAL;
    }
    out[used] = '\0';
    spin_lock(&g_list_lock);
    memcpy(g_list[node->entry->value], out, sizeof(out));
    spin_unlock(&g_list_lock);
    return 0;
}

struct inotify_limits proc_inotify_limits(void) {
    return (struct inotify_limits){.events = atomic_load(&g_sysctl[SYSCTL_INOTIFY_EVENTS]),
                                   .instances = atomic_load(&g_sysctl[SYSCTL_INOTIFY_INSTANCES]),
                                   .watches = atomic_load(&g_sysctl[SYSCTL_INOTIFY_WATCHES])};
}

uint32_t proc_unprivileged_port(void) {
    return (uint32_t)MIN(atomic_load(&g_sysctl[SYSCTL_UNPRIVILEGED_PORT]), 65536u);
}

/* ---- kernel
 * ------------------------------------------------------------------------------------------------
 */

/* Whose names the caller sees; NULL for kernel tasks. */
static struct container *own_uts(void) {
    struct container *c = current->process->member;
    return c != NULL ? c->uts : NULL;
}

static char *uts_field(struct container *c, const struct proc_node *node) {
    return node->entry->value == 0 ? c->hostname : c->domainname;
}

static int show_uts(struct seq *s, const struct proc_node *node) {
    struct container *c = own_uts();
    char text[UTS_LEN + 1] = "(none)";
    if (c != NULL) {
        spin_lock(&c->lock);
        memcpy(text, uts_field(c, node), sizeof(text));
        spin_unlock(&c->lock);
    }
    seq_printf(s, "%s\n", text);
    return 0;
}

static int store_uts(const struct proc_node *node, struct task *t, char *text, size_t len) {
    struct container *c = own_uts();
    char *newline = strchr(text, '\n');
    if (newline != NULL) {
        *newline = '\0';
    }
    if (c == NULL || !capable(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    if (strlen(text) > UTS_LEN) {
        return -EINVAL;
    }
    spin_lock(&c->lock);
    (void)strlcpy(uts_field(c, node), text, UTS_LEN + 1); /* fits */
    spin_unlock(&c->lock);
    return 0;
}

static void show_uuid(struct seq *s, const uint8_t bytes[16]) {
    for (uint32_t i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        seq_printf(s, dash ? "-%02x" : "%02x", bytes[i]);
    }
    seq_putc(s, '\n');
}

/* Makes 16 random bytes a UUID of version 4 (RFC 9562). */
static void uuid_make(uint8_t bytes[16]) {
    hal_random(bytes, 16);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
}

static int show_random_uuid(struct seq *s, const struct proc_node *node) {
    uint8_t bytes[16];
    uuid_make(bytes);
    show_uuid(s, bytes);
    return 0;
}

static int show_boot_id(struct seq *s, const struct proc_node *node) {
    static struct spinlock lock = SPINLOCK_INIT(RANK_FS);
    static uint8_t id[16]; /* guarded by lock, as the next one */
    static bool made;
    uint8_t copy[16];
    spin_lock(&lock);
    if (!made) {
        uuid_make(id);
        made = true;
    }
    memcpy(copy, id, sizeof(copy));
    spin_unlock(&lock);
    show_uuid(s, copy);
    return 0;
}

static int show_file_nr(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "0\t0\t%llu\n", (unsigned long long)atomic_load(&g_sysctl[SYSCTL_FILE_MAX]));
    return 0;
}

/* ---- the tables
 * --------------------------------------------------------------------------------------------- */

#define DIR(n, table)                                                                              \
    { .name = (n), .mode = S_IFDIR | 0555, .children = (table) }
#define FIXED(n, text)                                                                             \
    { .name = (n), .mode = S_IFREG | 0444, .show = show_text, .value = (uintptr_t)(text) }
#define WORD(n, index)                                                                             \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_word, .store = store_word,               \
        .value = (index)                                                                           \
    }
#define LIST(n, index)                                                                             \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_list, .store = store_list,               \
        .value = (index)                                                                           \
    }
#define END                                                                                        \
    { .name = NULL }

static const struct proc_entry g_random[] = {
    {.name = "boot_id", .mode = S_IFREG | 0444, .show = show_boot_id},
    FIXED("entropy_avail", "256"),
    FIXED("poolsize", "256"),
    FIXED("urandom_min_reseed_secs", "60"),
    {.name = "uuid", .mode = S_IFREG | 0444, .show = show_random_uuid},
    FIXED("write_wakeup_threshold", "256"),
    END,
};

static const struct proc_entry g_kernel[] = {
    FIXED("cap_last_cap", "40"),
    FIXED("core_pattern", "core"),
    FIXED("core_uses_pid", "0"),
    FIXED("dmesg_restrict", "0"),
    {.name = "domainname",
     .mode = S_IFREG | 0644,
     .show = show_uts,
     .store = store_uts,
     .value = 1},
    {.name = "hostname", .mode = S_IFREG | 0644, .show = show_uts, .store = store_uts, .value = 0},
    FIXED("kptr_restrict", "1"),
    WORD("msgmax", SYSCTL_MSGMAX),
    WORD("msgmnb", SYSCTL_MSGMNB),
    WORD("msgmni", SYSCTL_MSGMNI),
    FIXED("ngroups_max", "65536"),
    FIXED("osrelease", UTS_RELEASE),
    FIXED("ostype", UTS_SYSNAME),
    FIXED("overflowgid", "65534"),
    FIXED("overflowuid", "65534"),
    WORD("panic", SYSCTL_PANIC),
    FIXED("perf_event_paranoid", "4"),
    FIXED("pid_max", "32768"),
    FIXED("printk", "4\t4\t1\t7"),
    DIR("random", g_random),
    WORD("randomize_va_space", SYSCTL_RANDOMIZE),
    FIXED("sched_autogroup_enabled", "0"),
    FIXED("sched_child_runs_first", "0"),
    FIXED("sched_rr_timeslice_ms", "100"),
    FIXED("sched_rt_period_us", "1000000"),
    FIXED("sched_rt_runtime_us", "950000"),
    LIST("sem", SYSCTL_SEM),
    WORD("shm_rmid_forced", SYSCTL_SHM_RMID_FORCED),
    WORD("shmall", SYSCTL_SHMALL),
    WORD("shmmax", SYSCTL_SHMMAX),
    WORD("shmmni", SYSCTL_SHMMNI),
    FIXED("tainted", "0"),
    FIXED("threads-max", "127000"),
    FIXED("unprivileged_userns_clone", "0"),
    FIXED("version", UTS_VERSION),
    END,
};

static const struct proc_entry g_vm[] = {
    FIXED("dirty_background_ratio", "10"),
    FIXED("dirty_ratio", "20"),
    FIXED("drop_caches", "0"),
    WORD("max_map_count", SYSCTL_MAX_MAP_COUNT),
    FIXED("min_free_kbytes", "4096"),
    FIXED("mmap_min_addr", "65536"),
    FIXED("nr_hugepages", "0"),
    FIXED("overcommit_kbytes", "0"),
    WORD("overcommit_memory", SYSCTL_OVERCOMMIT),
    FIXED("overcommit_ratio", "50"),
    WORD("swappiness", SYSCTL_SWAPPINESS),
    FIXED("vfs_cache_pressure", "100"),
    END,
};

static const struct proc_entry g_inotify[] = {
    WORD("max_queued_events", SYSCTL_INOTIFY_EVENTS),
    WORD("max_user_instances", SYSCTL_INOTIFY_INSTANCES),
    WORD("max_user_watches", SYSCTL_INOTIFY_WATCHES),
    END,
};

static const struct proc_entry g_mqueue[] = {
    WORD("msg_max", SYSCTL_MQ_MSG),
    WORD("msgsize_max", SYSCTL_MQ_MSGSIZE),
    WORD("queues_max", SYSCTL_MQ_QUEUES),
    END,
};

static const struct proc_entry g_epoll[] = {FIXED("max_user_watches", "1048576"), END};

static const struct proc_entry g_fs[] = {
    FIXED("aio-max-nr", "65536"),
    FIXED("aio-nr", "0"),
    DIR("epoll", g_epoll),
    WORD("file-max", SYSCTL_FILE_MAX),
    {.name = "file-nr", .mode = S_IFREG | 0444, .show = show_file_nr},
    DIR("inotify", g_inotify),
    FIXED("lease-break-time", "45"),
    FIXED("leases-enable", "1"),
    FIXED("mount-max", "100000"),
    DIR("mqueue", g_mqueue),
    WORD("nr_open", SYSCTL_NR_OPEN),
    FIXED("overflowgid", "65534"),
    FIXED("overflowuid", "65534"),
    WORD("pipe-max-size", SYSCTL_PIPE_MAX),
    FIXED("pipe-user-pages-hard", "0"),
    FIXED("pipe-user-pages-soft", "16384"),
    FIXED("protected_fifos", "1"),
    FIXED("protected_hardlinks", "1"),
    FIXED("protected_regular", "2"),
    FIXED("protected_symlinks", "1"),
    FIXED("suid_dumpable", "0"),
    END,
};

static const struct proc_entry g_net_core[] = {
    FIXED("rmem_default", "212992"),     FIXED("rmem_max", "212992"),
    WORD("somaxconn", SYSCTL_SOMAXCONN), FIXED("wmem_default", "212992"),
    FIXED("wmem_max", "212992"),         END,
};

static const struct proc_entry g_net_ipv4[] = {
    WORD("ip_forward", SYSCTL_IP_FORWARD),
    LIST("ip_local_port_range", SYSCTL_PORT_RANGE),
    WORD("ip_unprivileged_port_start", SYSCTL_UNPRIVILEGED_PORT),
    LIST("ping_group_range", SYSCTL_PING_RANGE),
    WORD("tcp_fin_timeout", SYSCTL_FIN_TIMEOUT),
    WORD("tcp_keepalive_intvl", SYSCTL_KEEPALIVE_INTVL),
    WORD("tcp_keepalive_probes", SYSCTL_KEEPALIVE_PROBES),
    WORD("tcp_keepalive_time", SYSCTL_KEEPALIVE_TIME),
    LIST("tcp_rmem", SYSCTL_RMEM),
    WORD("tcp_syncookies", SYSCTL_SYNCOOKIES),
    LIST("tcp_wmem", SYSCTL_WMEM),
    END,
};

static const struct proc_entry g_net_unix[] = {WORD("max_dgram_qlen", SYSCTL_DGRAM_QLEN), END};

static const struct proc_entry g_net[] = {
    DIR("core", g_net_core),
    DIR("ipv4", g_net_ipv4),
    DIR("unix", g_net_unix),
    END,
};

static const struct proc_entry g_user[] = {
    FIXED("max_inotify_instances", "128"),
    FIXED("max_inotify_watches", "65536"),
    FIXED("max_mnt_namespaces", "0"),
    FIXED("max_net_namespaces", "0"),
    FIXED("max_pid_namespaces", "0"),
    FIXED("max_user_namespaces", "0"),
    END,
};

const struct proc_entry g_proc_sys[] = {
    DIR("fs", g_fs),     DIR("kernel", g_kernel), DIR("net", g_net),
    DIR("user", g_user), DIR("vm", g_vm),         END,
};

/* ---- from outside ---- */

static const struct proc_entry *find_entry(const struct proc_entry *table, const char *name,
                                           size_t len) {
    for (const struct proc_entry *e = table; e->name != NULL; e++) {
        if (strlen(e->name) == len && memcmp(e->name, name, len) == 0) {
            return e;
        }
    }
    return NULL;
}

int proc_sysctl_set(const char *name, const char *value) {
    const struct proc_entry *table = g_proc_sys;
    const struct proc_entry *e = NULL;
    while (table != NULL) {
        const char *end = name;
        while (*end != '\0' && *end != '.' && *end != '/') {
            end++;
        }
        e = find_entry(table, name, (size_t)(end - name));
        table = e != NULL && *end != '\0' ? e->children : NULL;
        name = *end != '\0' ? end + 1 : end;
    }
    if (e == NULL || *name != '\0' || e->store == NULL) {
        return -ENOENT;
    }
    char *text = kstrdup(value);
    if (text == NULL) {
        return -ENOMEM;
    }
    struct proc_node node = {.entry = e};
    int err = e->store(&node, NULL, text, strlen(text));
    kfree(text);
    return err;
}
