/* SPDX-License-Identifier: Apache-2.0 */
/* SEM_UNDO: semop(2), "Semaphore adjustments". */
#include "ipc/sem.h"

#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <asm/errno.h>

static struct spinlock g_sem_undo_lock = SPINLOCK_INIT(RANK_FILES);
static struct list g_sem_undos = {&g_sem_undos, &g_sem_undos};

static struct sem_undo *undo_find(const struct process *p, const struct sem_set *set) {
    struct sem_undo *u, *found = NULL;
    spin_lock(&g_sem_undo_lock);
    list_for_each_entry (u, &g_sem_undos, global_link) {
        if (u->process == p && (set == NULL || u->set == set)) {
            found = u;
            break;
        }
    }
    spin_unlock(&g_sem_undo_lock);
    return found;
}

int sem_undo_get(struct sem_set *set, struct sem_undo **out) {
    struct process *p = current->process;
    *out = undo_find(p, set);
    if (*out != NULL) {
        return 0; /* only the process's own end takes it away */
    }
    struct sem_undo *fresh = kzalloc(sizeof(*fresh) + set->count * sizeof(fresh->adjust[0]));
    if (fresh == NULL) {
        return -ENOMEM;
    }
    fresh->process = p;
    fresh->set = set;
    struct sem_undo *u;
    spin_lock(&g_sem_undo_lock);
    list_for_each_entry (u, &g_sem_undos, global_link) {
        if (u->process == p && u->set == set) {
            *out = u; /* another thread was first */
            break;
        }
    }
    if (*out == NULL) {
        *out = fresh;
        ref_get(&set->o.ref);
        list_push_back(&g_sem_undos, &fresh->global_link);
        spin_lock(&set->o.lock);
        list_push_back(&set->undos, &fresh->set_link);
        spin_unlock(&set->o.lock);
        fresh = NULL;
    }
    spin_unlock(&g_sem_undo_lock);
    kfree(fresh);
    return 0;
}

void sem_undo_clear(struct sem_set *set, uint32_t first, uint32_t count) {
    struct sem_undo *u;
    list_for_each_entry (u, &set->undos, set_link) {
        memset(u->adjust + first, 0, count * sizeof(u->adjust[0]));
    }
}

static void undo_apply(struct sem_undo *u, int32_t pid) {
    struct sem_set *set = u->set;
    spin_lock(&set->o.lock);
    list_del_init(&u->set_link);
    for (uint32_t i = 0; i < set->count; i++) {
        if (u->adjust[i] != 0) {
            int32_t value = (int32_t)set->sems[i].value + u->adjust[i];
            set->sems[i].value = (uint16_t)(value < 0 ? 0 : MIN(value, SEM_VALUE_MAX));
            set->sems[i].pid = pid;
        }
    }
    spin_unlock(&set->o.lock);
    waitq_wake(&set->o.waitq, UINT32_MAX);
}

void sem_process_gone(struct process *p) {
    struct sem_undo *u;
    if (list_empty(&g_sem_undos)) {
        return; /* this process made none, or it would be seen */
    }
    while ((u = undo_find(p, NULL)) != NULL) {
        spin_lock(&g_sem_undo_lock);
        list_del_init(&u->global_link);
        spin_unlock(&g_sem_undo_lock);
        undo_apply(u, p->pid);
        ipc_put(&g_sem_kind, &u->set->o);
        kfree(u);
    }
}
