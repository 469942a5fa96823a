/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/pid/stat, statm and status (proc(5)).
 */
#include "fs/proc/proc.h"

#include "base/string.h"
#include "fs/tty/tty.h"
#include "kernel/cpu.h"
#include "kernel/seccomp.h"
#include "kernel/signal.h"
#include "kernel/time.h"
#include "mm/mm.h"

#include <asm-generic/resource.h>
#include <linux/sched.h>

/* ---- memory
 * ------------------------------------------------------------------------------------------ */

struct mm_figures { /* pages */
    uint64_t size, locked, peak_rss, rss, rss_file, data, stack, text, lib;
    uint64_t code_start, code_end;
};

static bool count_area(struct vma *v, void *arg) {
    struct mm_figures *f = arg;
    uint64_t pages = (v->end - v->start) / PAGE_SIZE;
    bool writable = (v->flags & VMA_WRITE) != 0;
    f->size += pages;
    if ((v->flags & VMA_LOCKED) != 0) {
        f->locked += pages;
    }
    if ((v->flags & VMA_STACK) != 0) {
        f->stack += pages;
    } else if ((v->flags & VMA_SHARED) == 0 && writable) {
        f->data += pages;
    }
    if (v->file != NULL) {
        f->rss_file += writable ? 0 : mm_resident(v->mm, v->start, v->end);
        if ((v->flags & VMA_EXEC) != 0 && !writable) {
            bool own = v->start < f->code_end && v->end > f->code_start;
            *(own ? &f->text : &f->lib) += pages;
        }
    }
    return true;
}

static bool figures_read(struct task *t, struct mm_figures *f) {
    struct mm *mm = task_mm_get(t);
    memset(f, 0, sizeof(*f));
    if (mm == NULL) {
        return false;
    }
    f->code_start = mm->code_start;
    f->code_end = mm->code_end;
    mm_for_each(mm, count_area, f);
    f->rss = atomic_load_relaxed(&mm->rss_pages);
    f->peak_rss = MAX(atomic_load_relaxed(&mm->hiwater_rss), f->rss);
    f->rss_file = MIN(f->rss_file, f->rss);
    mm_put(mm);
    return true;
}

int proc_show_statm(struct seq *s, struct task *t, const struct proc_node *node) {
    struct mm_figures f;
    (void)figures_read(t, &f); /* all zero without memory */
    seq_printf(s, "%llu %llu %llu %llu 0 %llu 0\n", (unsigned long long)f.size,
               (unsigned long long)f.rss, (unsigned long long)f.rss_file,
               (unsigned long long)f.text, (unsigned long long)(f.data + f.stack));
    return 0;
}

/* ---- stat
 * ---------------------------------------------------------------------------------------------- */

static void read_comm(struct task *t, char out[TASK_COMM_LEN]) {
    memcpy(out, t->comm, TASK_COMM_LEN); /* torn at worst; always terminated */
    out[TASK_COMM_LEN - 1] = '\0';
}

static void times_of(struct task *t, const struct proc_node *node, uint64_t *out_user,
                     uint64_t *out_sys) {
    if (node->tid != 0) {
        task_cpu_times(t, out_user, out_sys);
    } else {
        process_cpu_times(t->process, out_user, out_sys);
    }
}

struct stat_ids {
    int32_t ppid, pgid, sid, tpgid;
    uint32_t tty;
};

static struct stat_ids ids_read(struct task *t) {
    struct stat_ids ids = {.tpgid = -1};
    ids.ppid = process_ppid(t->process);
    ids.pgid = process_pgid(t->process);
    ids.sid = process_sid(t->process);
    struct session *session = task_session_get(t);
    if (session != NULL) {
        tty_session_info(session, &ids.tty, &ids.tpgid);
        session_put(session);
    }
    return ids;
}

static void put_u64(struct seq *s, uint64_t value) {
    seq_printf(s, " %llu", (unsigned long long)value);
}

/* Fields 23 to 35: memory and signals. */
static void show_stat_memory(struct seq *s, struct task *t, bool secret) {
    struct mm_figures f;
    struct mm *mm = task_mm_get(t);
    sigset64 pending, ignored, caught;
    (void)figures_read(t, &f); /* zeros without memory */
    signal_sets(t->process, &pending, &ignored, &caught);
    put_u64(s, f.size * PAGE_SIZE);
    put_u64(s, f.rss);
    put_u64(s, UINT64_MAX);
    put_u64(s, mm == NULL ? 0 : secret ? 1 : mm->code_start);
    put_u64(s, mm == NULL ? 0 : secret ? 1 : mm->code_end);
    put_u64(s, mm == NULL || secret ? 0 : mm->stack_top);
    put_u64(s, 0); /* kstkesp */
    put_u64(s, 0); /* kstkeip */
    put_u64(s, pending & 0x7fffffff);
    put_u64(s, t->blocked & 0x7fffffff);
    put_u64(s, ignored & 0x7fffffff);
    put_u64(s, caught & 0x7fffffff);
    if (mm != NULL) {
        mm_put(mm);
    }
}

/* Fields 45 to 52. */
static void show_stat_layout(struct seq *s, struct task *t, bool secret) {
    struct mm *mm = secret ? NULL : task_mm_get(t);
    uint64_t layout[7] = {0};
    if (mm != NULL) {
        uint64_t values[7] = {mm->data_start, mm->data_end,  mm->brk_start, mm->arg_start,
                              mm->arg_end,    mm->env_start, mm->env_end};
        memcpy(layout, values, sizeof(layout));
        mm_put(mm);
    }
    for (size_t i = 0; i < ARRAY_COUNT(layout); i++) {
        put_u64(s, layout[i]);
    }
    seq_printf(s, " %d\n", secret ? 0 : t->process->exit_code);
}

int proc_show_stat(struct seq *s, struct task *t, const struct proc_node *node) {
    struct process *p = t->process;
    char comm[TASK_COMM_LEN];
    uint64_t user_ns, sys_ns;
    struct stat_ids ids = ids_read(t);
    bool secret = proc_may_access(t) != 0;
    uint64_t start = node->tid != 0 ? t->start_time_ns : p->start_time_ns;
    read_comm(t, comm);
    times_of(t, node, &user_ns, &sys_ns);
    seq_printf(s, "%d (%s) %c %d %d %d %d %d %u", node->tid != 0 ? t->tid : p->pid, comm,
               task_state_char(t), ids.ppid, ids.pgid, ids.sid, (int)ids.tty, ids.tpgid,
               p->did_exec ? 0x400000u : 0x400040u);
    seq_printf(s, " %llu %llu 0 0", (unsigned long long)p->min_flt,
               (unsigned long long)p->child_min_flt);
    put_u64(s, proc_ticks(user_ns));
    put_u64(s, proc_ticks(sys_ns));
    put_u64(s, proc_ticks(p->child_cpu_user_ns));
    put_u64(s, proc_ticks(p->child_cpu_sys_ns));
    bool realtime = t->sched_policy == SCHED_FIFO || t->sched_policy == SCHED_RR;
    seq_printf(s, " %d %d %u 0", realtime ? -1 - t->rt_priority : 20 + t->nice, t->nice,
               p->thread_count);
    put_u64(s, proc_ticks(proc_since_start(start)));
    show_stat_memory(s, t, secret);
    seq_printf(s, " 0 0 0 %d 0 %d %u 0 0 0", p->exit_signal, t->rt_priority, t->sched_policy);
    show_stat_layout(s, t, secret);
    return 0;
}

/* ---- status
 * ---------------------------------------------------------------------------------------------- */

static const char *state_text(char state) {
    switch (state) {
    case 'R':
        return "R (running)";
    case 'D':
        return "D (disk sleep)";
    case 'T':
        return "T (stopped)";
    case 'Z':
        return "Z (zombie)";
    case 'X':
        return "X (dead)";
    default:
        return "S (sleeping)";
    }
}

static void show_creds(struct seq *s, struct task *t) {
    const struct cred *c = task_cred_get(t);
    seq_printf(s, "Uid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid);
    seq_printf(s, "Gid:\t%u\t%u\t%u\t%u\n", c->gid, c->egid, c->sgid, c->fsgid);
    seq_printf(s, "FDSize:\t64\nGroups:\t");
    for (uint32_t i = 0; i < c->group_count; i++) {
        seq_printf(s, "%u ", c->groups[i]);
    }
    seq_putc(s, '\n');
    cred_put(c);
}

static void show_caps(struct seq *s, struct task *t) {
    const struct cred *c = task_cred_get(t);
    seq_printf(s, "CapInh:\t%016llx\nCapPrm:\t%016llx\n", (unsigned long long)c->cap_inheritable,
               (unsigned long long)c->cap_permitted);
    seq_printf(s, "CapEff:\t%016llx\nCapBnd:\t%016llx\n", (unsigned long long)c->cap_effective,
               (unsigned long long)c->cap_bounding);
    seq_printf(s, "CapAmb:\t%016llx\n", (unsigned long long)c->cap_ambient);
    cred_put(c);
}

static void show_vm(struct seq *s, const char *name, uint64_t pages) {
    seq_printf(s, "%s:\t%8llu kB\n", name, (unsigned long long)(pages * (PAGE_SIZE / 1024)));
}

static void show_status_memory(struct seq *s, struct task *t) {
    struct mm_figures f;
    if (!figures_read(t, &f)) {
        return;
    }
    show_vm(s, "VmPeak", f.size);
    show_vm(s, "VmSize", f.size);
    show_vm(s, "VmLck", f.locked);
    show_vm(s, "VmPin", 0);
    show_vm(s, "VmHWM", f.peak_rss);
    show_vm(s, "VmRSS", f.rss);
    show_vm(s, "RssAnon", f.rss - f.rss_file);
    show_vm(s, "RssFile", f.rss_file);
    show_vm(s, "RssShmem", 0);
    show_vm(s, "VmData", f.data);
    show_vm(s, "VmStk", f.stack);
    show_vm(s, "VmExe", f.text);
    show_vm(s, "VmLib", f.lib);
    show_vm(s, "VmPTE", (f.rss + 511) / 512);
    show_vm(s, "VmSwap", 0);
    show_vm(s, "HugetlbPages", 0);
    seq_printf(s, "CoreDumping:\t0\nTHP_enabled:\t1\n");
}

static void show_status_signals(struct seq *s, struct task *t) {
    sigset64 pending, ignored, caught;
    struct process *p = t->process;
    signal_sets(p, &pending, &ignored, &caught);
    spin_lock(&p->sig_lock);
    sigset64 own = t->pending.set;
    uint64_t limit = p->rlimits[RLIMIT_SIGPENDING].cur;
    spin_unlock(&p->sig_lock);
    const struct cred *c = task_cred_get(t);
    uint32_t queued = c->user != NULL ? atomic_load_relaxed(&c->user->signals) : 0;
    cred_put(c);
    seq_printf(s, "Threads:\t%u\nSigQ:\t%u/%llu\n", p->thread_count, queued,
               (unsigned long long)limit);
    seq_printf(s, "SigPnd:\t%016llx\nShdPnd:\t%016llx\n", (unsigned long long)own,
               (unsigned long long)pending);
    seq_printf(s, "SigBlk:\t%016llx\nSigIgn:\t%016llx\n", (unsigned long long)t->blocked,
               (unsigned long long)ignored);
    seq_printf(s, "SigCgt:\t%016llx\n", (unsigned long long)caught);
}

static void show_cpus(struct seq *s) {
    uint32_t cpus = cpu_count();
    uint64_t mask = cpus >= 64 ? UINT64_MAX : (1ull << cpus) - 1;
    if (cpus > 32) {
        seq_printf(s, "Cpus_allowed:\t%llx,%08llx\n", (unsigned long long)(mask >> 32),
                   (unsigned long long)(mask & 0xffffffff));
    } else {
        seq_printf(s, "Cpus_allowed:\t%llx\n", (unsigned long long)mask);
    }
    seq_printf(s, cpus > 1 ? "Cpus_allowed_list:\t0-%u\n" : "Cpus_allowed_list:\t%u\n", cpus - 1);
    seq_printf(s, "Mems_allowed:\t1\nMems_allowed_list:\t0\n");
}

static uint32_t umask_of(struct task *t) {
    struct fs_context *fs = task_fs_get(t);
    if (fs == NULL) {
        return 022;
    }
    uint32_t mask = atomic_load_relaxed(&fs->umask);
    fs_context_put(fs);
    return mask;
}

int proc_show_status(struct seq *s, struct task *t, const struct proc_node *node) {
    struct process *p = t->process;
    char comm[TASK_COMM_LEN];
    struct stat_ids ids = ids_read(t);
    read_comm(t, comm);
    seq_printf(s, "Name:\t");
    seq_escape(s, comm, "\n\\");
    seq_printf(s, "\nUmask:\t%04o\nState:\t%s\n", umask_of(t), state_text(task_state_char(t)));
    seq_printf(s, "Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", p->pid, t->tid,
               ids.ppid);
    show_creds(s, t);
    seq_printf(s, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\nKthread:\t0\n", p->pid, t->tid,
               ids.pgid, ids.sid);
    show_status_memory(s, t);
    show_status_signals(s, t);
    show_caps(s, t);
    seq_printf(s, "NoNewPrivs:\t%d\nSeccomp:\t%u\nSeccomp_filters:\t%u\n", t->no_new_privs ? 1 : 0,
               atomic_load(&t->seccomp_mode), seccomp_filter_count(t));
    seq_printf(
        s,
        "Speculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\tconditional enabled\n");
    show_cpus(s);
    seq_printf(s, "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
               (unsigned long long)atomic_load_relaxed(&t->nvcsw),
               (unsigned long long)atomic_load_relaxed(&t->nivcsw));
    return 0;
}
