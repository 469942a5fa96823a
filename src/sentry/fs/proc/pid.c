/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: the directories of processes: threads, descriptors (proc(5), "/proc/pid/task",
 * "/proc/pid/fd", "/proc/pid/fdinfo").
 */
#include "fs/proc/proc.h"

#include "base/fmt.h"
#include "base/string.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>
#include <linux/stat.h>

#define FDINFO_EXTRA 8192u

/* ---- threads
 * --------------------------------------------------------------------------------------- */

static struct process *process_of(const struct proc_node *node) {
    struct process *p = process_find(node->pid);
    if (p != NULL && node->tid == 0 && p->start_time_ns != node->start_ns) {
        process_put(p);
        p = NULL;
    }
    return p;
}

static int task_lookup(const struct proc_node *dir, const char *name, struct proc_node *out) {
    int32_t tid;
    struct task *t = proc_parse_number(name, &tid) ? task_find(tid) : NULL;
    if (t == NULL) {
        return -ENOENT;
    }
    bool member = t->process->pid == dir->pid;
    out->entry = &g_proc_tid_entry;
    out->tid = tid;
    out->start_ns = t->start_time_ns;
    task_put(t);
    return member ? 0 : -ENOENT;
}

static bool task_next(const struct proc_node *dir, uint64_t *index, char name[PROC_NAME_MAX],
                      uint32_t *out_mode) {
    struct process *p = *index <= INT32_MAX ? process_of(dir) : NULL;
    if (p == NULL) {
        return false;
    }
    struct task *t = thread_next(p, (int32_t)*index);
    process_put(p);
    if (t == NULL) {
        return false;
    }
    *index = (uint64_t)t->tid;
    *out_mode = g_proc_tid_entry.mode;
    (void)fmt_snprintf(name, PROC_NAME_MAX, "%d", t->tid);
    task_put(t);
    return true;
}

const struct proc_dir g_proc_task_dir = {.lookup = task_lookup, .next = task_next};

/* ---- descriptors
 * -------------------------------------------------------------------------------------- */

/* The lowest used descriptor >= fd of the node's thread, its file referenced; -1 at the end or when
 * the process is gone. */
static int next_file(const struct proc_node *node, int fd, struct file **out_file,
                     bool *out_cloexec) {
    struct task *t = proc_task_get(node);
    struct files *files = t != NULL ? task_files_get(t) : NULL;
    int found = -1;
    if (files != NULL) {
        found = files_next(files, fd, out_file, out_cloexec);
        files_put(files);
    }
    if (t != NULL) {
        task_put(t);
    }
    return found;
}

/* The open file behind a descriptor's node, referenced, or NULL. */
static struct file *node_file(const struct proc_node *node, bool *out_cloexec) {
    struct file *file;
    int fd = next_file(node, node->number, &file, out_cloexec);
    if (fd < 0) {
        return NULL;
    }
    if (fd != node->number) {
        file_put(file);
        return NULL;
    }
    return file;
}

static bool fd_valid(const struct proc_node *node) {
    struct file *file = node_file(node, NULL);
    if (file == NULL) {
        return false;
    }
    file_put(file);
    return true;
}

static const struct proc_entry g_fd_entries[4], g_fdinfo_entry;

/* The link's permissions tell how the file is open. */
static const struct proc_entry *fd_entry(const struct file *file) {
    uint32_t mode = file->mode & (FMODE_READ | FMODE_WRITE);
    return &g_fd_entries[(file->mode & FMODE_PATH) != 0 ? 0 : mode];
}

static int fd_lookup(const struct proc_node *dir, const char *name, struct proc_node *out) {
    if (!proc_parse_number(name, &out->number)) {
        return -ENOENT;
    }
    struct file *file = node_file(out, NULL);
    if (file == NULL) {
        return -ENOENT;
    }
    out->entry = fd_entry(file);
    file_put(file);
    return 0;
}

static int fdinfo_lookup(const struct proc_node *dir, const char *name, struct proc_node *out) {
    int err = fd_lookup(dir, name, out);
    out->entry = &g_fdinfo_entry;
    return err;
}

static bool fd_next(const struct proc_node *dir, uint64_t *index, char name[PROC_NAME_MAX],
                    uint32_t *out_mode) {
    struct file *file;
    int fd = *index <= INT32_MAX ? next_file(dir, (int)*index, &file, NULL) : -1;
    if (fd < 0) {
        return false;
    }
    *out_mode = fd_entry(file)->mode;
    file_put(file);
    *index = (uint64_t)fd;
    (void)fmt_snprintf(name, PROC_NAME_MAX, "%d", fd);
    return true;
}

static bool fdinfo_next(const struct proc_node *dir, uint64_t *index, char name[PROC_NAME_MAX],
                        uint32_t *out_mode) {
    bool more = fd_next(dir, index, name, out_mode);
    *out_mode = g_fdinfo_entry.mode;
    return more;
}

const struct proc_dir g_proc_fd_dir = {.lookup = fd_lookup, .next = fd_next};
const struct proc_dir g_proc_fdinfo_dir = {.lookup = fdinfo_lookup, .next = fdinfo_next};
static const struct proc_dir g_fd_is_open = {.valid = fd_valid};

static int fd_follow(const struct proc_node *node, struct path *out) {
    struct task *t = proc_task_get(node);
    int err = t != NULL ? proc_may_access(t) : -ENOENT;
    if (t != NULL) {
        task_put(t);
    }
    struct file *file = err == 0 ? node_file(node, NULL) : NULL;
    if (file == NULL) {
        return err != 0 ? err : -ENOENT;
    }
    *out = file->path;
    path_get(out);
    file_put(file);
    return 0;
}

static int show_fdinfo(struct seq *s, struct task *t, const struct proc_node *node) {
    bool cloexec = false;
    struct file *file = node_file(node, &cloexec);
    if (file == NULL) {
        return -ENOENT;
    }
    uint32_t flags = atomic_load(&file->flags) | (cloexec ? O_CLOEXEC : 0);
    seq_printf(s, "pos:\t%llu\nflags:\t0%o\nmnt_id:\t%u\nino:\t%llu\n",
               (unsigned long long)file->pos, flags,
               file->path.mount != NULL ? file->path.mount->id : 0,
               (unsigned long long)file->inode->ino);
    if (file->ops->show_fdinfo != NULL) {
        char *extra = kmalloc(FDINFO_EXTRA);
        if (extra != NULL) {
            int len = file->ops->show_fdinfo(file, extra, FDINFO_EXTRA);
            seq_write(s, extra, len > 0 ? MIN((size_t)len, (size_t)FDINFO_EXTRA) : 0);
            kfree(extra);
        }
    }
    file_put(file);
    return 0;
}

#define FD_ENTRY(perm)                                                                             \
    { .name = "", .mode = S_IFLNK | (perm), .follow = fd_follow, .dir = &g_fd_is_open }

/* By FMODE_READ and FMODE_WRITE. */
static const struct proc_entry g_fd_entries[4] = {FD_ENTRY(0000), FD_ENTRY(0500), FD_ENTRY(0300),
                                                  FD_ENTRY(0700)};
static const struct proc_entry g_fdinfo_entry = {
    .name = "", .mode = S_IFREG | 0444, .show_task = show_fdinfo, .dir = &g_fd_is_open};

/* ---- the two directories over the table
 * ---------------------------------------------------------------------- */

const struct proc_entry g_proc_pid_entry = {
    .name = "", .mode = S_IFDIR | 0555, .children = g_proc_pid_table};
const struct proc_entry g_proc_tid_entry = {
    .name = "", .mode = S_IFDIR | 0555, .children = g_proc_pid_table};
