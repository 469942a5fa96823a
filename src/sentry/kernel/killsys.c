/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill(2), tkill(2), tgkill(2), rt_sigqueueinfo(2), rt_tgsigqueueinfo(2): who may signal whom, and
 * the walk over targets.
 */
#include "base/string.h"
#include "kernel/container.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/signal.h>

/* kill(2): real or effective uid equals the target's real or saved uid, or CAP_KILL, or SIGCONT
 * within the session. */
static int may_signal_cred(const struct cred *target, int signo, bool same_session) {
    const struct cred *c = current->cred;

    if (c->euid == target->suid || c->euid == target->uid || c->uid == target->suid ||
        c->uid == target->uid || capable(CAP_KILL) || (signo == SIGCONT && same_session)) {
        return 0;
    }
    return -EPERM;
}

/* g_tasklist_lock held. */
static int may_signal_locked(struct process *p, int signo) {
    struct process *self = current->process;
    bool same_session =
        p->pgrp != NULL && self->pgrp != NULL && p->pgrp->session == self->pgrp->session;

    if (p == self || p->leader == NULL) {
        return 0;
    }
    const struct cred *c = task_cred_get(p->leader);
    int err = may_signal_cred(c, signo, same_session);
    cred_put(c);
    return err;
}

int may_signal(struct process *p, int signo) {
    spin_lock(&g_tasklist_lock);
    int err = may_signal_locked(p, signo);
    spin_unlock(&g_tasklist_lock);
    return err;
}

static void user_info(struct ksiginfo *info, int signo, int code) {
    struct task *t = current;

    memset(info, 0, sizeof(*info));
    info->signo = signo;
    info->code = code;
    info->u.rt.pid = t->process->pid;
    info->u.rt.uid = t->cred->uid;
}

static int kill_one_locked(struct process *p, int signo, const struct ksiginfo *info) {
    int err = may_signal_locked(p, signo);

    if (err == 0 && signo != 0) {
        err = signal_send_process(p, signo, info);
    }
    return err;
}

static int kill_process(int32_t pid, int signo, const struct ksiginfo *info) {
    int err = -ESRCH;

    spin_lock(&g_tasklist_lock);
    struct pid_slot *slot = pid_slot_get(container_current(), pid);
    struct process *p = slot != NULL ? slot->process : NULL;
    if (p == NULL && slot != NULL && slot->task != NULL) {
        p = slot->task->process; /* kill(2) takes any thread's number for its process */
    }
    if (p != NULL) {
        err = kill_one_locked(p, signo, info);
    }
    spin_unlock(&g_tasklist_lock);
    return err;
}

/* 0 when at least one took it; else -EPERM when there was one that may not be signalled; else
 * -ESRCH. */
static int kill_group(struct pgrp *g, int signo, const struct ksiginfo *info) {
    struct process *p;
    int result = -ESRCH;

    list_for_each_entry (p, &g->members, pgrp_link) {
        int err = kill_one_locked(p, signo, info);
        if (result != 0) {
            result = err;
        }
    }
    return result;
}

/* Every process but the init and the caller. */
static int kill_all(struct container *c, int signo, const struct ksiginfo *info) {
    uint64_t key = 2;
    uint64_t value;
    int result = -ESRCH;

    while (radix_next(&c->pids, &key, &value)) {
        struct process *p = ((struct pid_slot *)(uintptr_t)value)->process;
        key++;
        if (p == NULL || p == current->process || p == c->init) {
            continue;
        }
        int err = kill_one_locked(p, signo, info);
        if (err != -EPERM || result == -ESRCH) {
            result = err == -EPERM ? result : err;
        }
    }
    return result;
}

static int kill_many(int32_t pid, int signo, const struct ksiginfo *info) {
    struct container *c = container_current();
    struct pgrp *g = NULL;
    int err = -ESRCH;

    spin_lock(&g_tasklist_lock);
    if (pid == -1) {
        err = kill_all(c, signo, info);
    } else if (pid == 0) {
        g = current->process->pgrp;
    } else {
        struct pid_slot *slot = pid_slot_get(c, -pid);
        g = slot != NULL ? slot->pgrp : NULL;
    }
    if (g != NULL) {
        err = kill_group(g, signo, info);
    }
    spin_unlock(&g_tasklist_lock);
    return err;
}

static bool valid_signo(int32_t signo) {
    return signo >= 0 && signo <= NSIG_MAX;
}

int64_t sys_kill(struct task *t, const struct sysargs *args) {
    int32_t pid = (int32_t)args->a[0];
    int32_t signo = (int32_t)args->a[1];
    struct ksiginfo info;

    if (!valid_signo(signo)) {
        return -EINVAL;
    }
    if (pid == INT32_MIN) {
        return -ESRCH;
    }
    user_info(&info, signo, SI_USER);
    return pid > 0 ? kill_process(pid, signo, &info) : kill_many(pid, signo, &info);
}

static int64_t kill_thread(int32_t tgid, int32_t tid, int signo, const struct ksiginfo *info) {
    int err = -ESRCH;

    if (tid <= 0 || tgid == 0 || tgid < -1) {
        return -EINVAL;
    }
    if (!valid_signo(signo)) {
        return -EINVAL;
    }
    struct task *target = task_find(tid);
    if (target == NULL) {
        return -ESRCH;
    }
    if (tgid == -1 || target->process->pid == tgid) {
        err = may_signal(target->process, signo);
        if (err == 0 && signo != 0) {
            err = signal_send_task(target, signo, info);
        }
    }
    task_put(target);
    return err;
}

int64_t sys_tkill(struct task *t, const struct sysargs *args) {
    struct ksiginfo info;

    user_info(&info, (int32_t)args->a[1], SI_TKILL);
    return kill_thread(-1, (int32_t)args->a[0], (int32_t)args->a[1], &info);
}

int64_t sys_tgkill(struct task *t, const struct sysargs *args) {
    struct ksiginfo info;

    if ((int32_t)args->a[0] <= 0) {
        return -EINVAL;
    }
    user_info(&info, (int32_t)args->a[2], SI_TKILL);
    return kill_thread((int32_t)args->a[0], (int32_t)args->a[1], (int32_t)args->a[2], &info);
}

/* Another process may not be told that a signal came from kill() or the kernel
 * (rt_sigqueueinfo(2)). */
static int copyin_info(struct uaddr addr, int32_t signo, bool self, struct ksiginfo *out_info) {
    if (copyin(out_info, addr, sizeof(*out_info)) != 0) {
        return -EFAULT;
    }
    out_info->signo = signo;
    if ((out_info->code >= 0 || out_info->code == SI_TKILL) && !self) {
        return -EPERM;
    }
    return 0;
}

int64_t sys_rt_sigqueueinfo(struct task *t, const struct sysargs *args) {
    int32_t pid = (int32_t)args->a[0];
    int32_t signo = (int32_t)args->a[1];
    struct ksiginfo info;

    int err = copyin_info(uaddr_of(args->a[2]), signo, pid == t->process->pid, &info);
    if (err != 0) {
        return err;
    }
    if (!valid_signo(signo)) {
        return -EINVAL;
    }
    return pid > 0 ? kill_process(pid, signo, &info) : -ESRCH;
}

int64_t sys_rt_tgsigqueueinfo(struct task *t, const struct sysargs *args) {
    int32_t tgid = (int32_t)args->a[0];
    struct ksiginfo info;

    if (tgid <= 0) {
        return -EINVAL;
    }
    int err =
        copyin_info(uaddr_of(args->a[3]), (int32_t)args->a[2], tgid == t->process->pid, &info);
    if (err != 0) {
        return err;
    }
    return kill_thread(tgid, (int32_t)args->a[1], (int32_t)args->a[2], &info);
}
