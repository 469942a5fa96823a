/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks (threads), processes (thread groups), process groups and sessions, credentials.
 *
 * Locks: g_tasklist_lock (RANK_TASKLIST) guards the tree (parent, children, siblings, pid table,
 * group and session membership); process->sig_lock (RANK_SIGNAL) guards signal state; task->lock
 * (RANK_TASK) the run state. A process's list of threads changes under both g_tasklist_lock and
 * sig_lock, so either of them is enough to read it. A task's own fields marked "own" are touched by
 * that task alone.
 *
 * Life: a task is born with one reference, the scheduler's, which the vCPU loop drops with task_put
 * once the kernel stack is no longer in use.  A process is held by each of its tasks and by the pid
 * table, until it is reaped.
 */
#ifndef MOAT_SENTRY_TASK_H
#define MOAT_SENTRY_TASK_H

#include "base/atomic.h"
#include "base/list.h"
#include "kernel/cpu.h"
#include "kernel/lock.h"
#include "kernel/signal.h"
#include "kernel/wait.h"
#include "platform.h"

struct mm;
struct files;
struct fs_context;
struct file;
struct tty;
struct container;

#define KSTACK_PAGES  8u /* 32 KiB, of which few are ever touched */
#define TASK_COMM_LEN 16

enum task_state {
    TASK_NEW,      /* not yet on a queue */
    TASK_RUNNABLE, /* on a run queue */
    TASK_RUNNING,  /* its kernel code runs on a vCPU */
    TASK_BLOCKED,  /* in task_block */
    TASK_USER,     /* runs user code, or its orders are being carried out */
    TASK_ZOMBIE,
    TASK_DEAD,
};

#define NGROUPS_MAX_MOAT 65536u

/* Immutable once published: changed by copying (cred_prepare / cred_commit). */
struct cred {
    struct refcount ref;
    uint32_t uid, euid, suid, fsuid;
    uint32_t gid, egid, sgid, fsgid;
    uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
    uint32_t securebits;
    struct user_counts *user; /* of (container, uid): for RLIMIT_NPROC and RLIMIT_SIGPENDING; may be
                                 NULL (kthreads) */
    uint32_t group_count;
    uint32_t *groups; /* sorted */
};

struct rlimit_pair {
    uint64_t cur, max;
};
#define RLIMIT_COUNT 16

struct pgrp { /* process group */
    struct refcount ref;
    int32_t id;
    struct container *container;
    struct session *session; /* referenced; constant */
    struct list members;     /* process->pgrp_link; guarded by g_tasklist_lock */
};

struct session {
    struct refcount ref;
    int32_t id;
    struct container *container;
    uint32_t group_count;   /* groups with members; guarded by g_tasklist_lock */
    struct tty *tty;        /* controlling terminal, guarded by the tty layer's lock */
    struct process *leader; /* guarded by g_tasklist_lock */
};

/* proc_pid_io(5) */
struct io_counts {
    uint64_t rchar, wchar, syscr, syscw;
};

/* A thread group: what user space calls a process. */
struct process {
    struct refcount ref;
    int32_t pid;
    struct container *container; /* whose pid name space it is in: member->pidns */
    struct container *member;    /* the container it belongs to; both referenced, constant */
    struct list threads;         /* task->thread_link: threads that have not ended; see "Locks" */
    uint32_t thread_count;       /* guarded likewise */
    uint32_t live;               /* atomic: threads that have not begun to end */
    struct task
        *leader;  /* referenced until reaped, also when that thread has ended; guarded likewise */
    int32_t ppid; /* atomic: the parent's number; changes under g_tasklist_lock */
    struct process *
        parent; /* NULL: made from outside (ppid 0); guarded by g_tasklist_lock, as the next five */
    bool zombie; /* all threads gone, not yet reaped */
    bool reaped;
    struct list children;
    struct list sibling_link;
    struct pgrp *pgrp;
    struct list pgrp_link;
    struct pgrp *last_pgrp; /* its reference, between process_unlink and process_reaped */
    bool files_shared; /* own: its descriptors may be shared with another process (CLONE_FILES) */
    bool did_exec;
    bool is_subreaper; /* PR_SET_CHILD_SUBREAPER */
    /* Signals: see signal.h; guarded by sig_lock. */
    struct spinlock sig_lock;
    struct sig_actions *actions; /* may be shared by CLONE_SIGHAND without CLONE_THREAD */
    struct sig_queue pending;    /* process-directed */
    bool group_exit;             /* exit_group or fatal signal under way */
    int32_t exit_code;           /* wait status, valid once group_exit or a zombie */
    int32_t
        cld_notify; /* CLD_CONTINUED / CLD_STOPPED a woken thread has to tell the parent, or 0 */
    bool stopped;   /* job control stop: threads park until it is cleared */
    uint32_t stop_left; /* threads that have still to park */
    int32_t stop_signal;
    uint32_t wait_flags;    /* WSTOPPED / WCONTINUED events not yet reported */
    bool unkillable;        /* init of its container: default actions do not touch it from inside */
    struct task *exec_task; /* thread that is in execve and waits for the others to end */
    struct waitq exec_wait; /* where it waits */
    struct waitq sig_wait;  /* signal_waitq: signalfd and its poll */
    struct waitq stop_wait; /* parked threads (stop, pause) */
    struct control_process *control;          /* reported over the control channel; constant */
    struct waitq child_exit;                  /* parents sleep here in wait4 */
    struct waitq exit_waiters;                /* pidfd, control channel */
    int32_t exit_signal;                      /* sent to the parent when all threads are gone */
    struct rlimit_pair rlimits[RLIMIT_COUNT]; /* guarded by sig_lock */
    struct posix_timers *posix_timers;
    bool timers_gone;       /* it ends: no new ones; atomic, as the next (itimer.c) */
    uint32_t limit_setters; /* who may be making timers for it, itself or others */
    struct timer itimer_real;
    uint64_t itimer_real_interval_ns;
    uint64_t start_time_ns;
    uint64_t dead_cpu_user_ns;  /* of threads that are gone */
    uint64_t child_cpu_user_ns; /* of children waited for */
    uint64_t dead_cpu_sys_ns, child_cpu_sys_ns;
    uint64_t dead_nvcsw, dead_nivcsw, child_nvcsw, child_nivcsw; /* likewise */
    struct io_counts dead_io; /* of threads that are gone and of children waited for; guarded by
                                 sig_lock */
    uint64_t child_max_rss, max_rss;
    int32_t oom_score_adj;
    struct list all_link; /* g_all_processes; guarded by g_tasklist_lock, as the next */
    bool oom_killed;      /* for want of memory: no further one is gained by it */
    uint64_t min_flt, child_min_flt;
    uint32_t dumpable; /* as PR_GET_DUMPABLE */
};

struct task {
    struct refcount ref;
    struct spinlock lock;                     /* state, wake_token, on_runq */
    enum task_state state;                    /* guarded by lock */
    bool wake_token;                          /* guarded by lock */
    struct list run_link;                     /* guarded by the cpu's runq_lock */
    void *kstack;                             /* base of KSTACK_PAGES pages */
    void *ksp;                                /* saved kernel stack pointer while not running */
    struct timer block_timer;                 /* for task_block */
    bool block_interruptible, block_killable; /* guarded by lock, valid while blocked */
    bool timed_out;                           /* guarded by lock: block_timer fired */
    uint32_t trap_seq;                        /* atomic: traps so far (membarrier) */
    uint64_t sys_start;                       /* own: time stamp of the last switch to it */
    uint64_t affinity; /* sched_setaffinity's mask, 0: every vCPU; advisory */
    int32_t nice;      /* kept and reported; the scheduler is first come, first served */
    uint32_t sched_policy;
    int32_t rt_priority;
    bool sched_reset_on_fork; /* SCHED_RESET_ON_FORK */
    uint32_t ioprio;

    int32_t tid;
    struct process *process;
    struct list thread_link;  /* guarded by g_tasklist_lock */
    char comm[TASK_COMM_LEN]; /* own; read racily by /proc */
    bool is_kthread;

    struct platform_thread *pthread; /* own; NULL for kernel threads */
    struct trap trap;                /* own: the trap being handled */
    struct user_regs regs; /* own: valid when trap.full_context; written back before resume */
    bool regs_dirty;       /* own: regs were changed, write them back */
    int64_t result;        /* own: of the system call */
    uint64_t orig_nr;      /* own: number of the call being handled, for restarts */
    void (*kthread_fn)(void *arg);
    void *kthread_arg;

    struct mm *mm;           /* own; others take a reference under lock via task_mm_get */
    struct files *files;     /* own; likewise task_files_get */
    struct fs_context *fs;   /* root, cwd, umask */
    const struct cred *cred; /* own; others via task_cred_get */

    /* Signals; guarded by process->sig_lock unless own. */
    sigset64 blocked;    /* own, written under sig_lock */
    sigset64 saved_mask; /* own: restored when restore_mask (sigsuspend, ppoll) */
    bool restore_mask;
    sigset64 wait_set;             /* what rt_sigtimedwait waits for although it is blocked */
    struct sig_queue pending;      /* thread-directed */
    struct sigaltstack64 altstack; /* own */
    uint32_t flags;                /* atomic: TASK_F_* */
    struct restart_block {
        int64_t (*fn)(struct task *t);
        uint64_t args[6];
    } restart; /* own */

    struct uaddr clear_child_tid; /* own */
    struct uaddr robust_list;     /* own */
    size_t robust_list_len;
    int32_t pdeath_signal;
    bool no_new_privs;
    struct seccomp_filter *seccomp; /* atomic, referenced; see kernel/seccomp.h */
    uint32_t seccomp_mode;          /* atomic: SECCOMP_MODE_*, 0: none */
    bool thp_disable;               /* own: PR_SET_THP_DISABLE, kept and reported */
    int32_t exit_code;
    struct vfork *vfork;   /* own: parent to let go on exec or exit */
    bool exited;           /* ending: gets no more signals; guarded by sig_lock */
    bool parked;           /* in a job-control stop; guarded by sig_lock */
    uint64_t exec_user_ns; /* user time of contexts given up by execve; guarded by lock */
    uint64_t fault_addr;   /* own: cr2, trap number and error code of the last signal_force */
    uint32_t fault_trapno, fault_error;
    uint64_t short_addr; /* own: where memory was short last, and how often in a row */
    uint32_t short_tries;
    uint64_t sys_ns;        /* kernel time spent for it */
    uint64_t nvcsw, nivcsw; /* own, read racily: times it waited, times it gave way */
    struct io_counts io;    /* own, read racily */
    uint64_t start_time_ns;
    uint64_t timer_slack_ns, timer_slack_default_ns;
    uint32_t personality;
};

#define ORIG_NR_NONE UINT64_MAX /* task->orig_nr outside a system call */

enum {
    TASK_F_SIGPENDING = 1u << 0, /* recompute before going back to user mode */
    TASK_F_KILLED = 1u << 1,     /* must die at the next chance */
    TASK_F_KICKED = 1u << 2,
    TASK_F_PAUSED = 1u << 3, /* its container is paused: park before going back to user mode */
    TASK_F_WORK =
        TASK_F_SIGPENDING | TASK_F_KILLED | TASK_F_PAUSED, /* keeps a task from user mode */
};

extern struct spinlock g_tasklist_lock;

/* ---- lifetime ---- */
static inline void task_get(struct task *t) {
    ref_get(&t->ref);
}
void task_put(struct task *t);
/* Frees a task whose last reference is gone, kernel stack included: never on that stack (task_put
 * calls it). */
void task_free(struct task *t);
/* A new task with its kernel stack and one reference, in TASK_NEW and in no process; NULL without
 * memory. */
must_check struct task *task_alloc(void);
static inline void process_get(struct process *p) {
    ref_get(&p->ref);
}
void process_put(struct process *p);
/* Takes a reference, or NULL.  Searches the caller's container's pid name space. */
struct task *task_find(int32_t tid);
struct process *process_find(int32_t pid);
struct mm *task_mm_get(struct task *t); /* with reference, NULL when gone */
struct files *task_files_get(struct task *t);
const struct cred *task_cred_get(struct task *t);
struct fs_context *task_fs_get(struct task *t);
/* Makes a task that runs user code come back with TRAP_INTERRUPT (under task->lock, so that its
 * context cannot vanish).  The scheduler sets TASK_USER under task->lock first and looks at
 * task->flags afterwards, so that no kick is lost. */
void task_kick(struct task *t);
/* ---- the process tree (kernel/pid.c, session.c): for /proc, tty, timers ---- */
/* First process with pid >= `pid` of the caller's pid name space (zombies too) / that is a member
 * of a container; first thread with tid >= `tid`. Referenced, or NULL at the end. */
struct process *process_next(int32_t pid);
struct process *container_process_next(struct container *c, int32_t pid);
struct task *thread_next(struct process *p, int32_t tid);
/* The leader (or what is left of it), referenced; NULL once reaped. */
struct task *process_leader_get(struct process *p);
/* A thread that has not ended, referenced, or NULL. */
struct task *process_thread_get(struct process *p);
int32_t process_ppid(struct process *p); /* 0: made from outside */
int32_t process_pgid(struct process *p);
int32_t process_sid(struct process *p);
/* R S D T Z X as in /proc/pid/stat. */
char task_state_char(struct task *t);

/* References.  task_pgrp_get and task_session_get never return NULL for a user task. */
static inline void pgrp_get(struct pgrp *g) {
    ref_get(&g->ref);
}
void pgrp_put(struct pgrp *g);
static inline void session_get(struct session *s) {
    ref_get(&s->ref);
}
void session_put(struct session *s);
struct pgrp *task_pgrp_get(struct task *t);
struct session *task_session_get(struct task *t);
struct pgrp *pgrp_find(int32_t id); /* of the caller's container, referenced or NULL */
/* No member has a parent outside the group but inside its session (POSIX); takes g_tasklist_lock.
 */
bool pgrp_is_orphaned(struct pgrp *g);

/* The process behind a pidfd, referenced, or NULL when `file` is none (kernel/pidfd.c). */
struct file;
struct process *pidfd_process(struct file *file);

/* Starts a kernel thread (no user context); it ends by returning. */
must_check int kthread_start(const char *name, void (*fn)(void *arg), void *arg);
/* Ends the calling task (thread); never returns.  `code` is a wait status. */
noreturn_fn void task_exit(int32_t code);
/* Ends all threads of the caller's process. */
noreturn_fn void process_exit_group(int32_t code);

/* ---- credentials (kernel/cred.c) ---- */
#define CAP_LAST_MOAT 40 /* CAP_CHECKPOINT_RESTORE (linux/capability.h) */
#define CAP_FULL_SET  ((1ull << (CAP_LAST_MOAT + 1)) - 1)
bool capable(int cap); /* of current, effective set */
bool cred_capable(const struct cred *c, int cap);
bool cred_in_group(const struct cred *c, uint32_t gid); /* fsgid or supplementary */
must_check struct cred *cred_prepare(void);             /* a private copy of current's, or NULL */
void cred_commit(struct cred *c); /* becomes current's; consumes the reference */
void cred_put(const struct cred *c);
static inline const struct cred *cred_get(const struct cred *c) {
    ref_get(&((struct cred *)(uintptr_t)c)->ref);
    return c;
}

/* Queued signals and processes of a user inside a container (kernel/cred.c). */
struct user_counts {
    struct refcount ref;
    struct list link; /* guarded by the table's lock */
    struct container *container;
    uint32_t uid;
    uint32_t signals;                            /* atomic */
    uint32_t processes;                          /* atomic: threads, as RLIMIT_NPROC counts them */
    uint32_t inotify_instances, inotify_watches; /* atomic */
};
/* Finds or makes; NULL without memory. */
must_check struct user_counts *user_counts_get(struct container *c, uint32_t uid);
/* Counts one more (atomic) unless there are `limit` already. */
must_check bool user_count_up(uint32_t *count, uint64_t limit);
void user_counts_put(struct user_counts *u);

/* ---- limits ---- */
uint64_t rlimit_get(int resource); /* soft limit of current */

/* ---- scheduler (kernel/sched.c) ---- */
void sched_init(void);
/* Kernel stacks, KSTACK_PAGES pages each, from a small stock; contents are whatever was there. NULL
 * without memory. */
must_check void *kstack_alloc(void);
void kstack_free(void *stack);
/* Makes a new task (state TASK_NEW, lock initialised, kstack set) runnable for the first time.  It
 * starts in kthread_fn(kthread_arg) and then task_exit(0) when is_kthread, else in task_user_loop.
 * The task's birth reference is the scheduler's from here on. */
void sched_start(struct task *t);
/* Called on a task's kernel stack: lets platform run user code (or orders) and returns with the
 * next trap in t->trap. mode as in platform.h.  With RESUME_USER it comes back at once, trap.kind
 * TRAP_NONE and all else as it was, when the task's flags say that it must not go to user mode. */
void sched_user(struct task *t, enum resume_mode mode);
/* Carries out the queued mapping orders of current's space and releases the frames behind them:
 * needs a full context (true), else leaves them for the return to user mode (false). */
must_check bool sched_sync_orders(int *out_error);
/* Leaves the vCPU for good: the last thing a dying task does. */
noreturn_fn void sched_exit(void);
/* The system-call and trap loop of a task with a user context (kernel/entry.c); entry function of
 * its kstack. */
void task_user_loop(struct task *t);

#endif
