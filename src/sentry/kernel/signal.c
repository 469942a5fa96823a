/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals, the sending half: queues, who gets one, what a signal does at once (signal(7),
 * sigqueue(3), kill(2)).
 *
 * Locks: process->sig_lock guards queues, masks and the stop state; sig_actions->lock the
 * dispositions, inside it. A signal that will end the process does so here, so that no thread has
 * to be chosen for it.
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

#define HANDLER_DFL 0ull
#define HANDLER_IGN 1ull

/* Default actions other than "terminate" (signal(7)). */
#define DEFAULT_IGNORE (SIG_BIT(SIGCHLD) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH) | SIG_BIT(SIGCONT))

/* ---- queues -------------------------------------------------------------------------------- */

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

/* ---- dispositions ---------------------------------------------------------------------------- */

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

static uint64_t sig_handler(struct process *p, int signo, uint64_t *out_flags) {
    spin_lock(&p->actions->lock);
    uint64_t handler = p->actions->sa[signo - 1].handler;
    if (out_flags != NULL) {
        *out_flags = p->actions->sa[signo - 1].flags;
    }
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
        ignored |= handler == HANDLER_IGN ? SIG_BIT(i) : 0;
        caught |= handler != HANDLER_IGN && handler != HANDLER_DFL ? SIG_BIT(i) : 0;
    }
    spin_unlock(&p->actions->lock);
    spin_unlock(&p->sig_lock);
    *out_ignored = ignored;
    *out_caught = caught;
}

bool signal_ignored_or_blocked(int signo) {
    struct task *t = current;

    return (t->blocked & SIG_BIT(signo)) != 0 ||
           sig_handler(t->process, signo, NULL) == HANDLER_IGN;
}

/* ---- pending flags ------------------------------------------------------------------------------
 */

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

static void signal_wake(struct task *t) {
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

/* ---- masks
 * ---------------------------------------------------------------------------------------- */

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

/* ---- sending
 * ---------------------------------------------------------------------------------------- */

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
static bool is_ignored(struct process *p, struct task *target, int signo, bool outside) {
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
    uint64_t handler = sig_handler(p, signo, NULL);
    if (p->unkillable && handler == HANDLER_DFL &&
        !(outside && (SIG_BIT(signo) & SIG_KERNEL_ONLY) != 0)) {
        return true;
    }
    return handler == HANDLER_IGN || (handler == HANDLER_DFL && signal_default_ignored(signo));
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

static bool ends_process(struct process *p, struct task *t, int signo, bool outside) {
    if (sig_handler(p, signo, NULL) != HANDLER_DFL || signal_default_ignored(signo) ||
        (SIG_BIT(signo) & SIG_STOP_SET) != 0 || (t->wait_set & SIG_BIT(signo)) != 0) {
        return false;
    }
    return !p->unkillable || (outside && signo == SIGKILL);
}

/* Finds a thread for it and wakes that, or ends the process at once. */
static void dispatch(struct process *p, struct task *target, int signo, bool outside) {
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
    if (ends_process(p, chosen, signo, outside)) {
        signal_group_exit(p, signo);
    } else {
        signal_wake(chosen);
    }
}

static int send_locked(struct process *p, struct task *target, int signo,
                       const struct ksiginfo *info, bool outside) {
    struct sig_queue *q = target != NULL ? &target->pending : &p->pending;

    if (list_empty(&p->threads) || p->group_exit || (target != NULL && target->exited)) {
        return 0; /* going already */
    }
    if (signo == SIGCONT) {
        continue_process(p);
    } else if ((SIG_BIT(signo) & SIG_STOP_SET) != 0 && !is_ignored(p, target, signo, outside)) {
        flush_everywhere(p, SIG_BIT(SIGCONT));
    }
    if (is_ignored(p, target, signo, outside)) {
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
    dispatch(p, target, signo, outside);
    return 0;
}

int signal_send_task(struct task *t, int signo, const struct ksiginfo *info) {
    struct process *p = t->process;

    spin_lock(&p->sig_lock);
    int err = send_locked(p, t, signo, info, false);
    spin_unlock(&p->sig_lock);
    return err;
}

int signal_send_process(struct process *p, int signo, const struct ksiginfo *info) {
    spin_lock(&p->sig_lock);
    int err = send_locked(p, NULL, signo, info, false);
    spin_unlock(&p->sig_lock);
    return err;
}

int signal_send_outside(struct process *p, int signo) {
    struct ksiginfo info = {.signo = signo, .code = SI_USER};

    spin_lock(&p->sig_lock);
    int err = send_locked(p, NULL, signo, &info, true);
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

/* ---- faults
 * ------------------------------------------------------------------------------------------- */

void signal_force(struct task *t, const struct ksiginfo *info) {
    struct process *p = t->process;
    int signo = info->signo;

    spin_lock(&p->sig_lock);
    spin_lock(&p->actions->lock);
    struct sigaction64 *sa = &p->actions->sa[signo - 1];
    if ((t->blocked & SIG_BIT(signo)) != 0 || sa->handler == HANDLER_IGN) {
        sa->handler = HANDLER_DFL;
        t->blocked &= ~SIG_BIT(signo);
    }
    bool fatal = sa->handler == HANDLER_DFL;
    spin_unlock(&p->actions->lock);
    if (fatal) {
        p->unkillable = false; /* a fault ends even an init */
    }
    (void)send_locked(p, t, signo, info, true); /* cannot fail: not a real-time signal */
    signal_recalc(t);
    spin_unlock(&p->sig_lock);
}
