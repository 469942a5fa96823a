/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX message queues: mq_send(3), mq_receive(3). */
#include "ipc/mqueue.h"

#include "fs/poll.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <asm/siginfo.h>
#include <linux/fcntl.h>

/* An absolute time of CLOCK_REALTIME (NULL: no limit) as a deadline. */
static int mq_deadline(struct uaddr user, uint64_t *out) {
    struct user_timespec ts;
    *out = NO_DEADLINE;
    if (user.v == 0) {
        return 0;
    }
    int err = copyin(&ts, user, sizeof(ts));
    if (err != 0) {
        return err;
    }
    if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= (int64_t)NSEC_PER_SEC) {
        return -EINVAL;
    }
    uint64_t when, now = hal_clock_ns(HAL_CLOCK_REALTIME);
    if (ckd_mul(&when, (uint64_t)ts.sec, NSEC_PER_SEC) || ckd_add(&when, when, (uint64_t)ts.nsec)) {
        return 0;
    }
    uint64_t left = when > now ? when - now : 0;
    if (ckd_add(out, hal_clock_ns(HAL_CLOCK_MONOTONIC), left)) {
        *out = NO_DEADLINE;
    }
    return 0;
}

/* Tells the registered process of a message to an empty queue; under q->lock.  Its process is put
 * by the caller. */
static struct process *mq_notify(struct mqueue *q) {
    if (q->notify == NULL || q->count != 1 || q->receivers != 0) {
        return NULL;
    }
    return mqueue_notify_end(q);
}

static void mq_send_signal(struct process *p, int32_t signo, uint64_t value) {
    if (signo != 0) {
        struct ksiginfo info = {.signo = signo, .code = SI_MESGQ};
        info.u.rt.pid = current->process->pid;
        info.u.rt.uid = current->cred->uid;
        info.u.rt.value = value;
        (void)signal_send_process(p, signo, &info); /* a full queue of signals loses it */
    }
    process_put(p);
}

/* ---- sending ---------------------------------------------------------------------------- */

/* Behind all of the same or a higher priority; under q->lock.  False when the queue is full. */
static bool mq_put(struct mqueue *q, struct mq_message *m) {
    struct list *at = q->messages.prev;
    if (q->count >= q->max_msg) {
        return false;
    }
    while (at != &q->messages && list_entry(at, struct mq_message, link)->priority < m->priority) {
        at = at->prev;
    }
    list_insert_between(&m->link, at, at->next);
    q->bytes += m->len;
    atomic_store(&q->count, q->count + 1);
    return true;
}

static int mq_send_wait(struct mqueue *q, struct mq_message *m, bool nonblock,
                        uint64_t deadline_ns) {
    struct waiter w;
    struct process *told = NULL;
    int32_t signo = 0;
    uint64_t value = 0;
    waiter_init_task(&w, current);
    w.mask = POLLOUT;
    waitq_add(&q->waitq, &w);
    int err = 0;
    bool done;
    for (;;) {
        spin_lock(&q->lock);
        done = mq_put(q, m);
        if (done) {
            signo = q->notify_signal;
            value = q->notify_value;
            told = mq_notify(q);
        }
        spin_unlock(&q->lock);
        if (done || err != 0 || nonblock) {
            break;
        }
        err = task_block(deadline_ns, BLOCK_INTERRUPTIBLE);
    }
    waitq_remove(&w);
    if (told != NULL) {
        mq_send_signal(told, signo, value);
    }
    if (done) {
        waitq_wake(&q->waitq, POLLIN | POLLRDNORM);
        return 0;
    }
    return nonblock ? -EAGAIN : (err == -ETIMEDOUT ? -ETIMEDOUT : -ERESTARTSYS);
}

static int mq_send(struct file *file, struct mqueue *q, const struct sysargs *args,
                   uint64_t deadline_ns) {
    if ((file->mode & FMODE_WRITE) == 0) {
        return -EBADF;
    }
    if (args->a[2] > (uint64_t)q->msg_size) {
        return -EMSGSIZE;
    }
    struct mq_message *m = kmalloc(sizeof(*m) + args->a[2]);
    if (m == NULL) {
        return -ENOMEM;
    }
    m->priority = (uint32_t)args->a[3];
    m->len = (uint32_t)args->a[2];
    int err = m->len == 0 ? 0 : copyin(m->data, uaddr_of(args->a[1]), m->len);
    if (err == 0) {
        err = mq_send_wait(q, m, (atomic_load(&file->flags) & O_NONBLOCK) != 0, deadline_ns);
    }
    if (err != 0) {
        kfree(m);
    }
    return err;
}

int64_t sys_mq_timedsend(struct task *t, const struct sysargs *args) {
    struct mqueue *q;
    uint64_t deadline_ns;
    int err = mq_deadline(uaddr_of(args->a[4]), &deadline_ns);
    if (err == 0 && (uint32_t)args->a[3] >= MQ_PRIORITY_MAX) {
        err = -EINVAL;
    }
    if (err != 0) {
        return err;
    }
    struct file *file = mqueue_file_get((int32_t)args->a[0], &q, &err);
    if (file != NULL) {
        err = mq_send(file, q, args, deadline_ns);
        file_put(file);
    }
    return err;
}

/* ---- receiving -------------------------------------------------------------------------- */

static struct mq_message *mq_take(struct mqueue *q) {
    if (list_empty(&q->messages)) {
        return NULL;
    }
    struct mq_message *m = list_first(&q->messages, struct mq_message, link);
    list_del_init(&m->link);
    q->bytes -= m->len;
    atomic_store(&q->count, q->count - 1);
    return m;
}

static int mq_receive_wait(struct mqueue *q, bool nonblock, uint64_t deadline_ns,
                           struct mq_message **out) {
    struct waiter w;
    waiter_init_task(&w, current);
    w.mask = POLLIN;
    waitq_add(&q->waitq, &w);
    int err = 0;
    bool counted = false;
    for (;;) {
        spin_lock(&q->lock);
        *out = mq_take(q);
        bool sleep = *out == NULL && err == 0 && !nonblock;
        if (counted != sleep) {
            q->receivers += sleep ? 1u : -1u;
            counted = sleep;
        }
        spin_unlock(&q->lock);
        if (!sleep) {
            break;
        }
        err = task_block(deadline_ns, BLOCK_INTERRUPTIBLE);
    }
    waitq_remove(&w);
    if (*out != NULL) {
        waitq_wake(&q->waitq, POLLOUT | POLLWRNORM);
        return 0;
    }
    return nonblock ? -EAGAIN : (err == -ETIMEDOUT ? -ETIMEDOUT : -ERESTARTSYS);
}

static int64_t mq_receive(struct file *file, struct mqueue *q, const struct sysargs *args,
                          uint64_t deadline_ns) {
    struct mq_message *m;
    if ((file->mode & FMODE_READ) == 0) {
        return -EBADF;
    }
    if (args->a[2] < (uint64_t)q->msg_size) {
        return -EMSGSIZE;
    }
    int err = mq_receive_wait(q, (atomic_load(&file->flags) & O_NONBLOCK) != 0, deadline_ns, &m);
    if (err != 0) {
        return err;
    }
    int64_t len = m->len;
    err = len == 0 ? 0 : copyout(uaddr_of(args->a[1]), m->data, (size_t)len);
    if (err == 0 && args->a[3] != 0) {
        err = copyout(uaddr_of(args->a[3]), &m->priority, sizeof(m->priority));
    }
    kfree(m);
    return err != 0 ? err : len;
}

int64_t sys_mq_timedreceive(struct task *t, const struct sysargs *args) {
    struct mqueue *q;
    uint64_t deadline_ns;
    int err = mq_deadline(uaddr_of(args->a[4]), &deadline_ns);
    if (err != 0) {
        return err;
    }
    int64_t result = err;
    struct file *file = mqueue_file_get((int32_t)args->a[0], &q, &err);
    if (file == NULL) {
        return err;
    }
    result = mq_receive(file, q, args, deadline_ns);
    file_put(file);
    return result;
}
