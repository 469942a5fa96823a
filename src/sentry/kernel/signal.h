/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals.  Numbers and layouts are those of Linux x86-64 (asm/signal.h, asm-generic/siginfo.h).
 */
#ifndef MOAT_SENTRY_SIGNAL_H
#define MOAT_SENTRY_SIGNAL_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/types.h"
#include "kernel/lock.h"

struct task;
struct process;
struct pgrp;
struct user_counts;

typedef uint64_t sigset64; /* bit N-1: signal N */
#define SIG_BIT(n) (1ull << ((n)-1))
#define NSIG_MAX   64

/* Results that never reach user space: what to do when a signal ended the wait (Linux's numbers).
 */
#define ERESTARTSYS           512 /* restart if SA_RESTART or no handler runs */
#define ERESTARTNOINTR        513 /* always restart */
#define ERESTARTNOHAND        514 /* restart only if no handler runs */
#define ERESTART_RESTARTBLOCK 516 /* restart through restart_syscall and task->restart */

/* The kernel's siginfo: exactly the 128 bytes of user space's siginfo_t. */
struct ksiginfo {
    int32_t signo;
    int32_t error;
    int32_t code;
    int32_t pad;
    union {
        struct {
            int32_t pid;
            uint32_t uid;
            uint64_t value;
        } rt; /* kill, tgkill, sigqueue */
        struct {
            int32_t timerid;
            int32_t overrun;
            uint64_t value;
        } timer;
        struct {
            int32_t pid;
            uint32_t uid;
            int32_t status;
            int32_t pad;
            int64_t utime;
            int64_t stime;
        } child;
        struct {
            uint64_t addr;
            int16_t addr_lsb;
        } fault;
        struct {
            int64_t band;
            int32_t fd;
        } poll;
        struct {
            uint64_t call_addr;
            int32_t syscall;
            uint32_t arch;
        } sys;
        uint8_t bytes[112];
    } u;
};
_Static_assert(sizeof(struct ksiginfo) == 128, "siginfo_t is 128 bytes");

struct sig_queue {
    sigset64 set;      /* which are pending */
    struct list infos; /* queued struct sig_entry, oldest first */
};

struct sigaction64 { /* the kernel's struct sigaction of x86-64 */
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    sigset64 mask;
};

struct sigaltstack64 {
    uint64_t sp;
    int32_t flags;
    int32_t pad;
    uint64_t size;
};

/* Dispositions; shared by processes cloned with CLONE_SIGHAND. */
struct sig_actions {
    struct refcount ref;
    struct spinlock lock;            /* RANK_SIGACTION */
    struct sigaction64 sa[NSIG_MAX]; /* guarded by lock; [signo - 1] */
};

/* One queued siginfo. */
struct sig_entry {
    struct list link;
    struct user_counts
        *user; /* whose RLIMIT_SIGPENDING it counts against; referenced; may be NULL */
    struct ksiginfo info;
};

#define SIGRTMIN_MOAT 32 /* the kernel's SIGRTMIN */
/* process->wait_flags: not yet reported by waitid. */
#define WAIT_EVENT_STOPPED   1u
#define WAIT_EVENT_CONTINUED 2u
#define SIG_STOP_SET                                                                               \
    (SIG_BIT(19) | SIG_BIT(20) | SIG_BIT(21) | SIG_BIT(22)) /* STOP, TSTP, TTIN, TTOU */
#define SIG_KERNEL_ONLY (SIG_BIT(9) | SIG_BIT(19))          /* KILL, STOP */

/* A signal that the current task caused itself (fault): cannot be blocked or ignored. */
void signal_force(struct task *t, const struct ksiginfo *info);
/* Sends; info NULL means from the kernel (SI_KERNEL).  0 or -EAGAIN (queue limit of real-time
 * signals). */
int signal_send_task(struct task *t, int signo, const struct ksiginfo *info);
int signal_send_process(struct process *p, int signo, const struct ksiginfo *info);
/*
 * Does it come from the kernel, or from outside the container?  Such a signal acts on a container's
 * init by default too (SIGKILL from the control channel, ^C of its terminal, a broken pipe); one
 * from a process inside needs a handler there (pid_namespaces(7)).  info NULL: from the kernel; pid
 * 0: from outside.
 */
static inline bool signal_from_above(const struct ksiginfo *info) {
    return info == NULL || info->code > 0 || (info->code == 0 /* SI_USER */ && info->u.rt.pid == 0);
}
/* From outside the container. */
int signal_send_outside(struct process *p, int signo);
/* Every process of the group; 0 when at least one took it, -ESRCH otherwise. */
int signal_send_pgrp(struct pgrp *g, int signo, const struct ksiginfo *info);
/* True when task_block(INTERRUPTIBLE) would return -EINTR. */
bool signal_pending(struct task *t);
bool signal_fatal_pending(struct task *t);
/* Would `signo` be ignored or blocked by current?  (tty: background reads and writes) */
bool signal_ignored_or_blocked(int signo);
/* Sets the mask until the next return to user mode (ppoll, pselect, sigsuspend, epoll_pwait). */
void signal_mask_temporary(sigset64 mask);
/* Sets current's mask under the lock. */
void signal_mask_set(sigset64 mask);
/* Takes one pending signal in `set` from current (signalfd, sigtimedwait); false when none. */
bool signal_dequeue(sigset64 set, struct ksiginfo *out_info);
/* For /proc/pid/status: process-wide pending signals, and those ignored and caught.  Takes
 * sig_lock. */
void signal_sets(struct process *p, sigset64 *out_pending, sigset64 *out_ignored,
                 sigset64 *out_caught);
/* The queue that signalfd and its poll wait on: woken on each signal sent to the process or task.
 */
struct waitq *signal_waitq(struct process *p);

/* ---- on the way back to user mode (kernel/entry.c) ---- */
/* Is there anything for signal_deliver to do?  Cheap.  Also ends a temporary mask when the call was
 * not interrupted, so task->result must be set before. */
bool signal_work_pending(struct task *t);
/*
 * Does everything signals ask for: dies, stops, sets up handler frames, decides restarts
 * (-ERESTART* in task->result for the call task->orig_nr: rip back by 2 and rax = orig_nr, or rax =
 * -EINTR), ends temporary masks.  Precondition: t == current, t->regs valid, no locks held;
 * regs.rax already holds the result of a call that is not -ERESTART*.  task->orig_nr is
 * ORIG_NR_NONE unless a system call is being left.  Sets regs_dirty.  When signal_fatal_pending(t),
 * it does not return and needs no registers.
 */
void signal_deliver(struct task *t);
/* Signals a group when g_tasklist_lock is held already. */
int signal_send_pgrp_locked(struct pgrp *g, int signo, const struct ksiginfo *info);
/* Recomputes TASK_F_SIGPENDING of `t`; sig_lock held. */
void signal_recalc(struct task *t);
/* Takes the next signal in `set` off the task's or its process's queue: its number or 0; sig_lock
 * held. */
int signal_dequeue_locked(struct task *t, sigset64 set, struct ksiginfo *out_info);
/* sigreturn: takes the alternate stack of the frame where it is a valid one, as sigaltstack(2)
 * would. */
void signal_altstack_restore(struct task *t, const struct sigaltstack64 *ss);
/* Ends a temporary mask. */
void signal_mask_restore(struct task *t);
/* The handler of `signo` now: SIG_HANDLER_DFL, _IGN or an address. */
#define SIG_HANDLER_DFL 0ull
#define SIG_HANDLER_IGN 1ull
uint64_t signal_handler(struct process *p, int signo);
/* Marks `t` and ends its sleep or has it trap; sig_lock held. */
void signal_wake(struct task *t);
/* Does the handler table leave `signo` to its default / ignore it? */
bool signal_default_ignored(int signo);

/* ---- for fork, exec and exit ---- */
must_check struct sig_actions *
sig_actions_create(const struct sig_actions *from); /* NULL: all default */
void sig_actions_put(struct sig_actions *a);
void sig_queue_init(struct sig_queue *q);
void sig_queue_flush(struct sig_queue *q,
                     sigset64 set); /* owner's sig_lock held, or nobody else knows it */
/* execve: handlers go back to default, ignored stay ignored. */
void signal_exec(struct task *t);
/* All threads but `except` get TASK_F_KILLED and are woken; sig_lock held. */
void signal_kill_threads(struct process *p, struct task *except);
/* Starts the end of the whole process with this wait status unless it is under way; sig_lock held.
 */
void signal_group_exit(struct process *p, int32_t code);
/* A dying thread hands process-directed signals on and leaves a stop that is being counted;
 * sig_lock held. */
must_check bool
signal_thread_gone(struct task *t); /* true: it was the last to stop, the parent must be told */

#endif
