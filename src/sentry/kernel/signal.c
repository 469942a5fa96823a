/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals: queues, dispositions, masks and the flags that say whether there is something to deliver
 * (signal(7)).
 *
 * Locks: process->sig_lock guards queues, masks and the stop state; sig_actions->lock the
 * dispositions, inside it.
 */
#include "base/string.h"
#include "kernel/container.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "kernel/wait.h"

#include <linux/errno.h>
#include <linux/resource.h>
#include <linux/signal.h>

/* Default actions other than "terminate" (signal(7)). */
#define DEFAULT_IGNORE (SIG_BIT(SIGCHLD) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH) | SIG_BIT(SIGCONT))

/* ---- queues ---- */

void sig_queue_init(struct sig_queue *q) {
    q->set = 0;
    list_init(&q->infos);
}

static void sig_entry_free(struct sig_entry *e) {
    if (e->user != NULL) {
        (void)atomic_fetch_sub(&e->user->signals, 1u);
        user_counts_put(e->user);
    }
    kfree(e);
}

void sig_queue_flush(struct sig_queue *q, sigset64 set) {
    struct sig_entry *e;
    struct sig_entry *tmp;

    if ((q->set & set) == 0) {
        return;
    }
    q->set &= ~set;
    list_for_each_entry_safe (e, tmp, &q->infos, link) {
        if ((SIG_BIT(e->info.signo) & set) != 0) {
            list_del_init(&e->link);
            sig_entry_free(e);
        }
    }
}

/* Takes `signo`, which is in q->set.  A signal whose info could not be queued comes back bare. */
static void sig_queue_take(struct sig_queue *q, int signo, struct ksiginfo *out_info) {
    struct sig_entry *found = NULL;
    struct sig_entry *e;
    bool more = false;

    list_for_each_entry (e, &q->infos, link) {
        if (e->info.signo != signo) {
            continue;
        }
        if (found != NULL) {
            more = true;
            break;
        }
        found = e;
    }
    if (!more) {
        q->set &= ~SIG_BIT(signo);
    }
    if (found == NULL) {
        memset(out_info, 0, sizeof(*out_info));
        out_info->signo = signo;
        out_info->code = SI_USER;
        return;
    }
    *out_info = found->info;
    list_del_init(&found->link);
    sig_entry_free(found);
}

/* Signals that report a fault of the running instruction go first (Linux: SYNCHRONOUS_MASK). */
#define SYNCHRONOUS                                                                                \
    (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE) |   \
     SIG_BIT(SIGSYS))

static int sig_first(sigset64 set) {
    if ((set & SYNCHRONOUS) != 0) {
        set &= SYNCHRONOUS;
    }
    return set == 0 ? 0 : __builtin_ctzll(set) + 1;
}

int signal_dequeue_locked(struct task *t, sigset64 set, struct ksiginfo *out_info) {
    struct sig_queue *q = &t->pending;
    int signo = sig_first(q->set & set);

    if (signo == 0) {
        q = &t->process->pending;
        signo = sig_first(q->set & set);
    }
    if (signo != 0) {
        sig_queue_take(q, signo, out_info);
    }
    return signo;
}

bool signal_dequeue(sigset64 set, struct ksiginfo *out_info) {
    struct task *t = current;

    spin_lock(&t->process->sig_lock);
    int signo = signal_dequeue_locked(t, set, out_info);
    signal_recalc(t);
    spin_unlock(&t->process->sig_lock);
    return signo != 0;
}

/* ---- dispositions ---- */

struct sig_actions *sig_actions_create(const struct sig_actions *from) {
    struct sig_actions *a = kzalloc(sizeof(*a));

    if (a == NULL) {
        return NULL;
    }
    ref_init(&a->ref);
    spin_init(&a->lock, RANK_SIGACTION);
    if (from != NULL) {
        struct sig_actions *src = (struct sig_actions *)(uintptr_t)from; /* its lock is taken */
        spin_lock(&src->lock);
        memcpy(a->sa, src->sa, sizeof(a->sa));
        spin_unlock(&src->lock);
    }
    return a;
}

void sig_actions_put(struct sig_actions *a) {
    if (ref_put(&a->ref)) {
        kfree(a);
    }
}

uint64_t signal_handler(struct process *p, int signo) {
    spin_lock(&p->actions->lock);
    uint64_t handler = p->actions->sa[signo - 1].handler;
    spin_unlock(&p->actions->lock);
    return handler;
}

bool signal_default_ignored(int signo) {
    return (SIG_BIT(signo) & DEFAULT_IGNORE) != 0;
}

void signal_sets(struct process *p, sigset64 *out_pending, sigset64 *out_ignored,
                 sigset64 *out_caught) {
    sigset64 ignored = 0;
    sigset64 caught = 0;

    spin_lock(&p->sig_lock);
    *out_pending = p->pending.set;
    spin_lock(&p->actions->lock);
    for (int i = 1; i <= NSIG_MAX; i++) {
        uint64_t handler = p->actions->sa[i - 1].handler;
        ignored |= handler == SIG_HANDLER_IGN ? SIG_BIT(i) : 0;
        caught |= handler != SIG_HANDLER_IGN && handler != SIG_HANDLER_DFL ? SIG_BIT(i) : 0;
    }
    spin_unlock(&p->actions->lock);
    spin_unlock(&p->sig_lock);
    *out_ignored = ignored;
    *out_caught = caught;
}

bool signal_ignored_or_blocked(int signo) {
    struct task *t = current;

    return (t->blocked & SIG_BIT(signo)) != 0 ||
           signal_handler(t->process, signo) == SIG_HANDLER_IGN;
}

/* ---- pending flags ---- */

void signal_recalc(struct task *t) {
    struct process *p = t->process;
    sigset64 deliverable = (t->pending.set | p->pending.set) & ~t->blocked;

    if (deliverable != 0 || p->cld_notify != 0 || (p->stopped && !t->parked)) {
        (void)atomic_fetch_or(&t->flags, (uint32_t)TASK_F_SIGPENDING);
    } else {
        (void)atomic_fetch_and(&t->flags, ~(uint32_t)TASK_F_SIGPENDING);
    }
}

bool signal_pending(struct task *t) {
    return (atomic_load(&t->flags) & (TASK_F_SIGPENDING | TASK_F_KILLED)) != 0;
}

bool signal_fatal_pending(struct task *t) {
    return (atomic_load(&t->flags) & TASK_F_KILLED) != 0;
}

void signal_wake(struct task *t) {
    (void)atomic_fetch_or(&t->flags, (uint32_t)TASK_F_SIGPENDING);
    task_interrupt(t, false);
}

void signal_kill_threads(struct process *p, struct task *except) {
    struct task *t;

    list_for_each_entry (t, &p->threads, thread_link) {
        if (t != except) {
            (void)atomic_fetch_or(&t->flags, (uint32_t)(TASK_F_KILLED | TASK_F_SIGPENDING));
            task_interrupt(t, true);
        }
    }
}

void signal_group_exit(struct process *p, int32_t code) {
    if (p->group_exit) {
        return;
    }
    p->group_exit = true;
    p->exit_code = code;
    p->stopped = false;
    p->stop_left = 0;
    signal_kill_threads(p, NULL);
    waitq_wake(&p->stop_wait, UINT32_MAX);
}

struct waitq *signal_waitq(struct process *p) {
    return &p->sig_wait;
}

/* ---- masks ---- */

void signal_mask_set(sigset64 mask) {
    struct task *t = current;

    spin_lock(&t->process->sig_lock);
    t->blocked = mask & ~SIG_KERNEL_ONLY;
    signal_recalc(t);
    spin_unlock(&t->process->sig_lock);
}

void signal_mask_temporary(sigset64 mask) {
    struct task *t = current;

    if (!t->restore_mask) {
        t->saved_mask = t->blocked;
        t->restore_mask = true;
    }
    signal_mask_set(mask);
}

void signal_mask_restore(struct task *t) {
    if (t->restore_mask) {
        t->restore_mask = false;
        signal_mask_set(t->saved_mask);
    }
}
