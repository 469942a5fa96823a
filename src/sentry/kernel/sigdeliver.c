/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals, the receiving half: what happens on the way back to user mode (signal(7), sigaction(2)).
 * Runs in the task itself; sig_lock guards the queues, nothing is held while user memory is
 * written.
 */
#include "arch/x86_64/sigframe.h"
#include "base/string.h"
#include "kernel/container.h"
#include "kernel/log.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "kernel/wait.h"

#include <linux/errno.h>
#include <linux/signal.h>
#include <asm/unistd.h>

#define HANDLER_DFL      0ull
#define HANDLER_IGN      1ull
#define SYSCALL_INSN_LEN 2 /* of `syscall`: 0f 05 */

#define WORK_FLAGS (TASK_F_SIGPENDING | TASK_F_KILLED | TASK_F_PAUSED)

static bool is_restart(int64_t result) {
    return result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND ||
           result == -ERESTART_RESTARTBLOCK;
}

bool signal_work_pending(struct task *t) {
    if (unlikely(t->restore_mask)) {
        bool interrupted =
            t->orig_nr != ORIG_NR_NONE && (t->result == -EINTR || is_restart(t->result));
        if (!interrupted || !signal_pending(t)) {
            signal_mask_restore(t);
        }
    }
    if (unlikely(t->orig_nr != ORIG_NR_NONE && is_restart(t->result))) {
        return true; /* the result must be turned into a restart or -EINTR */
    }
    return (atomic_load_relaxed(&t->flags) & WORK_FLAGS) != 0;
}

/* ---- stopping ---- */

void notify_parent_stop(struct process *p, int code) {
    struct ksiginfo info = {.signo = SIGCHLD, .code = code};
    struct task *t = current;

    info.u.child.pid = p->pid;
    info.u.child.uid = t->cred->uid;
    spin_lock(&g_tasklist_lock);
    struct process *parent = p->parent;
    if (parent != NULL) {
        spin_lock(&p->sig_lock);
        info.u.child.status = code == CLD_CONTINUED ? SIGCONT : p->stop_signal;
        spin_unlock(&p->sig_lock);
        spin_lock(&parent->actions->lock);
        struct sigaction64 sa = parent->actions->sa[SIGCHLD - 1];
        spin_unlock(&parent->actions->lock);
        if (sa.handler != HANDLER_IGN && (sa.flags & SA_NOCLDSTOP) == 0) {
            (void)signal_send_process(parent, SIGCHLD, &info); /* never fails: classic */
        }
        waitq_wake(&parent->child_exit, UINT32_MAX);
    }
    spin_unlock(&g_tasklist_lock);
    waitq_wake(&p->exit_waiters, UINT32_MAX);
}

static bool no_longer_stopped(void *arg) {
    struct task *t = arg;

    return !atomic_load(&t->parked);
}

/* Parks this thread for a job-control stop that is in effect; sig_lock held on entry, not on
 * return. */
static void park_stopped(struct task *t) {
    struct process *p = t->process;
    bool last = false;

    if (!t->parked) {
        t->parked = true;
        last = p->stop_left > 0 && --p->stop_left == 0;
        if (last) {
            p->wait_flags = (p->wait_flags & ~WAIT_EVENT_CONTINUED) | WAIT_EVENT_STOPPED;
        }
    }
    signal_recalc(t);
    spin_unlock(&p->sig_lock);
    if (last) {
        notify_parent_stop(p, CLD_STOPPED);
    }
    /* SIGCONT ends this, or SIGKILL, which the caller's next look at the flags finds. */
    int err = waitq_wait(&p->stop_wait, no_longer_stopped, t, NO_DEADLINE, BLOCK_KILLABLE);
    log_debug("process %d continues (%d)", p->pid, err);
    spin_lock(&p->sig_lock);
    t->parked = false;
    signal_recalc(t);
    spin_unlock(&p->sig_lock);
}

static bool not_paused(void *arg) {
    struct container *c = arg;

    return !atomic_load(&c->paused);
}

static void park_paused(struct task *t) {
    (void)atomic_fetch_and(&t->flags, ~(uint32_t)TASK_F_PAUSED);
    /* RESUME ends this, or SIGKILL, which the caller's next look at the flags finds. */
    int err = waitq_wait(&t->process->stop_wait, not_paused, t->process->member, NO_DEADLINE,
                         BLOCK_KILLABLE);
    log_debug("task %d resumes (%d)", t->tid, err);
}

/* A stop signal with its default action: the whole process stops.  sig_lock held. */
static void start_stop(struct process *p, int signo) {
    struct task *t;

    if (p->stopped || p->group_exit) {
        return;
    }
    p->stopped = true;
    p->stop_signal = signo;
    p->stop_left = 0;
    list_for_each_entry (t, &p->threads, thread_link) {
        if (t->parked) {
            continue;
        }
        p->stop_left++;
        (void)atomic_fetch_or(&t->flags, (uint32_t)TASK_F_SIGPENDING);
        if (t != current) {
            task_interrupt(t, false);
        }
    }
}

/* ---- one signal ---- */

/* The default action of `signo`.  Does not return when it ends the process. */
static void act_default(struct task *t, int signo, const struct ksiginfo *info) {
    struct process *p = t->process;

    if (signal_default_ignored(signo) || (p->unkillable && !signal_from_above(info))) {
        return;
    }
    if ((SIG_BIT(signo) & SIG_STOP_SET) != 0) {
        /* An orphaned group has nobody to continue it, so only SIGSTOP stops it. */
        struct pgrp *g = signo != SIGSTOP ? task_pgrp_get(t) : NULL;
        bool orphaned = g != NULL && pgrp_is_orphaned(g);
        pgrp_put(g);
        if (!orphaned) {
            spin_lock(&p->sig_lock);
            /* A SIGCONT that came in between took back the stop. */
            if (((t->pending.set | p->pending.set) & SIG_BIT(SIGCONT)) == 0) {
                start_stop(p, signo);
            }
            spin_unlock(&p->sig_lock);
        }
        return;
    }
    log_debug("process %d (%s) ends by signal %d at 0x%lx", p->pid, t->comm, signo,
              (unsigned long)t->regs.rip);
    process_exit_group(signo);
}

static void restart_decide(struct task *t, const struct sigaction64 *sa) {
    int64_t result = t->result;

    if (t->orig_nr == ORIG_NR_NONE) {
        return;
    }
    if (is_restart(result)) {
        bool again = sa == NULL || result == -ERESTARTNOINTR ||
                     (result == -ERESTARTSYS && (sa->flags & SA_RESTART) != 0);
        if (again) {
            bool block = sa == NULL && result == -ERESTART_RESTARTBLOCK;
            t->regs.rax = block ? __NR_restart_syscall : t->orig_nr;
            t->regs.rip -= SYSCALL_INSN_LEN;
        } else {
            t->regs.rax = (uint64_t)-EINTR;
        }
        t->regs_dirty = true;
    }
    t->orig_nr = ORIG_NR_NONE;
    t->result = (int64_t)t->regs.rax;
}

/* Runs the handler of `signo`: the frame, then the mask. */
static void act_handler(struct task *t, int signo, const struct sigaction64 *sa,
                        const struct ksiginfo *info) {
    sigset64 old = t->restore_mask ? t->saved_mask : t->blocked;
    sigset64 mask = t->blocked | sa->mask;

    restart_decide(t, sa);
    int err = sigframe_setup(t, signo, sa, info, old);
    if (err != 0) {
        /* No room for the frame: SIGSEGV, whose own handler is not tried if it was that one
         * (sigaction(2)). */
        struct ksiginfo segv = {.signo = SIGSEGV, .code = SI_KERNEL};
        if (signo == SIGSEGV) {
            process_exit_group(SIGSEGV);
        }
        signal_force(t, &segv);
        return;
    }
    t->restore_mask = false;
    if ((sa->flags & SA_NODEFER) == 0) {
        mask |= SIG_BIT(signo);
    }
    signal_mask_set(mask);
}

/* Takes one thing to do off the queues and does it; false when nothing is left. */
static bool deliver_one(struct task *t) {
    struct process *p = t->process;
    struct ksiginfo info;

    if (signal_fatal_pending(t)) {
        task_exit(p->exit_code);
    }
    if ((atomic_load(&t->flags) & TASK_F_PAUSED) != 0) {
        park_paused(t);
        return true;
    }
    spin_lock(&p->sig_lock);
    if (p->cld_notify != 0) {
        int code = p->cld_notify;
        p->cld_notify = 0;
        spin_unlock(&p->sig_lock);
        notify_parent_stop(p, code);
        return true;
    }
    if (p->stopped) {
        park_stopped(t);
        return true;
    }
    int signo = signal_dequeue_locked(t, ~t->blocked, &info);
    if (signo == 0) {
        signal_recalc(t);
        spin_unlock(&p->sig_lock);
        return false;
    }
    spin_lock(&p->actions->lock);
    struct sigaction64 sa = p->actions->sa[signo - 1];
    if (sa.handler > HANDLER_IGN && (sa.flags & SA_RESETHAND) != 0) {
        p->actions->sa[signo - 1].handler = HANDLER_DFL;
    }
    spin_unlock(&p->actions->lock);
    spin_unlock(&p->sig_lock);
    if (sa.handler == HANDLER_DFL) {
        act_default(t, signo, &info);
    } else if (sa.handler != HANDLER_IGN) {
        act_handler(t, signo, &sa, &info);
    }
    return true;
}

void signal_deliver(struct task *t) {
    while (deliver_one(t)) {
    }
    restart_decide(t, NULL);
    signal_mask_restore(t);
}
