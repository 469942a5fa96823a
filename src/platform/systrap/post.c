/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Posted calls: a rewritten call site leaves its call in the thread's context page (stub_abi.h,
 * stub_text.S), and a vCPU that has nothing else to do takes it from there and answers there.  Both
 * sides run, on two host CPUs, and nobody enters the host's kernel.
 *
 * Who looks.  A context that makes calls in quick succession asks for a vCPU that sleeps and has no
 * program of its own (post_ask); that one opens the context's post and looks at it until nothing
 * came for a while, until it has other things to do, or until it notices that its host CPU is
 * wanted by others (they run while it yields): then it closes the post, and the context has to
 * wait, longer each time, before it may ask again.  Where no post is open a rewritten site makes
 * its call as ever.
 *
 * Hosts that are virtual machines lose their CPUs for moments, many times a second, and whoever
 * looks cannot tell.  A post that nobody took in time is closed by the next call, so that only one
 * call has to wait in vain, and opened again by whoever looks as soon as it runs.
 *
 * States.  A context whose call was taken is in CTX_POST; its host thread spins.  If it gives up,
 * or is told to (POST_WAIT), it sleeps in STUB_NR_WAIT, and is in CTX_PLAIN like any other.  A kick
 * that arrives meanwhile takes it to the handler, and so to CTX_FULL; post_unwind then puts its
 * registers to right before or right behind the call, as a program knows them.
 *
 * Boundary: all of a post is guest memory.  Whether and which call was taken is the Sentry's own
 * knowledge (state, post_*); numbers and arguments are copied once, and are worth what a
 * notification's are.  Locks: the context's space, but for the looks at the state word.
 */
#include "platform/systrap/internal.h"

#include <errno.h>
#include <poll.h>

/* In TSC ticks; a few GHz are assumed, and nothing depends on the exact time. */
#define TICKS_US    2500ull
#define GAP_TICKS   (30 * TICKS_US) /* a yield that took longer: others want the CPU */
#define IDLE_CHECKS 10u             /* nothing posted for so many checks */
#define CHECK_TICKS (20 * TICKS_US)
#define CLOSE_TICKS (30 * TICKS_US) /* calls further apart are no burst */
#define BURST       16u
#define ASK_TICKS   (1000 * TICKS_US)
#define PAUSE_MIN   (250 * TICKS_US)
#define PAUSE_MAX   (2000 * TICKS_US)
/* So many calls, so often: looking for them cost less time than entering the host for each would
 * have. */
#define GOOD_SERVED 12u
#define GOOD_TICKS  (5 * TICKS_US)
/* A post that nobody took costs about what one that was taken gains. */
#define MISS_COST  2u
#define MISSES_MAX 256u
/* Calls that sleep gain nothing from a post: of more than one in eight there is no use. */
#define SLEEP_COST 8u
#define SLEEP_MAX  32u

#define SPIN_TICKS     (5 * TICKS_US / 2)
#define SPIN_TICKS_MIN 10u
#define SPIN_SAMPLE    64

#define CALL_MAX 512u

static uint32_t g_spins;

static uint64_t g_posts[CALL_MAX / 64]; /* bit: the call may be posted */

/* Calls that answer at once, mostly: a call that sleeps only spins in vain. */
static const uint16_t g_sleepy[] = {
    SYS_exit,         SYS_nanosleep,     SYS_clock_nanosleep, SYS_pause,      SYS_poll,
    SYS_ppoll,        SYS_select,        SYS_pselect6,        SYS_epoll_wait, SYS_epoll_pwait,
    SYS_epoll_pwait2, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_wait4,      SYS_waitid,
    SYS_sched_yield,  SYS_futex,
};

/* Spinning is given up after about what making the call by notification costs.  A pause takes from
 * 10 to 150 cycles, by the processor's model. */
static uint32_t measure_spins(void) {
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < 4; round++) {
        uint64_t start = cpu_ticks();
        for (int i = 0; i < SPIN_SAMPLE; i++) {
            __builtin_ia32_pause();
        }
        best = MIN(best, cpu_ticks() - start);
    }
    return (uint32_t)(SPIN_TICKS * SPIN_SAMPLE / MAX(best, (uint64_t)SPIN_SAMPLE * SPIN_TICKS_MIN));
}

void post_init(void) {
    g_spins = measure_spins();
    for (size_t i = 0; i < g_notify_call_count; i++) {
        g_posts[g_notify_calls[i] / 64] |= 1ull << (g_notify_calls[i] % 64);
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_sleepy); i++) {
        g_posts[g_sleepy[i] / 64] &= ~(1ull << (g_sleepy[i] % 64));
    }
}

bool platform_call_posts(uint64_t nr) {
    return nr < CALL_MAX && (g_posts[nr / 64] & 1ull << (nr % 64)) != 0;
}

void platform_space_posts(struct platform_space *space) {
    space->posts = true;
}

void platform_thread_pid(struct platform_thread *thread, int32_t pid) {
    struct stub_ctx *ctx = atomic_load(&thread->ctx); /* NULL: just going */
    if (ctx != NULL) {
        atomic_store(&ctx->post.pid, (uint32_t)pid);
    }
}

static inline struct stub_post *post_of(const struct platform_thread *t) {
    return &t->ctx->post;
}

/* ---- asking for somebody who looks ---- */

static struct vcpu *idle_vcpu(const struct vcpu *self) {
    for (uint32_t i = 1; i < g_systrap.vcpu_count; i++) {
        struct vcpu *v = vcpu_of((self->id + i) % g_systrap.vcpu_count);
        if (atomic_load_relaxed(&v->waiting) != 0 && atomic_load_relaxed(&v->poll_count) == 0 &&
            atomic_load_relaxed(&v->ask) == NULL && vcpu_load(v, NULL) == 0) {
            return v;
        }
    }
    return NULL;
}

/* Nobody looks at its post any more; whoever did notices when it looks the next time. */
static void turn_away(struct platform_thread *t, uint64_t now) {
    bool good = t->taken >= GOOD_SERVED && t->sleeps < SLEEP_MAX;
    t->misses = 0;
    t->sleeps = 0;
    atomic_store(&post_of(t)->open, 0u);
    t->poller = 0;
    t->poll_pause = good ? PAUSE_MIN : MIN(MAX(t->poll_pause * 2, PAUSE_MIN), PAUSE_MAX);
    t->poll_after = now + t->poll_pause;
}

/* It posted, and nobody took the call: whoever should look is held up.  That may last, so nothing
 * is posted until it looks again, and opens the post once more. */
static void missed(struct platform_thread *t, uint64_t now) {
    atomic_store(&post_of(t)->state, (uint32_t)POST_IDLE);
    atomic_store(&post_of(t)->open, 0u);
    t->misses += MISS_COST;
    if (t->misses >= MISSES_MAX) {
        turn_away(t, now);
    }
}

/* A call was posted in vain: it slept, or is none to be posted. */
static void nothing_gained(struct platform_thread *t) {
    t->sleeps += SLEEP_COST;
    if (t->sleeps >= SLEEP_MAX) {
        turn_away(t, cpu_ticks());
    }
}

void post_ask(struct platform_thread *t, uint64_t before) {
    uint64_t now = t->left;
    t->burst = now - before < CLOSE_TICKS ? t->burst + 1 : 0;
    if (t->poller != 0 && atomic_load_relaxed(&post_of(t)->state) == POST_SLEEP) {
        missed(t, now);
    }
    if (t->poller != 0 || (!g_systrap.posts_eager && (t->burst < BURST || now < t->poll_after))) {
        return;
    }
    t->burst = 0;
    t->poll_after = now + ASK_TICKS;
    struct vcpu *v = idle_vcpu(t->vcpu);
    struct platform_thread *none = NULL;
    if (v != NULL && atomic_cas(&v->ask, &none, t)) {
        v->ask_cpu = host_cpu();
        vcpu_attend(v, ATT_POLL);
    }
}

/* ---- opening and closing ---- */

/* Gets off the CPU of the context that is to be looked after. */
static void move_away(struct vcpu *v, uint32_t cpu) {
    uint64_t mask[ARRAY_COUNT(g_systrap.affinity)], any = 0;
    if (host_cpu() != cpu || cpu / 64 >= ARRAY_COUNT(mask)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(mask); i++) {
        mask[i] = g_systrap.affinity[i] & ~(i == cpu / 64 ? 1ull << (cpu % 64) : 0);
        any |= mask[i];
    }
    if (any != 0) { /* where it runs is a matter of speed only */
        (void)sys3(SYS_sched_setaffinity, 0, sizeof(mask), (long)mask);
        v->moved = true;
    }
}

void post_open(struct vcpu *v) {
    struct platform_thread *t = atomic_exchange(&v->ask, NULL);
    struct platform_space *s = t != NULL ? atomic_load(&t->space) : NULL;
    if (s == NULL || v->poll_count == POLL_MAX) {
        return;
    }
    plock_lock(&s->lock);
    bool ok = t->space == s && t->tid != 0 && t->poller == 0 && t->vcpu != v && !s->killed;
    if (ok) {
        t->poller = v->id + 1;
        t->taken = 0;
        v->polls[v->poll_count] = (struct post_watch){t, s, post_of(t), t->tid};
        atomic_store_relaxed(&v->poll_count, v->poll_count + 1);
        atomic_store_relaxed(&post_of(t)->spins, g_spins);
        atomic_store(&post_of(t)->open, 1u);
    }
    plock_unlock(&s->lock);
    if (ok && v->poll_count == 1) {
        v->served = 0;
        v->opened = cpu_ticks();
        v->answered = false;
        move_away(v, v->ask_cpu);
    }
}

static bool watch_valid(const struct vcpu *v, const struct post_watch *w) {
    return w->t->space == w->space && w->t->tid == w->tid && w->t->poller == v->id + 1;
}

static void forget(struct vcpu *v, uint32_t index) {
    v->polls[index] = v->polls[v->poll_count - 1];
    atomic_store_relaxed(&v->poll_count, v->poll_count - 1);
}

/* Stops looking: nothing comes, or the CPU is needed for other things. */
static void close_all(struct vcpu *v) {
    uint64_t now = cpu_ticks();
    bool good =
        v->served >= GOOD_SERVED &&
        now - v->opened - MIN(now - v->opened, IDLE_CHECKS * CHECK_TICKS) < v->served * GOOD_TICKS;
    while (v->poll_count != 0) {
        const struct post_watch *w = &v->polls[v->poll_count - 1];
        plock_lock(&w->space->lock);
        if (watch_valid(v, w)) {
            struct platform_thread *t = w->t;
            atomic_store(&post_of(t)->open, 0u);
            t->poller = 0;
            t->poll_pause = good ? 0 : MIN(MAX(t->poll_pause * 2, PAUSE_MIN), PAUSE_MAX);
            t->poll_after = now + t->poll_pause;
        }
        plock_unlock(&w->space->lock);
        atomic_store_relaxed(&v->poll_count, v->poll_count - 1);
    }
}

/* ---- taking and answering ---- */

/* Takes the call of a context whose state word says that there is one. */
static bool take(struct vcpu *v, uint32_t index, struct trap *out) {
    struct post_watch w = v->polls[index];
    struct platform_thread *t = w.t;
    uint32_t seen = POST_POSTED;
    plock_lock(&w.space->lock);
    if (!watch_valid(v, &w)) {
        plock_unlock(&w.space->lock);
        forget(v, index);
        return false;
    }
    struct stub_post *p = post_of(t);
    uint64_t nr = atomic_load_relaxed(&p->nr);
    bool may = platform_call_posts(nr);
    uint32_t answer =
        may ? POST_TAKEN : POST_REFUSED; /* at once: what it sees as taken, it waits for */
    bool taken = t->state == CTX_RUN && atomic_cas(&p->state, &seen, answer) && may;
    if (taken) {
        thread_leave_user(t);
        t->state = CTX_POST;
        t->kick = 0;
        t->unreported = false;
        t->post_call = true;
        t->post_done = false;
        t->post_later = false;
        t->misses -= t->misses != 0 ? 1 : 0;
        t->sleeps -= t->sleeps != 0 ? 1 : 0;
        t->post_seq = atomic_load_relaxed(&p->seq);
        t->call_nr = nr;
        *out = (struct trap){.kind = TRAP_SYSCALL, .thread = t, .task = t->task};
        out->u.syscall.nr = nr;
        for (int i = 0; i < 6; i++) {
            out->u.syscall.args[i] = atomic_load_relaxed(&p->args[i]);
        }
        out->u.syscall.posted = true;
        out->u.syscall.ip = atomic_load_relaxed(&p->ret);
        t->taken++;
        v->served++;
    } else if (!may) {
        nothing_gained(t);
    }
    plock_unlock(&w.space->lock);
    return taken;
}

void post_resume(struct platform_thread *t, enum resume_mode mode) {
    struct stub_post *p = post_of(t);
    if (mode == RESUME_ORDERS) { /* needs a full context: platform.h */
        t->ready.u.orders.error = -EINVAL;
        thread_post(t, TRAP_ORDERS_DONE);
        return;
    }
    if (mode == RESUME_KICK || t->space->queue.urgent != 0) {
        /* A signal has to be there before user code goes on: only a notification gives that. */
        t->post_later = true;
        t->mode = mode;
        (void)atomic_exchange(&p->state, (uint32_t)POST_WAIT); /* it sleeps or will */
        return;
    }
    t->post_call = false;
    t->post_done = true;
    atomic_store_relaxed(&p->nr, (uint64_t)t->result);
    thread_enter_user(t);
    (void)atomic_exchange(&p->state, (uint32_t)POST_DONE); /* asleep: post_sleeps answers */
}

bool post_sleeps(struct platform_thread *t, const struct seccomp_notif *n) {
    if (t->state == CTX_LEAVE) {
        return true; /* stays in its call until the space ends */
    }
    if (t->state == CTX_POST) {
        t->state = CTX_PLAIN;
        t->notif_id = n->id;
        nothing_gained(t);
        if (t->post_later) {
            t->post_later = false;
            thread_resume(t, t->mode);
        }
        return true;
    }
    if (t->state != CTX_RUN || !t->post_done) {
        return false;
    }
    return notify_send(t->vcpu->listener, n->id, t->result) == 0;
}

/* ---- registers in the middle of a post ---- */

bool post_unwind(struct platform_thread *t) {
    struct user_regs *r = &t->regs;
    struct stub_post *p = post_of(t);
    if (r->rip - STUB_ADDR(stub_post_plain) >= (uint64_t)(stub_post_end - stub_post_plain)) {
        return t->state != CTX_POST;
    }
    if (r->rip == STUB_ADDR(stub_post_pid)) { /* answered */
        r->rip = r->r11;
        t->regs_dirty = true;
        return t->state != CTX_POST;
    }
    if (r->rip < STUB_ADDR(stub_post_committed)) {
        if (t->state == CTX_POST) {
            return false;
        }
        r->rip = r->r11 - 2;
    } else {
        uint64_t ret = atomic_load_relaxed(&p->ret);
        bool made = t->post_done && atomic_load_relaxed(&p->seq) == t->post_seq;
        if (t->state == CTX_POST || made) {
            r->rip = ret;
            r->rax = (uint64_t)t->result;
        } else {
            r->rip = ret - 2;
            r->rax = atomic_load_relaxed(&p->nr);
        }
    }
    atomic_store(&p->state, (uint32_t)POST_IDLE);
    t->post_done = false;
    t->regs_dirty = true;
    return true;
}

/* ---- looking ---- */

/* A post was missed: it opens again, if its context did not give up on us.  Both may have come to
 * share a CPU. */
static void reopen(struct vcpu *v, uint32_t index) {
    struct post_watch w = v->polls[index];
    plock_lock(&w.space->lock);
    bool valid = watch_valid(v, &w);
    if (valid) {
        atomic_store(&w.post->open, 1u);
    }
    plock_unlock(&w.space->lock);
    if (valid) {
        move_away(v, atomic_load_relaxed(&w.post->cpu) & STUB_POST_CPU_MASK);
    } else {
        forget(v, index);
    }
}

static bool look(struct vcpu *v, struct trap *out) {
    for (uint32_t i = 0; i < v->poll_count; i++) {
        struct stub_post *p = v->polls[i].post;
        if (atomic_load(&p->state) == POST_POSTED) {
            if (take(v, i, out)) {
                return true;
            }
        } else if (unlikely(atomic_load_relaxed(&p->open) == 0)) { /* a post was missed */
            reopen(v, i);
        }
    }
    return false;
}

void post_quiet(struct vcpu *v) {
    for (uint32_t i = 0; i < v->poll_count; i++) {
        const struct post_watch *w = &v->polls[i];
        uint32_t seen = POST_TAKEN;
        if (atomic_load_relaxed(&w->t->state) == CTX_POST && watch_valid(v, w)) {
            (void)atomic_cas(&w->post->state, &seen, (uint32_t)POST_WAIT); /* else it is awake */
        }
    }
}

/* Forgets contexts that are gone or gave up on us. */
static void drop_stale(struct vcpu *v) {
    for (uint32_t i = v->poll_count; i-- > 0;) {
        if (!watch_valid(v, &v->polls[i])) {
            forget(v, i);
        }
    }
}

/* Whether others want this host CPU: they run while we yield.  Time that passes elsewhere tells
 * nothing, a hypervisor takes it as it likes. */
static bool cpu_wanted(void) {
    uint64_t now = cpu_ticks();
    (void)sys0(SYS_sched_yield);
    return cpu_ticks() - now > GAP_TICKS;
}

static bool poll_posts(struct vcpu *v, bool once, struct trap *out) {
    if (look(v, out)) {
        return true;
    }
    if (once) {
        return false;
    }
    if (v->answered) { /* whom it answered wants to run here */
        v->answered = false;
        close_all(v);
        return false;
    }
    uint64_t check = cpu_ticks() + CHECK_TICKS;
    uint32_t checks = 0;
    drop_stale(v);
    while (v->poll_count != 0 && atomic_load_relaxed(&v->attention) == 0) {
        if (look(v, out)) {
            return true;
        }
        __builtin_ia32_pause();
        if (cpu_ticks() < check) {
            continue;
        }
        if (vcpu_readable(v)) {
            return false;
        }
        if (++checks > IDLE_CHECKS || cpu_wanted()) {
            close_all(v);
        }
        check = cpu_ticks() + CHECK_TICKS;
    }
    return false;
}

bool post_poll(struct vcpu *v, bool once, struct trap *out) {
    bool found = poll_posts(v, once, out);
    if (v->moved && v->poll_count == 0) { /* closed, or the contexts ended */
        v->moved = false;
        (void)sys3(SYS_sched_setaffinity, 0, sizeof(g_systrap.affinity), (long)g_systrap.affinity);
    }
    return found;
}
