/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking of tasks: the wake token (wait.h), deadlines, interruption by signals.
 *
 * Lock: task->lock guards state, wake_token and timed_out.  A task that blocks keeps it while it
 * leaves its stack; the vCPU loop releases it, so nobody can run the task before its registers are
 * saved.
 */
#include "base/atomic.h"
#include "hal.h"
#include "kernel/cpu.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "kernel/wait.h"

#include <asm-generic/errno.h>

static bool interrupted(struct task *t, enum block_mode mode) {
    if (mode == BLOCK_UNINTERRUPTIBLE || likely(atomic_load(&t->flags) == 0)) {
        return false;
    }
    return mode == BLOCK_INTERRUPTIBLE ? signal_pending(t) : signal_fatal_pending(t);
}

static void block_timeout(struct timer *timer) {
    struct task *t = timer->arg;
    spin_lock(&t->lock);
    t->timed_out = true;
    if (t->state == TASK_BLOCKED) {
        sched_enqueue(t);
    }
    spin_unlock(&t->lock);
}

static bool token_take(struct task *t) {
    spin_lock(&t->lock);
    bool token = t->wake_token;
    t->wake_token = false;
    spin_unlock(&t->lock);
    return token;
}

/* Sleeps unless something has happened already. */
static void sleep_now(struct task *t, enum block_mode mode) {
    spin_lock(&t->lock);
    if (t->wake_token || t->timed_out) {
        spin_unlock(&t->lock);
        return;
    }
    t->block_interruptible = mode == BLOCK_INTERRUPTIBLE;
    t->block_killable = mode != BLOCK_UNINTERRUPTIBLE;
    atomic_store(&t->state, TASK_BLOCKED);
    sched_switch_out(t);
}

int task_block(uint64_t deadline_ns, enum block_mode mode) {
    struct task *t = current;
    assert_no_spinlocks();
    if (token_take(t)) {
        return 0;
    }
    if (interrupted(t, mode)) {
        return -EINTR;
    }
    if (deadline_ns != NO_DEADLINE) {
        if (deadline_ns <= hal_clock_ns(HAL_CLOCK_MONOTONIC)) {
            return -ETIMEDOUT;
        }
        if (t->block_timer.fn == NULL) {
            timer_init(&t->block_timer, block_timeout, t);
        }
        timer_arm(&t->block_timer, deadline_ns);
    }
    sleep_now(t, mode);
    if (deadline_ns != NO_DEADLINE) {
        timer_cancel(&t->block_timer);
    }
    spin_lock(&t->lock);
    bool token = t->wake_token, timed_out = t->timed_out;
    t->wake_token = false;
    t->timed_out = false;
    spin_unlock(&t->lock);
    if (token) {
        return 0;
    }
    if (timed_out) {
        return -ETIMEDOUT;
    }
    return interrupted(t, mode) ? -EINTR : 0;
}

void task_wake(struct task *task) {
    spin_lock(&task->lock);
    task->wake_token = true;
    if (task->state == TASK_BLOCKED) {
        sched_enqueue(task);
    }
    spin_unlock(&task->lock);
}

void task_interrupt(struct task *task, bool fatal) {
    spin_lock(&task->lock);
    switch (atomic_load(&task->state)) {
    case TASK_BLOCKED:
        if (task->block_interruptible || (fatal && task->block_killable)) {
            sched_enqueue(task);
        }
        break;
    case TASK_USER:
        platform_kick(task->pthread);
        break;
    default:
        /* On its way into task_block it may have looked at its flags already: a spurious wake makes
         * it look again. */
        task->wake_token = true;
        break;
    }
    spin_unlock(&task->lock);
}
