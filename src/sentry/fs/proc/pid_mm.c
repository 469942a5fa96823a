/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: the memory of a process: maps, smaps, mem, and the strings and vector on its stack
 * (proc(5)).
 *
 * Boundary: addresses come from the mm of the process, which it may have set to anything (prctl
 * PR_SET_MM); everything is read through mm_read, which answers -EFAULT for what is not there.
 */
#include "fs/proc/proc.h"

#include "base/string.h"
#include "fs/iter.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "mm/mm.h"

#include <asm-generic/errno.h>
#include <linux/stat.h>

#define NAME_COLUMN 73u
#define STRINGS_MAX (2u * 1024u * 1024u)

/* ---- maps and smaps
 * ------------------------------------------------------------------------------------ */

struct maps_context {
    struct seq *s;
    struct path root; /* of the reader */
    char *page;       /* PATH_MAX_LEN bytes */
    bool details;
    uint64_t size, rss, locked, dirty; /* sums, bytes */
    uint64_t first, last;
};

static const char *area_name(struct maps_context *c, const struct vma *v) {
    if (v->file != NULL) {
        return path_text(&v->file->path, &c->root, c->page, PATH_MAX_LEN);
    }
    if (v->name != NULL) {
        return v->name;
    }
    if ((v->flags & VMA_HEAP) != 0) {
        return "[heap]";
    }
    return (v->flags & VMA_STACK) != 0 ? "[stack]" : NULL;
}

static void show_area(struct maps_context *c, const struct vma *v) {
    struct seq *s = c->s;
    uint64_t dev = 0, ino = 0;
    size_t start = s->len;
    if (v->file != NULL) {
        dev = v->file->inode->sb->dev;
        ino = v->file->inode->ino;
    }
    seq_printf(s, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", (unsigned long long)v->start,
               (unsigned long long)v->end, (v->flags & VMA_READ) != 0 ? 'r' : '-',
               (v->flags & VMA_WRITE) != 0 ? 'w' : '-', (v->flags & VMA_EXEC) != 0 ? 'x' : '-',
               (v->flags & VMA_SHARED) != 0 ? 's' : 'p',
               (unsigned long long)(v->file != NULL ? v->pgoff * PAGE_SIZE : 0), DEV_MAJOR(dev),
               DEV_MINOR(dev), (unsigned long long)ino);
    const char *name = area_name(c, v);
    if (name != NULL) {
        while (s->len - start < NAME_COLUMN && !s->failed) {
            seq_putc(s, ' ');
        }
        seq_escape(s, name, "\n");
    }
    seq_putc(s, '\n');
}

static void show_kb(struct seq *s, const char *name, uint64_t bytes) {
    seq_printf(s, "%-15s %8llu kB\n", name, (unsigned long long)(bytes >> 10));
}

/* The lines of smaps that say how much is where; every resident page counts as this process's own.
 */
static void show_amounts(struct seq *s, uint64_t rss, uint64_t dirty, uint64_t locked) {
    show_kb(s, "Rss:", rss);
    show_kb(s, "Pss:", rss);
    show_kb(s, "Pss_Dirty:", dirty);
    show_kb(s, "Shared_Clean:", 0);
    show_kb(s, "Shared_Dirty:", 0);
    show_kb(s, "Private_Clean:", rss - dirty);
    show_kb(s, "Private_Dirty:", dirty);
    show_kb(s, "Referenced:", rss);
    show_kb(s, "Anonymous:", dirty);
    show_kb(s, "KSM:", 0);
    show_kb(s, "LazyFree:", 0);
    show_kb(s, "AnonHugePages:", 0);
    show_kb(s, "ShmemPmdMapped:", 0);
    show_kb(s, "FilePmdMapped:", 0);
    show_kb(s, "Shared_Hugetlb:", 0);
    show_kb(s, "Private_Hugetlb:", 0);
    show_kb(s, "Swap:", 0);
    show_kb(s, "SwapPss:", 0);
    show_kb(s, "Locked:", locked);
}

static void show_vm_flags(struct seq *s, uint32_t flags) {
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {{VMA_READ, "rd"},     {VMA_WRITE, "wr"},     {VMA_EXEC, "ex"},
                 {VMA_SHARED, "sh"},   {VMA_MAY_READ, "mr"},  {VMA_MAY_WRITE, "mw"},
                 {VMA_MAY_EXEC, "me"}, {VMA_GROWSDOWN, "gd"}, {VMA_LOCKED, "lo"},
                 {VMA_DONTFORK, "dc"}, {VMA_NORESERVE, "nr"}, {VMA_WIPEONFORK, "wf"},
                 {VMA_DONTDUMP, "dd"}};
    seq_printf(s, "VmFlags: ");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if ((flags & names[i].flag) != 0) {
            seq_printf(s, "%s ", names[i].name);
        }
    }
    seq_putc(s, '\n');
}

static bool visit_area(struct vma *v, void *arg) {
    struct maps_context *c = arg;
    show_area(c, v);
    if (c->details) {
        uint64_t rss = mm_resident(v->mm, v->start, v->end) * PAGE_SIZE;
        uint64_t dirty = (v->flags & VMA_WRITE) != 0 || v->file == NULL ? rss : 0;
        show_kb(c->s, "Size:", v->end - v->start);
        show_kb(c->s, "KernelPageSize:", PAGE_SIZE);
        show_kb(c->s, "MMUPageSize:", PAGE_SIZE);
        show_amounts(c->s, rss, dirty, (v->flags & VMA_LOCKED) != 0 ? rss : 0);
        seq_printf(c->s, "THPeligible:           0\n");
        show_vm_flags(c->s, v->flags);
    }
    return !c->s->failed;
}

static bool sum_area(struct vma *v, void *arg) {
    struct maps_context *c = arg;
    uint64_t rss = mm_resident(v->mm, v->start, v->end) * PAGE_SIZE;
    c->rss += rss;
    c->dirty += (v->flags & VMA_WRITE) != 0 || v->file == NULL ? rss : 0;
    c->locked += (v->flags & VMA_LOCKED) != 0 ? rss : 0;
    c->first = c->first == 0 ? v->start : c->first;
    c->last = v->end;
    return true;
}

static int with_areas(struct seq *s, struct task *t, bool details,
                      bool (*fn)(struct vma *v, void *arg), struct maps_context *c) {
    struct mm *mm = task_mm_get(t);
    if (mm == NULL) {
        return 0; /* a zombie has no areas */
    }
    memset(c, 0, sizeof(*c));
    c->s = s;
    c->details = details;
    c->page = kmalloc(PATH_MAX_LEN);
    if (c->page == NULL) {
        mm_put(mm);
        return -ENOMEM;
    }
    fs_get_root(&c->root);
    mm_for_each(mm, fn, c);
    path_put(&c->root);
    kfree(c->page);
    mm_put(mm);
    return 0;
}

int proc_show_maps(struct seq *s, struct task *t, const struct proc_node *node) {
    struct maps_context c;
    return with_areas(s, t, false, visit_area, &c);
}

int proc_show_smaps(struct seq *s, struct task *t, const struct proc_node *node) {
    struct maps_context c;
    return with_areas(s, t, true, visit_area, &c);
}

int proc_show_smaps_rollup(struct seq *s, struct task *t, const struct proc_node *node) {
    struct maps_context c = {0};
    int err = with_areas(s, t, true, sum_area, &c);
    if (err != 0) {
        return err;
    }
    seq_printf(s, "%08llx-%08llx ---p 00000000 00:00 0                          [rollup]\n",
               (unsigned long long)c.first, (unsigned long long)c.last);
    show_amounts(s, c.rss, c.dirty, c.locked);
    return 0;
}

/* ---- strings
 * ------------------------------------------------------------------------------------------------
 */

/* Appends [start, end) of the process's memory. */
static int show_range(struct seq *s, struct mm *mm, uint64_t start, uint64_t end) {
    char buf[512];
    if (end < start || end - start > STRINGS_MAX) {
        return 0;
    }
    while (start < end) {
        int64_t n = mm_read(mm, start, buf, MIN(end - start, sizeof(buf)), true);
        if (n <= 0) {
            break;
        }
        seq_write(s, buf, (size_t)n);
        start += (uint64_t)n;
    }
    return 0;
}

int proc_show_cmdline(struct seq *s, struct task *t, const struct proc_node *node) {
    struct mm *mm = task_mm_get(t);
    if (mm == NULL) {
        return 0;
    }
    (void)show_range(s, mm, mm->arg_start, mm->arg_end);
    /* A title longer than the arguments runs on into the environment, up to its end (setproctitle).
     */
    bool overwritten = s->len != 0 && s->buf[s->len - 1] != '\0' && mm->env_start == mm->arg_end;
    if (overwritten) {
        (void)show_range(s, mm, mm->env_start, mm->env_end);
        const char *end = s->len != 0 ? memchr(s->buf, '\0', s->len) : NULL;
        s->len = end != NULL ? (size_t)(end - s->buf) : s->len;
    }
    mm_put(mm);
    return 0;
}

int proc_show_environ(struct seq *s, struct task *t, const struct proc_node *node) {
    struct mm *mm = task_mm_get(t);
    if (mm == NULL) {
        return 0;
    }
    int err = proc_may_access(t);
    if (err == 0) {
        err = show_range(s, mm, mm->env_start, mm->env_end);
    }
    mm_put(mm);
    return err;
}

int proc_show_auxv(struct seq *s, struct task *t, const struct proc_node *node) {
    struct mm *mm = task_mm_get(t);
    if (mm != NULL) {
        seq_write(s, mm->auxv, MIN(mm->auxv_len, sizeof(mm->auxv)));
        mm_put(mm);
    }
    return 0;
}

int proc_exe_follow(const struct proc_node *node, struct path *out) {
    struct task *t = proc_task_get(node);
    struct mm *mm = t != NULL ? task_mm_get(t) : NULL;
    int err = mm == NULL || mm->exe == NULL ? -ENOENT : proc_may_access(t);
    if (err == 0) {
        *out = mm->exe->path;
        path_get(out);
    }
    if (mm != NULL) {
        mm_put(mm);
    }
    if (t != NULL) {
        task_put(t);
    }
    return err;
}

/* ---- mem
 * ------------------------------------------------------------------------------------------------------
 */

/* The mm of the time of the open: an execve afterwards does not let the reader into the new one. */
static int64_t mem_move(struct file *file, struct iov_iter *it, uint64_t *pos, bool write) {
    struct mm *mm = file->private;
    int64_t done = 0;
    char *buf = mm != NULL ? kmalloc(PAGE_SIZE) : NULL;
    if (buf == NULL) {
        return mm == NULL ? 0 : -ENOMEM;
    }
    while (iter_left(it) != 0) {
        size_t len = MIN(iter_left(it), (size_t)PAGE_SIZE);
        int64_t n = write ? iter_copy_from(it, buf, len) : mm_read(mm, *pos, buf, len, true);
        if (n > 0) {
            n = write ? mm_write(mm, *pos, buf, (size_t)n, true) : iter_copy_to(it, buf, (size_t)n);
        }
        if (n <= 0) {
            done = done != 0 ? done : n == -EFAULT ? -EIO : n;
            break;
        }
        done += n;
        *pos += (uint64_t)n;
    }
    kfree(buf);
    return done;
}

static int64_t mem_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    return mem_move(file, to, pos, false);
}

static int64_t mem_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    return mem_move(file, from, pos, true);
}

/* Addresses are positions: all 64 bits are one. */
static int64_t mem_llseek(struct file *file, int64_t off, int whence) {
    if (whence > 1) {
        return -EINVAL;
    }
    file->pos = whence == 1 ? file->pos + (uint64_t)off : (uint64_t)off;
    return (int64_t)file->pos;
}

static void mem_release(struct file *file) {
    if (file->private != NULL) {
        mm_put(file->private);
    }
}

static const struct file_ops g_mem_fops = {
    .read = mem_read,
    .write = mem_write,
    .llseek = mem_llseek,
    .release = mem_release,
};

int proc_mem_open(const struct proc_node *node, struct file *file) {
    struct task *t = proc_task_get(node);
    if (t == NULL) {
        return -ESRCH;
    }
    file->private = task_mm_get(t);
    file->ops = &g_mem_fops;
    task_put(t);
    return 0;
}
