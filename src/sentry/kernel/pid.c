/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers: each container's table from id to thread, process, group and session, and walks over it.
 * A number is free again when none of the four uses it, as in Linux (a group keeps its number after
 * its leader). Locks: g_tasklist_lock guards everything here.
 */
#include "kernel/container.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"
#include "kernel/task.h"

#include <linux/errno.h>

/* After a wrap, numbers start here, so that the low ones stay with early processes (Linux:
 * RESERVED_PIDS). */
#define PID_WRAP_START 300

struct spinlock g_tasklist_lock = SPINLOCK_INIT(RANK_TASKLIST);

struct container *container_current(void) {
    struct task *t = current;
    return t != NULL && t->process != NULL ? t->process->container : NULL;
}

struct pid_slot *pid_slot_get(struct container *c, int32_t id) {
    if (c == NULL || id <= 0) {
        return NULL;
    }
    return (struct pid_slot *)(uintptr_t)radix_get(&c->pids, (uint64_t)id);
}

static int pid_slot_create(struct container *c, int32_t id) {
    struct pid_slot *slot = kzalloc(sizeof(*slot));
    if (slot == NULL) {
        return -ENOMEM;
    }
    int err = radix_set(&c->pids, &kradix_alloc, (uint64_t)id, (uintptr_t)slot);
    if (err != 0) {
        kfree(slot);
    }
    return err;
}

int32_t pid_reserve(struct container *c) {
    int32_t id = c->last_pid;

    /* The table always keeps some numbers free, so that this loop ends soon. */
    if (c->pids.count >= PID_MAX_DEFAULT - PID_WRAP_START - 1) {
        return -EAGAIN;
    }
    do {
        id = id + 1 >= PID_MAX_DEFAULT ? PID_WRAP_START : id + 1;
    } while (pid_slot_get(c, id) != NULL);
    int err = pid_slot_create(c, id);
    if (err != 0) {
        return err;
    }
    c->last_pid = id;
    return id;
}

void pid_slot_release(struct container *c, int32_t id) {
    struct pid_slot *slot = pid_slot_get(c, id);

    if (slot != NULL && slot->task == NULL && slot->process == NULL && slot->pgrp == NULL &&
        slot->session == NULL) {
        (void)radix_del(&c->pids, &kradix_alloc, (uint64_t)id); /* the value is `slot` */
        kfree(slot);
    }
}

struct task *task_find(int32_t tid) {
    struct task *t = NULL;

    spin_lock(&g_tasklist_lock);
    struct pid_slot *slot = pid_slot_get(container_current(), tid);
    if (slot != NULL && slot->task != NULL) {
        t = slot->task;
        task_get(t);
    }
    spin_unlock(&g_tasklist_lock);
    return t;
}

struct process *process_find(int32_t pid) {
    struct process *p = NULL;

    spin_lock(&g_tasklist_lock);
    struct pid_slot *slot = pid_slot_get(container_current(), pid);
    if (slot != NULL && slot->process != NULL) {
        p = slot->process;
        process_get(p);
    }
    spin_unlock(&g_tasklist_lock);
    return p;
}

struct pgrp *pgrp_find(int32_t id) {
    struct pgrp *g = NULL;

    spin_lock(&g_tasklist_lock);
    struct pid_slot *slot = pid_slot_get(container_current(), id);
    if (slot != NULL && slot->pgrp != NULL && ref_get_unless_zero(&slot->pgrp->ref)) {
        g = slot->pgrp;
    }
    spin_unlock(&g_tasklist_lock);
    return g;
}

/* member NULL: whoever is in the name space. */
static struct process *next_process(struct container *pidns, const struct container *member,
                                    int32_t pid) {
    struct process *p = NULL;
    uint64_t key = pid > 0 ? (uint64_t)pid : 1;
    uint64_t value;

    spin_lock(&g_tasklist_lock);
    while (p == NULL && radix_next(&pidns->pids, &key, &value)) {
        p = ((struct pid_slot *)(uintptr_t)value)->process;
        if (p != NULL && member != NULL && p->member != member) {
            p = NULL;
        }
        key++;
    }
    if (p != NULL) {
        process_get(p);
    }
    spin_unlock(&g_tasklist_lock);
    return p;
}

struct process *container_process_next(struct container *c, int32_t pid) {
    return next_process(c->pidns, c, pid);
}

struct process *process_next(int32_t pid) {
    struct container *c = container_current();

    return c != NULL ? next_process(c, NULL, pid) : NULL;
}

struct task *thread_next(struct process *p, int32_t tid) {
    struct task *best = NULL;
    struct task *t;

    spin_lock(&g_tasklist_lock);
    list_for_each_entry (t, &p->threads, thread_link) {
        if (t->tid >= tid && (best == NULL || t->tid < best->tid)) {
            best = t;
        }
    }
    /* A leader that ended before its threads is still shown. */
    t = p->leader;
    if (t != NULL && t->tid >= tid && (best == NULL || t->tid < best->tid)) {
        best = t;
    }
    if (best != NULL) {
        task_get(best);
    }
    spin_unlock(&g_tasklist_lock);
    return best;
}

struct task *process_leader_get(struct process *p) {
    spin_lock(&g_tasklist_lock);
    struct task *t = p->leader;
    if (t != NULL) {
        task_get(t);
    }
    spin_unlock(&g_tasklist_lock);
    return t;
}

struct task *process_thread_get(struct process *p) {
    struct task *t = NULL;

    spin_lock(&g_tasklist_lock);
    if (!list_empty(&p->threads)) {
        t = list_first(&p->threads, struct task, thread_link);
        task_get(t);
    }
    spin_unlock(&g_tasklist_lock);
    return t;
}

int32_t process_ppid(struct process *p) {
    return atomic_load(&p->ppid);
}

int32_t process_pgid(struct process *p) {
    spin_lock(&g_tasklist_lock);
    int32_t id = p->pgrp != NULL ? p->pgrp->id : 0;
    spin_unlock(&g_tasklist_lock);
    return id;
}

int32_t process_sid(struct process *p) {
    spin_lock(&g_tasklist_lock);
    int32_t id = p->pgrp != NULL ? p->pgrp->session->id : 0;
    spin_unlock(&g_tasklist_lock);
    return id;
}
