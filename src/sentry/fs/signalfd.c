/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signalfd(2): a descriptor from which the caller's own pending signals are read.
 *
 * The wait queue belongs to the process that polls, not to the file, which may be shared with
 * children.  So that an epoll set or a poller never waits on the queue of a process that is gone,
 * the file keeps a reference on every process that polled it; those of which nothing else is left
 * are dropped when the next one comes.
 */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/poll.h"
#include "fs/vfs.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <asm/siginfo.h>
#include <linux/fcntl.h>
#include <linux/signalfd.h>

#define SIGNALFD_NEVER (SIG_BIT(9) | SIG_BIT(19)) /* SIGKILL and SIGSTOP cannot be taken */

struct signalfd_poller {
    struct list link;
    struct process *process; /* referenced */
};

struct signalfd {
    struct spinlock lock; /* RANK_FILE */
    sigset64 mask;        /* guarded by lock */
    struct list pollers;  /* guarded by lock */
};

static sigset64 signalfd_mask(struct signalfd *s) {
    return atomic_load(&s->mask);
}

/* ---- reading ---------------------------------------------------------------------------- */

/* The fields that each origin of a signal fills: signalfd(2). */
static void signalfd_fill(struct signalfd_siginfo *out, const struct ksiginfo *in) {
    memset(out, 0, sizeof(*out));
    out->ssi_signo = (uint32_t)in->signo;
    out->ssi_errno = in->error;
    out->ssi_code = in->code;
    switch (in->signo) {
    case 17: /* SIGCHLD */
        if (in->code > 0) {
            out->ssi_pid = (uint32_t)in->u.child.pid;
            out->ssi_uid = in->u.child.uid;
            out->ssi_status = in->u.child.status;
            out->ssi_utime = (uint64_t)in->u.child.utime;
            out->ssi_stime = (uint64_t)in->u.child.stime;
            return;
        }
        break;
    case 4:  /* SIGILL */
    case 5:  /* SIGTRAP */
    case 7:  /* SIGBUS */
    case 8:  /* SIGFPE */
    case 11: /* SIGSEGV */
        if (in->code > 0) {
            out->ssi_addr = in->u.fault.addr;
            out->ssi_addr_lsb = (uint16_t)in->u.fault.addr_lsb;
            return;
        }
        break;
    case 29: /* SIGIO */
        if (in->code > 0) {
            out->ssi_band = (uint32_t)in->u.poll.band;
            out->ssi_fd = in->u.poll.fd;
            return;
        }
        break;
    default:
        break;
    }
    if (in->code == SI_TIMER) {
        out->ssi_tid = (uint32_t)in->u.timer.timerid;
        out->ssi_overrun = (uint32_t)in->u.timer.overrun;
        out->ssi_ptr = in->u.timer.value;
        out->ssi_int = (int32_t)in->u.timer.value;
        return;
    }
    out->ssi_pid = (uint32_t)in->u.rt.pid;
    out->ssi_uid = in->u.rt.uid;
    if (in->code < 0) {
        out->ssi_ptr = in->u.rt.value;
        out->ssi_int = (int32_t)in->u.rt.value;
    }
}

static int signalfd_wait(struct signalfd *s, struct ksiginfo *out_info) {
    struct waiter w;
    waiter_init_task(&w, current);
    waitq_add(signal_waitq(current->process), &w);
    int err = 0;
    bool got;
    while (!(got = signal_dequeue(signalfd_mask(s), out_info)) && err == 0) {
        err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
    }
    waitq_remove(&w);
    return got ? 0 : -ERESTARTSYS;
}

static int64_t signalfd_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct signalfd *s = file->private;
    struct signalfd_siginfo record;
    if (iter_left(to) < sizeof(record)) {
        return -EINVAL;
    }
    int64_t done = 0;
    while (iter_left(to) >= sizeof(record)) {
        struct ksiginfo info;
        if (!signal_dequeue(signalfd_mask(s), &info)) {
            if (done > 0) {
                break;
            }
            if ((file->flags & O_NONBLOCK) != 0) {
                return -EAGAIN;
            }
            int err = signalfd_wait(s, &info);
            if (err != 0) {
                return err;
            }
        }
        signalfd_fill(&record, &info);
        if (iter_copy_to(to, &record, sizeof(record)) != sizeof(record)) {
            return done > 0 ? done : -EFAULT;
        }
        done += sizeof(record);
    }
    return done;
}

/* ---- polling ---------------------------------------------------------------------------- */

/* Takes the pollers of which only our reference is left; their queues have no waiters any more but
 * those of this file's own epoll items, which is why a queue with waiters stays. */
static void signalfd_collect_dead(struct signalfd *s, struct list *out_dead) {
    struct signalfd_poller *p, *next;
    list_for_each_entry_safe (p, next, &s->pollers, link) {
        if (atomic_load(&p->process->ref.n) == 1 && waitq_empty(signal_waitq(p->process))) {
            list_del_init(&p->link);
            list_push_back(out_dead, &p->link);
        }
    }
}

static void signalfd_put_pollers(struct list *pollers) {
    struct signalfd_poller *p, *next;
    list_for_each_entry_safe (p, next, pollers, link) {
        process_put(p->process);
        kfree(p);
    }
}

static bool signalfd_poller_known(struct signalfd *s, const struct process *process) {
    struct signalfd_poller *p;
    list_for_each_entry (p, &s->pollers, link) {
        if (p->process == process) {
            return true;
        }
    }
    return false;
}

/* Makes sure that the current process outlives the waiters this file puts on its queue; false
 * without memory. */
static bool signalfd_hold_process(struct signalfd *s) {
    struct process *process = current->process;
    spin_lock(&s->lock);
    bool known = signalfd_poller_known(s, process);
    spin_unlock(&s->lock);
    if (known) {
        return true;
    }
    struct signalfd_poller *p = kmalloc(sizeof(*p));
    if (p == NULL) {
        return false;
    }
    p->process = process;
    process_get(process);
    struct list dead;
    list_init(&dead);
    spin_lock(&s->lock);
    if (signalfd_poller_known(s, process)) {
        list_push_back(&dead, &p->link); /* another thread of the process was first */
    } else {
        list_push_back(&s->pollers, &p->link);
    }
    signalfd_collect_dead(s, &dead);
    spin_unlock(&s->lock);
    signalfd_put_pollers(&dead);
    return true;
}

static uint32_t signalfd_poll(struct file *file, struct poll_table *table) {
    struct signalfd *s = file->private;
    struct process *process = current->process;
    if (table != NULL && table->queue != NULL && signalfd_hold_process(s)) {
        poll_wait(table, signal_waitq(process));
    }
    spin_lock(&process->sig_lock);
    sigset64 pending = current->pending.set | process->pending.set;
    spin_unlock(&process->sig_lock);
    return (pending & signalfd_mask(s)) != 0 ? POLLIN | POLLRDNORM : 0;
}

static int signalfd_show_fdinfo(struct file *file, char *buf, size_t size) {
    return (int)fmt_snprintf(buf, size, "sigmask:\t%016llx\n",
                             (unsigned long long)signalfd_mask(file->private));
}

static void signalfd_release(struct file *file) {
    struct signalfd *s = file->private;
    signalfd_put_pollers(&s->pollers);
    kfree(s);
}

static const struct file_ops g_signalfd_ops = {
    .release = signalfd_release,
    .read = signalfd_read,
    .poll = signalfd_poll,
    .show_fdinfo = signalfd_show_fdinfo,
};

/* ---- the calls -------------------------------------------------------------------------- */

static int signalfd_change(int fd, sigset64 mask) {
    struct file *file = fd_get(fd, false);
    if (file == NULL) {
        return -EBADF;
    }
    int result = -EINVAL;
    if (file->ops == &g_signalfd_ops) {
        struct signalfd *s = file->private;
        spin_lock(&s->lock);
        atomic_store(&s->mask, mask);
        spin_unlock(&s->lock);
        waitq_wake(signal_waitq(current->process), UINT32_MAX);
        result = fd;
    }
    file_put(file);
    return result;
}

static int64_t signalfd_call(int fd, struct uaddr user_mask, uint64_t size, uint32_t flags) {
    if (size != sizeof(sigset64)) {
        return -EINVAL;
    }
    sigset64 mask;
    int err = copyin(&mask, user_mask, sizeof(mask));
    if (err != 0) {
        return err;
    }
    if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    mask &= ~SIGNALFD_NEVER;
    if (fd != -1) {
        return signalfd_change(fd, mask);
    }
    struct signalfd *s = kzalloc(sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    spin_init(&s->lock, RANK_FILE);
    list_init(&s->pollers);
    s->mask = mask;
    struct file *file;
    err = file_anon("signalfd", &g_signalfd_ops, s, O_RDWR | (flags & O_NONBLOCK), &file);
    if (err != 0) {
        kfree(s);
        return err;
    }
    return fd_give(file, (flags & O_CLOEXEC) != 0);
}

int64_t sys_signalfd(struct task *t, const struct sysargs *args) {
    return signalfd_call((int)args->a[0], uaddr_of(args->a[1]), args->a[2], 0);
}

int64_t sys_signalfd4(struct task *t, const struct sysargs *args) {
    return signalfd_call((int)args->a[0], uaddr_of(args->a[1]), args->a[2], (uint32_t)args->a[3]);
}
