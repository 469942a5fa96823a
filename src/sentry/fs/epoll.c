/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll(7): the sets, their system calls, and the delivery of events.
 *
 * epoll_wait takes items off the ready list, asks their files again and reports what they still
 * have.  A level-triggered item that had events goes back to the end of the list, so that every
 * item gets its turn.
 */
#include "fs/epoll_int.h"
#include "fs/poll.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <linux/fcntl.h>

#define EPOLL_BATCH 16u
/* What may stand beside EPOLLEXCLUSIVE: epoll_ctl(2). */
#define EPOLL_EXCLUSIVE_OK                                                                         \
    (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
#define EPOLL_MAX_EVENTS ((uint32_t)INT32_MAX / sizeof(struct epoll_event))

struct epoll_waiter {
    struct list
        link; /* in set->waiters, guarded by set->lock; off the list: was chosen for a wake-up */
    struct task *task;
};

/* ---- waking ----------------------------------------------------------------------------- */

/* Wakes the pollers of a set from inside another queue's wake-up.  The order of the two queues is
 * the order of the sets, which has no circles. */
static void epoll_wake_pollers_nested(struct waitq *q) {
    struct waiter *w, *next;
    spin_lock_nested(&q->lock);
    list_for_each_entry_safe (w, next, &q->waiters, link) {
        if ((w->mask & (EPOLLIN | EPOLLRDNORM)) != 0) {
            (void)w->fn(w, EPOLLIN | EPOLLRDNORM); /* all of them */
        }
    }
    spin_unlock(&q->lock);
}

void epoll_set_wake_pollers(struct epoll_set *set, bool nested) {
    if (list_empty(&set->poll_waitq.waiters)) {
        return; /* one who adds himself now looks at the ready list afterwards */
    }
    if (nested) {
        epoll_wake_pollers_nested(&set->poll_waitq);
    } else {
        waitq_wake(&set->poll_waitq, EPOLLIN | EPOLLRDNORM);
    }
}

bool epoll_set_wake_one(struct epoll_set *set) {
    if (list_empty(&set->waiters)) {
        return false;
    }
    struct epoll_waiter *w = list_first(&set->waiters, struct epoll_waiter, link);
    list_del_init(&w->link);
    task_wake(w->task);
    return true;
}

/* ---- delivery --------------------------------------------------------------------------- */

struct epoll_batch {
    uint32_t count;
    struct epoll_event events[EPOLL_BATCH];
    struct epoll_item *items[EPOLL_BATCH];
};

static struct epoll_item *epoll_take_first(struct epoll_set *set, struct list *from) {
    struct epoll_item *item = NULL;
    spin_lock(&set->lock);
    if (!list_empty(from)) {
        item = list_first(from, struct epoll_item, ready_link);
        list_del_init(&item->ready_link);
    }
    spin_unlock(&set->lock);
    return item;
}

static void epoll_put_back(struct epoll_set *set, struct epoll_item *item) {
    spin_lock(&set->lock);
    if (list_empty(&item->ready_link)) {
        list_push_back(&set->ready, &item->ready_link);
    }
    spin_unlock(&set->lock);
}

static void epoll_batch_fill(struct epoll_set *set, struct list *from, struct epoll_batch *batch,
                             uint32_t max) {
    batch->count = 0;
    while (batch->count < max) {
        struct epoll_item *item = epoll_take_first(set, from);
        if (item == NULL) {
            break;
        }
        uint32_t events = epoll_item_poll(item);
        if (events != 0) {
            batch->items[batch->count] = item;
            batch->events[batch->count].events = events;
            batch->events[batch->count].data = item->data;
            batch->count++;
        }
    }
}

/* After the events reached user space (or did not: `lost`). */
static void epoll_batch_finish(struct epoll_set *set, const struct epoll_batch *batch, bool lost) {
    for (uint32_t i = 0; i < batch->count; i++) {
        struct epoll_item *item = batch->items[i];
        uint32_t flags = item->events;
        if (lost || (flags & (EPOLLET | EPOLLONESHOT)) == 0) {
            epoll_put_back(set, item);
        } else if ((flags & EPOLLONESHOT) != 0) {
            atomic_store(&item->events, flags & EPOLL_FLAG_BITS);
        }
    }
}

/* Takes all ready items for a look at them, under set->mtx. */
static void epoll_scan_begin(struct epoll_set *set, struct list *out_work) {
    list_init(out_work);
    mutex_lock(&set->mtx);
    spin_lock(&set->lock);
    list_splice_back(out_work, &set->ready);
    set->scanning = true;
    spin_unlock(&set->lock);
}

/* Items not looked at go back to the front; another task may take what is left. */
static void epoll_scan_end(struct epoll_set *set, struct list *rest) {
    spin_lock(&set->lock);
    list_splice_back(rest, &set->ready);
    list_splice_back(&set->ready, rest);
    set->scanning = false;
    if (!list_empty(&set->ready)) {
        (void)epoll_set_wake_one(set); /* without a sleeper they wait on the list */
    }
    spin_unlock(&set->lock);
    mutex_unlock(&set->mtx);
}

int64_t epoll_deliver(struct epoll_set *set, struct uaddr events, uint32_t max) {
    struct epoll_batch batch;
    struct list work;
    int64_t done = 0;
    epoll_scan_begin(set, &work);
    while ((uint32_t)done < max) {
        epoll_batch_fill(set, &work, &batch, MIN(EPOLL_BATCH, max - (uint32_t)done));
        if (batch.count == 0) {
            break;
        }
        struct uaddr to = uaddr_add(events, (uint64_t)done * sizeof(struct epoll_event));
        int err = copyout(to, batch.events, batch.count * sizeof(struct epoll_event));
        epoll_batch_finish(set, &batch, err != 0);
        if (err != 0) {
            done = done > 0 ? done : err;
            break;
        }
        done += batch.count;
    }
    epoll_scan_end(set, &work);
    return done;
}

static bool epoll_has_ready(struct epoll_set *set) {
    return atomic_load(&set->ready.next) != &set->ready || atomic_load(&set->scanning);
}

/* Sleeps until the set may have events: 0, -EINTR, -ETIMEDOUT. */
static int epoll_sleep(struct epoll_set *set, uint64_t deadline_ns) {
    struct epoll_waiter w = {.task = current};
    list_init(&w.link);
    int err = 0;
    bool ready;
    for (;;) {
        spin_lock(&set->lock);
        ready = epoll_has_ready(set);
        if (ready || err != 0) {
            break;
        }
        if (list_empty(&w.link)) {
            list_push_back(&set->waiters, &w.link);
        }
        spin_unlock(&set->lock);
        err = task_block(deadline_ns, BLOCK_INTERRUPTIBLE);
    }
    list_del_init(&w.link);
    spin_unlock(&set->lock);
    if (ready && signal_fatal_pending(current)) {
        spin_lock(&set->lock);
        (void)epoll_set_wake_one(set); /* the dying leave the events to another */
        spin_unlock(&set->lock);
        return -EINTR;
    }
    return ready ? 0 : err;
}

static int64_t epoll_wait_loop(struct epoll_set *set, struct uaddr events, uint32_t max,
                               uint64_t deadline_ns) {
    for (;;) {
        if (epoll_has_ready(set)) {
            int64_t got = epoll_deliver(set, events, max);
            if (got != 0) {
                return got;
            }
        }
        if (deadline_ns == POLL_NO_WAIT) {
            return 0;
        }
        int err = epoll_sleep(set, deadline_ns);
        if (err == -ETIMEDOUT) {
            return 0;
        }
        if (err != 0) {
            return -EINTR;
        }
    }
}

/* ---- the file --------------------------------------------------------------------------- */

void epoll_set_put(struct epoll_set *set) {
    if (ref_put(&set->ref)) {
        kfree(set);
    }
}

static void epoll_release(struct file *file) {
    struct epoll_set *set = file->private;
    struct rb_node *node;
    mutex_lock(&set->mtx);
    while ((node = rb_first(&set->items)) != NULL) {
        epoll_item_remove(rb_entry(node, struct epoll_item, node));
    }
    mutex_unlock(&set->mtx);
    epoll_set_put(set);
}

/* Readable when an item on the ready list really has events; items found empty leave the list. */
static uint32_t epoll_poll(struct file *file, struct poll_table *table) {
    struct epoll_set *set = file->private;
    poll_wait(table, &set->poll_waitq);
    if (!epoll_has_ready(set)) {
        return 0;
    }
    struct list work;
    bool found = false;
    epoll_scan_begin(set, &work);
    struct epoll_item *item;
    while (!found && (item = epoll_take_first(set, &work)) != NULL) {
        if (epoll_item_poll(item) != 0) {
            found = true;
            epoll_put_back(set, item);
        }
    }
    epoll_scan_end(set, &work);
    return found ? EPOLLIN | EPOLLRDNORM : 0;
}

const struct file_ops g_epoll_ops = {
    .release = epoll_release,
    .poll = epoll_poll,
};

static int64_t epoll_create_file(bool cloexec) {
    struct epoll_set *set = kzalloc(sizeof(*set));
    if (set == NULL) {
        return -ENOMEM;
    }
    ref_init(&set->ref);
    mutex_init(&set->mtx);
    spin_init(&set->lock, RANK_READY);
    list_init(&set->ready);
    list_init(&set->waiters);
    list_init(&set->children);
    waitq_init(&set->poll_waitq);
    struct file *file;
    int err = file_anon("eventpoll", &g_epoll_ops, set, O_RDWR, &file);
    if (err != 0) {
        kfree(set);
        return err;
    }
    set->file = file;
    return fd_give(file, cloexec);
}

/* ---- system calls ----------------------------------------------------------------------- */

int64_t sys_epoll_create(struct task *t, const struct sysargs *args) {
    return (int32_t)args->a[0] <= 0 ? -EINVAL : epoll_create_file(false);
}

int64_t sys_epoll_create1(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[0];
    return (flags & ~(uint32_t)O_CLOEXEC) != 0 ? -EINVAL : epoll_create_file(flags != 0);
}

static int epoll_check_exclusive(int op, const struct file *target,
                                 const struct epoll_event *event) {
    if (op == EPOLL_CTL_DEL || (event->events & EPOLLEXCLUSIVE) == 0) {
        return 0;
    }
    bool bad =
        op == EPOLL_CTL_MOD || epoll_is_set(target) || (event->events & ~EPOLL_EXCLUSIVE_OK) != 0;
    return bad ? -EINVAL : 0;
}

static int epoll_ctl_locked(struct epoll_set *set, int op, struct file *target, int fd,
                            const struct epoll_event *event) {
    struct epoll_item *item = epoll_item_find(set, target, fd);
    switch (op) {
    case EPOLL_CTL_ADD:
        return item != NULL ? -EEXIST : epoll_item_add(set, target, fd, event);
    case EPOLL_CTL_DEL:
        if (item == NULL) {
            return -ENOENT;
        }
        epoll_item_remove(item);
        return 0;
    case EPOLL_CTL_MOD:
        if (item == NULL) {
            return -ENOENT;
        }
        if ((item->events & EPOLLEXCLUSIVE) != 0) {
            return -EINVAL;
        }
        epoll_item_change(item, event);
        return 0;
    default:
        return -EINVAL;
    }
}

static int epoll_ctl_files(struct file *file, int op, struct file *target, int fd,
                           const struct epoll_event *event) {
    if (target->ops->poll == NULL) {
        return -EPERM; /* regular files and directories */
    }
    if (file == target || !epoll_is_set(file)) {
        return -EINVAL;
    }
    int err = epoll_check_exclusive(op, target, event);
    if (err != 0) {
        return err;
    }
    struct epoll_set *set = file->private;
    mutex_lock(&set->mtx);
    err = epoll_ctl_locked(set, op, target, fd, event);
    mutex_unlock(&set->mtx);
    return err;
}

int64_t sys_epoll_ctl(struct task *t, const struct sysargs *args) {
    int op = (int32_t)args->a[1];
    int fd = (int32_t)args->a[2];
    struct epoll_event event = {0};
    if (op != EPOLL_CTL_DEL) {
        int err = copyin(&event, uaddr_of(args->a[3]), sizeof(event));
        if (err != 0) {
            return err;
        }
    }
    struct file *file = fd_get((int32_t)args->a[0], false);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = -EBADF;
    struct file *target = fd_get(fd, false);
    if (target != NULL) {
        result = epoll_ctl_files(file, op, target, fd, &event);
        file_put(target);
    }
    file_put(file);
    return result;
}

static int64_t epoll_wait_fd(int fd, uint64_t events, uint64_t max, uint64_t deadline_ns) {
    if ((int32_t)max <= 0 || (uint32_t)max > EPOLL_MAX_EVENTS) {
        return -EINVAL;
    }
    struct file *file = fd_get(fd, false);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = -EINVAL;
    if (epoll_is_set(file)) {
        result = epoll_wait_loop(file->private, uaddr_of(events), (uint32_t)max, deadline_ns);
    }
    file_put(file);
    return result;
}

int64_t sys_epoll_wait(struct task *t, const struct sysargs *args) {
    return epoll_wait_fd((int32_t)args->a[0], args->a[1], args->a[2],
                         poll_deadline_ms((int32_t)args->a[3]));
}

static int64_t epoll_pwait_masked(struct task *t, const struct sysargs *args,
                                  uint64_t deadline_ns) {
    int err = poll_sigmask_enter(uaddr_of(args->a[4]), args->a[5]);
    if (err != 0) {
        return err;
    }
    int64_t result = epoll_wait_fd((int32_t)args->a[0], args->a[1], args->a[2], deadline_ns);
    poll_sigmask_leave(t, result == -EINTR);
    return result;
}

int64_t sys_epoll_pwait(struct task *t, const struct sysargs *args) {
    return epoll_pwait_masked(t, args, poll_deadline_ms((int32_t)args->a[3]));
}

int64_t sys_epoll_pwait2(struct task *t, const struct sysargs *args) {
    uint64_t deadline_ns;
    int err = poll_deadline_user(uaddr_of(args->a[3]), &deadline_ns);
    return err != 0 ? err : epoll_pwait_masked(t, args, deadline_ns);
}
