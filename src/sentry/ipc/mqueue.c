/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX message queues: names, opening, attributes, notification.  mq_open(3), mq_unlink(3),
 * mq_notify(3), mq_getsetattr(2).
 */
#include "ipc/mqueue.h"

#include "base/fmt.h"
#include "base/string.h"
#include "fs/poll.h"
#include "ipc/ipc.h"
#include "kernel/container.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <asm/resource.h>
#include <linux/capability.h>
#include <linux/fcntl.h>

static struct spinlock g_mqueue_lock = SPINLOCK_INIT(RANK_FILES);
static struct list g_mqueues = {&g_mqueues, &g_mqueues};

enum { NOTIFY_SIGNAL = 0, NOTIFY_NONE = 1 }; /* SIGEV_SIGNAL, SIGEV_NONE */

struct user_sigevent {
    uint64_t value;
    int32_t signo;
    int32_t notify;
    uint8_t rest[48];
};

/* ---- life ------------------------------------------------------------------------------- */

void mqueue_put(struct mqueue *q) {
    if (!ref_put(&q->ref)) {
        return;
    }
    struct mq_message *m, *next;
    list_for_each_entry_safe (m, next, &q->messages, link) {
        kfree(m);
    }
    if (q->notify != NULL) {
        process_put(q->notify);
    }
    kfree(q);
}

struct process *mqueue_notify_end(struct mqueue *q) {
    struct process *p = q->notify;
    q->notify = NULL;
    return p;
}

/* Each close by the registered process ends its registration: mq_notify(3). */
static int mqueue_flush(struct file *file) {
    struct mqueue *q = file->private;
    struct process *gone = NULL;
    spin_lock(&q->lock);
    if (q->notify == current->process) {
        gone = mqueue_notify_end(q);
    }
    spin_unlock(&q->lock);
    if (gone != NULL) {
        process_put(gone);
    }
    return 0;
}

static void mqueue_release(struct file *file) {
    mqueue_put(file->private);
}

static uint32_t mqueue_poll(struct file *file, struct poll_table *table) {
    struct mqueue *q = file->private;
    poll_wait(table, &q->waitq);
    int64_t count = atomic_load(&q->count);
    return (count > 0 ? POLLIN | POLLRDNORM : 0) | (count < q->max_msg ? POLLOUT | POLLWRNORM : 0);
}

/* The line that a file of the mqueue filesystem shows: mq_overview(7). */
static int64_t mqueue_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct mqueue *q = file->private;
    char text[80];
    spin_lock(&q->lock);
    size_t len = fmt_snprintf(
        text, sizeof(text), "QSIZE:%-10llu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
        (unsigned long long)q->bytes, q->notify != NULL && q->notify_signal == 0,
        q->notify != NULL ? q->notify_signal : 0, q->notify != NULL ? q->notify->pid : 0);
    spin_unlock(&q->lock);
    len = MIN(len, sizeof(text) - 1);
    if (*pos >= len) {
        return 0;
    }
    int64_t n = iter_copy_to(to, text + *pos, MIN(len - *pos, iter_left(to)));
    *pos += n > 0 ? (uint64_t)n : 0;
    return n;
}

const struct file_ops g_mqueue_ops = {
    .flush = mqueue_flush,
    .release = mqueue_release,
    .poll = mqueue_poll,
    .read = mqueue_read,
};

struct file *mqueue_file_get(int fd, struct mqueue **out, int *out_err) {
    struct file *file = fd_get(fd, false);
    if (file != NULL && file->ops != &g_mqueue_ops) {
        file_put(file);
        file = NULL;
    }
    *out = file != NULL ? file->private : NULL;
    *out_err = -EBADF;
    return file;
}

/* ---- names ------------------------------------------------------------------------------ */

/* Under g_mqueue_lock. */
static struct mqueue *mqueue_find(const char *name) {
    struct mqueue *q;
    list_for_each_entry (q, &g_mqueues, link) {
        if (q->container == current->process->member->ipc && strcmp(q->name, name) == 0) {
            return q;
        }
    }
    return NULL;
}

static int mqueue_name_in(char name[MQ_NAME_MAX + 2], struct uaddr user) {
    int64_t len = copyin_str(name, user, MQ_NAME_MAX + 2);
    if (len < 0) {
        return (int)len;
    }
    if (len > MQ_NAME_MAX) {
        return -ENAMETOOLONG;
    }
    if (len == 0) {
        return -ENOENT;
    }
    return strchr(name, '/') != NULL ? -EACCES : 0;
}

static bool mqueue_permitted(const struct mqueue *q, uint32_t oflag) {
    const struct cred *c = current->cred;
    static const uint32_t wants[4] = {04, 02, 06, 06};
    uint32_t granted = q->mode;
    if (c->fsuid == q->uid) {
        granted >>= 6;
    } else if (cred_in_group(c, q->gid)) {
        granted >>= 3;
    }
    return (wants[oflag & O_ACCMODE] & ~granted) == 0 || capable(CAP_DAC_OVERRIDE);
}

static int mqueue_check_attr(const struct user_mq_attr *attr) {
    bool large = capable(CAP_SYS_RESOURCE);
    int64_t max_msg = large ? MQ_MSG_HARD_MAX : MQ_MSG_MAX;
    int64_t max_size = large ? MQ_SIZE_HARD_MAX : MQ_SIZE_MAX;
    bool ok = attr->max_msg > 0 && attr->max_msg <= max_msg && attr->msg_size > 0 &&
              attr->msg_size <= max_size;
    return ok ? 0 : -EINVAL;
}

static struct mqueue *mqueue_new(const char *name, uint32_t mode, const struct user_mq_attr *attr) {
    struct mqueue *q = kzalloc(sizeof(*q));
    if (q == NULL) {
        return NULL;
    }
    ref_init(&q->ref);
    list_init(&q->link);
    list_init(&q->messages);
    spin_init(&q->lock, RANK_FILE);
    waitq_init(&q->waitq);
    (void)strlcpy(q->name, name, sizeof(q->name)); /* checked to fit */
    q->container = current->process->member->ipc;
    q->uid = current->cred->fsuid;
    q->gid = current->cred->fsgid;
    q->mode = mode & 0777 & ~current->fs->umask;
    q->max_msg = attr->max_msg;
    q->msg_size = attr->msg_size;
    q->cost = (uint64_t)attr->max_msg * ((uint64_t)attr->msg_size + sizeof(struct mq_message));
    return q;
}

/* Enters a new queue; under g_mqueue_lock: 0, -ENOSPC, -EMFILE (RLIMIT_MSGQUEUE, counted for the
 * container). */
static int mqueue_enter(struct mqueue *fresh, uint64_t cost_max) {
    struct mqueue *q;
    uint32_t count = 0;
    uint64_t cost = fresh->cost;
    list_for_each_entry (q, &g_mqueues, link) {
        if (q->container == fresh->container) {
            count++;
            cost += q->cost;
        }
    }
    if (count >= MQ_QUEUES_MAX) {
        return -ENOSPC;
    }
    if (cost > cost_max) {
        return -EMFILE;
    }
    list_push_back(&g_mqueues, &fresh->link);
    return 0;
}

/* Finds or enters: the queue in *out, referenced.  `fresh` (may be NULL) stays the caller's unless
 * it is *out. */
static int mqueue_lookup(const char *name, uint32_t oflag, struct mqueue *fresh,
                         struct mqueue **out) {
    int err = 0;
    uint64_t cost_max = rlimit_get(RLIMIT_MSGQUEUE);
    spin_lock(&g_mqueue_lock);
    struct mqueue *q = mqueue_find(name);
    if (q != NULL) {
        bool exclusive = (oflag & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
        err = exclusive ? -EEXIST : (mqueue_permitted(q, oflag) ? 0 : -EACCES);
    } else if (fresh == NULL) {
        err = -ENOENT;
    } else {
        err = mqueue_enter(fresh, cost_max);
        q = fresh;
    }
    if (err == 0) {
        ref_get(&q->ref);
        *out = q;
    }
    spin_unlock(&g_mqueue_lock);
    return err;
}

static int mqueue_prepare(const char *name, const struct sysargs *args, struct mqueue **out) {
    struct user_mq_attr attr = {.max_msg = MQ_MSG_DEFAULT, .msg_size = MQ_SIZE_DEFAULT};
    *out = NULL;
    if ((args->a[1] & O_CREAT) == 0) {
        return 0;
    }
    if (args->a[3] != 0) {
        int err = copyin(&attr, uaddr_of(args->a[3]), sizeof(attr));
        if (err == 0) {
            err = mqueue_check_attr(&attr);
        }
        if (err != 0) {
            return err;
        }
    }
    *out = mqueue_new(name, (uint32_t)args->a[2], &attr);
    return *out == NULL ? -ENOMEM : 0;
}

static int mqueue_open_file(struct mqueue *q, uint32_t oflag) {
    struct file *file;
    int err = file_anon("mqueue", &g_mqueue_ops, q, oflag & (O_ACCMODE | O_NONBLOCK), &file);
    if (err != 0) {
        mqueue_put(q);
        return err;
    }
    file->mode &= ~FMODE_STREAM;
    return fd_give(file, true); /* mq_open(3): close-on-exec always */
}

int64_t sys_mq_open(struct task *t, const struct sysargs *args) {
    char name[MQ_NAME_MAX + 2];
    struct mqueue *fresh, *q;
    uint32_t oflag = (uint32_t)args->a[1];
    int err = mqueue_name_in(name, uaddr_of(args->a[0]));
    if (err == 0 && (oflag & O_ACCMODE) == O_ACCMODE) {
        err = -EINVAL;
    }
    if (err == 0) {
        err = mqueue_prepare(name, args, &fresh);
    }
    if (err != 0) {
        return err;
    }
    err = mqueue_lookup(name, oflag, fresh, &q);
    if (fresh != NULL && (err != 0 || q != fresh)) {
        mqueue_put(fresh); /* else the name keeps its first reference */
    }
    return err != 0 ? err : mqueue_open_file(q, oflag);
}

int64_t sys_mq_unlink(struct task *t, const struct sysargs *args) {
    char name[MQ_NAME_MAX + 2];
    int err = mqueue_name_in(name, uaddr_of(args->a[0]));
    if (err != 0) {
        return err;
    }
    spin_lock(&g_mqueue_lock);
    struct mqueue *q = mqueue_find(name);
    if (q == NULL) {
        err = -ENOENT;
    } else if (current->cred->fsuid != q->uid && !capable(CAP_FOWNER)) {
        err = -EPERM; /* the directory of queues is sticky */
    } else {
        list_del_init(&q->link);
    }
    spin_unlock(&g_mqueue_lock);
    if (err == 0) {
        mqueue_put(q);
    }
    return err;
}

void mqueue_container_gone(struct container *c) {
    struct mqueue *q, *found;
    do {
        found = NULL;
        spin_lock(&g_mqueue_lock);
        list_for_each_entry (q, &g_mqueues, link) {
            if (q->container == c) {
                found = q;
                list_del_init(&q->link);
                break;
            }
        }
        spin_unlock(&g_mqueue_lock);
        if (found != NULL) {
            mqueue_put(found);
        }
    } while (found != NULL);
}

/* ---- attributes and notification ---------------------------------------------------------- */

static int mqueue_getset(struct file *file, struct mqueue *q, const struct sysargs *args) {
    struct user_mq_attr new_attr, old = {.max_msg = q->max_msg, .msg_size = q->msg_size};
    int err = args->a[1] != 0 ? copyin(&new_attr, uaddr_of(args->a[1]), sizeof(new_attr)) : 0;
    if (err == 0 && args->a[1] != 0 && (new_attr.flags & ~(int64_t)O_NONBLOCK) != 0) {
        err = -EINVAL;
    }
    if (err != 0) {
        return err;
    }
    old.flags = atomic_load(&file->flags) & O_NONBLOCK;
    old.cur_msgs = atomic_load(&q->count);
    if (args->a[1] != 0) {
        (void)atomic_fetch_and(&file->flags, ~(uint32_t)O_NONBLOCK);
        (void)atomic_fetch_or(&file->flags, (uint32_t)new_attr.flags);
    }
    return args->a[2] != 0 ? copyout(uaddr_of(args->a[2]), &old, sizeof(old)) : 0;
}

int64_t sys_mq_getsetattr(struct task *t, const struct sysargs *args) {
    struct mqueue *q;
    int err;
    struct file *file = mqueue_file_get((int32_t)args->a[0], &q, &err);
    if (file != NULL) {
        err = mqueue_getset(file, q, args);
        file_put(file);
    }
    return err;
}

static int mqueue_register(struct mqueue *q, const struct user_sigevent *event) {
    int err = 0;
    spin_lock(&q->lock);
    if (q->notify != NULL) {
        err = -EBUSY;
    } else {
        q->notify = current->process;
        process_get(q->notify);
        q->notify_signal = event->notify == NOTIFY_SIGNAL ? event->signo : 0;
        q->notify_value = event->value;
    }
    spin_unlock(&q->lock);
    return err;
}

int64_t sys_mq_notify(struct task *t, const struct sysargs *args) {
    struct user_sigevent event;
    struct mqueue *q;
    int err = args->a[1] != 0 ? copyin(&event, uaddr_of(args->a[1]), sizeof(event)) : 0;
    if (err != 0) {
        return err;
    }
    if (args->a[1] != 0) {
        bool ok = event.notify == NOTIFY_NONE ||
                  (event.notify == NOTIFY_SIGNAL && event.signo > 0 && event.signo <= NSIG_MAX);
        if (!ok) {
            return -EINVAL;
        }
    }
    struct file *file = mqueue_file_get((int32_t)args->a[0], &q, &err);
    if (file == NULL) {
        return err;
    }
    err = args->a[1] != 0 ? mqueue_register(q, &event) : mqueue_flush(file);
    file_put(file);
    return err;
}
