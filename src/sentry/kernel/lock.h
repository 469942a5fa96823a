/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of the kernel.
 *
 * spinlock: short sections that never block and never touch user memory; may be taken on any vCPU.
 * Contended, it spins a bounded time and then parks in the host (a vCPU's host thread can be
 * preempted while it holds a lock). mutex, rwmutex: sleeping locks of tasks; the holder may block,
 * call the Gofer, touch user memory.  Not recursive. They must not be taken in the vCPU loop (timer
 * callbacks, host events), where there is no task to put to sleep.
 *
 * Order: sleeping locks before spinlocks; spinlocks by ascending rank (debug builds check; the same
 * rank twice is refused unless spin_lock_nested says that the caller ordered them, by address).
 * Sleeping locks: sb->rename_mutex > parent inode > child inode > mm->lock > page-cache
 * (inode->map_lock).
 */
#ifndef MOAT_SENTRY_LOCK_H
#define MOAT_SENTRY_LOCK_H

#include "base/list.h"
#include "base/types.h"

struct task;

enum lock_rank {
    RANK_NONE,
    RANK_TASKLIST,  /* process tree, pid table, sessions and groups */
    RANK_SIGNAL,    /* process->sig_lock */
    RANK_SIGACTION, /* sig_actions->lock */
    RANK_TTY,
    RANK_FS,     /* generic leaf of a filesystem (superblock lists, dentry lists) */
    RANK_DCACHE, /* hash buckets */
    RANK_DENTRY,
    RANK_INODE, /* inode->lock */
    RANK_FILES, /* descriptor table */
    RANK_FILE,  /* file position, pipe buffers, sockets, eventfd and friends */
    RANK_EPOLL,
    RANK_FUTEX,
    RANK_MM,    /* mm->pt_lock */
    RANK_CACHE, /* page cache radix */
    RANK_WAITQ,
    RANK_READY, /* ready lists of epoll, filled in wait-queue callbacks */
    RANK_MUTEX, /* inner guard of sleeping locks */
    RANK_TASK,  /* task->lock: state */
    RANK_RUNQ,
    RANK_TIMER,
    RANK_FRAME, /* frame allocator */
    RANK_KMALLOC,
    RANK_KPAGES,
    RANK_LOG,
};

struct spinlock {
    uint32_t word; /* 0 free, 1 held, 2 held with parked waiters */
    uint8_t rank;
};

#define SPINLOCK_INIT(r)                                                                           \
    { 0, (r) }

void spin_init(struct spinlock *lock, enum lock_rank rank);
void spin_lock(struct spinlock *lock);
void spin_lock_nested(
    struct spinlock *lock); /* second lock of the same rank, ordered by the caller */
void spin_unlock(struct spinlock *lock);
/* Debug builds: panics unless this vCPU holds no spinlock (called before blocking and before
 * copyin/copyout). */
void assert_no_spinlocks(void);

struct mutex {
    uintptr_t owner; /* atomic: the owning struct task, with bit 0 set when tasks wait */
    struct spinlock guard;
    struct list waiters; /* guarded by guard */
};

void mutex_init(struct mutex *m);
void mutex_lock(struct mutex *m);
must_check bool mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);

/* First come, first served among those that have to wait, so writers do not starve. */
struct rwmutex {
    uint32_t state; /* atomic: number of readers, or RW_WRITER; RW_WAITERS when tasks wait */
    struct spinlock guard;
    struct list waiters; /* guarded by guard */
};

void rw_init(struct rwmutex *m);
void rw_read_lock(struct rwmutex *m);
void rw_read_unlock(struct rwmutex *m);
void rw_write_lock(struct rwmutex *m);
void rw_write_unlock(struct rwmutex *m);

#endif
