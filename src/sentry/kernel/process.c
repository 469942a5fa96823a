/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects task and process: birth, references, what others may read of them; kernel threads.
 */
#include "kernel/process.h"
#include "kernel/seccomp.h"

#include "base/string.h"
#include "fs/vfs.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "mm/mm.h"

#include <linux/errno.h>
#include <linux/signal.h>
#include <linux/resource.h>

struct process g_kernel_process;
struct list g_all_processes;

#define RLIM_INF UINT64_MAX

/* Limits a container's first process has when nobody says otherwise (getrlimit(2), usual defaults).
 */
static const struct rlimit_pair g_default_limits[RLIMIT_COUNT] = {
    [RLIMIT_CPU] = {RLIM_INF, RLIM_INF},
    [RLIMIT_FSIZE] = {RLIM_INF, RLIM_INF},
    [RLIMIT_DATA] = {RLIM_INF, RLIM_INF},
    [RLIMIT_STACK] = {8 * MIB, RLIM_INF},
    [RLIMIT_CORE] = {0, RLIM_INF},
    [RLIMIT_RSS] = {RLIM_INF, RLIM_INF},
    [RLIMIT_NPROC] = {RLIM_INF, RLIM_INF},
    [RLIMIT_NOFILE] = {1024, 1048576},
    [RLIMIT_MEMLOCK] = {8 * MIB, 8 * MIB},
    [RLIMIT_AS] = {RLIM_INF, RLIM_INF},
    [RLIMIT_LOCKS] = {RLIM_INF, RLIM_INF},
    [RLIMIT_SIGPENDING] = {15000, 15000},
    [RLIMIT_MSGQUEUE] = {819200, 819200},
    [RLIMIT_NICE] = {0, 0},
    [RLIMIT_RTPRIO] = {0, 0},
    [RLIMIT_RTTIME] = {RLIM_INF, RLIM_INF},
};

static void process_setup(struct process *p, struct container *c) {
    ref_init(&p->ref);
    p->container = c != NULL ? c->pidns : NULL;
    p->member = c;
    list_init(&p->threads);
    list_init(&p->children);
    list_init(&p->sibling_link);
    list_init(&p->pgrp_link);
    list_init(&p->all_link);
    spin_init(&p->sig_lock, RANK_SIGNAL);
    sig_queue_init(&p->pending);
    waitq_init(&p->child_exit);
    waitq_init(&p->exit_waiters);
    waitq_init(&p->exec_wait);
    waitq_init(&p->sig_wait);
    waitq_init(&p->stop_wait);
    memcpy(p->rlimits, g_default_limits, sizeof(p->rlimits));
    p->exit_signal = SIGCHLD;
    p->dumpable = 1;
    p->start_time_ns = hal_clock_ns(HAL_CLOCK_BOOTTIME);
}

void process_init(void) {
    cred_init();
    list_init(&g_all_processes);
    process_setup(&g_kernel_process, NULL);
    g_kernel_process.actions = sig_actions_create(NULL);
    kassert(g_kernel_process.actions != NULL);
    g_kernel_process.unkillable = true;
}

struct process *process_alloc(struct container *c) {
    struct process *p = kzalloc(sizeof(*p));

    if (p != NULL) {
        process_setup(p, c);
        container_get(p->container);
        container_get(c);
    }
    return p;
}

void process_put(struct process *p) {
    if (!ref_put(&p->ref)) {
        return;
    }
    sig_queue_flush(&p->pending, ~0ull);
    if (p->actions != NULL) {
        sig_actions_put(p->actions);
    }
    container_put(p->container);
    container_put(p->member);
    kfree(p);
}

void process_add_thread(struct process *p, struct task *t) {
    list_push_back(&p->threads, &t->thread_link);
    p->thread_count++;
    (void)atomic_fetch_add(&p->live, 1u);
    p->member->thread_count++;
}

struct task *task_alloc(void) {
    struct task *t = kzalloc(sizeof(*t));

    if (t == NULL) {
        return NULL;
    }
    t->kstack = kstack_alloc();
    if (t->kstack == NULL) {
        kfree(t);
        return NULL;
    }
    ref_init(&t->ref);
    spin_init(&t->lock, RANK_TASK);
    t->state = TASK_NEW;
    list_init(&t->run_link);
    list_init(&t->thread_link);
    sig_queue_init(&t->pending);
    t->orig_nr = ORIG_NR_NONE;
    t->altstack.flags = SS_DISABLE;
    t->timer_slack_ns = t->timer_slack_default_ns =
        50000; /* prctl(2): PR_SET_TIMERSLACK's default */
    t->start_time_ns = hal_clock_ns(HAL_CLOCK_BOOTTIME);
    return t;
}

void task_free(struct task *t) {
    sig_queue_flush(&t->pending, ~0ull);
    seccomp_filter_put(t->seccomp);
    if (t->cred != NULL) {
        cred_put(t->cred);
    }
    if (t->process != NULL && t->process != &g_kernel_process) {
        process_put(t->process);
    }
    kstack_free(t->kstack);
    kfree(t);
}

void task_put(struct task *t) {
    if (ref_put(&t->ref)) {
        task_free(t);
    }
}

struct mm *task_mm_get(struct task *t) {
    spin_lock(&t->lock);
    struct mm *mm = t->mm;
    if (mm != NULL) {
        mm_get(mm);
    }
    spin_unlock(&t->lock);
    return mm;
}

struct files *task_files_get(struct task *t) {
    spin_lock(&t->lock);
    struct files *files = t->files;
    if (files != NULL) {
        files_get(files);
    }
    spin_unlock(&t->lock);
    return files;
}

struct fs_context *task_fs_get(struct task *t) {
    spin_lock(&t->lock);
    struct fs_context *fs = t->fs;
    if (fs != NULL) {
        ref_get(&fs->ref);
    }
    spin_unlock(&t->lock);
    return fs;
}

const struct cred *task_cred_get(struct task *t) {
    spin_lock(&t->lock);
    const struct cred *cred = cred_get(t->cred);
    spin_unlock(&t->lock);
    return cred;
}

void task_kick(struct task *t) {
    spin_lock(&t->lock);
    if (t->pthread != NULL && t->state == TASK_USER) {
        platform_kick(t->pthread);
    }
    spin_unlock(&t->lock);
}

char task_state_char(struct task *t) {
    char c = 'S';

    spin_lock(&t->lock);
    switch (t->state) {
    case TASK_NEW:
    case TASK_RUNNABLE:
    case TASK_RUNNING:
    case TASK_USER:
        c = 'R';
        break;
    case TASK_BLOCKED:
        c = !t->block_interruptible && !t->block_killable ? 'D' : 'S';
        break;
    case TASK_ZOMBIE:
    case TASK_DEAD:
        c = 'Z';
        break;
    }
    spin_unlock(&t->lock);
    if (atomic_load_relaxed(&t->exited)) {
        return 'Z';
    }
    return atomic_load_relaxed(&t->parked) ? 'T' : c;
}

int kthread_start(const char *name, void (*fn)(void *arg), void *arg) {
    struct task *t = task_alloc();

    if (t == NULL) {
        return -ENOMEM;
    }
    (void)strlcpy(t->comm, name, sizeof(t->comm)); /* a long name is cut */
    t->is_kthread = true;
    t->kthread_fn = fn;
    t->kthread_arg = arg;
    t->process = &g_kernel_process;
    t->cred = cred_get(cred_root());
    t->blocked = ~0ull;
    sched_start(t);
    return 0;
}
