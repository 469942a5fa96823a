/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making tasks and processes out of the caller (clone(2)).
 *
 * A child is put together while nobody else knows it (copy_*), gets its user context from the
 * platform, then its number and its place in the tree under g_tasklist_lock, and runs.  Every step
 * before the last can be taken back.
 */
#include "base/string.h"
#include "fs/vfs.h"
#include "kernel/container.h"
#include "kernel/fork.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"
#include "kernel/seccomp.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "kernel/wait.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/signal.h>

#define CLONE_NAMESPACES                                                                           \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET | CLONE_NEWTIME)
#define THREADS_MAX 30000u /* of one container */

struct vfork {
    struct refcount ref;
    uint32_t done; /* atomic */
    struct waitq wait;
};

/* ---- vfork ---- */

static struct vfork *vfork_create(void) {
    struct vfork *v = kzalloc(sizeof(*v));

    if (v != NULL) {
        ref_init(&v->ref);
        ref_get(&v->ref); /* one for the parent, one for the child */
        waitq_init(&v->wait);
    }
    return v;
}

static void vfork_put(struct vfork *v) {
    if (v != NULL && ref_put(&v->ref)) {
        kfree(v);
    }
}

void vfork_done(struct task *t) {
    struct vfork *v = t->vfork;

    if (v != NULL) {
        t->vfork = NULL;
        atomic_store(&v->done, 1u);
        waitq_wake(&v->wait, UINT32_MAX);
        vfork_put(v);
    }
}

static bool vfork_is_done(void *arg) {
    return atomic_load(&((struct vfork *)arg)->done) != 0;
}

/* The parent rests until the child has its own memory or is gone; a kill lets it go. */
static void vfork_wait(struct vfork *v) {
    (void)!waitq_wait(&v->wait, vfork_is_done, v, NO_DEADLINE,
                      BLOCK_KILLABLE); /* either way it goes on */
    vfork_put(v);
}

/* ---- arguments ---- */

static int check_flags(struct task *t, const struct kclone *a) {
    uint64_t f = a->flags;

    if ((f & CLONE_NAMESPACES) != 0) {
        return -EPERM; /* name spaces inside a sandbox are not to be had */
    }
    if (((f & CLONE_THREAD) != 0 && (f & CLONE_SIGHAND) == 0) ||
        ((f & CLONE_SIGHAND) != 0 && (f & CLONE_VM) == 0) ||
        ((f & CLONE_PIDFD) != 0 && (f & CLONE_THREAD) != 0) ||
        ((f & CLONE_CLEAR_SIGHAND) != 0 && (f & CLONE_SIGHAND) != 0)) {
        return -EINVAL;
    }
    /* An init's siblings would have a parent outside (clone(2)). */
    if ((f & CLONE_PARENT) != 0 && t->process->unkillable) {
        return -EINVAL;
    }
    if ((f & CLONE_SETTLS) != 0 && a->tls >= platform_info()->user_end) {
        return -EPERM;
    }
    return 0;
}

static int check_limits(struct task *t) {
    const struct cred *c = t->cred;

    if (c->user != NULL && c->uid != 0 && !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN) &&
        atomic_load(&c->user->processes) >= rlimit_get(RLIMIT_NPROC)) {
        return -EAGAIN;
    }
    const struct container *m = t->process->member;
    uint64_t limit = atomic_load(&m->pids_limit);
    return m->thread_count >= (limit != 0 ? MIN(limit, (uint64_t)THREADS_MAX) : THREADS_MAX)
               ? -EAGAIN
               : 0;
}

/* ---- the child's parts ---- */

static void copy_own_fields(struct task *t, struct task *child, const struct kclone *a) {
    memcpy(child->comm, t->comm, sizeof(child->comm));
    child->blocked = t->blocked;
    child->thp_disable = t->thp_disable;
    child->timer_slack_ns = child->timer_slack_default_ns = t->timer_slack_ns;
    child->personality = t->personality;
    child->affinity = t->affinity;
    bool realtime = t->rt_priority != 0;
    child->nice = t->sched_reset_on_fork ? MAX(t->nice, 0) : t->nice;
    child->sched_policy = t->sched_reset_on_fork && realtime ? SCHED_NORMAL : t->sched_policy;
    child->rt_priority = t->sched_reset_on_fork ? 0 : t->rt_priority;
    child->ioprio = t->ioprio;
    if ((a->flags & CLONE_VM) == 0 || (a->flags & CLONE_VFORK) != 0) {
        child->altstack = t->altstack;
    }
    if ((a->flags & CLONE_CHILD_CLEARTID) != 0) {
        child->clear_child_tid = a->child_tid;
    }
    child->cred = cred_get(t->cred);
}

static int copy_files(struct task *t, struct task *child, const struct kclone *a) {
    if ((a->flags & CLONE_FILES) != 0) {
        files_get(t->files);
        child->files = t->files;
        if ((a->flags & CLONE_THREAD) == 0) {
            t->process->files_shared = true;
            child->process->files_shared = true;
        }
    } else {
        child->files = files_copy(t->files);
    }
    if ((a->flags & CLONE_FS) != 0) {
        ref_get(&t->fs->ref);
        child->fs = t->fs;
    } else {
        child->fs = fs_context_copy(t->fs);
    }
    return child->files == NULL || child->fs == NULL ? -ENOMEM : 0;
}

static int copy_process(struct task *t, struct task *child, const struct kclone *a) {
    struct process *from = t->process;

    if ((a->flags & CLONE_THREAD) != 0) {
        process_get(from);
        child->process = from;
        return 0;
    }
    struct process *p = process_alloc(from->member);
    if (p == NULL) {
        return -ENOMEM;
    }
    child->process = p;
    if ((a->flags & CLONE_SIGHAND) != 0) {
        ref_get(&from->actions->ref);
        p->actions = from->actions;
    } else {
        p->actions =
            sig_actions_create((a->flags & CLONE_CLEAR_SIGHAND) != 0 ? NULL : from->actions);
        if (p->actions == NULL) {
            return -ENOMEM;
        }
    }
    p->exit_signal = (int32_t)a->exit_signal;
    p->dumpable = atomic_load(&from->dumpable);
    p->oom_score_adj = from->oom_score_adj;
    spin_lock(&from->sig_lock);
    memcpy(p->rlimits, from->rlimits, sizeof(p->rlimits));
    spin_unlock(&from->sig_lock);
    process_timers_init(p);
    return 0;
}

/* Has the platform carry out what is queued, and makes the birth. */
static int run_orders(struct task *t) {
    do {
        sched_user(t, RESUME_ORDERS);
    } while (t->trap.kind != TRAP_ORDERS_DONE && t->trap.kind != TRAP_DEAD);
    if (t->trap.kind == TRAP_DEAD) {
        (void)atomic_fetch_or(&t->flags, (uint32_t)TASK_F_KILLED);
        return -EAGAIN;
    }
    mm_orders_done(t->mm);
    return t->trap.u.orders.error;
}

static int copy_space(struct task *t, struct task *child) {
    struct platform_space *space = NULL;
    struct mm *mm = NULL;

    mm_fork_begin(t->mm);
    int err = mm_fork(t->mm, &mm);
    if (err == 0) {
        err = platform_space_fork(t->pthread, child, &space, &child->pthread);
        if (err == 0) {
            err = run_orders(t);
        }
    }
    if (err == 0) {
        mm_bind_space(mm, space);
        child->mm = mm;
    } else {
        if (child->pthread != NULL) {
            platform_thread_destroy(child->pthread);
            child->pthread = NULL;
            platform_space_destroy(space);
        }
        if (mm != NULL) {
            mm_leave(mm);
        }
    }
    mm_fork_end(t->mm);
    return err;
}

static int copy_context(struct task *t, struct task *child, const struct kclone *a) {
    struct trap trap = t->trap;
    int err;

    if ((a->flags & CLONE_VM) == 0) {
        err = copy_space(t, child);
    } else {
        err = platform_thread_clone(t->pthread, child, &child->pthread);
        if (err == 0) {
            err = run_orders(t);
        }
        if (err == 0) {
            mm_join(t->mm);
            child->mm = t->mm;
        } else if (child->pthread != NULL) {
            platform_thread_destroy(child->pthread);
            child->pthread = NULL;
        }
    }
    if (t->trap.kind != TRAP_DEAD) {
        t->trap = trap;
    }
    if (err != 0) {
        return err == -ENOMEM ? err : -EAGAIN;
    }
    child->regs = t->regs;
    child->regs.rax = 0;
    child->regs.orig_rax = ORIG_NR_NONE;
    if (a->stack != 0) {
        child->regs.rsp = a->stack;
    }
    if ((a->flags & CLONE_SETTLS) != 0) {
        child->regs.fs_base = a->tls;
    }
    child->regs_dirty = true;
    child->trap.kind = TRAP_NONE;
    child->trap.thread = child->pthread;
    child->trap.task = child;
    child->trap.full_context = true;
    return 0;
}

/* Takes back what the copy_* functions made; nobody else has seen the child. */
static void discard(struct task *child) {
    if (child->pthread != NULL) {
        platform_thread_destroy(child->pthread);
        child->pthread = NULL;
    }
    if (child->mm != NULL) {
        mm_leave(child->mm);
        child->mm = NULL;
    }
    if (child->files != NULL) {
        files_put(child->files);
    }
    if (child->fs != NULL) {
        fs_context_put(child->fs);
    }
    kfree(child->vfork); /* the parent does not wait on it yet */
    task_put(child);
}

/* ---- the child's place ---- */

/* A kill, a stop or an execve of another thread that is under way goes first. */
static int may_publish(struct task *t) {
    struct process *p = t->process;

    if (p->container->init_dying) {
        return -ENOMEM; /* as pid_namespaces(7) says of a name space without init */
    }
    return p->group_exit || (p->exec_task != NULL && p->exec_task != t) ? -EAGAIN : 0;
}

static void publish_process(struct task *t, struct task *child, const struct kclone *a) {
    struct process *p = child->process;
    struct process *parent = t->process;

    if ((a->flags & CLONE_PARENT) != 0) {
        p->exit_signal = parent->exit_signal;
        parent = parent->parent;
    }
    p->pid = child->tid;
    task_get(child);
    p->leader = child;
    p->parent = parent;
    atomic_store(&p->ppid, parent != NULL ? parent->pid : 0);
    if (parent != NULL) {
        list_push_back(&parent->children, &p->sibling_link);
    }
    struct pgrp *none = process_join_pgrp(p, t->process->pgrp);
    (void)none; /* a new process was in no group */
    p->container->process_count++;
}

/* Gives the child its number and its place; from here on others see it. */
static int publish(struct task *t, struct task *child, const struct kclone *a) {
    struct container *c = t->process->container;
    struct process *p = child->process;

    spin_lock(&g_tasklist_lock);
    spin_lock(&t->process->sig_lock);
    int err = may_publish(t);
    if (err == 0) {
        seccomp_fork(t, child);
    }
    spin_unlock(&t->process->sig_lock);
    int32_t tid = err == 0 ? pid_reserve(c) : err;
    if (tid < 0) {
        spin_unlock(&g_tasklist_lock);
        return tid;
    }
    struct pid_slot *slot = pid_slot_get(c, tid);
    child->tid = tid;
    slot->task = child;
    if ((a->flags & CLONE_THREAD) == 0) {
        slot->process = p;
        list_push_back(&g_all_processes, &p->all_link);
        process_get(p);
        publish_process(t, child, a);
    }
    spin_lock(&p->sig_lock);
    process_add_thread(p, child);
    signal_recalc(child);
    if (p->group_exit) {
        (void)atomic_fetch_or(&child->flags, (uint32_t)TASK_F_KILLED);
    }
    spin_unlock(&p->sig_lock);
    if (atomic_load(&p->member->paused)) {
        (void)atomic_fetch_or(&child->flags, (uint32_t)TASK_F_PAUSED);
    }
    c->forks++;
    if (child->cred->user != NULL) {
        (void)atomic_fetch_add(&child->cred->user->processes, 1u);
    }
    spin_unlock(&g_tasklist_lock);
    return 0;
}

/* A descriptor for the child, reserved before it exists; its number goes to user memory. */
static int make_pidfd(struct task *child, struct uaddr where) {
    struct file *file = NULL;
    int err = pidfd_create(child->process, 0, &file);

    if (err != 0) {
        return err;
    }
    int fd = fd_give(file, true);
    if (fd < 0) {
        return fd;
    }
    if (copyout(where, &fd, sizeof(fd)) != 0) {
        (void)fd_close(fd); /* it was just made */
        return -EFAULT;
    }
    return fd;
}

static int64_t start(struct task *t, struct task *child, const struct kclone *a, int pidfd) {
    int err = publish(t, child, a);

    if (err != 0) {
        if (pidfd >= 0) {
            (void)fd_close(pidfd); /* of a child that never was */
        }
        discard(child);
        return err;
    }
    int32_t tid = child->tid;
    if ((a->flags & CLONE_PARENT_SETTID) != 0) {
        (void)!copyout(a->parent_tid, &tid,
                       sizeof(tid)); /* clone(2): a bad address is not an error */
    }
    if ((a->flags & CLONE_CHILD_SETTID) != 0) {
        (void)mm_write(child->mm, a->child_tid.v, &tid, sizeof(tid), false); /* likewise */
    }
    if ((a->flags & CLONE_THREAD) == 0) {
        process_cpu_limit_apply(child->process);
    }
    struct vfork *v = child->vfork;
    sched_start(child);
    if (v != NULL) {
        vfork_wait(v);
    }
    return tid;
}

int64_t do_clone(struct task *t, const struct kclone *a) {
    int pidfd = -1;
    int err = check_flags(t, a);

    if (err == 0) {
        err = check_limits(t);
    }
    if (err != 0) {
        return err;
    }
    if (signal_pending(t)) {
        return -ERESTARTNOINTR; /* signals of before the call meet the parent alone */
    }
    struct task *child = task_alloc();
    if (child == NULL) {
        return -ENOMEM;
    }
    copy_own_fields(t, child, a);
    err = copy_process(t, child, a);
    if (err == 0) {
        err = copy_files(t, child, a);
    }
    if (err == 0 && (a->flags & CLONE_VFORK) != 0) {
        child->vfork = vfork_create();
        err = child->vfork == NULL ? -ENOMEM : 0;
    }
    if (err == 0) {
        err = copy_context(t, child, a);
    }
    if (err == 0 && (a->flags & CLONE_PIDFD) != 0) {
        pidfd = make_pidfd(child, a->pidfd);
        err = pidfd < 0 ? pidfd : 0;
    }
    if (err != 0) {
        discard(child);
        return err;
    }
    return start(t, child, a, pidfd);
}
