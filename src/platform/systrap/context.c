/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: their life, and the transitions of their states.  Locks: internal.h; everything here
 * runs with the context's space locked unless its declaration says otherwise.
 *
 * Kicks.  kick is set before state is looked at, and state is set to CTX_RUN before kick is looked
 * at, both with full fences, so one side always sees the other; the signal stays pending while the
 * stub is in its handler.  A kick that comes late finds kick cleared and is passed over by
 * receive().
 */
#include "platform/systrap/internal.h"

#include <errno.h>

#define NR_EXIT 60

must_check int thread_new(struct platform_space *s, struct task *task, uint32_t slot,
                          struct platform_thread **out) {
    struct platform_thread *t = pool_thread_get();
    if (t == NULL) {
        return -ENOMEM;
    }
    int err = area_get(&t->area);
    if (err != 0) {
        pool_thread_put(t);
        return err;
    }
    t->space = s;
    t->vcpu = s->vcpu;
    t->task = task;
    t->slot = slot;
    t->ctx = area_ptr(t->area);
    t->state = CTX_UNBORN;
    list_init(&t->hash_link);
    list_init(&t->ready_link);
    list_push_back(&s->threads, &t->space_link);
    s->slots[slot / 64] |= 1ull << (slot % 64);
    s->many = s->many || s->thread_count != 0;
    s->thread_count++;
    area_owner_set(t->area, t);
    *out = t;
    return 0;
}

void thread_free(struct platform_thread *t) {
    thread_unpost(t);
    thread_hash_del(t);
    list_del_init(&t->space_link);
    area_put(t->area);
    t->tid = 0;
    t->state = CTX_DEAD;
    t->space = NULL;
    pool_thread_put(t);
}

void thread_gone(struct platform_thread *t) {
    t->ctx->post = (struct stub_post){0}; /* the next one's calls are nobody's yet */
    thread_unpost(t);
    thread_hash_del(t);
    t->tid = 0;
    t->state = CTX_DEAD;
    list_del_init(&t->space_link);
    list_push_back(&t->space->spare, &t->space_link);
}

void thread_hash_add(struct platform_thread *t) {
    struct vcpu *v = t->vcpu;
    plock_lock(&v->lock);
    list_push_front(&v->hash[(uint32_t)t->tid % VCPU_HASH], &t->hash_link);
    plock_unlock(&v->lock);
}

void thread_hash_del(struct platform_thread *t) {
    plock_lock(&t->vcpu->lock);
    list_del_init(&t->hash_link);
    plock_unlock(&t->vcpu->lock);
}

struct platform_thread *thread_lookup(struct vcpu *v, int32_t tid) {
    struct platform_thread *t, *found = NULL;
    plock_lock(&v->lock);
    list_for_each_entry (t, &v->hash[(uint32_t)tid % VCPU_HASH], hash_link) {
        if (t->tid == tid) {
            found = t;
            break;
        }
    }
    plock_unlock(&v->lock);
    return found;
}

void thread_post(struct platform_thread *t, enum trap_kind kind) {
    struct vcpu *v = t->vcpu;
    t->ready.kind = kind;
    t->ready.thread = t;
    t->ready.full_context = t->state == CTX_FULL;
    plock_lock(&v->lock);
    list_del_init(&t->ready_link);
    list_push_back(&v->ready, &t->ready_link);
    plock_unlock(&v->lock);
    vcpu_attend(v, ATT_READY);
}

void thread_unpost(struct platform_thread *t) {
    plock_lock(&t->vcpu->lock);
    list_del_init(&t->ready_link);
    plock_unlock(&t->vcpu->lock);
}

void thread_dead(struct platform_thread *t) {
    bool in_kernel = t->state == CTX_PLAIN || t->state == CTX_FULL ||
                     (t->state == CTX_POST && !t->post_later) ||
                     (t->state == CTX_UNBORN && !t->resumed);
    if (t->state == CTX_DEAD) {
        return;
    }
    t->state = CTX_DEAD;
    if (!in_kernel && !t->destroyed && !t->space->zygote) {
        thread_post(t, TRAP_DEAD);
    }
}

void thread_signal(const struct platform_thread *t) {
    /* a thread that just died is noticed by other means */
    (void)sys3(SYS_tgkill, t->space->pid, t->tid, STUB_KICK_SIGNAL);
}

void thread_enter_user(struct platform_thread *t) {
    if (t->space->many) {
        t->started = cpu_ticks();
    }
    host_tick_wanted();
    __atomic_store_n(&t->state, CTX_RUN, __ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&t->kick, __ATOMIC_SEQ_CST) != 0)) {
        thread_signal(t);
    }
}

bool thread_answer(struct platform_thread *t, uint64_t command) {
    int err;
    if (t->birth) {
        t->birth = false;
        t->ctx->command = command;
        err = notify_continue(t->vcpu->listener, t->notif_id);
    } else {
        err = notify_send(t->vcpu->listener, t->notif_id, (int64_t)command);
    }
    return err == 0;
}

void thread_run(struct platform_thread *t) {
    uint64_t command = t->bases_dirty && g_systrap.fsgsbase ? STUB_CMD_BASES : 0;
    frame_store(t);
    t->bases_dirty = false;
    thread_enter_user(t);
    if (!thread_answer(t, command)) {
        space_kill(t->space, "stub died");
    }
}

/* Hosts without FSGSBASE: the bases are set by ordered calls. */
static int order_bases(struct platform_thread *t) {
    struct order o = {.kind = ORDER_BASE, .pages = 0x1002 /* ARCH_SET_FS */, .va = t->regs.fs_base};
    int err = queue_push(&t->space->queue, &o);
    if (err == 0) {
        o.pages = 0x1001; /* ARCH_SET_GS */
        o.va = t->regs.gs_base;
        err = queue_push(&t->space->queue, &o);
    }
    t->bases_dirty = err != 0;
    return err;
}

static void resume_full(struct platform_thread *t, enum resume_mode mode) {
    struct platform_space *s = t->space;
    if (mode == RESUME_KICK) {
        thread_post(t, TRAP_INTERRUPT);
        return;
    }
    if (s->batcher != NULL || batch_blocked(t)) {
        t->mode = mode;
        t->state = CTX_WAIT;
        list_push_back(&s->waiters, &t->ready_link);
        return;
    }
    if (!g_systrap.fsgsbase && t->bases_dirty && mode == RESUME_USER && order_bases(t) != 0) {
        t->state = CTX_RUN; /* as far as the kernel knows */
        space_kill(s, "no memory for orders");
        return;
    }
    if (s->queue.count != 0) {
        uint64_t command = batch_begin(t, mode);
        if (!thread_answer(t, command)) {
            space_kill(s, "stub died");
        }
    } else if (mode == RESUME_ORDERS) {
        t->ready.u.orders.error = 0;
        thread_post(t, TRAP_ORDERS_DONE);
    } else {
        thread_run(t);
    }
}

static void plain_begin(struct platform_thread *t) {
    t->post_done = t->post_done || t->post_call; /* asleep since it posted */
    t->post_call = false;
}

static void resume_plain(struct platform_thread *t, enum resume_mode mode) {
    plain_begin(t);
    if (mode == RESUME_ORDERS) { /* needs a full context: platform.h */
        t->ready.u.orders.error = -EINVAL;
        thread_post(t, TRAP_ORDERS_DONE);
        return;
    }
    if (mode == RESUME_KICK) {
        atomic_store(&t->kick, 1u);
    }
    if (t->space->queue.urgent != 0) {
        t->orders_first = true;
        thread_signal(t);
    }
    thread_enter_user(t);
    if (notify_send(t->vcpu->listener, t->notif_id, t->result) != 0) {
        space_kill(t->space, "stub died");
    }
}

void thread_resume(struct platform_thread *t, enum resume_mode mode) {
    switch (t->state) {
    case CTX_UNBORN:
        t->resumed = true;
        t->mode = mode;
        if (t->space->killed) {
            thread_dead(t);
        }
        break;
    case CTX_FULL:
        if (t->post_call) { /* in the handler since it posted */
            t->post_call = false;
            t->regs.rax = (uint64_t)t->result;
            t->regs_dirty = true;
        }
        resume_full(t, mode);
        break;
    case CTX_POST:
        post_resume(t, mode);
        break;
    case CTX_PLAIN:
        resume_plain(t, mode);
        break;
    case CTX_DEAD:
        thread_post(t, TRAP_DEAD);
        break;
    default:
        break;
    }
}

/* An answered stub mostly gets this CPU at once: whoever held the lock while it answers would hold
 * it for as long as user code runs, and keep those waiting that look at posts. */
void thread_resume_unlock(struct platform_thread *t, enum resume_mode mode) {
    struct platform_space *s = t->space;
    if (t->state != CTX_PLAIN || mode != RESUME_USER || s->queue.urgent != 0) {
        thread_resume(t, mode);
        plock_unlock(&s->lock);
        return;
    }
    plain_begin(t);
    thread_enter_user(t);
    uint64_t id = t->notif_id;
    int64_t result = t->result;
    int32_t tid = t->tid;
    int listener = t->vcpu->listener;
    plock_unlock(&s->lock);
    if (likely(notify_send(listener, id, result) == 0)) {
        return;
    }
    plock_lock(&s->lock);
    if (t->space == s && t->tid == tid && t->state == CTX_RUN) {
        space_kill(s, "stub died");
    }
    plock_unlock(&s->lock);
}

/* ---- the door ---- */

void platform_kick(struct platform_thread *t) {
    __atomic_store_n(&t->kick, 1u, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&t->state, __ATOMIC_SEQ_CST) == CTX_RUN) {
        thread_signal(t);
    }
}

uint32_t platform_thread_vcpu(const struct platform_thread *t) {
    return t->vcpu->id;
}

void platform_thread_set_task(struct platform_thread *t, struct task *task) {
    t->task = task;
}

void platform_result_set(struct platform_thread *t, int64_t result) {
    if (!t->post_call && (t->state == CTX_FULL || t->state == CTX_UNBORN)) {
        t->regs.rax = (uint64_t)result;
        t->regs_dirty = true;
    } else {
        t->result = result;
    }
}

/* Ends a context that is not the space's last.  One at exit(2) is let go; one in the handler is
 * told to exit, and the stub text goes straight there; any other stays in the notification that it
 * waits in, where it runs nothing any more, until the space ends: whatever it were answered, a
 * guest that tampered with its signal mask could come back to user code. */
static void thread_retire(struct platform_thread *t) {
    enum ctx_state was = t->state;
    t->state = CTX_LEAVE;
    if (was == CTX_WAIT) {
        list_del_init(&t->ready_link);
    }
    if (was == CTX_PLAIN && t->call_nr == NR_EXIT) {
        (void)notify_continue(t->vcpu->listener, t->notif_id); /* already gone is as good */
        thread_gone(t);
    } else if ((was == CTX_FULL || was == CTX_WAIT) && !t->birth) {
        if (!thread_answer(t, STUB_CMD_EXIT)) {
            thread_gone(t);
        }
    } else if (was == CTX_RUN || was == CTX_POST) {
        /* the first not by the kernel's rules: it is held at its next trap */
        t->space->loose = true;
        thread_signal(t);
    }
}

void platform_thread_destroy(struct platform_thread *t) {
    struct platform_space *s = t->space;
    plock_lock(&s->lock);
    t->destroyed = true;
    t->task = NULL;
    s->thread_count--;
    s->loose = s->loose || t->state == CTX_POST;
    if (t->state != CTX_WAIT) {
        thread_unpost(t);
    }
    if (t->state == CTX_DEAD) {
        if (!s->killed) {
            thread_gone(t);
        }
    } else if (s->thread_count != 0 && !s->killed) {
        thread_retire(t);
    } /* the last one stays where it is until its space is destroyed */
    plock_unlock(&s->lock);
}

/* Process CPU time is the host's; among several threads it is shared out by the time each spent
 * outside the Sentry. */
uint64_t platform_thread_cpu_ns(struct platform_thread *t) {
    struct platform_space *s = t->space;
    long ts[2] = {0, 0};
    long clock =
        ((long)~s->pid << 3) | 2; /* CPUCLOCK_SCHED of the process: clock_getcpuclockid(3) */
    if (s->pid == 0 || sys2(SYS_clock_gettime, (int)clock, (long)ts) != 0) {
        return 0;
    }
    uint64_t total = (uint64_t)ts[0] * NSEC_PER_SEC + (uint64_t)ts[1];
    if (!s->many || s->ran == 0) {
        return total;
    }
    return (uint64_t)((unsigned __int128)total * t->ran / s->ran);
}
