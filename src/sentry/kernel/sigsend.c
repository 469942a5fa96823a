/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending signals: who gets one, what it does at once, when it is not queued at all (signal(7),
 * sigqueue(3), kill(2)).
 *
 * Locks: process->sig_lock over everything here.  A signal that will end the process does so at
 * once, so that no thread has to be chosen for it.
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

/* ---- sending ---- */

static void flush_everywhere(struct process *p, sigset64 set) {
    struct task *t;

    sig_queue_flush(&p->pending, set);
    list_for_each_entry (t, &p->threads, thread_link) {
        sig_queue_flush(&t->pending, set);
    }
}

/* SIGCONT acts when it is sent, whatever becomes of it later. */
static void continue_process(struct process *p) {
    struct task *t;

    flush_everywhere(p, SIG_STOP_SET);
    if (!p->stopped) {
        return;
    }
    p->cld_notify = p->stop_left == 0 ? CLD_CONTINUED : CLD_STOPPED;
    p->stopped = false;
    p->stop_left = 0;
    p->wait_flags = (p->wait_flags & ~WAIT_EVENT_STOPPED) | WAIT_EVENT_CONTINUED;
    list_for_each_entry (t, &p->threads, thread_link) {
        t->parked = false;
        (void)atomic_fetch_or(&t->flags, (uint32_t)TASK_F_SIGPENDING);
    }
    waitq_wake(&p->stop_wait, UINT32_MAX);
}

static bool wants(struct task *t, int signo) {
    return (t->blocked & ~t->wait_set & SIG_BIT(signo)) == 0;
}

/* Nobody would notice it: not queued at all. */
static bool is_ignored(struct process *p, struct task *target, int signo, bool above) {
    struct task *t;

    if (target != NULL) {
        if (((target->blocked | target->wait_set) & SIG_BIT(signo)) != 0) {
            return false;
        }
    } else {
        list_for_each_entry (t, &p->threads, thread_link) {
            if (((t->blocked | t->wait_set) & SIG_BIT(signo)) != 0) {
                return false;
            }
        }
    }
    uint64_t handler = signal_handler(p, signo);
    if (p->unkillable && handler == SIG_HANDLER_DFL && !above) {
        return true;
    }
    return handler == SIG_HANDLER_IGN ||
           (handler == SIG_HANDLER_DFL && signal_default_ignored(signo));
}

/* A timer's signal that is still queued counts one more overrun instead of queueing
 * (timer_getoverrun(2)). */
static bool merge_timer(struct sig_queue *q, const struct ksiginfo *info) {
    struct sig_entry *e;

    list_for_each_entry (e, &q->infos, link) {
        if (e->info.code == SI_TIMER && e->info.signo == info->signo &&
            e->info.u.timer.timerid == info->u.timer.timerid) {
            e->info.u.timer.overrun++;
            return true;
        }
    }
    return false;
}

static struct user_counts *charge_user(struct process *p, bool *out_over) {
    struct task *t = p->leader;
    const struct cred *c = t != NULL ? task_cred_get(t) : NULL;
    struct user_counts *u = c != NULL ? c->user : NULL;

    *out_over = false;
    if (u != NULL) {
        ref_get(&u->ref);
        if (atomic_fetch_add(&u->signals, 1u) >= p->rlimits[RLIMIT_SIGPENDING].cur) {
            *out_over = true;
        }
    }
    cred_put(c);
    return u;
}

static void default_info(int signo, struct ksiginfo *info) {
    memset(info, 0, sizeof(*info));
    info->signo = signo;
    info->code = SI_KERNEL;
}

/* Puts it on the queue.  Only a real-time signal with a value can fail: others are then pending
 * without their info. */
static int enqueue(struct process *p, struct sig_queue *q, int signo, const struct ksiginfo *info) {
    bool over = false;
    struct ksiginfo made;

    if (info == NULL) {
        default_info(signo, &made);
        info = &made;
    }
    if (info->code == SI_TIMER && merge_timer(q, info)) {
        return 0;
    }
    struct sig_entry *e = kzalloc(sizeof(*e));
    struct user_counts *u = charge_user(p, &over);
    bool must_queue = signo >= SIGRTMIN_MOAT && info->code != SI_USER && info->code != SI_KERNEL;
    bool exempt = signo < SIGRTMIN_MOAT && info->code >= 0;

    if (e == NULL || (over && !exempt)) {
        kfree(e);
        if (u != NULL) {
            (void)atomic_fetch_sub(&u->signals, 1u);
            user_counts_put(u);
        }
        if (must_queue) {
            return -EAGAIN;
        }
        q->set |= SIG_BIT(signo);
        return 0;
    }
    e->user = u;
    e->info = *info;
    e->info.signo = signo;
    list_push_back(&q->infos, &e->link);
    q->set |= SIG_BIT(signo);
    return 0;
}

static bool ends_process(struct process *p, struct task *t, int signo, bool above) {
    if (signal_handler(p, signo) != SIG_HANDLER_DFL || signal_default_ignored(signo) ||
        (SIG_BIT(signo) & SIG_STOP_SET) != 0 || (t->wait_set & SIG_BIT(signo)) != 0) {
        return false;
    }
    return !p->unkillable || above;
}

/* Finds a thread for it and wakes that, or ends the process at once. */
static void dispatch(struct process *p, struct task *target, int signo, bool above) {
    struct task *chosen = NULL;
    struct task *t;

    if (target != NULL) {
        chosen = wants(target, signo) && !target->exited ? target : NULL;
    } else if (p->leader != NULL && !p->leader->exited && wants(p->leader, signo)) {
        chosen = p->leader;
    } else {
        list_for_each_entry (t, &p->threads, thread_link) {
            if (!t->exited && wants(t, signo)) {
                chosen = t;
                break;
            }
        }
    }
    if (chosen == NULL) {
        return; /* blocked by all: whoever unblocks it first takes it */
    }
    if (ends_process(p, chosen, signo, above)) {
        signal_group_exit(p, signo);
    } else {
        signal_wake(chosen);
    }
}

static int send_locked(struct process *p, struct task *target, int signo,
                       const struct ksiginfo *info) {
    struct sig_queue *q = target != NULL ? &target->pending : &p->pending;
    bool above = signal_from_above(info);

    if (list_empty(&p->threads) || p->group_exit || (target != NULL && target->exited)) {
        return 0; /* going already */
    }
    if (signo == SIGCONT) {
        continue_process(p);
    } else if ((SIG_BIT(signo) & SIG_STOP_SET) != 0 && !is_ignored(p, target, signo, above)) {
        flush_everywhere(p, SIG_BIT(SIGCONT));
    }
    if (is_ignored(p, target, signo, above)) {
        return 0;
    }
    if (signo < SIGRTMIN_MOAT && (q->set & SIG_BIT(signo)) != 0) {
        return 0; /* classic signals do not queue twice */
    }
    int err = enqueue(p, q, signo, info);
    if (err != 0) {
        return err;
    }
    waitq_wake(&p->sig_wait, UINT32_MAX);
    dispatch(p, target, signo, above);
    return 0;
}

int signal_send_task(struct task *t, int signo, const struct ksiginfo *info) {
    struct process *p = t->process;

    spin_lock(&p->sig_lock);
    int err = send_locked(p, t, signo, info);
    spin_unlock(&p->sig_lock);
    return err;
}

int signal_send_process(struct process *p, int signo, const struct ksiginfo *info) {
    spin_lock(&p->sig_lock);
    int err = send_locked(p, NULL, signo, info);
    spin_unlock(&p->sig_lock);
    return err;
}

int signal_send_outside(struct process *p, int signo) {
    struct ksiginfo info = {.signo = signo, .code = SI_USER};

    spin_lock(&p->sig_lock);
    int err = send_locked(p, NULL, signo, &info);
    spin_unlock(&p->sig_lock);
    return err;
}

int signal_send_pgrp_locked(struct pgrp *g, int signo, const struct ksiginfo *info) {
    struct process *p;
    int result = -ESRCH;

    list_for_each_entry (p, &g->members, pgrp_link) {
        int err = signal_send_process(p, signo, info);
        if (result != 0) {
            result = err;
        }
    }
    return result;
}

int signal_send_pgrp(struct pgrp *g, int signo, const struct ksiginfo *info) {
    spin_lock(&g_tasklist_lock);
    int err = signal_send_pgrp_locked(g, signo, info);
    spin_unlock(&g_tasklist_lock);
    return err;
}

bool signal_thread_gone(struct task *t) {
    struct process *p = t->process;
    sigset64 left = p->pending.set & ~t->blocked;
    struct task *other;

    /* What this thread was woken for may wait for another one now. */
    list_for_each_entry (other, &p->threads, thread_link) {
        if (!other->exited && (left & ~other->blocked) != 0) {
            signal_wake(other);
            left &= other->blocked;
        }
    }
    if (!p->stopped || t->parked || p->stop_left == 0) {
        return false;
    }
    return --p->stop_left == 0;
}

/* ---- faults ---- */

void signal_force(struct task *t, const struct ksiginfo *info) {
    struct process *p = t->process;
    int signo = info->signo;

    spin_lock(&p->sig_lock);
    spin_lock(&p->actions->lock);
    struct sigaction64 *sa = &p->actions->sa[signo - 1];
    if ((t->blocked & SIG_BIT(signo)) != 0 || sa->handler == SIG_HANDLER_IGN) {
        sa->handler = SIG_HANDLER_DFL;
        t->blocked &= ~SIG_BIT(signo);
    }
    bool fatal = sa->handler == SIG_HANDLER_DFL;
    spin_unlock(&p->actions->lock);
    if (fatal) {
        p->unkillable = false; /* a fault ends even an init */
    }
    (void)send_locked(p, t, signo, info); /* cannot fail: not a real-time signal */
    signal_recalc(t);
    spin_unlock(&p->sig_lock);
}
