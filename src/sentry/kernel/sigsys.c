/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rt_sig* calls, sigaltstack(2), pause(2).
 */
#include "arch/x86_64/sigframe.h"
#include "base/string.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "kernel/wait.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/errno.h>
#include <linux/signal.h>

#define HANDLER_IGN 1ull
/* MINSIGSTKSZ of asm/signal.h: what sigaltstack(2) refuses to go below. */
#define ALTSTACK_MIN 2048u
/* Flags sigaction(2) knows; others are taken out, so that programs can ask (SA_UNSUPPORTED). */
#define SA_KNOWN                                                                                   \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |             \
     SA_RESETHAND | 0x04000000ull | 0x800ull)

static void flush_ignored(struct process *p, int signo) {
    struct task *t;

    sig_queue_flush(&p->pending, SIG_BIT(signo));
    list_for_each_entry (t, &p->threads, thread_link) {
        sig_queue_flush(&t->pending, SIG_BIT(signo));
    }
}

int64_t sys_rt_sigaction(struct task *t, const struct sysargs *args) {
    int32_t signo = (int32_t)args->a[0];
    struct process *p = t->process;
    struct sigaction64 new_sa;
    struct sigaction64 old_sa;

    if (args->a[3] != sizeof(sigset64) || signo < 1 || signo > NSIG_MAX) {
        return -EINVAL;
    }
    if (args->a[1] != 0) {
        if (copyin(&new_sa, uaddr_of(args->a[1]), sizeof(new_sa)) != 0) {
            return -EFAULT;
        }
        if ((SIG_BIT(signo) & SIG_KERNEL_ONLY) != 0) {
            return -EINVAL;
        }
        new_sa.flags &= SA_KNOWN;
        new_sa.mask &= ~SIG_KERNEL_ONLY;
    }
    spin_lock(&p->sig_lock);
    spin_lock(&p->actions->lock);
    old_sa = p->actions->sa[signo - 1];
    if (args->a[1] != 0) {
        p->actions->sa[signo - 1] = new_sa;
    }
    spin_unlock(&p->actions->lock);
    if (args->a[1] != 0 &&
        (new_sa.handler == HANDLER_IGN || (new_sa.handler == 0 && signal_default_ignored(signo)))) {
        flush_ignored(p, signo);
        signal_recalc(t);
    }
    spin_unlock(&p->sig_lock);
    if (args->a[2] != 0 && copyout(uaddr_of(args->a[2]), &old_sa, sizeof(old_sa)) != 0) {
        return -EFAULT;
    }
    return 0;
}

int64_t sys_rt_sigprocmask(struct task *t, const struct sysargs *args) {
    sigset64 old = t->blocked;
    sigset64 set;

    if (args->a[3] != sizeof(sigset64)) {
        return -EINVAL;
    }
    if (args->a[1] != 0) {
        if (copyin(&set, uaddr_of(args->a[1]), sizeof(set)) != 0) {
            return -EFAULT;
        }
        switch ((int32_t)args->a[0]) {
        case SIG_BLOCK:
            set |= old;
            break;
        case SIG_UNBLOCK:
            set = old & ~set;
            break;
        case SIG_SETMASK:
            break;
        default:
            return -EINVAL;
        }
        if (set != old) {
            signal_mask_set(set);
        }
    }
    if (args->a[2] != 0) {
        return copyout(uaddr_of(args->a[2]), &old, sizeof(old));
    }
    return 0;
}

int64_t sys_rt_sigpending(struct task *t, const struct sysargs *args) {
    size_t size = args->a[1];

    if (size > sizeof(sigset64)) {
        return -EINVAL;
    }
    spin_lock(&t->process->sig_lock);
    sigset64 set = (t->pending.set | t->process->pending.set) & t->blocked;
    spin_unlock(&t->process->sig_lock);
    return copyout(uaddr_of(args->a[0]), &set, size);
}

static int wait_for_signal(struct task *t) {
    int err = 0;

    while (err == 0) {
        err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
    }
    return err;
}

int64_t sys_pause(struct task *t, const struct sysargs *args) {
    (void)!wait_for_signal(t); /* nothing but a signal ends it */
    return -ERESTARTNOHAND;
}

int64_t sys_rt_sigsuspend(struct task *t, const struct sysargs *args) {
    sigset64 mask;

    if (args->a[1] != sizeof(sigset64)) {
        return -EINVAL;
    }
    if (copyin(&mask, uaddr_of(args->a[0]), sizeof(mask)) != 0) {
        return -EFAULT;
    }
    signal_mask_temporary(mask);
    (void)!wait_for_signal(t); /* as above */
    return -ERESTARTNOHAND;
}

/* Waits for one of `set` with those signals let through, without their actions. */
static int64_t sigwait_block(struct task *t, sigset64 set, uint64_t deadline,
                             struct ksiginfo *out_info) {
    struct process *p = t->process;
    int signo;
    int err = 0;

    spin_lock(&p->sig_lock);
    t->wait_set = set;
    for (;;) {
        signo = signal_dequeue_locked(t, set, out_info);
        if (signo != 0 || err != 0) {
            break;
        }
        signal_recalc(t);
        spin_unlock(&p->sig_lock);
        err = task_block(deadline, BLOCK_INTERRUPTIBLE);
        spin_lock(&p->sig_lock);
    }
    t->wait_set = 0;
    signal_recalc(t);
    spin_unlock(&p->sig_lock);
    if (signo != 0) {
        return signo;
    }
    return err == -ETIMEDOUT ? -EAGAIN : -EINTR;
}

int64_t sys_rt_sigtimedwait(struct task *t, const struct sysargs *args) {
    struct ksiginfo info;
    sigset64 set;
    uint64_t deadline = NO_DEADLINE;

    if (args->a[3] != sizeof(sigset64)) {
        return -EINVAL;
    }
    if (copyin(&set, uaddr_of(args->a[0]), sizeof(set)) != 0) {
        return -EFAULT;
    }
    int err = copyin_timeout(uaddr_of(args->a[2]), &deadline);
    if (err != 0) {
        return err;
    }
    int64_t signo = sigwait_block(t, set & ~SIG_KERNEL_ONLY, deadline, &info);
    if (signo > 0 && args->a[1] != 0 && copyout(uaddr_of(args->a[1]), &info, sizeof(info)) != 0) {
        return -EFAULT;
    }
    return signo;
}

/* ---- sigaltstack(2) ---- */

static bool sp_on_altstack(const struct task *t, uint64_t sp) {
    const struct sigaltstack64 *a = &t->altstack;

    return (a->flags & (int32_t)SS_AUTODISARM) == 0 && sp > a->sp && sp - a->sp <= a->size;
}

static int altstack_set(struct task *t, const struct sigaltstack64 *ss, uint64_t sp,
                        uint64_t min_size) {
    uint32_t flags = (uint32_t)ss->flags;
    uint32_t mode = flags & ~(uint32_t)SS_AUTODISARM;

    if (sp_on_altstack(t, sp)) {
        return -EPERM;
    }
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) {
        return -EINVAL;
    }
    if (mode == SS_DISABLE) {
        memset(&t->altstack, 0, sizeof(t->altstack));
        t->altstack.flags = (int32_t)flags;
        return 0;
    }
    if (ss->size < min_size) {
        return -ENOMEM;
    }
    t->altstack = *ss;
    t->altstack.pad = 0;
    t->altstack.flags = (int32_t)(flags & SS_AUTODISARM);
    return 0;
}

void signal_altstack_restore(struct task *t, const struct sigaltstack64 *ss) {
    (void)!altstack_set(t, ss, t->regs.rsp,
                        ALTSTACK_MIN); /* a bad one is not taken; nobody can be told */
}

int64_t sys_sigaltstack(struct task *t, const struct sysargs *args) {
    struct sigaltstack64 old = t->altstack;
    struct sigaltstack64 ss;
    /* Without the full registers the stack pointer is not known: then the thread runs no handler
     * that asks for it. */
    uint64_t sp = t->regs.rsp;

    if (old.size == 0) {
        old.flags |= SS_DISABLE;
    } else if (sp_on_altstack(t, sp)) {
        old.flags |= SS_ONSTACK;
    }
    if (args->a[0] != 0) {
        if (copyin(&ss, uaddr_of(args->a[0]), sizeof(ss)) != 0) {
            return -EFAULT;
        }
        int err = altstack_set(t, &ss, sp, ALTSTACK_MIN);
        if (err != 0) {
            return err;
        }
    }
    if (args->a[1] != 0) {
        old.pad = 0;
        return copyout(uaddr_of(args->a[1]), &old, sizeof(old));
    }
    return 0;
}

void signal_exec(struct task *t) {
    struct process *p = t->process;

    spin_lock(&p->sig_lock);
    spin_lock(&p->actions->lock);
    for (int i = 0; i < NSIG_MAX; i++) {
        if (p->actions->sa[i].handler != HANDLER_IGN) {
            p->actions->sa[i].handler = 0;
        }
        p->actions->sa[i].flags = 0;
        p->actions->sa[i].restorer = 0;
        p->actions->sa[i].mask = 0;
    }
    spin_unlock(&p->actions->lock);
    spin_unlock(&p->sig_lock);
    memset(&t->altstack, 0, sizeof(t->altstack));
    t->altstack.flags = SS_DISABLE;
}
