/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-shot timers in a red-black tree a vCPU.  They fire in the vCPU loop, with no lock held.
 *
 * Lock: cpu->timer_lock (RANK_TIMER) guards the tree and the timers in it.
 */
#include "arch/x86_64/arch.h"
#include "base/atomic.h"
#include "hal.h"
#include "kernel/cpu.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/wait.h"

#define CANCEL_SPINS 200
#define RUN_LIMIT                                                                                  \
    256 /* callbacks in one go: one that re-arms itself in the past must not hold the vCPU */

void timer_init(struct timer *t, void (*fn)(struct timer *t), void *arg) {
    *t = (struct timer){.fn = fn, .arg = arg};
}

/* Lock held. */
static void update_next(struct cpu *c) {
    struct rb_node *first = rb_first(&c->timers);
    uint64_t next = first == NULL ? UINT64_MAX : rb_entry(first, struct timer, node)->deadline_ns;
    atomic_store_relaxed(&c->next_deadline, next);
}

static void tree_insert(struct cpu *c, struct timer *t) {
    struct rb_node **slot = &c->timers.root, *parent = NULL;
    while (*slot != NULL) {
        parent = *slot;
        bool left = t->deadline_ns < rb_entry(parent, struct timer, node)->deadline_ns;
        slot = left ? &parent->left : &parent->right;
    }
    rb_insert(&c->timers, parent, slot, &t->node);
    atomic_store(&t->armed, true);
    if (t->deadline_ns < c->next_deadline) {
        atomic_store_relaxed(&c->next_deadline, t->deadline_ns);
    }
}

/* Lock held. */
static void tree_erase(struct cpu *c, struct timer *t) {
    rb_erase(&c->timers, &t->node);
    atomic_store(&t->armed, false);
    if (t->deadline_ns <= c->next_deadline) {
        update_next(c);
    }
}

/* Takes the timer out of whatever tree it is in. */
static void detach(struct timer *t) {
    if (!atomic_load(&t->armed)) {
        return;
    }
    struct cpu *c = cpu_get(atomic_load(&t->cpu));
    spin_lock(&c->timer_lock);
    if (t->armed && t->cpu == c->id) {
        tree_erase(c, t);
    }
    spin_unlock(&c->timer_lock);
}

void timer_arm(struct timer *t, uint64_t deadline_ns) {
    detach(t);
    struct cpu *c = this_cpu();
    spin_lock(&c->timer_lock);
    bool earlier = deadline_ns < c->next_deadline;
    t->deadline_ns = deadline_ns;
    atomic_store(&t->cpu, c->id);
    tree_insert(c, t);
    spin_unlock(&c->timer_lock);
    if (earlier && c->in_wait) {
        platform_kick_vcpu(c->id); /* a host event's handler: the wait has an older deadline */
    }
}

bool timer_pending(struct timer *t, uint64_t *out_deadline_ns) {
    bool pending = false;
    uint64_t deadline = 0;
    if (atomic_load(&t->armed)) {
        struct cpu *c = cpu_get(atomic_load(&t->cpu));
        spin_lock(&c->timer_lock);
        pending = t->armed;
        deadline = t->deadline_ns;
        spin_unlock(&c->timer_lock);
    }
    if (pending && out_deadline_ns != NULL) {
        *out_deadline_ns = deadline;
    }
    return pending;
}

/* Waits while `c` runs the callback of `t`. */
static void wait_callback(struct cpu *c, struct timer *t) {
    for (int i = 0; i < CANCEL_SPINS; i++) {
        if (atomic_load(&c->timer_running) != t) {
            return;
        }
        arch_pause();
    }
    (void)atomic_fetch_add(&c->timer_cancellers, 1u); /* only the sum is of use */
    for (;;) {
        uint32_t seq = atomic_load(&c->timer_seq);
        if (atomic_load(&c->timer_running) != t) {
            break;
        }
        hal_park(&c->timer_seq, seq);
    }
    (void)atomic_fetch_sub(&c->timer_cancellers, 1u); /* only the sum is of use */
}

void timer_cancel(struct timer *t) {
    for (;;) {
        detach(t);
        /* armed became false after timer_running was set, so a callback under way is seen here. */
        struct cpu *c = cpu_get(atomic_load(&t->cpu));
        if (atomic_load(&c->timer_running) == t) {
            wait_callback(c, t);
        }
        if (!atomic_load(&t->armed)) {
            return; /* else the callback had armed it again */
        }
    }
}

/* Takes the first timer that is due out of the tree and marks it as running; NULL when there is
 * none. */
static struct timer *take_due(struct cpu *c, uint64_t now) {
    struct timer *t = NULL;
    spin_lock(&c->timer_lock);
    struct rb_node *first = rb_first(&c->timers);
    if (first != NULL && rb_entry(first, struct timer, node)->deadline_ns <= now) {
        t = rb_entry(first, struct timer, node);
        atomic_store(&c->timer_running, t);
        tree_erase(c, t);
    }
    spin_unlock(&c->timer_lock);
    return t;
}

void timers_run(struct cpu *c) {
    if (atomic_load_relaxed(&c->next_deadline) == UINT64_MAX) {
        return;
    }
    uint64_t now = hal_clock_ns(HAL_CLOCK_MONOTONIC);
    for (int i = 0; i < RUN_LIMIT; i++) {
        struct timer *t = take_due(c, now);
        if (t == NULL) {
            return;
        }
        t->fn(t);
        /* From here on the timer may be gone. */
        atomic_store(&c->timer_running, NULL);
        (void)atomic_fetch_add(&c->timer_seq, 1u); /* only a change matters */
        if (atomic_load(&c->timer_cancellers) != 0) {
            hal_unpark(&c->timer_seq, UINT32_MAX >> 1);
        }
    }
}
