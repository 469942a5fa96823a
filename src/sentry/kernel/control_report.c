/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/control_report.h"

#include "base/string.h"
#include "kernel/container.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "mm/mm.h"

static void fill_cmdline(struct task *t, struct moat_ctl_ps_entry *e) {
    struct mm *mm = task_mm_get(t);

    if (mm != NULL) {
        size_t len = (size_t)MIN(mm->arg_end - mm->arg_start, sizeof(e->cmdline) - 1);
        int64_t n = mm_read(mm, mm->arg_start, e->cmdline, len, true);
        for (int64_t i = 0; i + 1 < n; i++) {
            e->cmdline[i] = e->cmdline[i] == '\0' ? ' ' : e->cmdline[i];
        }
        mm_put(mm);
    }
    if (e->cmdline[0] == '\0') {
        (void)strlcpy(e->cmdline, e->comm, sizeof(e->cmdline)); /* fits */
    }
}

static void fill_entry(struct process *p, struct moat_ctl_ps_entry *e) {
    struct task *t = process_leader_get(p);
    uint64_t user_ns;
    uint64_t sys_ns;

    memset(e, 0, sizeof(*e));
    process_cpu_times(p, &user_ns, &sys_ns);
    e->pid = p->pid;
    e->ppid = process_ppid(p);
    e->start_ns = p->start_time_ns;
    e->cpu_ns = user_ns + sys_ns;
    if (t != NULL) {
        const struct cred *c = task_cred_get(t);
        e->uid = c->uid;
        cred_put(c);
        (void)strlcpy(e->comm, t->comm, sizeof(e->comm)); /* the same size */
        fill_cmdline(t, e);
        task_put(t);
    }
}

uint32_t control_ps(struct container *c, char *data, size_t size) {
    uint32_t used = 0;
    int32_t pid = 1;

    while (used + sizeof(struct moat_ctl_ps_entry) <= size) {
        struct moat_ctl_ps_entry e;
        struct process *p = container_process_next(c, pid);
        if (p == NULL) {
            break;
        }
        pid = p->pid + 1;
        fill_entry(p, &e);
        process_put(p);
        memcpy(data + used, &e, sizeof(e));
        used += sizeof(e);
    }
    return used;
}

uint32_t control_stats(struct container *c, char *data, size_t size) {
    struct moat_ctl_stats s;
    int32_t pid = 1;

    memset(&s, 0, sizeof(s));
    for (;;) {
        uint64_t user_ns;
        uint64_t sys_ns;
        struct process *p = container_process_next(c, pid);
        if (p == NULL) {
            break;
        }
        pid = p->pid + 1;
        process_cpu_times(p, &user_ns, &sys_ns);
        s.cpu_ns += user_ns + sys_ns + p->child_cpu_user_ns + p->child_cpu_sys_ns;
        process_put(p);
    }
    spin_lock(&g_tasklist_lock);
    s.process_count = c->process_count;
    s.thread_count = c->thread_count;
    spin_unlock(&g_tasklist_lock);
    s.pids_limit = atomic_load(&c->pids_limit);
    s.memory_used = frames_used() * PAGE_SIZE;
    memcpy(data, &s, MIN(sizeof(s), size));
    return sizeof(s);
}

void container_signal(struct container *c, int signo) {
    int32_t pid = 1;

    for (;;) {
        struct process *p = container_process_next(c, pid);
        if (p == NULL) {
            break;
        }
        pid = p->pid + 1;
        (void)signal_send_outside(p, signo); /* zombies do not mind */
        process_put(p);
    }
}
