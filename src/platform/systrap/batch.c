/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out orders.  The stub finds the calls in its context page and makes them one by one;
 * each comes here as a notification and is let go only when it is, word for word, the call at the
 * head of the queue.  One batch at a time in a space.
 *
 * The report at the end is believed because it can only come from the stub text with state kept in
 * registers since the last order (stub_abi.h); a batch without a report (mapping orders in a space
 * with one thread) ends when the last order is let go, and a failure of that one still
 * reports itself.
 */
#include "platform/systrap/internal.h"

#include <errno.h>
#include <linux/sched.h>
#include <sys/mman.h>

#define NR_MMAP       9
#define NR_MPROTECT   10
#define NR_MUNMAP     11
#define NR_CLONE      56
#define NR_ARCH_PRCTL 158

/* Runs of at most this many pages, or that the kernel knows to be there, are entered in the page
 * tables at once: cheaper than a host fault each. */
#define POPULATE_PAGES 16u

_Static_assert(STUB_CLONE_PROCESS == (CLONE_FILES | CLONE_PARENT),
               "the child is the Sentry's, as its parent is");
_Static_assert(STUB_CLONE_THREAD == (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
                                     CLONE_THREAD | CLONE_SYSVSEM),
               "what a thread shares");

static struct stub_order call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c) {
    return (struct stub_order){.nr = nr, .args = {a, b, c, 0, 0, 0}};
}

static uint64_t area_off(const struct platform_thread *t) {
    return (uint64_t)t->area * STUB_AREA_SIZE;
}

static int call_map(const struct order *o, struct stub_order *out) {
    int fd;
    uint64_t off;
    int err = host_frame_locate(o->pfn, o->pages, &fd, &off);
    if (err != 0) {
        return err;
    }
    uint64_t flags = MAP_SHARED | MAP_FIXED;
    if ((o->pages <= POPULATE_PAGES || o->populate) && o->pfn < hal_memory()->frame_count) {
        flags |= MAP_POPULATE;
    }
    *out = call(NR_MMAP, o->va, o->pages * PAGE_SIZE, o->prot);
    out->args[3] = flags;
    out->args[4] = (uint64_t)fd;
    out->args[5] = off;
    return 0;
}

/* The host call an order stands for, or -errno when it cannot be made. */
must_check static int order_call(const struct order *o, struct stub_order *out) {
    switch (o->kind) {
    case ORDER_MAP:
        return call_map(o, out);
    case ORDER_UNMAP:
    case ORDER_RAW_UNMAP:
        *out = call(NR_MUNMAP, o->va, o->pages * PAGE_SIZE, 0);
        return 0;
    case ORDER_PROTECT:
        *out = call(NR_MPROTECT, o->va, o->pages * PAGE_SIZE, o->prot);
        return 0;
    case ORDER_AREA:
        *out = call(NR_MMAP, slot_va(o->child->slot), STUB_AREA_SIZE, PROT_READ | PROT_WRITE);
        out->args[3] = MAP_SHARED | MAP_FIXED;
        out->args[4] = (uint64_t)g_systrap.area_fd;
        out->args[5] = area_off(o->child);
        return 0;
    case ORDER_PROCESS:
        *out = call(NR_CLONE, STUB_CLONE_PROCESS, 0, 0);
        out->args[4] = (uint64_t)g_systrap.area_fd;
        out->args[5] = area_off(o->child);
        return 0;
    case ORDER_THREAD:
        if (o->child->state != CTX_UNBORN) {
            return -EAGAIN; /* its area could not be mapped */
        }
        *out = call(NR_CLONE, STUB_CLONE_THREAD, frame_va(o->child), 0);
        out->args[5] = area_off(o->child);
        return 0;
    case ORDER_BASE:
        *out = call(NR_ARCH_PRCTL, o->pages, o->va, 0);
        return 0;
    default:
        return -EINVAL;
    }
}

static void batch_fail(struct platform_space *s, int err) {
    if (s->batch_error == 0) {
        s->batch_error = err;
    }
}

/* An order failed: what that means besides the error. */
static void order_failed(struct platform_space *s, const struct order *o, int err) {
    batch_fail(s, err);
    if (o->child != NULL) {
        if (o->child->space == s) {
            thread_dead(o->child);
        } else {
            child_failed(o->child);
        }
    }
    if (o->urgent || o->kind == ORDER_RAW_UNMAP) { /* rights that could not be taken away */
        space_kill(s, "host refused to unmap");
    }
}

static bool foreign(const struct order *o, const struct platform_thread *t) {
    return o != NULL && o->kind == ORDER_PROCESS && o->by != t;
}

bool batch_blocked(const struct platform_thread *t) {
    return foreign(queue_head(&t->space->queue), t);
}

/* Writes up to a page of calls for t's stub; how many. */
static uint32_t batch_fill(struct platform_thread *t, bool *out_must_report) {
    struct platform_space *s = t->space;
    uint32_t n = 0, i;
    for (i = 0; i < s->queue.count && n < STUB_ORDER_MAX; i++) {
        struct order *o = queue_at(&s->queue, i);
        struct stub_order c;
        if (foreign(o, t)) {
            break;
        }
        int err = order_call(o, &c);
        if (err != 0) {
            order_failed(s, o, err);
            o->kind = ORDER_SKIP;
            *out_must_report = true;
            continue;
        }
        if (o->kind == ORDER_PROCESS || o->kind == ORDER_THREAD || o->kind == ORDER_RAW_UNMAP) {
            *out_must_report = true;
        }
        t->ctx->orders[n++] = c;
    }
    if (i < s->queue.count) {
        *out_must_report = true;
    }
    return n;
}

static uint64_t batch_next(struct platform_thread *t) {
    struct platform_space *s = t->space;
    bool report = t->mode == RESUME_ORDERS || s->thread_count > 1 || s->batch_error != 0;
    uint64_t command = batch_fill(t, &report);
    s->batch_left = (uint32_t)command;
    s->batch_reports = report;
    s->last_valid = false;
    if (report) {
        command |= STUB_CMD_REPORT;
    } else {
        frame_store(t);
        if (t->bases_dirty && g_systrap.fsgsbase) {
            command |= STUB_CMD_BASES;
        }
        t->bases_dirty = false;
    }
    return command;
}

uint64_t batch_begin(struct platform_thread *t, enum resume_mode mode) {
    struct platform_space *s = t->space;
    s->batcher = t;
    s->batch_error = 0;
    t->mode = mode;
    t->unreported = false;
    t->state = CTX_BATCH;
    return batch_next(t);
}

static void skip_skipped(struct platform_space *s) {
    struct order *o = queue_head(&s->queue);
    while (o != NULL && o->kind == ORDER_SKIP) {
        queue_pop(&s->queue);
        o = queue_head(&s->queue);
    }
}

static bool call_matches(const struct stub_order *c, const struct seccomp_data *d) {
    bool same = (uint64_t)(int64_t)d->nr == c->nr;
    for (int i = 0; i < 6; i++) {
        same = same && d->args[i] == c->args[i];
    }
    return same;
}

void batch_order(struct platform_thread *t, const struct seccomp_notif *n) {
    struct platform_space *s = t->space;
    struct stub_order c;
    if (t->state != CTX_BATCH || s->batcher != t || s->batch_left == 0) {
        space_kill(s, "a call that was not ordered");
        return;
    }
    skip_skipped(s);
    struct order *o = queue_head(&s->queue);
    if (o == NULL || order_call(o, &c) != 0 || !call_matches(&c, &n->data)) {
        space_kill(s, "a call that differs from its order");
        return;
    }
    s->last = *o;
    s->last_valid = true;
    queue_pop(&s->queue);
    s->batch_left--;
    bool over = s->batch_left == 0 && !s->batch_reports;
    if (over) {
        s->batcher = NULL;
        t->unreported = true;
        thread_enter_user(t);
    }
    if (s->last.kind == ORDER_PROCESS || s->last.kind == ORDER_THREAD) {
        near_begin(t);
    }
    if (notify_continue(t->vcpu->listener, n->id) != 0) {
        space_kill(s, "stub died");
    } else if (over) {
        space_wake_waiters(s);
    }
}

static bool is_error(uint64_t result) {
    return result >= (uint64_t)-4095;
}

/* All chunks are done. */
static bool batch_end(struct platform_thread *t, struct trap *out) {
    struct platform_space *s = t->space;
    int err = s->batch_error;
    s->batcher = NULL;
    t->state = CTX_FULL;
    bool deliver = !s->zygote && (t->mode == RESUME_ORDERS || err != 0);
    if (!deliver && !s->zygote) {
        thread_run(t);
    }
    space_wake_waiters(s);
    if (deliver) {
        *out = (struct trap){
            .kind = TRAP_ORDERS_DONE, .thread = t, .task = t->task, .full_context = true};
        out->u.orders.error = err;
    }
    return deliver;
}

/* A failure of the last order of a batch that had no report. */
static bool report_late(struct platform_thread *t, const struct seccomp_notif *n,
                        struct trap *out) {
    int err = (int)(int64_t)n->data.args[0];
    t->unreported = false;
    t->notif_id = n->id;
    t->state = CTX_FULL;
    t->kick = 0;
    *out =
        (struct trap){.kind = TRAP_ORDERS_DONE, .thread = t, .task = t->task, .full_context = true};
    out->u.orders.error = err;
    return true;
}

bool batch_report(struct platform_thread *t, const struct seccomp_notif *n, struct trap *out) {
    struct platform_space *s = t->space;
    bool failed = is_error(n->data.args[0]);
    if (t->state == CTX_RUN && t->unreported && failed) {
        return report_late(t, n, out);
    }
    if (t->state == CTX_RUN && s->zygote) { /* its first sign of life */
        t->mode = RESUME_ORDERS;
    } else if (t->state != CTX_BATCH || s->batcher != t || (!failed && s->batch_left != 0) ||
               (failed && !s->last_valid)) {
        space_kill(s, "a report out of turn");
        return false;
    }
    t->notif_id = n->id;
    near_end(t);
    if (failed) {
        struct order o = s->last;
        order_failed(s, &o, (int)(int64_t)n->data.args[0]);
        if (s->killed) {
            return false;
        }
    }
    s->last_valid = false;
    skip_skipped(s);
    if (batch_blocked(t) && s->batch_error == 0) {
        /* The rest is for the context that forks, and after it for whoever comes. */
        s->batcher = NULL;
        t->state = CTX_WAIT;
        list_push_back(&s->waiters, &t->ready_link);
        space_wake_waiters(s);
        return false;
    }
    if (s->queue.count != 0 && !batch_blocked(t)) {
        s->batcher = t;
        t->state = CTX_BATCH;
        uint64_t command = batch_next(t);
        if (!thread_answer(t, command)) {
            space_kill(s, "stub died");
        }
        return false;
    }
    return batch_end(t, out);
}

void batch_abandon(struct platform_space *s) {
    while (s->queue.count != 0) {
        struct platform_thread *child =
            queue_head(&s->queue)->kind == ORDER_PROCESS ? queue_head(&s->queue)->child : NULL;
        queue_pop(&s->queue);
        if (child != NULL) {
            child_failed(child);
        }
    }
}
