/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc (proc(5)), among its own files: every name is a row of a table.
 *
 * An inode holds no reference on the process it is about, only its number and start time; each use
 * looks the process up anew and fails with -ESRCH when it is gone.  So a cached name costs a dead
 * process nothing.
 */
#ifndef MOAT_SENTRY_FS_PROC_PROC_H
#define MOAT_SENTRY_FS_PROC_PROC_H

#include "base/types.h"
#include "fs/seq.h"
#include "fs/vfs.h"
#include "kernel/task.h"

#define PROC_NAME_MAX  32u
#define PROC_WRITE_MAX 4096u

struct proc_entry;

/* What an inode stands for. */
struct proc_node {
    const struct proc_entry *entry;
    int32_t pid;       /* 0: of no process */
    int32_t tid;       /* below /proc/pid/task: the thread, else 0 */
    uint64_t start_ns; /* of the thread or, with tid 0, the process */
    int32_t number;    /* descriptor in fd and fdinfo */
};

/* Names that are not in the table: threads, descriptors, processes. */
struct proc_dir {
    /* Fills `out` (pid, tid, start_ns are preset from the directory): 0 or -ENOENT. */
    int (*lookup)(const struct proc_node *dir, const char *name, struct proc_node *out);
    /* The first name with a position >= *index: its text, type and position; false at the end. */
    bool (*next)(const struct proc_node *dir, uint64_t *index, char name[PROC_NAME_MAX],
                 uint32_t *out_mode);
    /* Is the thing still there?  NULL: yes, while its process lives. */
    bool (*valid)(const struct proc_node *node);
};

enum {
    PROC_PTRACE = 1u,  /* opened only by those who may ptrace the process */
    PROC_PROCESS = 2u, /* not below task/TID */
    PROC_THREAD = 4u,  /* only below task/TID */
    PROC_MOUNTS = 8u,  /* POLLPRI tells of changes of the mount tree: proc_pid_mounts(5) */
};

struct proc_entry {
    const char *name; /* NULL ends a table */
    uint32_t mode;    /* type and permissions */
    uint32_t flags;
    /* Text.  The second form is for names about a process: `t` is its thread, referenced meanwhile.
     */
    int (*show)(struct seq *s, const struct proc_node *node);
    int (*show_task)(struct seq *s, struct task *t, const struct proc_node *node);
    /* Takes `len` bytes of text, NUL-terminated: 0 or -errno.  The task may be NULL for system-wide
     * names. */
    int (*store)(const struct proc_node *node, struct task *t, char *text, size_t len);
    const struct proc_entry *children;
    const struct proc_dir *dir;
    /* Links: the text, and where it really leads (magic links). */
    int64_t (*readlink)(const struct proc_node *node, char *buf, size_t size);
    int (*follow)(const struct proc_node *node, struct path *out);
    const struct file_ops *fops; /* other files; `open` may set them up */
    int (*open)(const struct proc_node *node, struct file *file);
    uint64_t value; /* for show and store */
};

/* ---- proc.c ---- */
static inline const struct proc_node *proc_node_of(const struct inode *inode) {
    return inode->private;
}
/* The thread the node is about (a process: its leader), referenced, or NULL when it is gone. */
struct task *proc_task_get(const struct proc_node *node);
/* May current look into `t` as ptrace(2) would let it (PTRACE_MODE_READ_FSCREDS)?  0 or -EACCES. */
must_check int proc_may_access(struct task *t);
/* A new superblock over a table: proc itself, and other filesystems of generated text. */
must_check int proc_tree_mount(const struct fs_type *type, uint32_t magic,
                               const struct proc_entry *top, struct super_block **out_sb);
/* Nanoseconds since the sandbox started. */
uint64_t proc_uptime_ns(void);
uint64_t proc_since_start(uint64_t boottime_ns);
/* A decimal number without sign or leading zeros, at most INT32_MAX. */
bool proc_parse_number(const char *name, int32_t *out_number);
/* An unsigned number with spaces around it, as sysctl files take it. */
must_check int proc_parse_value(const char *text, uint64_t *out_value);

#define PROC_TICKS 100ull /* USER_HZ */
static inline uint64_t proc_ticks(uint64_t ns) {
    return ns / (NSEC_PER_SEC / PROC_TICKS);
}

/* ---- tables and their parts ---- */
extern const struct proc_entry g_proc_root_entry;                  /* root.c */
extern const struct proc_entry g_proc_pid_entry, g_proc_tid_entry; /* pid.c */
extern const struct proc_entry g_proc_sys[], g_proc_net[];         /* sysctl.c, net.c */
extern const struct proc_entry g_proc_ns[];                        /* ns.c */
extern const struct proc_dir g_proc_task_dir, g_proc_fd_dir, g_proc_fdinfo_dir;

/* pid_stat.c, pid_status.c */
int proc_show_stat(struct seq *s, struct task *t, const struct proc_node *node);
int proc_show_statm(struct seq *s, struct task *t, const struct proc_node *node);
int proc_show_status(struct seq *s, struct task *t, const struct proc_node *node);
/* pid_mm.c */
int proc_show_maps(struct seq *s, struct task *t, const struct proc_node *node);
int proc_show_smaps(struct seq *s, struct task *t, const struct proc_node *node);
int proc_show_smaps_rollup(struct seq *s, struct task *t, const struct proc_node *node);
int proc_show_cmdline(struct seq *s, struct task *t, const struct proc_node *node);
int proc_show_environ(struct seq *s, struct task *t, const struct proc_node *node);
int proc_show_auxv(struct seq *s, struct task *t, const struct proc_node *node);
int proc_mem_open(const struct proc_node *node, struct file *file);
int proc_exe_follow(const struct proc_node *node, struct path *out);
/* pid_misc.c */
extern const struct proc_entry g_proc_pid_table[];
/* mounts.c */
int proc_show_mounts(struct seq *s, struct task *t, const struct proc_node *node);
int proc_show_mountinfo(struct seq *s, struct task *t, const struct proc_node *node);
int proc_show_mountstats(struct seq *s, struct task *t, const struct proc_node *node);
/* system.c, cpuinfo.c */
int proc_show_cpuinfo(struct seq *s, const struct proc_node *node);
int proc_show_meminfo(struct seq *s, const struct proc_node *node);
int proc_show_system_stat(struct seq *s, const struct proc_node *node);
int proc_show_uptime(struct seq *s, const struct proc_node *node);
int proc_show_loadavg(struct seq *s, const struct proc_node *node);
int proc_show_vmstat(struct seq *s, const struct proc_node *node);

/* Bytes of memory the guest may use, and of those the unused ones. */
uint64_t proc_memory_total(void);
uint64_t proc_memory_free(void);

#endif
