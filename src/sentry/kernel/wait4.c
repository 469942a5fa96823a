/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait4(2), waitid(2).
 *
 * A child's news are found and taken under g_tasklist_lock, so that no two threads get the same;
 * user memory is written afterwards.
 */
#include "base/string.h"
#include "fs/vfs.h"
#include "kernel/container.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "kernel/wait.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/errno.h>
#include <linux/signal.h>
#include <linux/wait.h>

enum wait_who { WAIT_ANY, WAIT_PID, WAIT_GROUP };

struct wait_query {
    enum wait_who who;
    int32_t id;
    uint32_t options; /* W* */
};

struct wait_news {
    int32_t pid; /* 0: none */
    uint32_t uid;
    int code;       /* CLD_* */
    int32_t status; /* what goes with code */
    int32_t raw;    /* wait status */
    char rusage[RUSAGE_SIZE];
    struct process *reaped;
};

static bool matches(const struct process *child, const struct wait_query *q) {
    if (q->who == WAIT_PID && child->pid != q->id) {
        return false;
    }
    if (q->who == WAIT_GROUP && (child->pgrp == NULL || child->pgrp->id != q->id)) {
        return false;
    }
    /* "Clone" children are those that tell by another signal than SIGCHLD (wait(2), Linux notes).
     */
    if ((q->options & __WALL) != 0) {
        return true;
    }
    return (child->exit_signal != SIGCHLD) == ((q->options & __WCLONE) != 0);
}

static void fill_who(struct process *child, struct wait_news *news) {
    const struct cred *c = task_cred_get(child->leader); /* there until the child is reaped */

    news->pid = child->pid;
    news->uid = c->uid;
    cred_put(c);
}

/* What the children of a reaped child used counts for the parent too (getrusage(2),
 * RUSAGE_CHILDREN). */
static void account(struct process *self, struct process *child, struct wait_news *news) {
    const struct usage u = {.user_ns = child->dead_cpu_user_ns + child->child_cpu_user_ns,
                            .sys_ns = child->dead_cpu_sys_ns + child->child_cpu_sys_ns,
                            .max_rss_pages = MAX(child->max_rss, child->child_max_rss),
                            .min_flt = child->min_flt + child->child_min_flt,
                            .nvcsw = child->dead_nvcsw + child->child_nvcsw,
                            .nivcsw = child->dead_nivcsw + child->child_nivcsw};

    rusage_make(&u, news->rusage);
    if (news->reaped != NULL) {
        self->child_cpu_user_ns += u.user_ns;
        self->child_cpu_sys_ns += u.sys_ns;
        self->child_max_rss = MAX(self->child_max_rss, u.max_rss_pages);
        self->child_min_flt += u.min_flt;
        self->child_nvcsw += u.nvcsw;
        self->child_nivcsw += u.nivcsw;
        spin_lock(&self->sig_lock);
        io_counts_add(&self->dead_io, &child->dead_io); /* all its threads are gone */
        spin_unlock(&self->sig_lock);
    }
}

static bool take_zombie(struct process *self, struct process *child, const struct wait_query *q,
                        struct wait_news *news) {
    if (!child->zombie || (q->options & WEXITED) == 0) {
        return false;
    }
    fill_who(child, news);
    news->raw = child->exit_code;
    news->code = wait_code(child->exit_code, &news->status);
    if ((q->options & WNOWAIT) == 0) {
        process_unlink(child);
        news->reaped = child;
    }
    account(self, child, news);
    return true;
}

static bool take_event(struct process *child, const struct wait_query *q, struct wait_news *news) {
    bool found = false;

    spin_lock(&child->sig_lock);
    if ((q->options & WSTOPPED) != 0 && (child->wait_flags & WAIT_EVENT_STOPPED) != 0) {
        found = true;
        news->code = CLD_STOPPED;
        news->status = child->stop_signal;
        news->raw = (child->stop_signal << 8) | 0x7f;
        child->wait_flags &= (q->options & WNOWAIT) != 0 ? UINT32_MAX : ~WAIT_EVENT_STOPPED;
    } else if ((q->options & WCONTINUED) != 0 && (child->wait_flags & WAIT_EVENT_CONTINUED) != 0) {
        found = true;
        news->code = CLD_CONTINUED;
        news->status = SIGCONT;
        news->raw = 0xffff;
        child->wait_flags &= (q->options & WNOWAIT) != 0 ? UINT32_MAX : ~WAIT_EVENT_CONTINUED;
    }
    spin_unlock(&child->sig_lock);
    if (found) {
        fill_who(child, news);
        const struct usage u = {.user_ns = child->dead_cpu_user_ns,
                                .sys_ns = child->dead_cpu_sys_ns,
                                .max_rss_pages = child->max_rss};
        rusage_make(&u, news->rusage);
    }
    return found;
}

/* One look over the children: 0 with news->pid set, -EAGAIN when there may be news later, -ECHILD.
 */
static int look(struct process *self, const struct wait_query *q, struct wait_news *news) {
    struct process *child;
    int result = -ECHILD;

    spin_lock(&g_tasklist_lock);
    list_for_each_entry (child, &self->children, sibling_link) {
        if (!matches(child, q)) {
            continue;
        }
        result = -EAGAIN;
        if (take_zombie(self, child, q, news) || (!child->zombie && take_event(child, q, news))) {
            result = 0;
            break;
        }
    }
    spin_unlock(&g_tasklist_lock);
    return result;
}

static int do_wait(struct task *t, const struct wait_query *q, struct wait_news *news) {
    struct process *self = t->process;
    struct waiter w;
    int err;

    memset(news, 0, sizeof(*news));
    err = look(self, q, news);
    if (err == -EAGAIN && (q->options & WNOHANG) != 0) {
        err = 0;
    }
    if (err != -EAGAIN) {
        goto out;
    }
    waiter_init_task(&w, t);
    waitq_add(&self->child_exit, &w);
    for (;;) {
        err = look(self, q, news);
        if (err != -EAGAIN) {
            break;
        }
        if (task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE) != 0) {
            err = -ERESTARTSYS;
            break;
        }
    }
    waitq_remove(&w);
out:
    if (news->reaped != NULL) {
        process_reaped(news->reaped);
    }
    return err;
}

static int32_t own_group(struct task *t) {
    return process_pgid(t->process);
}

int64_t sys_wait4(struct task *t, const struct sysargs *args) {
    int32_t pid = (int32_t)args->a[0];
    uint32_t options = (uint32_t)args->a[2];
    struct wait_query q = {.options = options | WEXITED};
    struct wait_news news;

    if ((options &
         ~(uint32_t)(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL)) != 0) {
        return -EINVAL;
    }
    if (pid == INT32_MIN) {
        return -ESRCH;
    }
    if (pid > 0) {
        q.who = WAIT_PID;
        q.id = pid;
    } else if (pid != -1) {
        q.who = WAIT_GROUP;
        q.id = pid == 0 ? own_group(t) : -pid;
    }
    int err = do_wait(t, &q, &news);
    if (err != 0 || news.pid == 0) {
        return err;
    }
    if (args->a[1] != 0 && copyout(uaddr_of(args->a[1]), &news.raw, sizeof(news.raw)) != 0) {
        return -EFAULT;
    }
    if (args->a[3] != 0 && copyout(uaddr_of(args->a[3]), news.rusage, RUSAGE_SIZE) != 0) {
        return -EFAULT;
    }
    return news.pid;
}

/* The process a pidfd means, as a query; it must be a child all the same. */
static int query_pidfd(int32_t fd, struct wait_query *q) {
    struct file *file = fd_get(fd, false);

    if (file == NULL) {
        return -EBADF;
    }
    struct process *p = pidfd_process(file);
    if (p != NULL) {
        q->who = WAIT_PID;
        q->id = p->reaped ? -1 : p->pid;
        process_put(p);
    }
    file_put(file);
    return p == NULL ? -EBADF : 0;
}

static int waitid_query(struct task *t, int32_t type, int32_t id, struct wait_query *q) {
    switch (type) {
    case P_ALL:
        q->who = WAIT_ANY;
        return 0;
    case P_PID:
        q->who = WAIT_PID;
        q->id = id;
        return id > 0 ? 0 : -EINVAL;
    case P_PGID:
        q->who = WAIT_GROUP;
        q->id = id != 0 ? id : own_group(t);
        return id >= 0 ? 0 : -EINVAL;
    case P_PIDFD:
        return id >= 0 ? query_pidfd(id, q) : -EINVAL;
    default:
        return -EINVAL;
    }
}

int64_t sys_waitid(struct task *t, const struct sysargs *args) {
    uint32_t options = (uint32_t)args->a[3];
    struct wait_query q = {.options = options};
    struct ksiginfo info;
    struct wait_news news;

    if ((options & ~(uint32_t)(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD |
                               __WCLONE | __WALL)) != 0 ||
        (options & (WEXITED | WSTOPPED | WCONTINUED)) == 0) {
        return -EINVAL;
    }
    int err = waitid_query(t, (int32_t)args->a[0], (int32_t)args->a[1], &q);
    if (err == 0) {
        err = do_wait(t, &q, &news);
    }
    if (err != 0) {
        return err;
    }
    memset(&info, 0, sizeof(info));
    if (news.pid != 0) {
        info.signo = SIGCHLD;
        info.code = news.code;
        info.u.child.pid = news.pid;
        info.u.child.uid = news.uid;
        info.u.child.status = news.status;
    }
    if (args->a[4] != 0 && news.pid != 0 &&
        copyout(uaddr_of(args->a[4]), news.rusage, RUSAGE_SIZE) != 0) {
        return -EFAULT;
    }
    /* Only the fields that waitid(2) names are written, not all 128 bytes. */
    if (args->a[2] != 0 && copyout(uaddr_of(args->a[2]), &info, 28) != 0) {
        return -EFAULT;
    }
    return 0;
}
