/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: the table of names below /proc/pid and /proc/pid/task/tid, and the short ones among them
 * (proc(5)).
 */
#include "fs/proc/proc.h"

#include "base/fmt.h"
#include "base/string.h"
#include "kernel/cpu.h"
#include "kernel/oom.h"
#include "kernel/process.h"
#include "kernel/time.h"

#include <asm-generic/errno.h>
#include <linux/capability.h>
#include <linux/stat.h>

/* ---- name, limits, scores
 * ---------------------------------------------------------------------------- */

static int show_comm(struct seq *s, struct task *t, const struct proc_node *node) {
    seq_printf(s, "%.*s\n", TASK_COMM_LEN - 1, t->comm);
    return 0;
}

static int store_comm(const struct proc_node *node, struct task *t, char *text, size_t len) {
    if (t->process != current->process) {
        return -EINVAL;
    }
    char *newline = strchr(text, '\n');
    if (newline != NULL) {
        *newline = '\0';
    }
    char comm[TASK_COMM_LEN] = {0};
    (void)strlcpy(comm, text, sizeof(comm)); /* longer names are cut */
    memcpy(t->comm, comm, sizeof(comm));
    return 0;
}

static void show_limit(struct seq *s, uint64_t value) {
    if (value == UINT64_MAX) {
        seq_printf(s, "%-20s ", "unlimited");
    } else {
        seq_printf(s, "%-20llu ", (unsigned long long)value);
    }
}

static int show_limits(struct seq *s, struct task *t, const struct proc_node *node) {
    static const struct {
        const char *name, *unit;
    } limits[RLIMIT_COUNT] = {
        {"Max cpu time", "seconds"},     {"Max file size", "bytes"},
        {"Max data size", "bytes"},      {"Max stack size", "bytes"},
        {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
        {"Max processes", "processes"},  {"Max open files", "files"},
        {"Max locked memory", "bytes"},  {"Max address space", "bytes"},
        {"Max file locks", "locks"},     {"Max pending signals", "signals"},
        {"Max msgqueue size", "bytes"},  {"Max nice priority", ""},
        {"Max realtime priority", ""},   {"Max realtime timeout", "us"},
    };
    struct rlimit_pair pairs[RLIMIT_COUNT];
    spin_lock(&t->process->sig_lock);
    memcpy(pairs, t->process->rlimits, sizeof(pairs));
    spin_unlock(&t->process->sig_lock);
    seq_printf(s, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t i = 0; i < RLIMIT_COUNT; i++) {
        seq_printf(s, "%-25s ", limits[i].name);
        show_limit(s, pairs[i].cur);
        show_limit(s, pairs[i].max);
        seq_printf(s, "%-10s\n", limits[i].unit);
    }
    return 0;
}

static int show_oom_score(struct seq *s, struct task *t, const struct proc_node *node) {
    seq_printf(s, "%d\n", oom_score(t->process));
    return 0;
}

static int show_oom_score_adj(struct seq *s, struct task *t, const struct proc_node *node) {
    seq_printf(s, "%d\n", t->process->oom_score_adj);
    return 0;
}

static int parse_signed(const char *text, int64_t min, int64_t max, int64_t *out) {
    uint64_t value;
    bool negative = text[0] == '-';
    if (proc_parse_value(text + (negative ? 1 : 0), &value) != 0 || value > INT32_MAX) {
        return -EINVAL;
    }
    *out = negative ? -(int64_t)value : (int64_t)value;
    return *out < min || *out > max ? -EINVAL : 0;
}

static int store_oom_score_adj(const struct proc_node *node, struct task *t, char *text,
                               size_t len) {
    int64_t value;
    int err = parse_signed(text, -1000, 1000, &value);
    if (err != 0) {
        return err;
    }
    if (value < t->process->oom_score_adj && !capable(CAP_SYS_RESOURCE)) {
        return -EACCES;
    }
    t->process->oom_score_adj = (int32_t)value;
    return 0;
}

/* The old scale, -17 to 15. */
static int show_oom_adj(struct seq *s, struct task *t, const struct proc_node *node) {
    int32_t adj = t->process->oom_score_adj;
    seq_printf(s, "%d\n", adj == 1000 ? 15 : adj * 17 / 1000);
    return 0;
}

static int store_oom_adj(const struct proc_node *node, struct task *t, char *text, size_t len) {
    int64_t value;
    int err = parse_signed(text, -17, 15, &value);
    if (err != 0) {
        return err;
    }
    int32_t adj = value == 15 ? 1000 : (int32_t)(value * 1000 / 17);
    if (adj < t->process->oom_score_adj && !capable(CAP_SYS_RESOURCE)) {
        return -EACCES;
    }
    t->process->oom_score_adj = adj;
    return 0;
}

/* ---- constants and small facts
 * --------------------------------------------------------------------------- */

static int show_text(struct seq *s, struct task *t, const struct proc_node *node) {
    seq_printf(s, "%s", (const char *)(uintptr_t)node->entry->value);
    return 0;
}

/* Values that may be written where nothing follows from them. */
static int store_accepted(const struct proc_node *node, struct task *t, char *text, size_t len) {
    return 0;
}

static int store_refused(const struct proc_node *node, struct task *t, char *text, size_t len) {
    return -EPERM; /* there is one user name space, and its maps are written */
}

static int show_personality(struct seq *s, struct task *t, const struct proc_node *node) {
    seq_printf(s, "%08x\n", t->personality);
    return 0;
}

static int show_syscall(struct seq *s, struct task *t, const struct proc_node *node) {
    seq_printf(s, "running\n");
    return 0;
}

static int show_timerslack(struct seq *s, struct task *t, const struct proc_node *node) {
    seq_printf(s, "%llu\n", (unsigned long long)t->timer_slack_ns);
    return 0;
}

static int store_timerslack(const struct proc_node *node, struct task *t, char *text, size_t len) {
    uint64_t value;
    int err = proc_parse_value(text, &value);
    if (err == 0 && t->process != current->process && !capable(CAP_SYS_NICE)) {
        err = -EPERM;
    }
    if (err == 0) {
        t->timer_slack_ns = value != 0 ? value : 50000;
    }
    return err;
}

static int show_schedstat(struct seq *s, struct task *t, const struct proc_node *node) {
    uint64_t user_ns, sys_ns;
    task_cpu_times(t, &user_ns, &sys_ns);
    seq_printf(s, "%llu 0 0\n", (unsigned long long)(user_ns + sys_ns));
    return 0;
}

static int show_io(struct seq *s, struct task *t, const struct proc_node *node) {
    struct io_counts io = t->io;
    if (node->tid == 0) {
        process_io(t->process, &io);
    }
    seq_printf(s, "rchar: %llu\nwchar: %llu\n", (unsigned long long)io.rchar,
               (unsigned long long)io.wchar);
    seq_printf(s, "syscr: %llu\nsyscw: %llu\n", (unsigned long long)io.syscr,
               (unsigned long long)io.syscw);
    seq_printf(s, "read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"); /* no disk */
    return 0;
}

static int show_children(struct seq *s, struct task *t, const struct proc_node *node) {
    struct process *p = process_next(1);
    while (p != NULL) {
        if (t->tid == t->process->pid && process_ppid(p) == t->process->pid) {
            seq_printf(s, "%d ", p->pid);
        }
        int32_t next = p->pid + 1;
        process_put(p);
        p = process_next(next);
    }
    return 0;
}

/* ---- places
 * ------------------------------------------------------------------------------------------------
 */

static int fs_follow(const struct proc_node *node, struct path *out) {
    struct task *t = proc_task_get(node);
    if (t == NULL) {
        return -ENOENT;
    }
    int err = proc_may_access(t);
    struct fs_context *fs = err == 0 ? task_fs_get(t) : NULL;
    if (err == 0 && fs == NULL) {
        err = -ENOENT;
    }
    if (err == 0) {
        spin_lock(&fs->lock);
        *out = node->entry->value == 0 ? fs->cwd : fs->root;
        path_get(out);
        spin_unlock(&fs->lock);
    }
    if (fs != NULL) {
        fs_context_put(fs);
    }
    task_put(t);
    return err;
}

/* ---- the table
 * ------------------------------------------------------------------------------------------------
 */

#define DIR_MODE (S_IFDIR | 0555)
#define TEXT(n, fn)                                                                                \
    { .name = (n), .mode = S_IFREG | 0444, .show_task = (fn) }
#define SECRET(n, fn)                                                                              \
    { .name = (n), .mode = S_IFREG | 0400, .flags = PROC_PTRACE, .show_task = (fn) }
#define CONSTANT(n, text)                                                                          \
    { .name = (n), .mode = S_IFREG | 0444, .show_task = show_text, .value = (uintptr_t)(text) }
#define ID_MAP "         0          0 4294967295\n"

const struct proc_entry g_proc_pid_table[] = {
    SECRET("auxv", proc_show_auxv),
    CONSTANT("cgroup", "0::/\n"),
    {.name = "children", .mode = S_IFREG | 0444, .flags = PROC_THREAD, .show_task = show_children},
    TEXT("cmdline", proc_show_cmdline),
    {.name = "comm", .mode = S_IFREG | 0644, .show_task = show_comm, .store = store_comm},
    {.name = "coredump_filter",
     .mode = S_IFREG | 0644,
     .show_task = show_text,
     .store = store_accepted,
     .value = (uintptr_t) "00000033\n"},
    CONSTANT("cpuset", "/\n"),
    {.name = "cwd", .mode = S_IFLNK | 0777, .follow = fs_follow, .value = 0},
    SECRET("environ", proc_show_environ),
    {.name = "exe", .mode = S_IFLNK | 0777, .follow = proc_exe_follow},
    {.name = "fd", .mode = S_IFDIR | 0500, .dir = &g_proc_fd_dir},
    {.name = "fdinfo", .mode = DIR_MODE, .dir = &g_proc_fdinfo_dir},
    {.name = "gid_map",
     .mode = S_IFREG | 0644,
     .show_task = show_text,
     .store = store_refused,
     .value = (uintptr_t)ID_MAP},
    SECRET("io", show_io),
    TEXT("limits", show_limits),
    {.name = "loginuid",
     .mode = S_IFREG | 0644,
     .show_task = show_text,
     .store = store_accepted,
     .value = (uintptr_t) "4294967295"},
    {.name = "maps", .mode = S_IFREG | 0444, .flags = PROC_PTRACE, .show_task = proc_show_maps},
    {.name = "mem", .mode = S_IFREG | 0600, .flags = PROC_PTRACE, .open = proc_mem_open},
    {.name = "mountinfo",
     .mode = S_IFREG | 0444,
     .flags = PROC_MOUNTS,
     .show_task = proc_show_mountinfo},
    {.name = "mounts", .mode = S_IFREG | 0444, .flags = PROC_MOUNTS, .show_task = proc_show_mounts},
    {.name = "mountstats",
     .mode = S_IFREG | 0400,
     .flags = PROC_PROCESS | PROC_MOUNTS,
     .show_task = proc_show_mountstats},
    {.name = "net", .mode = DIR_MODE, .children = g_proc_net},
    {.name = "ns", .mode = S_IFDIR | 0511, .children = g_proc_ns},
    {.name = "oom_adj", .mode = S_IFREG | 0644, .show_task = show_oom_adj, .store = store_oom_adj},
    TEXT("oom_score", show_oom_score),
    {.name = "oom_score_adj",
     .mode = S_IFREG | 0644,
     .show_task = show_oom_score_adj,
     .store = store_oom_score_adj},
    SECRET("personality", show_personality),
    {.name = "projid_map",
     .mode = S_IFREG | 0644,
     .show_task = show_text,
     .store = store_refused,
     .value = (uintptr_t)ID_MAP},
    {.name = "root", .mode = S_IFLNK | 0777, .follow = fs_follow, .value = 1},
    TEXT("schedstat", show_schedstat),
    CONSTANT("sessionid", "4294967295"),
    {.name = "setgroups",
     .mode = S_IFREG | 0644,
     .flags = PROC_PROCESS,
     .show_task = show_text,
     .store = store_accepted,
     .value = (uintptr_t) "allow\n"},
    {.name = "smaps", .mode = S_IFREG | 0444, .flags = PROC_PTRACE, .show_task = proc_show_smaps},
    {.name = "smaps_rollup",
     .mode = S_IFREG | 0444,
     .flags = PROC_PTRACE,
     .show_task = proc_show_smaps_rollup},
    {.name = "stack",
     .mode = S_IFREG | 0400,
     .flags = PROC_PTRACE,
     .show_task = show_text,
     .value = (uintptr_t) ""},
    TEXT("stat", proc_show_stat),
    TEXT("statm", proc_show_statm),
    TEXT("status", proc_show_status),
    SECRET("syscall", show_syscall),
    {.name = "task", .mode = DIR_MODE, .flags = PROC_PROCESS, .dir = &g_proc_task_dir},
    {.name = "timerslack_ns",
     .mode = S_IFREG | 0666,
     .flags = PROC_PROCESS,
     .show_task = show_timerslack,
     .store = store_timerslack},
    {.name = "uid_map",
     .mode = S_IFREG | 0644,
     .show_task = show_text,
     .store = store_refused,
     .value = (uintptr_t)ID_MAP},
    CONSTANT("wchan", "0"),
    {.name = NULL},
};
