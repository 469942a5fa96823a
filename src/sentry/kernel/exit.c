/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of threads and processes: _exit(2), exit_group(2), who inherits children, who is told.
 *
 * A thread gives up, in this order: its place among those that get signals, its futexes, its user
 * context and memory, files, and last its place in the process.  The last one makes the process a
 * zombie and tells the parent; a process that nobody waits for is reaped at once.
 */
#include "fs/tty/tty.h"
#include "fs/vfs.h"
#include "ipc/ipc.h"
#include "kernel/container.h"
#include "kernel/process.h"
#include "kernel/seccomp.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "kernel/wait.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/errno.h>
#include <linux/signal.h>

#define HANDLER_IGN   1ull
#define NSEC_PER_TICK (NSEC_PER_SEC / 100) /* USER_HZ: unit of si_utime */

int wait_code(int32_t status, int32_t *out_value) {
    if ((status & 0x7f) != 0) {
        *out_value = status & 0x7f;
        return CLD_KILLED;
    }
    *out_value = (status >> 8) & 0xff;
    return CLD_EXITED;
}

/* ---- what a thread holds ---- */

static void give_up_signals(struct task *t) {
    struct process *p = t->process;

    spin_lock(&p->sig_lock);
    t->exited = true;
    bool stop_done = signal_thread_gone(t);
    spin_unlock(&p->sig_lock);
    if (stop_done) {
        notify_parent_stop(p, CLD_STOPPED);
    }
}

static void give_up_memory(struct task *t) {
    struct process *p = t->process;
    struct platform_thread *thread = t->pthread;
    struct mm *mm = t->mm;

    if (thread != NULL) {
        uint64_t ns = platform_thread_cpu_ns(thread);
        spin_lock(&t->lock);
        t->pthread = NULL;
        t->exec_user_ns += ns;
        spin_unlock(&t->lock);
        platform_thread_destroy(thread);
    }
    if (mm != NULL) {
        spin_lock(&t->lock);
        t->mm = NULL;
        spin_unlock(&t->lock);
        spin_lock(&p->sig_lock);
        p->max_rss = MAX(p->max_rss, atomic_load_relaxed(&mm->hiwater_rss));
        spin_unlock(&p->sig_lock);
        mm_leave(mm);
    }
    vfork_done(t);
}

static void give_up_files(struct task *t) {
    spin_lock(&t->lock);
    struct files *files = t->files;
    struct fs_context *fs = t->fs;
    t->files = NULL;
    t->fs = NULL;
    spin_unlock(&t->lock);
    if (files != NULL) {
        files_put(files);
    }
    if (fs != NULL) {
        fs_context_put(fs);
    }
}

/* ---- reaping ---- */

void process_unlink(struct process *p) {
    struct container *c = p->container;
    struct session *s = p->pgrp->session;

    list_del_init(&p->sibling_link);
    list_del_init(&p->all_link);
    p->parent = NULL;
    atomic_store(&p->ppid, 0);
    p->reaped = true;
    if (s->leader == p) {
        s->leader = NULL;
    }
    if (c->init == p) {
        c->init = NULL;
    }
    p->last_pgrp = process_join_pgrp(p, NULL);
    struct pid_slot *slot = pid_slot_get(c, p->pid);
    slot->task = NULL;
    slot->process = NULL;
    pid_slot_release(c, p->pid);
    c->process_count--;
    waitq_wake(&c->gone, UINT32_MAX);
}

void process_reaped(struct process *p) {
    spin_lock(&g_tasklist_lock);
    struct task *leader = p->leader;
    p->leader = NULL;
    spin_unlock(&g_tasklist_lock);
    if (leader != NULL) {
        task_put(leader);
    }
    pgrp_put(p->last_pgrp);
    process_put(p); /* the pid table's */
}

/* Tells the parent that `p` is a zombie; true when nobody will wait for it.  g_tasklist_lock held.
 */
static bool notify_parent(struct process *p) {
    struct process *parent = p->parent;
    struct ksiginfo info = {.signo = p->exit_signal};

    if (parent == NULL || (parent == p->container->init && p->container->init_dying)) {
        return true;
    }
    info.code = wait_code(p->exit_code, &info.u.child.status);
    info.u.child.pid = p->pid;
    info.u.child.uid = p->leader->cred->uid;
    info.u.child.utime = (int64_t)(p->dead_cpu_user_ns / NSEC_PER_TICK);
    info.u.child.stime = (int64_t)(p->dead_cpu_sys_ns / NSEC_PER_TICK);
    spin_lock(&parent->actions->lock);
    struct sigaction64 sa = parent->actions->sa[SIGCHLD - 1];
    spin_unlock(&parent->actions->lock);
    bool auto_reap =
        p->exit_signal == SIGCHLD && (sa.handler == HANDLER_IGN || (sa.flags & SA_NOCLDWAIT) != 0);
    if (p->exit_signal != 0 && !(p->exit_signal == SIGCHLD && sa.handler == HANDLER_IGN)) {
        (void)signal_send_process(parent, p->exit_signal,
                                  &info); /* the wake-up below is what counts */
    }
    waitq_wake(&parent->child_exit, UINT32_MAX);
    return auto_reap;
}

/* ---- the family ---- */

static struct process *find_reaper(struct process *p) {
    for (struct process *a = p->parent; a != NULL; a = a->parent) {
        if (a->is_subreaper && !list_empty(&a->threads)) {
            return a;
        }
    }
    return p->container->init != p ? p->container->init : NULL;
}

/* A group that lost its last tie to its session while jobs of it are stopped is told (POSIX,
 * _exit()). */
static void check_orphaned(struct pgrp *g, struct process *ignore) {
    struct process *p;
    bool stopped = false;

    list_for_each_entry (p, &g->members, pgrp_link) {
        stopped = stopped || (p->stopped && p != ignore);
    }
    if (stopped && pgrp_is_orphaned_locked(g, ignore)) {
        (void)signal_send_pgrp_locked(g, SIGHUP, NULL); /* whoever takes it */
        (void)signal_send_pgrp_locked(g, SIGCONT, NULL);
    }
}

static void send_pdeath(struct process *child) {
    struct task *t;

    list_for_each_entry (t, &child->threads, thread_link) {
        if (t->pdeath_signal != 0) {
            (void)signal_send_process(child, t->pdeath_signal, NULL); /* best effort */
            return;
        }
    }
}

/* Gives p's children to their new parent; those that nobody will wait for go to `reaped`. */
static void reparent_children(struct process *p, struct list *reaped) {
    struct process *reaper = find_reaper(p);
    struct process *child;
    struct process *tmp;

    list_for_each_entry_safe (child, tmp, &p->children, sibling_link) {
        struct pgrp *g = child->pgrp;
        child->parent = reaper;
        atomic_store(&child->ppid, reaper != NULL ? reaper->pid : 0);
        list_del_init(&child->sibling_link);
        if (reaper != NULL) {
            list_push_back(&reaper->children, &child->sibling_link);
        }
        child->exit_signal = SIGCHLD;
        send_pdeath(child);
        if (child->zombie) {
            if (notify_parent(child)) {
                process_unlink(child);
                list_push_back(reaped, &child->sibling_link);
            }
        } else if (g != p->pgrp && g->session == p->pgrp->session) {
            check_orphaned(g, NULL);
        }
    }
}

/* The last thread is gone.  g_tasklist_lock held. */
static void become_zombie(struct process *p, struct list *reaped) {
    struct process *parent = p->parent;

    reparent_children(p, reaped);
    if (parent != NULL && parent->pgrp != p->pgrp && parent->pgrp->session == p->pgrp->session) {
        check_orphaned(p->pgrp, p);
    }
    p->zombie = true;
    if (notify_parent(p)) {
        process_unlink(p);
        list_push_back(reaped, &p->sibling_link);
    }
}

/* Takes the thread out of its process; true when it was the last one. */
static bool leave_process(struct task *t, struct list *reaped) {
    struct process *p = t->process;
    struct container *c = p->container;

    spin_lock(&g_tasklist_lock);
    spin_lock(&p->sig_lock);
    list_del_init(&t->thread_link);
    p->thread_count--;
    if (--p->member->thread_count == 0) {
        waitq_wake(&p->member->gone, UINT32_MAX);
    }
    p->dead_cpu_user_ns += t->exec_user_ns;
    p->dead_cpu_sys_ns += t->sys_ns;
    p->dead_nvcsw += t->nvcsw;
    p->dead_nivcsw += t->nivcsw;
    io_counts_add(&p->dead_io, &t->io);
    bool last = p->thread_count == 0;
    waitq_wake(&p->exec_wait, UINT32_MAX);
    spin_unlock(&p->sig_lock);
    if (t->cred->user != NULL) {
        (void)atomic_fetch_sub(&t->cred->user->processes, 1u);
    }
    if (t != p->leader) {
        struct pid_slot *slot = pid_slot_get(c, t->tid);
        slot->task = NULL;
        pid_slot_release(c, t->tid);
    }
    if (last) {
        become_zombie(p, reaped);
    }
    spin_unlock(&g_tasklist_lock);
    return last;
}

/* ---- the end of a container's init ---- */

void container_kill(struct container *c, struct process *except) {
    uint64_t key = 1;
    uint64_t value;

    while (radix_next(&c->pids, &key, &value)) {
        struct process *p = ((struct pid_slot *)(uintptr_t)value)->process;
        key++;
        if (p != NULL && p != except) {
            (void)signal_send_outside(p, SIGKILL); /* zombies do not mind */
        }
    }
}

static bool init_is_alone(void *arg) {
    struct container *c = arg;

    spin_lock(&g_tasklist_lock);
    bool alone = c->process_count <= 1;
    spin_unlock(&g_tasklist_lock);
    return alone;
}

/* Nobody outlives the init (pid_namespaces(7)). */
static void end_container(struct process *p) {
    struct container *c = p->container;
    struct process *child;
    struct process *tmp;
    struct list reaped;

    list_init(&reaped);
    spin_lock(&g_tasklist_lock);
    c->init_dying = true;
    list_for_each_entry_safe (child, tmp, &p->children, sibling_link) {
        if (child->zombie) {
            process_unlink(child);
            list_push_back(&reaped, &child->sibling_link);
        }
    }
    container_kill(c, p);
    spin_unlock(&g_tasklist_lock);
    list_for_each_entry_safe (child, tmp, &reaped, sibling_link) {
        process_reaped(child);
    }
    (void)!waitq_wait(&c->gone, init_is_alone, c, NO_DEADLINE,
                      BLOCK_UNINTERRUPTIBLE); /* never fails */
}

/* ---- the doors ---- */

/* What goes with the last thread while the process is still whole. */
static void last_thread(struct process *p) {
    spin_lock(&g_tasklist_lock);
    bool session_leader = p->pgrp->session->leader == p;
    bool is_init = p->container->init == p;
    spin_unlock(&g_tasklist_lock);
    process_timers_exit(p);
    if (p->control != NULL) {
        control_process_ending(p->control);
    }
    sem_process_gone(p);
    if (session_leader) {
        tty_session_leader_exit(p);
    }
    if (is_init) {
        end_container(p);
    }
}

void task_exit(int32_t code) {
    struct task *t = current;
    struct process *p = t->process;
    struct process *dead;
    struct process *tmp;
    struct list reaped;

    if (p == &g_kernel_process) {
        give_up_files(t);
        sched_exit();
    }
    t->exit_code = code;
    give_up_signals(t);
    futex_exit(t);
    give_up_memory(t);
    give_up_files(t);
    spin_lock(&p->sig_lock);
    if (t == p->leader && !p->group_exit) {
        p->exit_code = code;
    }
    spin_unlock(&p->sig_lock);
    if (atomic_fetch_sub(&p->live, 1u) == 1) {
        last_thread(p);
    }
    list_init(&reaped);
    bool last = leave_process(t, &reaped);
    seccomp_exit(t); /* no other thread of the process sees this one any more */
    if (last) {
        waitq_wake(&p->exit_waiters, UINT32_MAX);
        if (p->control != NULL) {
            control_process_exited(p->control, p->exit_code);
        }
    }
    list_for_each_entry_safe (dead, tmp, &reaped, sibling_link) {
        list_del_init(&dead->sibling_link);
        process_reaped(dead);
    }
    sched_exit();
}

void process_exit_group(int32_t code) {
    struct process *p = current->process;

    spin_lock(&p->sig_lock);
    signal_group_exit(p, code);
    code = p->exit_code;
    spin_unlock(&p->sig_lock);
    task_exit(code);
}

int64_t sys_exit(struct task *t, const struct sysargs *args) {
    task_exit((int32_t)(args->a[0] & 0xff) << 8);
}

int64_t sys_exit_group(struct task *t, const struct sysargs *args) {
    process_exit_group((int32_t)(args->a[0] & 0xff) << 8);
}
