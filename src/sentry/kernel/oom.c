/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killing for want of memory: see oom.h.
 *
 * The victim's private memory is given back at once, by the killer (mm_reap): what the victim's
 * threads wait for, or who waits for the locks they hold, does not matter then.
 *
 * Locks: g_oom.lock is the innermost sleeping lock; its holder waits for nobody.  The choice is
 * made under g_tasklist_lock.
 */
#include "kernel/oom.h"

#include "base/string.h"
#include "kernel/container.h"
#include "kernel/control_process.h"
#include "kernel/log.h"
#include "kernel/process.h"
#include "kernel/time.h"
#include "mm/mm.h"

#include <linux/errno.h>
#include <linux/oom.h>
#include <linux/signal.h>

#define WORTH_A_TRY (256 * KIB)           /* given back: enough for who asks */
#define WAIT_NS     (2ull * NSEC_PER_SEC) /* for the end of a victim */

static struct {
    struct mutex lock;
    uint32_t reliefs; /* atomic: since the beginning */
} g_oom;

void oom_init(void) {
    mutex_init(&g_oom.lock);
}

/* Whether the host gives the page at `wanted` now. */
static bool page_is_there(const void *wanted) {
    uint32_t *word = (uint32_t *)ALIGN_DOWN((uintptr_t)wanted, sizeof(uint32_t));
    uint32_t seen;
    return wanted != NULL && hal_cas_u32(word, 0, 0, &seen) == 0;
}

/* ---- the choice; precondition of all: g_tasklist_lock ---- */

struct victim {
    struct process *process; /* referenced */
    struct mm *mm;           /* referenced */
    int64_t pages, points;
};

/* The memory of a process that is not about to end, referenced, or NULL. */
static struct mm *mm_of(struct process *p) {
    struct task *t;
    struct mm *mm = NULL;

    list_for_each_entry (t, &p->threads, thread_link) {
        mm = task_mm_get(t);
        if (mm != NULL) {
            break;
        }
    }
    return mm;
}

static int64_t points_of(const struct process *p, int64_t pages, int64_t all) {
    return pages + (int64_t)p->oom_score_adj * all / OOM_SCORE_ADJ_MAX;
}

static void consider(struct process *p, int64_t all, struct victim *best) {
    struct mm *mm = p->oom_killed || p->oom_score_adj == OOM_SCORE_ADJ_MIN ? NULL : mm_of(p);
    if (mm == NULL) {
        return;
    }
    int64_t pages = (int64_t)atomic_load_relaxed(&mm->rss_pages);
    int64_t points = points_of(p, pages, all);
    if (best->process != NULL && points <= best->points) {
        mm_put(mm);
        return;
    }
    if (best->process != NULL) {
        process_put(best->process); /* still in the table: not the last reference */
        mm_put(best->mm);
    }
    process_get(p);
    *best = (struct victim){.process = p, .mm = mm, .pages = pages, .points = points};
}

/* Who shares the memory goes along, or it would find its own gone. */
static void kill_all_of(const struct victim *v) {
    struct process *p;

    list_for_each_entry (p, &g_all_processes, all_link) {
        struct mm *mm = mm_of(p);
        if (mm == v->mm || p == v->process) {
            p->oom_killed = true;
            (void)signal_send_outside(p, SIGKILL); /* there: it has memory */
        }
        if (mm != NULL) {
            mm_put(mm);
        }
    }
}

/* ---- one round ---- */

static void tell(const struct victim *v) {
    struct process *p = v->process;
    struct task *t = process_leader_get(p);
    char comm[TASK_COMM_LEN] = "?";

    if (t != NULL) {
        memcpy(comm, t->comm, sizeof(comm));
        comm[sizeof(comm) - 1] = '\0';
        task_put(t);
    }
    unsigned long long kib = (unsigned long long)v->pages * (PAGE_SIZE / KIB);
    log_warn("process %d (%s) of container %s: killed, as guest memory ran out; it had %llu KiB, "
             "oom_score_adj %d",
             p->pid, comm, p->member->id, kib, p->oom_score_adj);
    dmesg_add("Memory cgroup out of memory: Killed process %d (%s) anon-rss:%llukB, "
              "oom_score_adj:%d",
              p->pid, comm, kib, p->oom_score_adj);
    (void)atomic_fetch_add(&p->member->oom_kills, 1u); /* the control task reads it */
    control_wake();
}

static bool is_gone(void *arg) {
    const struct process *p = arg;
    return atomic_load(&p->zombie);
}

/* Kills one; false when there is nobody to kill. */
static bool kill_one(struct victim *v) {
    struct process *p;
    int64_t all = (int64_t)(hal_memory_used() / PAGE_SIZE);

    *v = (struct victim){.points = 0};
    spin_lock(&g_tasklist_lock);
    list_for_each_entry (p, &g_all_processes, all_link) {
        consider(p, all, v);
    }
    if (v->process != NULL) {
        kill_all_of(v);
    }
    spin_unlock(&g_tasklist_lock);
    if (v->process != NULL) {
        tell(v);
        mm_reap(v->mm);
    }
    return v->process != NULL;
}

bool oom_relieve(const void *wanted, bool may_wait) {
    uint32_t before = atomic_load(&g_oom.reliefs);
    struct victim v = {.points = 0};

    mutex_lock(&g_oom.lock);
    bool again = atomic_load(&g_oom.reliefs) != before || page_is_there(wanted);
    if (again) {
        mutex_unlock(&g_oom.lock);
        return true;
    }
    uint64_t used = hal_memory_used();
    frame_trim();
    again = hal_memory_used() + WORTH_A_TRY <= used || kill_one(&v);
    bool enough = hal_memory_used() + WORTH_A_TRY <= used;
    (void)atomic_fetch_add(&g_oom.reliefs, 1u); /* those who waited for the lock try first */
    mutex_unlock(&g_oom.lock);
    if (v.process != NULL) {
        if (!enough && may_wait && v.process != current->process) {
            /* Memory that it shares is free once it has ended; else the next one has to go. */
            (void)!waitq_wait(&v.process->exit_waiters, is_gone, v.process,
                              hal_clock_ns(HAL_CLOCK_MONOTONIC) + WAIT_NS, BLOCK_KILLABLE);
        }
        mm_put(v.mm);
        process_put(v.process);
    }
    return again;
}

uint32_t oom_take_kills(struct container *c) {
    return atomic_exchange(&c->oom_kills, 0u);
}

int32_t oom_score(struct process *p) {
    spin_lock(&g_tasklist_lock);
    struct mm *mm = mm_of(p);
    spin_unlock(&g_tasklist_lock);
    if (mm == NULL || p->oom_score_adj == OOM_SCORE_ADJ_MIN) {
        if (mm != NULL) {
            mm_put(mm);
        }
        return 0;
    }
    int64_t all = (int64_t)MAX(frames_total(), 1ull);
    int64_t points = (int64_t)atomic_load_relaxed(&mm->rss_pages);
    mm_put(mm);
    /* As Linux shows it: 0 to 2000, of which 666 is no memory and no adjustment. */
    points = points_of(p, points, all) * OOM_SCORE_ADJ_MAX / all;
    return (int32_t)MAX((OOM_SCORE_ADJ_MAX + points) * 2 / 3, (int64_t)0);
}
