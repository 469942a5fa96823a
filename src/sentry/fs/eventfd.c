/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eventfd(2): a 64-bit counter that reads wait for and writes add to.
 */
#include "base/fmt.h"
#include "base/types.h"
#include "fs/poll.h"
#include "fs/vfs.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <linux/fcntl.h>

#define EVENTFD_SEMAPHORE 1u
#define EVENTFD_MAX       (UINT64_MAX - 1) /* largest value the counter holds */

struct eventfd {
    struct spinlock lock; /* RANK_FILE */
    uint64_t count;       /* guarded by lock */
    bool semaphore;
    uint32_t id; /* shown in fdinfo */
    struct waitq waitq;
};

static uint32_t g_eventfd_next_id;

/* Takes what a read gives: the value, or 0 when the counter is zero. */
static uint64_t eventfd_take(struct eventfd *e) {
    spin_lock(&e->lock);
    uint64_t value = e->semaphore && e->count > 0 ? 1 : e->count;
    e->count -= value;
    spin_unlock(&e->lock);
    return value;
}

static bool eventfd_add(struct eventfd *e, uint64_t value) {
    spin_lock(&e->lock);
    bool fits = EVENTFD_MAX - e->count >= value;
    if (fits) {
        e->count += value;
    }
    spin_unlock(&e->lock);
    return fits;
}

static int64_t eventfd_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct eventfd *e = file->private;
    if (iter_left(to) < sizeof(uint64_t)) {
        return -EINVAL;
    }
    uint64_t value = eventfd_take(e);
    if (value == 0) {
        if ((file->flags & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        struct waiter w;
        waiter_init_task(&w, current);
        w.mask = POLLIN;
        waitq_add(&e->waitq, &w);
        int err = 0;
        while ((value = eventfd_take(e)) == 0 && err == 0) {
            err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
        }
        waitq_remove(&w);
        if (value == 0) {
            return -ERESTARTSYS;
        }
    }
    waitq_wake(&e->waitq, POLLOUT | POLLWRNORM);
    return iter_copy_to(to, &value, sizeof(value));
}

static int64_t eventfd_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    struct eventfd *e = file->private;
    uint64_t value;
    if (iter_left(from) < sizeof(value)) {
        return -EINVAL;
    }
    if (iter_copy_from(from, &value, sizeof(value)) != sizeof(value)) {
        return -EFAULT;
    }
    if (value == UINT64_MAX) {
        return -EINVAL;
    }
    if (!eventfd_add(e, value)) {
        if ((file->flags & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        struct waiter w;
        waiter_init_task(&w, current);
        w.mask = POLLOUT;
        waitq_add(&e->waitq, &w);
        bool done;
        int err = 0;
        while (!(done = eventfd_add(e, value)) && err == 0) {
            err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
        }
        waitq_remove(&w);
        if (!done) {
            return -ERESTARTSYS;
        }
    }
    waitq_wake(&e->waitq, POLLIN | POLLRDNORM);
    return sizeof(value);
}

static uint32_t eventfd_poll(struct file *file, struct poll_table *table) {
    struct eventfd *e = file->private;
    poll_wait(table, &e->waitq);
    uint64_t count = atomic_load(&e->count);
    uint32_t events = 0;
    if (count > 0) {
        events |= POLLIN;
    }
    if (count < EVENTFD_MAX) {
        events |= POLLOUT;
    }
    return events;
}

static int eventfd_show_fdinfo(struct file *file, char *buf, size_t size) {
    struct eventfd *e = file->private;
    return (int)fmt_snprintf(
        buf, size, "eventfd-count: %16llx\neventfd-id: %u\neventfd-semaphore: %d\n",
        (unsigned long long)atomic_load(&e->count), e->id, e->semaphore ? 1 : 0);
}

static void eventfd_release(struct file *file) {
    kfree(file->private);
}

static const struct file_ops g_eventfd_ops = {
    .release = eventfd_release,
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .show_fdinfo = eventfd_show_fdinfo,
};

static int64_t eventfd_create(uint32_t count, uint32_t flags) {
    if ((flags & ~(EVENTFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    struct eventfd *e = kzalloc(sizeof(*e));
    if (e == NULL) {
        return -ENOMEM;
    }
    spin_init(&e->lock, RANK_FILE);
    waitq_init(&e->waitq);
    e->count = count;
    e->semaphore = (flags & EVENTFD_SEMAPHORE) != 0;
    e->id = atomic_fetch_add(&g_eventfd_next_id, 1u);
    struct file *file;
    int err = file_anon("eventfd", &g_eventfd_ops, e, O_RDWR | (flags & O_NONBLOCK), &file);
    if (err != 0) {
        kfree(e);
        return err;
    }
    return fd_give(file, (flags & O_CLOEXEC) != 0);
}

int64_t sys_eventfd(struct task *t, const struct sysargs *args) {
    return eventfd_create((uint32_t)args->a[0], 0);
}

int64_t sys_eventfd2(struct task *t, const struct sysargs *args) {
    return eventfd_create((uint32_t)args->a[0], (uint32_t)args->a[1]);
}
