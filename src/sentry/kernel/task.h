/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks (threads), processes (thread groups), process groups and sessions, credentials.
 *
 * Locks: g_tasklist_lock (RANK_TASKLIST) guards the tree (parent, children, siblings, pid table, group and session
 * membership); process->sig_lock (RANK_SIGNAL) guards signal state; task->lock (RANK_TASK) the run state.
 * A task's own fields marked "own" are touched by that task alone.
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

#define KSTACK_PAGES 8u /* 32 KiB, of which few are ever touched */
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
    struct session *session;
    struct list members; /* process->pgrp_link; guarded by g_tasklist_lock */
};

struct session {
    struct refcount ref;
    int32_t id;
    struct tty *tty;       /* controlling terminal, guarded by the tty layer's lock */
    struct process *leader; /* guarded by g_tasklist_lock */
};

/* A thread group: what user space calls a process. */
struct process {
    struct refcount ref;
    int32_t pid;
    struct container *container;
    struct list threads;       /* task->thread_link; guarded by g_tasklist_lock */
    uint32_t thread_count;     /* guarded by g_tasklist_lock */
    struct task *leader;
    struct process *parent;    /* guarded by g_tasklist_lock, as the next four */
    struct list children;
    struct list sibling_link;
    struct pgrp *pgrp;
    struct list pgrp_link;
    bool did_exec;
    bool is_subreaper;
    /* Signals: see signal.h; guarded by sig_lock. */
    struct spinlock sig_lock;
    struct sig_actions *actions;   /* may be shared by CLONE_SIGHAND without CLONE_THREAD */
    struct sig_queue pending;      /* process-directed */
    bool group_exit;               /* exit_group or fatal signal under way */
    int32_t exit_code;             /* wait status, valid once group_exit or a zombie */
    bool stopped;                  /* job control stop */
    int32_t stop_signal;
    uint32_t wait_flags;           /* WSTOPPED / WCONTINUED events not yet reported */
    struct waitq child_exit;       /* parents sleep here in wait4 */
    struct waitq exit_waiters;     /* pidfd, control channel */
    int32_t exit_signal;           /* sent to the parent when all threads are gone */
    struct rlimit_pair rlimits[RLIMIT_COUNT]; /* guarded by sig_lock */
    struct posix_timers *posix_timers;
    struct timer itimer_real;
    uint64_t itimer_real_interval_ns;
    uint64_t start_time_ns;
    uint64_t dead_cpu_user_ns;     /* of threads that are gone */
    uint64_t child_cpu_user_ns;    /* of children waited for */
    uint64_t dead_cpu_sys_ns, child_cpu_sys_ns;
    uint64_t child_max_rss, max_rss;
    int32_t oom_score_adj;
    bool dumpable;
    bool no_new_privs_unused;
};

struct task {
    struct refcount ref;
    struct spinlock lock;          /* state, wake_token, on_runq */
    enum task_state state;         /* guarded by lock */
    bool wake_token;               /* guarded by lock */
    struct list run_link;          /* guarded by the cpu's runq_lock */
    void *kstack;                  /* base of KSTACK_PAGES pages */
    void *ksp;                     /* saved kernel stack pointer while not running */
    struct timer block_timer;      /* for task_block */
    bool block_interruptible, block_killable; /* guarded by lock, valid while blocked */

    int32_t tid;
    struct process *process;
    struct list thread_link;       /* guarded by g_tasklist_lock */
    char comm[TASK_COMM_LEN];      /* own; read racily by /proc */
    bool is_kthread;

    struct platform_thread *pthread; /* own; NULL for kernel threads */
    struct trap trap;              /* own: the trap being handled */
    struct user_regs regs;         /* own: valid when trap.full_context; written back before resume */
    bool regs_dirty;               /* own: regs were changed, write them back */
    int64_t result;                /* own: of the system call */
    uint64_t orig_nr;              /* own: number of the call being handled, for restarts */
    void (*kthread_fn)(void *arg);
    void *kthread_arg;

    struct mm *mm;                 /* own; others take a reference under lock via task_mm_get */
    struct files *files;           /* own; likewise task_files_get */
    struct fs_context *fs;         /* root, cwd, umask */
    const struct cred *cred;       /* own; others via task_cred_get */

    /* Signals; guarded by process->sig_lock unless own. */
    sigset64 blocked;              /* own, written under sig_lock */
    sigset64 saved_mask;           /* own: restored when restore_mask (sigsuspend, ppoll) */
    bool restore_mask;
    struct sig_queue pending;      /* thread-directed */
    struct sigaltstack64 altstack; /* own */
    uint32_t flags;                /* atomic: TASK_F_* */
    struct restart_block {
        int64_t (*fn)(struct task *t);
        uint64_t args[6];
    } restart;                     /* own */

    struct uaddr clear_child_tid;  /* own */
    struct uaddr robust_list;      /* own */
    size_t robust_list_len;
    int32_t pdeath_signal;
    bool no_new_privs;
    bool keep_caps;
    bool child_subreaper;
    int32_t exit_code;
    struct task *vfork_parent;     /* woken on exec or exit */
    struct waitq *vfork_done;
    uint64_t sys_ns;               /* kernel time spent for it */
    uint64_t start_time_ns;
    uint64_t timer_slack_ns;
    uint32_t personality;
    void *ptrace_unused;
};

enum {
    TASK_F_SIGPENDING = 1u << 0,  /* recompute before going back to user mode */
    TASK_F_KILLED = 1u << 1,      /* must die at the next chance */
    TASK_F_KICKED = 1u << 2,
};

extern struct spinlock g_tasklist_lock;

/* ---- lifetime ---- */
static inline void task_get(struct task *t) {
    ref_get(&t->ref);
}
void task_put(struct task *t);
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

/* ---- groups, sessions and walking: for the terminal layer and /proc; all take g_tasklist_lock themselves ---- */
static inline void pgrp_get(struct pgrp *g) {
    ref_get(&g->ref);
}
void pgrp_put(struct pgrp *g);
static inline void session_get(struct session *s) {
    ref_get(&s->ref);
}
void session_put(struct session *s);
/* A group by number in the caller's name space, with a reference, or NULL. */
struct pgrp *pgrp_find(int32_t id);
/* No member has a parent outside the group but inside its session (POSIX: orphaned). */
bool pgrp_is_orphaned(struct pgrp *g);
/* The process with the lowest pid >= `pid` of the caller's name space, zombies too, with a reference; NULL at the end. */
struct process *process_next(int32_t pid);

/* Starts a kernel thread (no user context); it ends by returning. */
must_check int kthread_start(const char *name, void (*fn)(void *arg), void *arg);
/* Ends the calling task (thread); never returns.  `code` is a wait status. */
noreturn_fn void task_exit(int32_t code);
/* Ends all threads of the caller's process. */
noreturn_fn void process_exit_group(int32_t code);

/* ---- credentials (kernel/cred.c) ---- */
#define KUID_ROOT 0u
bool capable(int cap);                            /* of current, effective set */
bool cred_capable(const struct cred *c, int cap);
bool cred_in_group(const struct cred *c, uint32_t gid); /* fsgid or supplementary */
must_check struct cred *cred_prepare(void);       /* a private copy of current's, or NULL */
void cred_commit(struct cred *c);                 /* becomes current's; consumes the reference */
void cred_put(const struct cred *c);
static inline const struct cred *cred_get(const struct cred *c) {
    ref_get(&((struct cred *)(uintptr_t)c)->ref);
    return c;
}

/* ---- limits ---- */
uint64_t rlimit_get(int resource); /* soft limit of current */

/* ---- scheduler (kernel/sched.c) ---- */
void sched_init(void);
/* Makes a new task runnable for the first time. */
void sched_start(struct task *t);
/* Called on a task's kernel stack: lets platform run user code (or orders) and returns with the next trap in t->trap.
 * mode as in platform.h. */
void sched_user(struct task *t, enum resume_mode mode);
/* Carries out the queued mapping orders of current's space if they revoke rights: needs a full context (true), else
 * leaves them for the return to user mode, which then kicks (false). */
must_check bool sched_sync_orders(int *out_error);
/* Leaves the vCPU for good: the last thing a dying task does. */
noreturn_fn void sched_exit(void);
/* The system-call and trap loop of a task with a user context (kernel/entry.c); entry function of its kstack. */
void task_user_loop(struct task *t);

#endif
