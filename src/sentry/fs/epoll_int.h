/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of epoll: sets, their items, and the graph of sets that watch sets.
 *
 * Locks, in this order: ep->mtx (sleeping; a set's before that of a set it watches) > g_epoll_lock
 * (RANK_EPOLL) > a wait queue's lock > ep->lock (RANK_READY).
 */
#ifndef MOAT_SENTRY_EPOLL_INT_H
#define MOAT_SENTRY_EPOLL_INT_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/rbtree.h"
#include "fs/vfs.h"
#include "kernel/lock.h"
#include "kernel/wait.h"

#include <linux/eventpoll.h>

#define EPOLL_NEST_MAX    5u /* epoll_ctl(2): ELOOP */
#define EPOLL_ITEMS_MAX   (1u << 20)
#define EPOLL_WAITERS_MAX 4u /* wait queues of one file */
#define EPOLL_FLAG_BITS   (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

struct epoll_set {
    struct refcount ref; /* the file's and one per item */
    struct mutex mtx;
    struct rb_tree items;    /* guarded by mtx */
    struct file *file;       /* its own, not referenced; valid while the file lives */
    struct spinlock lock;    /* RANK_READY */
    struct list ready;       /* items by ready_link; guarded by lock */
    bool scanning;           /* items are off the ready list to be looked at; guarded by lock */
    struct list waiters;     /* tasks in epoll_wait; guarded by lock */
    struct waitq poll_waitq; /* pollers of the set itself */
    struct list children;    /* items that watch sets, by nest_link; guarded by g_epoll_lock */
    uint64_t visit; /* the last walk that saw it, and what it found; guarded by g_epoll_lock */
    uint32_t visit_height;
};

struct epoll_item {
    struct rb_node node;   /* in set->items by (file, fd); guarded by set->mtx */
    struct epoll_set *set; /* referenced */
    struct file *file;     /* not referenced: the item goes before the file does */
    int32_t fd;
    uint32_t events;        /* EPOLL*; written under set->mtx, read by the callback */
    uint64_t data;          /* guarded by set->mtx */
    struct list ready_link; /* guarded by set->lock */
    struct list file_link;  /* in file->epoll_links; guarded by g_epoll_lock */
    struct list nest_link;  /* in set->children when the file is a set; guarded likewise */
    uint32_t waiter_count;
    bool no_waiter_room; /* a file with more wait queues than an item holds */
    struct waiter waiters[EPOLL_WAITERS_MAX];
};

extern const struct file_ops g_epoll_ops;
extern struct spinlock g_epoll_lock;
extern uint32_t g_epoll_item_count; /* atomic */

static inline bool epoll_is_set(const struct file *file) {
    return file->ops == &g_epoll_ops;
}

void epoll_set_put(struct epoll_set *set);
/* Wakes the pollers; `nested`: the lock of a wait queue is held. */
void epoll_set_wake_pollers(struct epoll_set *set, bool nested);
/* Chooses one task in epoll_wait; false when nobody sleeps there.  Under set->lock. */
bool epoll_set_wake_one(struct epoll_set *set);
/* Items: under set->mtx. */
struct epoll_item *epoll_item_find(struct epoll_set *set, const struct file *file, int fd);
must_check int epoll_item_add(struct epoll_set *set, struct file *file, int fd,
                              const struct epoll_event *event);
void epoll_item_change(struct epoll_item *item, const struct epoll_event *event);
void epoll_item_remove(struct epoll_item *item);
/* Events the item's file has now, of those wanted. */
uint32_t epoll_item_poll(struct epoll_item *item);
/* Enters `child` into the graph below `set`: 0, or -ELOOP for a circle or a chain that is too long.
 */
must_check int epoll_nest_add(struct epoll_set *set, struct epoll_item *item);
/* Gives events to user space; how many, or -EFAULT. */
int64_t epoll_deliver(struct epoll_set *set, struct uaddr events, uint32_t max);

#endif
