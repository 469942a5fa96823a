/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: figures of the whole sandbox: memory, CPU time, load (proc(5)).
 */
#include "fs/proc/proc.h"

#include "base/fmt.h"
#include "kernel/container.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/loadavg.h"
#include "kernel/time.h"
#include "mm/mm.h"

uint64_t proc_memory_total(void) {
    const struct hal_memory *m = hal_memory();
    const struct container *c = current->process->member;
    uint64_t total = frames_total() * PAGE_SIZE;
    uint64_t limit = c != NULL ? atomic_load(&c->memory_limit) : 0;
    total = m->limit_bytes != 0 ? MIN(total, m->limit_bytes) : total;
    return limit != 0 ? MIN(total, limit) : total;
}

uint64_t proc_memory_free(void) {
    uint64_t total = proc_memory_total();
    uint64_t used = frames_used() * PAGE_SIZE;
    return used < total ? total - used : 0;
}

static void show_kb(struct seq *s, const char *name, uint64_t bytes) {
    seq_printf(s, "%-15s %8llu kB\n", name, (unsigned long long)(bytes >> 10));
}

int proc_show_meminfo(struct seq *s, const struct proc_node *node) {
    static const char *const zeros[] = {"SwapCached:", "Unevictable:", "Mlocked:",  "SwapTotal:",
                                        "SwapFree:",   "Dirty:",       "Writeback:"};
    uint64_t total = proc_memory_total();
    uint64_t free = proc_memory_free();
    uint64_t used = total - free;
    show_kb(s, "MemTotal:", total);
    show_kb(s, "MemFree:", free);
    show_kb(s, "MemAvailable:", free);
    show_kb(s, "Buffers:", 0);
    show_kb(s, "Cached:", 0);
    show_kb(s, "Active:", used);
    show_kb(s, "Inactive:", 0);
    for (size_t i = 0; i < ARRAY_COUNT(zeros); i++) {
        show_kb(s, zeros[i], 0);
    }
    show_kb(s, "AnonPages:", used);
    show_kb(s, "Mapped:", 0);
    show_kb(s, "Shmem:", 0);
    show_kb(s, "KReclaimable:", 0);
    show_kb(s, "Slab:", kmalloc_used());
    show_kb(s, "SReclaimable:", 0);
    show_kb(s, "SUnreclaim:", kmalloc_used());
    show_kb(s, "PageTables:", 0);
    show_kb(s, "CommitLimit:", total / 2);
    show_kb(s, "Committed_AS:", used);
    show_kb(s, "VmallocTotal:", 1ull << 45);
    show_kb(s, "VmallocUsed:", 0);
    show_kb(s, "AnonHugePages:", 0);
    seq_printf(s, "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        "
                  "0\nHugePages_Surp:        0\n");
    show_kb(s, "Hugepagesize:", 2 * MIB);
    return 0;
}

/* ---- CPU time
 * ---------------------------------------------------------------------------------------- */

struct totals {
    uint64_t user_ns, sys_ns;
    uint32_t threads, running;
};

static void count_threads(struct process *p, struct totals *sum) {
    int32_t tid = 0;
    struct task *t;
    while ((t = thread_next(p, tid)) != NULL) {
        char state = task_state_char(t);
        sum->threads += state != 'Z' ? 1 : 0;
        sum->running += state == 'R' ? 1 : 0;
        tid = t->tid + 1;
        task_put(t);
    }
}

/* Over every process of the caller's container. */
static struct totals totals_read(bool threads) {
    struct totals sum = {0};
    struct process *p = process_next(1);
    while (p != NULL) {
        uint64_t user_ns, sys_ns;
        process_cpu_times(p, &user_ns, &sys_ns);
        sum.user_ns += user_ns + p->child_cpu_user_ns;
        sum.sys_ns += sys_ns + p->child_cpu_sys_ns;
        if (threads) {
            count_threads(p, &sum);
        }
        int32_t next = p->pid + 1;
        process_put(p);
        p = process_next(next);
    }
    return sum;
}

static void show_cpu_line(struct seq *s, const char *name, uint64_t user, uint64_t sys,
                          uint64_t idle) {
    seq_printf(s, "%s %llu 0 %llu %llu 0 0 0 0 0 0\n", name, (unsigned long long)user,
               (unsigned long long)sys, (unsigned long long)idle);
}

int proc_show_system_stat(struct seq *s, const struct proc_node *node) {
    uint32_t cpus = cpu_count();
    struct totals sum = totals_read(true);
    uint64_t uptime_ns = proc_uptime_ns();
    uint64_t all = proc_ticks(uptime_ns) * cpus;
    uint64_t user = proc_ticks(sum.user_ns), sys = proc_ticks(sum.sys_ns);
    uint64_t idle = all > user + sys ? all - user - sys : 0;
    char name[PROC_NAME_MAX];
    show_cpu_line(s, "cpu ", user, sys, idle);
    for (uint32_t i = 0; i < cpus; i++) {
        (void)fmt_snprintf(name, sizeof(name), "cpu%u", i);
        show_cpu_line(s, name, user / cpus, sys / cpus, idle / cpus);
    }
    struct container *c = container_current();
    spin_lock(&g_tasklist_lock);
    uint64_t forks = c != NULL ? c->forks : 0;
    spin_unlock(&g_tasklist_lock);
    uint64_t boot_s = (hal_clock_ns(HAL_CLOCK_REALTIME) - uptime_ns) / NSEC_PER_SEC;
    uint64_t switches = 0;
    for (uint32_t i = 0; i < cpus; i++) {
        switches += atomic_load_relaxed(&cpu_get(i)->switches);
    }
    seq_printf(s, "intr 0\nctxt %llu\nbtime %llu\nprocesses %llu\n", (unsigned long long)switches,
               (unsigned long long)boot_s, (unsigned long long)forks);
    seq_printf(s, "procs_running %u\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
               MAX(sum.running, 1u));
    return 0;
}

int proc_show_uptime(struct seq *s, const struct proc_node *node) {
    struct totals sum = totals_read(false);
    uint64_t up = proc_uptime_ns();
    uint64_t busy = sum.user_ns + sum.sys_ns;
    uint64_t idle = up * cpu_count() > busy ? up * cpu_count() - busy : 0;
    seq_printf(s, "%llu.%02llu %llu.%02llu\n", (unsigned long long)(up / NSEC_PER_SEC),
               (unsigned long long)(up / 10000000 % 100), (unsigned long long)(idle / NSEC_PER_SEC),
               (unsigned long long)(idle / 10000000 % 100));
    return 0;
}

int proc_show_loadavg(struct seq *s, const struct proc_node *node) {
    struct totals sum = totals_read(true);
    struct container *c = container_current();
    spin_lock(&g_tasklist_lock);
    int32_t last = c != NULL ? c->last_pid : 0;
    spin_unlock(&g_tasklist_lock);
    uint64_t loads[3];
    loadavg_get(loads);
    for (int i = 0; i < 3; i++) {
        uint64_t hundredths = (loads[i] * 100 + (1u << LOADAVG_SHIFT) / 2) >> LOADAVG_SHIFT;
        seq_printf(s, "%llu.%02llu ", (unsigned long long)(hundredths / 100),
                   (unsigned long long)(hundredths % 100));
    }
    seq_printf(s, "%u/%u %d\n", MAX(sum.running, 1u), sum.threads, last);
    return 0;
}

int proc_show_vmstat(struct seq *s, const struct proc_node *node) {
    static const char *const zeros[] = {"nr_dirty", "nr_writeback", "nr_mapped", "nr_shmem",
                                        "pgpgin",   "pgpgout",      "pswpin",    "pswpout",
                                        "pgfault",  "pgmajfault"};
    seq_printf(s, "nr_free_pages %llu\nnr_anon_pages %llu\n",
               (unsigned long long)(proc_memory_free() / PAGE_SIZE),
               (unsigned long long)frames_used());
    for (size_t i = 0; i < ARRAY_COUNT(zeros); i++) {
        seq_printf(s, "%s 0\n", zeros[i]);
    }
    return 0;
}
