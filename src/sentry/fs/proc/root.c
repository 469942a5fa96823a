/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: the names at the top (proc(5)).  What they say is the sandbox's own.
 */
#include "fs/proc/proc.h"

#include "base/fmt.h"
#include "base/string.h"
#include "fs/iter.h"
#include "ipc/ipc.h"
#include "kernel/container.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/uts.h"
#include "mm/shm.h"

#include <asm-generic/errno.h>
#include <asm-generic/poll.h>
#include <linux/capability.h>
#include <linux/stat.h>

/* ---- self
 * ---------------------------------------------------------------------------------------- */

static int64_t copy_text(char *buf, size_t size, const char *text) {
    size_t len = MIN(strlen(text), size);
    memcpy(buf, text, len);
    return (int64_t)len;
}

static int64_t read_self(const struct proc_node *node, char *buf, size_t size) {
    char text[PROC_NAME_MAX];
    (void)fmt_snprintf(text, sizeof(text), "%d", current->process->pid);
    return copy_text(buf, size, text);
}

static int64_t read_thread_self(const struct proc_node *node, char *buf, size_t size) {
    char text[2 * PROC_NAME_MAX];
    (void)fmt_snprintf(text, sizeof(text), "%d/task/%d", current->process->pid, current->tid);
    return copy_text(buf, size, text);
}

static int64_t read_self_mounts(const struct proc_node *node, char *buf, size_t size) {
    return copy_text(buf, size, "self/mounts");
}

static int64_t read_self_net(const struct proc_node *node, char *buf, size_t size) {
    return copy_text(buf, size, "self/net");
}

/* ---- what never changes
 * ---------------------------------------------------------------------------- */

static int show_version(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "%s version %s (moat) (cc) %s\n", UTS_SYSNAME, UTS_RELEASE, UTS_VERSION);
    return 0;
}

static int show_cmdline(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "console=hvc0 quiet\n");
    return 0;
}

static bool show_type(const struct fs_type *type, void *arg) {
    struct seq *s = arg;
    seq_printf(s, "%s\t%s\n", (type->flags & FS_NODEV) != 0 ? "nodev" : "", type->name);
    return true;
}

static int show_filesystems(struct seq *s, const struct proc_node *node) {
    fs_type_for_each(show_type, s);
    return 0;
}

static int show_devices(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n"
                  " 10 misc\n136 pts\n\nBlock devices:\n");
    return 0;
}

static int show_misc(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "229 fuse\n");
    return 0;
}

static int show_swaps(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    return 0;
}

static int show_partitions(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "major minor  #blocks  name\n\n");
    return 0;
}

static int show_nothing(struct seq *s, const struct proc_node *node) {
    return 0;
}

static int show_cgroups(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    return 0;
}

static int show_interrupts(struct seq *s, const struct proc_node *node) {
    seq_printf(s, "    ");
    for (uint32_t i = 0; i < cpu_count(); i++) {
        seq_printf(s, "       CPU%-4u", i);
    }
    seq_putc(s, '\n');
    return 0;
}

static int show_zoneinfo(struct seq *s, const struct proc_node *node) {
    seq_printf(s,
               "Node 0, zone   Normal\n  pages free     %llu\n        present  %llu\n"
               "        managed  %llu\n",
               (unsigned long long)(proc_memory_free() / PAGE_SIZE),
               (unsigned long long)(proc_memory_total() / PAGE_SIZE),
               (unsigned long long)(proc_memory_total() / PAGE_SIZE));
    return 0;
}

/* ---- kmsg: the stream of syslog's reader
 * --------------------------------------------------------------- */

static int64_t kmsg_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    char buf[512];
    size_t len = dmesg_read(buf, MIN(sizeof(buf), iter_left(to)), *pos);
    if (len == 0) {
        return -EAGAIN; /* as a reader without O_NONBLOCK would wait for ever here */
    }
    int64_t n = iter_copy_to(to, buf, len);
    if (n > 0) {
        *pos += (uint64_t)n;
    }
    return n;
}

static uint32_t kmsg_poll(struct file *file, struct poll_table *table) {
    return file->pos < dmesg_end() ? POLLIN | POLLRDNORM : 0;
}

static const struct file_ops g_kmsg_fops = {.read = kmsg_read, .poll = kmsg_poll};

static int kmsg_open(const struct proc_node *node, struct file *file) {
    return capable(CAP_SYSLOG) || capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

/* ---- processes
 * ------------------------------------------------------------------------------------------ */

static int pid_lookup(const struct proc_node *dir, const char *name, struct proc_node *out) {
    int32_t pid;
    if (!proc_parse_number(name, &pid)) {
        return -ENOENT;
    }
    /* A thread's number works too, though it is not listed (proc(5)). */
    struct task *t = NULL;
    struct process *p = process_find(pid);
    if (p == NULL) {
        t = task_find(pid);
        p = t != NULL ? t->process : NULL;
    }
    if (p == NULL || p->pid == 0) {
        if (t != NULL) {
            task_put(t);
        }
        return -ENOENT;
    }
    out->entry = &g_proc_pid_entry;
    out->pid = p->pid;
    out->start_ns = p->start_time_ns;
    if (t != NULL) {
        task_put(t);
    } else {
        process_put(p);
    }
    return 0;
}

static bool pid_next(const struct proc_node *dir, uint64_t *index, char name[PROC_NAME_MAX],
                     uint32_t *out_mode) {
    if (*index > INT32_MAX) {
        return false;
    }
    struct process *p = process_next((int32_t)*index);
    if (p == NULL) {
        return false;
    }
    *index = (uint64_t)p->pid;
    *out_mode = g_proc_pid_entry.mode;
    (void)fmt_snprintf(name, PROC_NAME_MAX, "%d", p->pid);
    process_put(p);
    return true;
}

static const struct proc_dir g_proc_pids = {.lookup = pid_lookup, .next = pid_next};

/* ---- the table
 * ------------------------------------------------------------------------------------------- */

#define DIR_MODE  (S_IFDIR | 0555)
#define TEXT_MODE (S_IFREG | 0444)
#define LINK_MODE (S_IFLNK | 0777)

static int show_sysvipc(struct seq *s, const struct proc_node *node) {
    switch (node->entry->name[1]) {
    case 'e':
        return sem_proc_show(s);
    case 's':
        return msg_proc_show(s);
    default:
        return shm_proc_show(s);
    }
}

static const struct proc_entry g_sysvipc[] = {
    {.name = "msg", .mode = TEXT_MODE, .show = show_sysvipc},
    {.name = "sem", .mode = TEXT_MODE, .show = show_sysvipc},
    {.name = "shm", .mode = TEXT_MODE, .show = show_sysvipc},
    {.name = NULL},
};

static const struct proc_entry g_root_table[] = {
    {.name = "cgroups", .mode = TEXT_MODE, .show = show_cgroups},
    {.name = "cmdline", .mode = TEXT_MODE, .show = show_cmdline},
    {.name = "consoles", .mode = TEXT_MODE, .show = show_nothing},
    {.name = "cpuinfo", .mode = TEXT_MODE, .show = proc_show_cpuinfo},
    {.name = "devices", .mode = TEXT_MODE, .show = show_devices},
    {.name = "diskstats", .mode = TEXT_MODE, .show = show_nothing},
    {.name = "filesystems", .mode = TEXT_MODE, .show = show_filesystems},
    {.name = "interrupts", .mode = TEXT_MODE, .show = show_interrupts},
    {.name = "kmsg", .mode = S_IFREG | 0400, .fops = &g_kmsg_fops, .open = kmsg_open},
    {.name = "loadavg", .mode = TEXT_MODE, .show = proc_show_loadavg},
    {.name = "locks", .mode = TEXT_MODE, .show = show_nothing},
    {.name = "meminfo", .mode = TEXT_MODE, .show = proc_show_meminfo},
    {.name = "misc", .mode = TEXT_MODE, .show = show_misc},
    {.name = "modules", .mode = TEXT_MODE, .show = show_nothing},
    {.name = "mounts", .mode = LINK_MODE, .readlink = read_self_mounts},
    {.name = "net", .mode = LINK_MODE, .readlink = read_self_net},
    {.name = "partitions", .mode = TEXT_MODE, .show = show_partitions},
    {.name = "self", .mode = LINK_MODE, .readlink = read_self},
    {.name = "stat", .mode = TEXT_MODE, .show = proc_show_system_stat},
    {.name = "swaps", .mode = TEXT_MODE, .show = show_swaps},
    {.name = "sys", .mode = DIR_MODE, .children = g_proc_sys},
    {.name = "sysvipc", .mode = DIR_MODE, .children = g_sysvipc},
    {.name = "thread-self", .mode = LINK_MODE, .readlink = read_thread_self},
    {.name = "uptime", .mode = TEXT_MODE, .show = proc_show_uptime},
    {.name = "version", .mode = TEXT_MODE, .show = show_version},
    {.name = "vmstat", .mode = TEXT_MODE, .show = proc_show_vmstat},
    {.name = "zoneinfo", .mode = TEXT_MODE, .show = show_zoneinfo},
    {.name = NULL},
};

const struct proc_entry g_proc_root_entry = {
    .name = "",
    .mode = DIR_MODE,
    .children = g_root_table,
    .dir = &g_proc_pids,
};
