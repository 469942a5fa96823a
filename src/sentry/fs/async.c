/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal-driven I/O: see async.h.  Sources: fcntl(2), sigaction(2) (si_code, si_band, si_fd).
 *
 * A file that is asked for it waits in its own wait queues, as poll would, with a callback.  That
 * runs under a queue's lock, where nothing can be signalled, so it hands the file's state to a
 * kernel task that does.  Events that come before it gets there are told by one signal.
 *
 * Locks: async->switch_lock (a mutex) keeps two from changing the waiters at once; g_lock
 * (RANK_READY) guards owner, signal and the list of what is to be told.
 */
#include "fs/async.h"

#include "base/string.h"
#include "fs/poll.h"
#include "fs/vfs.h"
#include "kernel/container.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"

#include <asm-generic/siginfo.h>
#include <asm/signal.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#define WAITERS_MAX 4u
#define SIGNAL_MAX  64u

struct target {
    struct async_owner owner;
    struct container *container; /* whose numbers these are; referenced, or NULL */
    uint32_t uid, euid;          /* who named the owner */
    int32_t signo, fd;
};

struct file_async {
    struct refcount ref; /* the file's, and one while it is in the list */
    struct mutex switch_lock;
    struct waiter waiters[WAITERS_MAX]; /* guarded by switch_lock, as the next two */
    uint32_t waiter_count;
    bool on;
    bool is_pipe;         /* constant, as the next one; else room is told of only after a send
                             that did not fit */
    bool is_reader;       /* of a pipe, where only data count */
    bool full;            /* atomic: a send did not fit */
    struct target target; /* guarded by g_lock, as the rest */
    struct list link;
    bool queued;
    uint32_t events;
};

static struct spinlock g_lock = SPINLOCK_INIT(RANK_READY);
static struct list g_queue = {&g_queue, &g_queue}; /* guarded by g_lock, as the next two */
static struct task *g_teller;                      /* NULL before it runs */
static bool g_teller_made;

static void async_put(struct file_async *a) {
    if (ref_put(&a->ref)) {
        container_put(a->target.container);
        kfree(a);
    }
}

/* ---- telling ---- */

/* As kill(2) would let him who set the owner. */
static bool may_tell(const struct target *to, struct task *t) {
    const struct cred *c = task_cred_get(t);
    bool may = to->euid == 0 || to->euid == c->suid || to->euid == c->uid || to->uid == c->suid ||
               to->uid == c->uid;
    cred_put(c);
    return may;
}

static int send(const struct target *to, struct task *t, int signo, const struct ksiginfo *info) {
    return to->owner.type == F_OWNER_TID ? signal_send_task(t, signo, info)
                                         : signal_send_process(t->process, signo, info);
}

/* g_tasklist_lock held.  A real-time signal that finds no room becomes SIGIO. */
static void tell_task(const struct target *to, struct task *t, int32_t code, int64_t band) {
    struct ksiginfo info = {.signo = to->signo, .code = code};
    info.u.poll.band = band;
    info.u.poll.fd = to->fd;
    if (t == NULL || !may_tell(to, t)) {
        return;
    }
    if (to->signo == 0 || send(to, t, to->signo, &info) != 0) {
        (void)send(to, t, SIGIO, NULL); /* needs no memory that could lack */
    }
}

static void tell(const struct target *to, int32_t code, int64_t band) {
    struct process *p;
    spin_lock(&g_tasklist_lock);
    struct pid_slot *slot = pid_slot_get(to->container, to->owner.id);
    if (slot != NULL && to->owner.type == F_OWNER_PGRP && slot->pgrp != NULL) {
        list_for_each_entry (p, &slot->pgrp->members, pgrp_link) {
            tell_task(to, p->leader, code, band);
        }
    } else if (slot != NULL && to->owner.type == F_OWNER_TID) {
        tell_task(to, slot->task, code, band);
    } else if (slot != NULL && to->owner.type == F_OWNER_PID && slot->process != NULL) {
        tell_task(to, slot->process->leader, code, band);
    }
    spin_unlock(&g_tasklist_lock);
}

/* si_code and si_band by what happened: sigaction(2). */
static void tell_events(const struct target *to, uint32_t events) {
    if ((events & POLLHUP) != 0) {
        tell(to, POLL_HUP, POLLHUP | POLLERR);
    } else if ((events & POLLPRI) != 0) {
        tell(to, POLL_PRI, POLLPRI | POLLRDBAND);
    } else if ((events & POLLIN) != 0) {
        tell(to, POLL_IN, POLLIN | POLLRDNORM);
    } else if ((events & POLLERR) != 0) {
        tell(to, POLL_ERR, POLLERR);
    }
    if ((events & (POLLOUT | POLLHUP)) == POLLOUT) {
        tell(to, POLL_OUT, POLLOUT | POLLWRNORM | POLLWRBAND);
    }
}

/* The next one to be told of, out of the list with its reference; NULL when there is none. */
static struct file_async *next_queued(struct target *out_target, uint32_t *out_events) {
    struct file_async *a = NULL;
    spin_lock(&g_lock);
    g_teller = current;
    if (!list_empty(&g_queue)) {
        a = list_first(&g_queue, struct file_async, link);
        list_del_init(&a->link);
        a->queued = false;
        *out_target = a->target;
        *out_events = a->events;
        a->events = 0;
        if (a->target.container != NULL) {
            container_get(a->target.container);
        }
    }
    spin_unlock(&g_lock);
    return a;
}

static void teller_main(void *arg) {
    struct target target;
    uint32_t events;
    for (;;) {
        struct file_async *a = next_queued(&target, &events);
        if (a == NULL) {
            (void)!task_block(NO_DEADLINE, BLOCK_UNINTERRUPTIBLE); /* nothing else ends it */
            continue;
        }
        if (target.container != NULL && target.owner.id != 0) {
            tell_events(&target, events);
        }
        container_put(target.container);
        async_put(a);
    }
}

static int teller_make(void) {
    spin_lock(&g_lock);
    bool made = g_teller_made;
    g_teller_made = true;
    spin_unlock(&g_lock);
    int err = made ? 0 : kthread_start("async", teller_main, NULL);
    if (err != 0) {
        spin_lock(&g_lock);
        g_teller_made = false;
        spin_unlock(&g_lock);
    }
    return err;
}

/* ---- hearing ---- */

/* Which of the events are worth a signal. */
static uint32_t events_that_count(struct file_async *a, uint32_t events) {
    if (events == UINT32_MAX) {
        events = a->is_pipe ? POLLIN | POLLOUT : POLLHUP; /* the other end is gone */
    }
    if (a->is_reader) {
        return (events & (POLLIN | POLLHUP)) != 0 ? POLLIN : 0;
    }
    if (!a->is_pipe && (events & POLLOUT) != 0 && !atomic_exchange(&a->full, false)) {
        events &= ~(uint32_t)(POLLOUT | POLLWRNORM | POLLWRBAND);
    }
    return events & (POLLIN | POLLOUT | POLLPRI | POLLERR | POLLHUP);
}

static bool on_event(struct waiter *w, uint32_t events) {
    struct file_async *a = w->arg;
    events = events_that_count(a, events);
    if (events == 0) {
        return false;
    }
    spin_lock(&g_lock);
    a->events |= events;
    if (!a->queued) {
        a->queued = true;
        ref_get(&a->ref);
        list_push_back(&g_queue, &a->link);
    }
    struct task *teller = g_teller;
    spin_unlock(&g_lock);
    if (teller != NULL) {
        task_wake(teller);
    }
    return false;
}

struct async_table {
    struct poll_table table;
    struct file_async *async;
};

static void add_waiter(struct poll_table *table, struct waitq *q) {
    struct file_async *a = container_of(table, struct async_table, table)->async;
    if (a->waiter_count < WAITERS_MAX) {
        struct waiter *w = &a->waiters[a->waiter_count++];
        waiter_init_fn(w, on_event, a, POLLIN | POLLOUT | POLLPRI | POLLERR | POLLHUP);
        waitq_add(q, w);
    }
}

/* switch_lock held. */
static void hear(struct file *f, struct file_async *a) {
    struct async_table t = {{add_waiter}, a};
    if (!a->on) {
        a->on = true;
        (void)f->ops->poll(f, &t.table); /* only events from now on count */
    }
}

static void stop_hearing(struct file_async *a) {
    for (uint32_t i = 0; i < a->waiter_count; i++) {
        waitq_remove(&a->waiters[i]);
    }
    a->waiter_count = 0;
    a->on = false;
    spin_lock(&g_lock);
    bool queued = a->queued;
    if (queued) {
        list_del_init(&a->link);
        a->queued = false;
        a->events = 0;
    }
    spin_unlock(&g_lock);
    if (queued) {
        async_put(a); /* the file has one more */
    }
}

/* ---- a file's state ---- */

static struct file_async *async_of(struct file *f) {
    struct file_async *old = NULL, *a = atomic_load(&f->async);
    if (a != NULL) {
        return a;
    }
    a = kzalloc(sizeof(*a));
    if (a == NULL) {
        return NULL;
    }
    ref_init(&a->ref);
    mutex_init(&a->switch_lock);
    list_init(&a->link);
    a->is_pipe = S_ISFIFO(f->inode->mode);
    a->is_reader = a->is_pipe && (f->mode & FMODE_WRITE) == 0;
    if (!atomic_cas(&f->async, &old, a)) {
        kfree(a); /* another thread was quicker */
        return old;
    }
    return a;
}

static bool owner_exists(struct container *c, const struct async_owner *o) {
    spin_lock(&g_tasklist_lock);
    struct pid_slot *slot = o->id > 0 ? pid_slot_get(c, o->id) : NULL;
    bool there = slot != NULL && (o->type == F_OWNER_PGRP  ? slot->pgrp != NULL
                                  : o->type == F_OWNER_TID ? slot->task != NULL
                                                           : slot->process != NULL);
    spin_unlock(&g_tasklist_lock);
    return there;
}

int file_set_owner(struct file *f, const struct async_owner *owner) {
    struct container *c = current->process->container;
    if (owner->id < 0 ||
        (owner->type != F_OWNER_TID && owner->type != F_OWNER_PID && owner->type != F_OWNER_PGRP)) {
        return -EINVAL;
    }
    if (owner->id != 0 && !owner_exists(c, owner)) {
        return -ESRCH;
    }
    struct file_async *a = async_of(f);
    if (a == NULL) {
        return -ENOMEM;
    }
    container_get(c);
    spin_lock(&g_lock);
    struct container *old = a->target.container;
    a->target.owner = *owner;
    a->target.container = c;
    a->target.uid = current->cred->uid;
    a->target.euid = current->cred->euid;
    spin_unlock(&g_lock);
    container_put(old);
    return 0;
}

struct async_owner file_get_owner(struct file *f) {
    struct file_async *a = atomic_load(&f->async);
    struct async_owner none = {.type = F_OWNER_PID};
    if (a == NULL) {
        return none;
    }
    spin_lock(&g_lock);
    struct async_owner o = a->target.owner;
    bool own = a->target.container == current->process->container;
    spin_unlock(&g_lock);
    none.type = o.type;
    return own && owner_exists(current->process->container, &o) ? o : none;
}

int file_set_signal(struct file *f, uint64_t signo) {
    if (signo > SIGNAL_MAX) {
        return -EINVAL;
    }
    struct file_async *a = async_of(f);
    if (a == NULL) {
        return -ENOMEM;
    }
    spin_lock(&g_lock);
    a->target.signo = (int32_t)signo;
    spin_unlock(&g_lock);
    return 0;
}

int32_t file_get_signal(struct file *f) {
    struct file_async *a = atomic_load(&f->async);
    return a != NULL ? atomic_load(&a->target.signo) : 0;
}

int file_set_async(struct file *f, int fd, bool on) {
    struct file_async *a = on && f->ops->sends_sigio ? async_of(f) : atomic_load(&f->async);
    if (a == NULL) {
        return on && f->ops->sends_sigio ? -ENOMEM : 0; /* kept, and without effect, as on Linux */
    }
    int err = on ? teller_make() : 0;
    if (err != 0) {
        return err;
    }
    mutex_lock(&a->switch_lock);
    if (on && f->ops->sends_sigio) {
        spin_lock(&g_lock);
        a->target.fd = fd;
        spin_unlock(&g_lock);
        hear(f, a);
    } else if (!on) {
        stop_hearing(a);
    }
    mutex_unlock(&a->switch_lock);
    return 0;
}

void file_async_full(struct file *f) {
    struct file_async *a = atomic_load(&f->async);
    if (a != NULL) {
        atomic_store(&a->full, true);
    }
}

void file_async_release(struct file *f) {
    struct file_async *a = f->async;
    if (a != NULL) {
        stop_hearing(a);
        async_put(a);
    }
}
