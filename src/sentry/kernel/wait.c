/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wait queues.  Waiters that are not exclusive stand in front, so that waking one exclusive waiter
 * wakes all of them.
 */
#include "kernel/wait.h"

#include "base/atomic.h"
#include "kernel/cpu.h"
#include "kernel/log.h"
#include "kernel/task.h"

#include <asm-generic/poll.h>

static bool waiter_wake_task(struct waiter *w, uint32_t events) {
    (void)events;
    task_wake(w->task);
    return true;
}

void waitq_init(struct waitq *q) {
    spin_init(&q->lock, RANK_WAITQ);
    list_init(&q->waiters);
}

void waiter_init_task(struct waiter *w, struct task *task) {
    *w = (struct waiter){.task = task, .mask = UINT32_MAX, .fn = waiter_wake_task};
    list_init(&w->link);
}

void waiter_init_fn(struct waiter *w, waiter_fn *fn, void *arg, uint32_t mask) {
    *w = (struct waiter){.mask = mask, .fn = fn, .arg = arg};
    list_init(&w->link);
}

void waitq_add(struct waitq *q, struct waiter *w) {
    spin_lock(&q->lock);
    kassert(w->queue == NULL);
    atomic_store(&w->queue, q);
    if (w->exclusive) {
        list_push_back(&q->waiters, &w->link);
    } else {
        list_push_front(&q->waiters, &w->link);
    }
    spin_unlock(&q->lock);
}

void waitq_remove(struct waiter *w) {
    struct waitq *q = atomic_load(&w->queue);
    if (q == NULL) {
        return;
    }
    spin_lock(&q->lock);
    if (w->queue == q) {
        list_del_init(&w->link);
        atomic_store(&w->queue, NULL);
    }
    spin_unlock(&q->lock);
}

static void wake_waiters(struct waitq *q, uint32_t events) {
    const bool everyone = (events & (POLLHUP | POLLERR)) != 0;
    struct waiter *w, *next;
    spin_lock(&q->lock);
    list_for_each_entry_safe (w, next, &q->waiters, link) {
        if ((w->mask & events) == 0) {
            continue;
        }
        bool exclusive = w->exclusive; /* the callback may give the waiter away */
        if (w->fn(w, events) && exclusive && !everyone) {
            break;
        }
    }
    spin_unlock(&q->lock);
}

void waitq_wake(struct waitq *q, uint32_t events) {
    if (!waitq_empty(q)) {
        wake_waiters(q, events);
    }
}

/* Racy on purpose: whoever adds itself looks at its condition afterwards, and whoever wakes changed
 * it before; the fence puts the change before the look. */
bool waitq_empty(struct waitq *q) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return atomic_load_relaxed(&q->waiters.next) == &q->waiters;
}

int waitq_wait(struct waitq *q, bool (*cond)(void *arg), void *arg, uint64_t deadline_ns,
               enum block_mode mode) {
    struct waiter w;
    int err = 0;
    if (cond(arg)) {
        return 0;
    }
    waiter_init_task(&w, current);
    waitq_add(q, &w);
    while (!cond(arg)) {
        err = task_block(deadline_ns, mode);
        if (err != 0) {
            break;
        }
    }
    waitq_remove(&w);
    return err;
}
