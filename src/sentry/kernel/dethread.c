/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve of a process with several threads: the others end, the caller becomes the leader
 * (execve(2), "execve() and threads").
 */
#include "kernel/container.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "kernel/wait.h"

#include <linux/errno.h>

static bool is_alone(void *arg) {
    struct process *p = arg;

    spin_lock(&p->sig_lock);
    bool alone = p->thread_count == 1;
    spin_unlock(&p->sig_lock);
    return alone;
}

static int claim(struct task *t) {
    struct process *p = t->process;
    int err = 0;

    spin_lock(&p->sig_lock);
    if (p->group_exit || p->exec_task != NULL) {
        err = -EAGAIN; /* this thread is being ended already */
    } else {
        p->exec_task = t;
        signal_kill_threads(p, t);
    }
    spin_unlock(&p->sig_lock);
    return err;
}

/* The caller takes the number of the old leader, which has ended. */
static void become_leader(struct task *t) {
    struct process *p = t->process;
    struct task *old = NULL;

    spin_lock(&g_tasklist_lock);
    spin_lock(&p->sig_lock);
    if (p->leader != t) {
        int32_t tid = t->tid;
        old = p->leader;
        task_get(t);
        p->leader = t;
        pid_slot_get(p->container, tid)->task = NULL;
        pid_slot_release(p->container, tid);
        pid_slot_get(p->container, p->pid)->task = t;
        old->tid = tid;
        t->tid = p->pid;
    }
    p->exec_task = NULL;
    spin_unlock(&p->sig_lock);
    spin_unlock(&g_tasklist_lock);
    if (old != NULL) {
        task_put(old);
    }
}

int exec_take_process(struct task *t) {
    struct process *p = t->process;
    int err = claim(t);

    if (err != 0) {
        return err;
    }
    err = waitq_wait(&p->exec_wait, is_alone, p, NO_DEADLINE, BLOCK_KILLABLE);
    if (err != 0) {
        spin_lock(&p->sig_lock);
        p->exec_task = NULL;
        spin_unlock(&p->sig_lock);
        return err;
    }
    become_leader(t);
    return 0;
}
