/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners of seccomp filters: see seccomp_notify.h.  Sources: seccomp_unotify(2),
 * linux/seccomp.h.
 *
 * A call that waits is a `struct notification` on its task's kernel stack, in its listener's list
 * until the task goes on; a descriptor on its way to it is a `struct addfd` on the supervisor's
 * stack, which stays until the target has taken it, or the supervisor takes it back.
 *
 * Lock: listener->lock (RANK_FILE) guards the list and all that is in it.
 * Trust: what ioctl hands over is copied once.
 */
#include "kernel/seccomp_notify.h"

#include "base/string.h"
#include "fs/poll.h"
#include "fs/vfs.h"
#include "hal.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"
#include "mm/mm.h"

#include <asm/ioctl.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/seccomp.h>

#define NOTIFY_NAME "seccomp notify"

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP /* linux/seccomp.h since Linux 6.6 */
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1ul << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#endif
/* The number as headers before Linux 5.17 had it: with the wrong direction. */
#define NOTIF_ID_VALID_OLD SECCOMP_IOR(2, __u64)

#define ADDFD_SIZE_MIN 24u /* struct seccomp_notif_addfd as it was first */
#define ADDFD_SIZE_MAX PAGE_SIZE

enum notify_state { NOTIFY_NEW, NOTIFY_SENT, NOTIFY_REPLIED };

struct seccomp_listener {
    struct refcount ref;
    struct spinlock lock; /* RANK_FILE */
    struct list waiting;  /* notification->link, oldest first */
    uint64_t next_id;
    uint32_t requests;  /* announced and not yet asked for; those that gave up count too */
    bool killable;      /* constant */
    bool closed;        /* the file is gone */
    bool orphaned;      /* the filter is */
    struct waitq waitq; /* receivers and polls */
};

struct notification {
    struct list link;
    struct task *task;
    const struct seccomp_data *data;
    uint64_t id;
    enum notify_state state;
    int64_t val;
    int32_t error;
    uint32_t flags;     /* of the reply */
    struct list addfds; /* addfd->link */
};

struct addfd {
    struct list link; /* empty once the target has taken it */
    struct task *supervisor;
    struct file *file;
    uint32_t flags, newfd, newfd_flags;
    bool done;
    int32_t result;
};

/* ---- life ---- */

static void listener_put(struct seccomp_listener *l) {
    if (ref_put(&l->ref)) {
        kfree(l);
    }
}

void seccomp_listener_orphan(struct seccomp_listener *l) {
    if (l == NULL) {
        return;
    }
    spin_lock(&l->lock);
    l->orphaned = true;
    spin_unlock(&l->lock);
    waitq_wake(&l->waitq, POLLHUP);
    listener_put(l);
}

bool seccomp_listener_active(struct seccomp_listener *l) {
    return l != NULL && !atomic_load(&l->closed);
}

/* ---- the caller's side ---- */

/* Installs what the supervisor sent; lock held, let go meanwhile. */
static void take_addfd(struct seccomp_listener *l, struct notification *n, struct addfd *a) {
    bool cloexec = (a->newfd_flags & O_CLOEXEC) != 0;

    list_del_init(&a->link);
    spin_unlock(&l->lock);
    int fd = (a->flags & SECCOMP_ADDFD_FLAG_SETFD) != 0
                 ? fd_install_at(a->file, (int)a->newfd, cloexec)
                 : fd_install(a->file, cloexec, 0);
    spin_lock(&l->lock);
    if ((a->flags & SECCOMP_ADDFD_FLAG_SEND) != 0) {
        if (fd < 0) {
            n->state = NOTIFY_SENT; /* not answered after all */
        } else {
            n->val = fd;
        }
    }
    a->result = fd;
    a->done = true;
    task_wake(a->supervisor);
}

/* Until an answer is there (0) or a signal ends the wait (-EINTR); returns with the lock held. */
static int await_reply(struct seccomp_listener *l, struct notification *n) {
    for (;;) {
        spin_lock(&l->lock);
        while (!list_empty(&n->addfds)) {
            take_addfd(l, n, list_first(&n->addfds, struct addfd, link));
        }
        if (n->state == NOTIFY_REPLIED) {
            return 0;
        }
        bool killable = l->killable && n->state == NOTIFY_SENT;
        spin_unlock(&l->lock);
        int err = task_block(NO_DEADLINE, killable ? BLOCK_KILLABLE : BLOCK_INTERRUPTIBLE);
        if (err == 0) {
            continue;
        }
        spin_lock(&l->lock);
        bool received = !killable && l->killable && n->state == NOTIFY_SENT;
        if (n->state != NOTIFY_REPLIED && list_empty(&n->addfds) && !received) {
            return err;
        }
        spin_unlock(&l->lock);
    }
}

/* False: nobody listens. */
static bool announce(struct seccomp_listener *l, struct notification *n) {
    spin_lock(&l->lock);
    bool closed = l->closed;
    if (!closed) {
        n->id = l->next_id++;
        l->requests++;
        list_push_back(&l->waiting, &n->link);
    }
    spin_unlock(&l->lock);
    if (!closed) {
        waitq_wake(&l->waitq, POLLIN | POLLRDNORM);
    }
    return !closed;
}

bool seccomp_notify(struct task *t, struct seccomp_listener *l, const struct seccomp_data *data,
                    int64_t *out_result) {
    struct notification n = {.task = t, .data = data};
    struct addfd *a;
    struct addfd *tmp;

    list_init(&n.addfds);
    if (!announce(l, &n)) {
        *out_result = -ENOSYS;
        return false;
    }
    int err = await_reply(l, &n);
    list_del_init(&n.link);
    list_for_each_entry_safe (a, tmp, &n.addfds, link) {
        list_del_init(&a->link);
        a->result = -ESRCH;
        a->done = true;
        task_wake(a->supervisor);
    }
    spin_unlock(&l->lock);
    *out_result = err != 0 ? -ERESTARTSYS : n.error != 0 ? n.error : n.val;
    return err == 0 && (n.flags & SECCOMP_USER_NOTIF_FLAG_CONTINUE) != 0;
}

/* ---- the supervisor's side ---- */

/* Lock held. */
static struct notification *find(struct seccomp_listener *l, uint64_t id) {
    struct notification *n;

    list_for_each_entry (n, &l->waiting, link) {
        if (n->id == id) {
            return n;
        }
    }
    return NULL;
}

static struct notification *find_in_state(struct seccomp_listener *l, enum notify_state state) {
    struct notification *n;

    list_for_each_entry (n, &l->waiting, link) {
        if (n->state == state) {
            return n;
        }
    }
    return NULL;
}

static bool may_receive(void *arg) {
    struct seccomp_listener *l = arg;

    spin_lock(&l->lock);
    bool ready = l->requests > 0 || l->orphaned;
    spin_unlock(&l->lock);
    return ready;
}

/* The oldest call nobody has received yet: 0, or -ENOENT when it gave up or no caller is left. */
static int receive(struct seccomp_listener *l, struct seccomp_notif *out) {
    spin_lock(&l->lock);
    struct notification *n = l->requests > 0 ? find_in_state(l, NOTIFY_NEW) : NULL;
    l->requests -= l->requests > 0 ? 1 : 0;
    if (n != NULL) {
        n->state = NOTIFY_SENT;
        out->id = n->id;
        out->pid = n->task->process->container == current->process->container
                       ? (uint32_t)n->task->tid
                       : 0; /* not in its pid name space */
        out->data = *n->data;
    }
    spin_unlock(&l->lock);
    return n != NULL ? 0 : -ENOENT;
}

/* The supervisor did not get it: somebody else may. */
static void unreceive(struct seccomp_listener *l, uint64_t id) {
    spin_lock(&l->lock);
    struct notification *n = find(l, id);
    bool again = n != NULL && n->state == NOTIFY_SENT;
    if (again) {
        n->state = NOTIFY_NEW;
        l->requests++;
    }
    spin_unlock(&l->lock);
    if (again) {
        waitq_wake(&l->waitq, POLLIN | POLLRDNORM);
    }
}

static int64_t notif_recv(struct seccomp_listener *l, struct uaddr arg) {
    static const struct seccomp_notif zeros;
    struct seccomp_notif n;

    if (copyin(&n, arg, sizeof(n)) != 0) {
        return -EFAULT;
    }
    if (memcmp(&n, &zeros, sizeof(n)) != 0) {
        return -EINVAL; /* kept for what may be asked for one day */
    }
    if (waitq_wait(&l->waitq, may_receive, l, NO_DEADLINE, BLOCK_INTERRUPTIBLE) != 0) {
        return -ERESTARTSYS;
    }
    int err = receive(l, &n);
    if (err != 0) {
        return err;
    }
    waitq_wake(&l->waitq, POLLOUT | POLLWRNORM);
    if (copyout(arg, &n, sizeof(n)) != 0) {
        unreceive(l, n.id);
        return -EFAULT;
    }
    return 0;
}

/* The notification that may be answered now, lock held: 0, -ENOENT or -EINPROGRESS. */
static int find_sent(struct seccomp_listener *l, uint64_t id, struct notification **out) {
    *out = find(l, id);
    if (*out == NULL) {
        return -ENOENT;
    }
    return (*out)->state == NOTIFY_SENT ? 0 : -EINPROGRESS;
}

static int64_t notif_send(struct seccomp_listener *l, struct uaddr arg) {
    struct seccomp_notif_resp r;
    struct notification *n;

    if (copyin(&r, arg, sizeof(r)) != 0) {
        return -EFAULT;
    }
    if ((r.flags & ~(uint32_t)SECCOMP_USER_NOTIF_FLAG_CONTINUE) != 0 ||
        (r.flags != 0 && (r.error != 0 || r.val != 0))) {
        return -EINVAL;
    }
    spin_lock(&l->lock);
    int err = find_sent(l, r.id, &n);
    if (err == 0) {
        n->state = NOTIFY_REPLIED;
        n->val = r.val;
        n->error = r.error;
        n->flags = r.flags;
        task_wake(n->task);
    }
    spin_unlock(&l->lock);
    return err;
}

static int64_t notif_id_valid(struct seccomp_listener *l, struct uaddr arg) {
    struct notification *n;
    uint64_t id;

    if (copyin(&id, arg, sizeof(id)) != 0) {
        return -EFAULT;
    }
    spin_lock(&l->lock);
    int err = find_sent(l, id, &n);
    spin_unlock(&l->lock);
    return err != 0 ? -ENOENT : 0;
}

/* Who answers is woken on this virtual CPU anyway: the flag changes nothing. */
static int64_t notif_set_flags(uint64_t flags) {
    return (flags & ~(uint64_t)SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) != 0 ? -EINVAL : 0;
}

/* ---- descriptors for the caller ---- */

/* A struct that may grow: what this kernel does not know of it must be zero. */
static int copy_addfd(struct seccomp_notif_addfd *out, struct uaddr arg, uint32_t size) {
    uint8_t rest[64];

    if (size < ADDFD_SIZE_MIN || size >= ADDFD_SIZE_MAX) {
        return -EINVAL;
    }
    if (copyin(out, arg, sizeof(*out)) != 0) {
        return -EFAULT;
    }
    for (uint32_t off = sizeof(*out); off < size;) {
        uint32_t len = MIN(size - off, (uint32_t)sizeof(rest));
        if (copyin(rest, uaddr_of(arg.v + off), len) != 0) {
            return -EFAULT;
        }
        for (uint32_t i = 0; i < len; i++) {
            if (rest[i] != 0) {
                return -E2BIG;
            }
        }
        off += len;
    }
    return 0;
}

/* Puts it before the target: 0, or why not; lock held. */
static int queue_addfd(struct seccomp_listener *l, uint64_t id, struct addfd *a) {
    struct notification *n;
    int err = find_sent(l, id, &n);

    if (err != 0) {
        return err;
    }
    if ((a->flags & SECCOMP_ADDFD_FLAG_SEND) != 0) {
        if (!list_empty(&n->addfds)) {
            return -EBUSY; /* the answer must not overtake them */
        }
        n->state = NOTIFY_REPLIED;
    }
    list_push_back(&n->addfds, &a->link);
    task_wake(n->task);
    return 0;
}

static int64_t send_addfd(struct seccomp_listener *l, uint64_t id, struct addfd *a) {
    enum block_mode mode = BLOCK_INTERRUPTIBLE;

    spin_lock(&l->lock);
    int err = queue_addfd(l, id, a);
    while (err == 0 && !a->done) {
        spin_unlock(&l->lock);
        int blocked = task_block(NO_DEADLINE, mode);
        spin_lock(&l->lock);
        if (blocked != 0 && !a->done) {
            if (!list_empty(&a->link)) { /* not taken yet: taken back */
                list_del_init(&a->link);
                struct notification *n = find(l, id);
                if (n != NULL && (a->flags & SECCOMP_ADDFD_FLAG_SEND) != 0) {
                    n->state = NOTIFY_SENT;
                }
                err = -ERESTARTSYS;
            }
            mode = BLOCK_UNINTERRUPTIBLE; /* it is being installed */
        }
    }
    spin_unlock(&l->lock);
    return err != 0 ? err : a->result;
}

static int64_t notif_addfd(struct seccomp_listener *l, struct uaddr arg, uint32_t size) {
    struct seccomp_notif_addfd want;
    int err = copy_addfd(&want, arg, size);

    if (err != 0) {
        return err;
    }
    if ((want.newfd_flags & ~(uint32_t)O_CLOEXEC) != 0 ||
        (want.flags & ~(uint32_t)(SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND)) != 0 ||
        (want.newfd != 0 && (want.flags & SECCOMP_ADDFD_FLAG_SETFD) == 0)) {
        return -EINVAL;
    }
    struct addfd a = {.supervisor = current,
                      .file = fd_get((int)want.srcfd, false),
                      .flags = want.flags,
                      .newfd = want.newfd,
                      .newfd_flags = want.newfd_flags};
    if (a.file == NULL) {
        return -EBADF;
    }
    list_init(&a.link);
    int64_t result = send_addfd(l, want.id, &a);
    file_put(a.file);
    return result;
}

/* ---- the file ---- */

static int64_t notify_ioctl(struct file *file, uint32_t request, struct uaddr arg) {
    struct seccomp_listener *l = file->private;

    switch (request) {
    case SECCOMP_IOCTL_NOTIF_RECV:
        return notif_recv(l, arg);
    case SECCOMP_IOCTL_NOTIF_SEND:
        return notif_send(l, arg);
    case SECCOMP_IOCTL_NOTIF_ID_VALID:
    case NOTIF_ID_VALID_OLD:
        return notif_id_valid(l, arg);
    case SECCOMP_IOCTL_NOTIF_SET_FLAGS:
        return notif_set_flags(arg.v);
    default:
        break;
    }
    /* ADDFD of any size. */
    uint32_t sized = _IOC(_IOC_WRITE, SECCOMP_IOC_MAGIC, 3, _IOC_SIZE(request));
    return request == sized ? notif_addfd(l, arg, _IOC_SIZE(request)) : -EINVAL;
}

static uint32_t notify_poll(struct file *file, struct poll_table *table) {
    struct seccomp_listener *l = file->private;
    uint32_t events = 0;

    poll_wait(table, &l->waitq);
    spin_lock(&l->lock);
    if (find_in_state(l, NOTIFY_NEW) != NULL) {
        events |= POLLIN | POLLRDNORM;
    }
    if (find_in_state(l, NOTIFY_SENT) != NULL) {
        events |= POLLOUT | POLLWRNORM;
    }
    if (l->orphaned) {
        events |= POLLHUP;
    }
    spin_unlock(&l->lock);
    return events;
}

/* Calls that wait get the error they would have got without a listener. */
static void notify_release(struct file *file) {
    struct seccomp_listener *l = file->private;
    struct notification *n;

    spin_lock(&l->lock);
    l->closed = true;
    list_for_each_entry (n, &l->waiting, link) {
        if (n->state != NOTIFY_REPLIED) {
            n->state = NOTIFY_REPLIED;
            n->error = -ENOSYS;
            n->val = 0;
            task_wake(n->task);
        }
    }
    spin_unlock(&l->lock);
    listener_put(l);
}

static const struct file_ops g_notify_ops = {
    .release = notify_release,
    .ioctl = notify_ioctl,
    .poll = notify_poll,
};

int seccomp_listener_create(bool killable, struct seccomp_listener **out, struct file **out_file) {
    struct seccomp_listener *l = kzalloc(sizeof(*l));

    if (l == NULL) {
        return -ENOMEM;
    }
    spin_init(&l->lock, RANK_FILE);
    list_init(&l->waiting);
    waitq_init(&l->waitq);
    hal_random(&l->next_id, sizeof(l->next_id));
    l->killable = killable;
    ref_init(&l->ref);
    int err = file_anon(NOTIFY_NAME, &g_notify_ops, l, O_RDWR, out_file);
    if (err != 0) {
        kfree(l);
        return err;
    }
    ref_get(&l->ref); /* the filter's */
    *out = l;
    return 0;
}
