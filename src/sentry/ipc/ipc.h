/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V semaphores and message queues: what both share (sysvipc(7)), and what the rest of the
 * kernel tells them.
 *
 * Every object is counted: by its table, by each call that uses it, by each undo.  A container sees
 * its own objects. Locks: a kind's table lock (RANK_FILES) guards ids and keys; an object's lock
 * (RANK_FILE) its contents.
 */
#ifndef MOAT_SENTRY_IPC_H
#define MOAT_SENTRY_IPC_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/radix.h"
#include "kernel/lock.h"
#include "kernel/wait.h"

#include <linux/ipc.h>

struct container;
struct process;

struct ipc_object {
    struct refcount ref;
    struct list link;            /* guarded by the table's lock */
    struct container *container; /* compared only; ipc_container_gone removes before it is freed */
    int32_t id, key;
    struct spinlock lock;
    uint32_t uid, gid, cuid, cgid, mode; /* guarded by lock, as the rest */
    int64_t ctime;
    bool removed;
    struct waitq waitq; /* woken whenever the object changes */
};

struct ipc_kind {
    struct spinlock lock;
    struct list objects; /* guarded by lock, as the rest */
    struct radix by_id;
    int32_t next_id;
    uint32_t max; /* objects of one container */
    void (*free)(struct ipc_object *o);
};

extern struct ipc_kind g_sem_kind, g_msg_kind;

#define IPC_KIND_INIT(kind, limit, free_fn)                                                        \
    {                                                                                              \
        .lock = SPINLOCK_INIT(RANK_FILES), .objects = {&(kind).objects, &(kind).objects},          \
        .max = (limit), .free = (free_fn)                                                          \
    }

/* The object with this id, referenced, or NULL. */
struct ipc_object *ipc_find(struct ipc_kind *kind, int32_t id);
/* The index-th object of the container (SEM_STAT, MSG_STAT), referenced, or NULL; *out_count is how
 * many there are. */
struct ipc_object *ipc_at(struct ipc_kind *kind, int32_t index, int32_t *out_count);
/* Calls show for each object of the caller's container, oldest first, with both locks held. */
struct seq;
void ipc_show_all(struct ipc_kind *kind, struct seq *s,
                  void (*show)(struct seq *s, struct ipc_object *o));
/* /proc/sysvipc/sem and msg */
int sem_proc_show(struct seq *s);
int msg_proc_show(struct seq *s);
void ipc_put(struct ipc_kind *kind, struct ipc_object *o);
/*
 * The get calls: finds `key` or enters `fresh` (NULL: it was not asked for or could not be made),
 * which is consumed. fits (may be NULL) says whether an object found suits the call.  The id or
 * -errno.
 */
int64_t ipc_get(struct ipc_kind *kind, int32_t key, uint32_t flags, struct ipc_object *fresh,
                bool (*fits)(struct ipc_object *o, uint64_t arg), uint64_t arg);
/* Sets the common fields of a new object. */
void ipc_object_init(struct ipc_object *o, int32_t key, uint32_t flags);
/* Is there an object that a get call with these flags would find?  (so that none is made in vain)
 */
bool ipc_key_exists(struct ipc_kind *kind, int32_t key);
/* May current have `want` (0400 read, 0200 change)?  Under o->lock. */
bool ipc_permitted(const struct ipc_object *o, uint32_t want);
/* May current remove or set it?  Under o->lock. */
bool ipc_owned(const struct ipc_object *o);
/* Takes it out of its table and wakes who waits. */
void ipc_remove(struct ipc_kind *kind, struct ipc_object *o);
void ipc_fill_perm(const struct ipc_object *o, struct ipc64_perm *out);
/* IPC_SET of the owner and mode; under o->lock. */
void ipc_set_perm(struct ipc_object *o, const struct ipc64_perm *in);

/* The container's last process is gone.  May sleep. */
void ipc_container_gone(struct container *c);
void mqueue_container_gone(struct container *c);
/* The last thread of the process ends: its semaphore undos are carried out. */
void sem_process_gone(struct process *p);

#endif
