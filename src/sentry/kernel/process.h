/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that make and end processes
 * (kernel/{process,pid,fork,exit,wait4,session,control}.c, loader/) share. Nobody else needs this
 * header.
 */
#ifndef MOAT_SENTRY_PROCESS_H
#define MOAT_SENTRY_PROCESS_H

#include "kernel/container.h"
#include "kernel/task.h"

struct kernel_exec;

/* The kernel's own process: owner of kernel threads, in no container. */
extern struct process g_kernel_process;
void process_init(void); /* once, at boot, before the first kthread_start */
/* Those in a pid table, of all containers: process->all_link; guarded by g_tasklist_lock. */
extern struct list g_all_processes;

/* A process without threads in no tree, one reference; default limits; NULL without memory. */
must_check struct process *process_alloc(struct container *c);
/* Root with every capability, referenced; for kernel threads and as base of a container's
 * credentials. */
const struct cred *cred_root(void);
void cred_init(void);
/* An unshared copy of `old` with one reference, or NULL. */
must_check struct cred *cred_copy(const struct cred *old);

/* Adds a new thread to its process's list; both locks held. */
void process_add_thread(struct process *p, struct task *t);
/* Enters pgrp `g`, leaving the one it was in; g_tasklist_lock held.  Returns the old group for the
 * caller to put (unlocked), or NULL. */
must_check struct pgrp *process_join_pgrp(struct process *p, struct pgrp *g);
/* A new group (and, when `s` is NULL, session) named `id`; joins `p`.  g_tasklist_lock held; 0 or
 * -ENOMEM. */
must_check int process_new_group(struct process *p, int32_t id, bool new_session,
                                 struct pgrp **out_old);

/* Takes a zombie out of the tree and the pid table; g_tasklist_lock held.  The caller then drops
 * what is left, unlocked, with process_reaped. */
void process_unlink(struct process *p);
void process_reaped(struct process *p);
/* A file over a process (kernel/pidfd.c); flags: PIDFD_NONBLOCK. */
must_check int pidfd_create(struct process *p, uint32_t flags, struct file **out_file);
/* Lets the vfork parent go on. */
void vfork_done(struct task *t);
/* Tells the parent of a stop or a continuation; takes g_tasklist_lock. */
void notify_parent_stop(struct process *p, int code);
/* g_tasklist_lock held. */
bool pgrp_is_orphaned_locked(struct pgrp *g, struct process *ignore);
/* Other threads of the caller's process are gone when this returns 0, and the caller is the leader.
 */
must_check int exec_take_process(struct task *t);

/* Kills every process of the container but `except` (NULL: all), from outside; g_tasklist_lock
 * held. */
void container_kill(struct container *c, struct process *except);
/* What waitid and SIGCHLD say of a wait status: CLD_* and the number. */
int wait_code(int32_t status, int32_t *out_value);

/*
 * execve from inside the kernel (loader/exec.c), on the task that is to become the program.  `argv`
 * and `envp` are kernel strings.  0, or -errno with the old program (if any) intact.
 */
must_check int kernel_execve(struct task *t, const char *filename, const char *const *argv,
                             uint32_t argc, const char *const *envp, uint32_t envc);

#define RUSAGE_SIZE 144
/* Fills a struct rusage of user space (kernel/rlimit.c). */
struct usage {
    uint64_t user_ns, sys_ns, max_rss_pages, min_flt, nvcsw, nivcsw;
};
void rusage_make(const struct usage *u, void *out_rusage);
/* Context switches of all threads there are and were. */
void process_switches(struct process *p, uint64_t *out_voluntary, uint64_t *out_involuntary);
/* What they read and wrote, with the children waited for. */
void process_io(struct process *p, struct io_counts *out);
static inline void io_counts_add(struct io_counts *to, const struct io_counts *from) {
    to->rchar += from->rchar;
    to->wchar += from->wchar;
    to->syscr += from->syscr;
    to->syscw += from->syscw;
}
/* May current send `signo` to p?  0 or -EPERM; takes g_tasklist_lock (kernel/killsys.c). */
must_check int may_signal(struct process *p, int signo);
/* Sorts supplementary groups for cred_in_group (kernel/credsys.c). */
void cred_sort_groups(uint32_t *g, uint32_t count);
/* The capability requests of prctl(2): false when the request is none of them (kernel/capsys.c). */
struct sysargs;
bool prctl_capability(struct task *t, const struct sysargs *args, int64_t *out_result);

#endif
