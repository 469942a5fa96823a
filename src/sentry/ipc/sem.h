/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of System V semaphores. */
#ifndef MOAT_SENTRY_SEM_H
#define MOAT_SENTRY_SEM_H

#include "ipc/ipc.h"

#define SEM_VALUE_MAX 32767
#define SEM_COUNT_MAX 32000u /* SEMMSL */
#define SEM_OPS_MAX   500u   /* SEMOPM */
#define SEM_SETS_MAX  32000u /* SEMMNI */
#define SEM_UNDO_FLAG 0x1000

struct sem {
    uint16_t value;
    int32_t pid;       /* of the last operation */
    uint32_t increase; /* tasks that wait for it to grow, to become zero */
    uint32_t zero;
};

struct sem_set {
    struct ipc_object o;
    int64_t otime;     /* guarded by o.lock, as the rest */
    struct list undos; /* by set_link */
    uint32_t count;
    struct sem sems[];
};

/* What one process's operations with SEM_UNDO add up to. */
struct sem_undo {
    struct list set_link;    /* guarded by set->o.lock */
    struct list global_link; /* guarded by g_sem_undo_lock */
    struct process *process; /* compared only; gone before the process is */
    struct sem_set *set;     /* referenced */
    int16_t adjust[];        /* guarded by set->o.lock */
};

static inline struct sem_set *sem_set_of(struct ipc_object *o) {
    return container_of(o, struct sem_set, o);
}

/* The current process's undo of a set, made when missing: 0, -ENOMEM. */
must_check int sem_undo_get(struct sem_set *set, struct sem_undo **out);
/* Forgets what is to be undone on sems [first, first + count); under set->o.lock. */
void sem_undo_clear(struct sem_set *set, uint32_t first, uint32_t count);

#endif
