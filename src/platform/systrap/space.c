/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces: their life, and the orders the kernel queues on them.  Locks: internal.h.
 *
 * Ending a space.  A stub thread that waits in a notification never runs another instruction of the
 * guest once SIGKILL is sent, so a space whose contexts all are in the kernel's hands is gone at
 * once; only one that was killed while a context ran has to be waited for.
 */
#include "platform/systrap/internal.h"

#include <errno.h>
#include <signal.h>

#define ACTIVE_TICKS 5000000ull /* about 2 ms */

must_check int space_new(struct vcpu *v, struct platform_space **out) {
    struct platform_space *s = pool_space_get();
    if (s == NULL) {
        return -ENOMEM;
    }
    s->vcpu = v;
    list_init(&s->waiters);
    list_init(&s->threads);
    list_init(&s->spare);
    *out = s;
    return 0;
}

void space_kill(struct platform_space *s, const char *why) {
    if (s->killed) {
        return;
    }
    s->killed = true;
    host_warn("systrap: stub %d killed: %s", s->pid, why);
    if (s->zygote) {
        host_die("systrap: a zygote is gone (%s)", why);
    }
    if (s->pid != 0) {
        (void)sys2(SYS_kill, s->pid, SIGKILL); /* it may be dead already */
    }
    s->batcher = NULL;
    struct platform_thread *t;
    list_for_each_entry (t, &s->threads, space_link) {
        thread_dead(t);
    }
    list_init(&s->waiters);
}

/* A waiter that can go on with the queue as it is, or NULL. */
static struct platform_thread *next_waiter(struct platform_space *s) {
    struct platform_thread *t;
    list_for_each_entry (t, &s->waiters, ready_link) {
        if (!batch_blocked(t)) {
            return t;
        }
    }
    return NULL;
}

void space_wake_waiters(struct platform_space *s) {
    while (s->batcher == NULL) {
        struct platform_thread *t = next_waiter(s);
        if (t == NULL) {
            return;
        }
        list_del_init(&t->ready_link);
        t->state = CTX_FULL;
        thread_resume(t, t->mode);
    }
}

static void free_threads(struct list *threads) {
    while (!list_empty(threads)) {
        thread_free(list_first(threads, struct platform_thread, space_link));
    }
}

void space_free(struct platform_space *s) {
    batch_abandon(s);
    free_threads(&s->threads);
    free_threads(&s->spare);
    plock_unlock(&s->lock);
    pool_space_put(s);
}

void child_failed(struct platform_thread *child) {
    struct platform_space *s = child->space;
    plock_lock(&s->lock);
    child_settled(child);
    if (s->doomed) {
        space_free(s);
        return;
    }
    thread_dead(child);
    plock_unlock(&s->lock);
}

uint32_t vcpu_load(struct vcpu *v, const struct task *task) {
    uint64_t now = cpu_ticks();
    uint32_t load = 0;
    struct platform_thread *t;
    plock_lock(&v->lock);
    for (uint32_t i = 0; i < VCPU_HASH; i++) {
        list_for_each_entry (t, &v->hash[i], hash_link) {
            bool active = t->state == CTX_RUN || t->state == CTX_BATCH || t->state == CTX_POST ||
                          now - t->left < ACTIVE_TICKS;
            load += active && t->task != task && !t->destroyed && !t->space->zygote ? 1 : 0;
        }
    }
    plock_unlock(&v->lock);
    return load + atomic_load_relaxed(&v->unborn);
}

/* The vCPU with the least to do; the hint wins a tie.  Contexts that sleep in the kernel do not
 * count: a shell that waits for its child leaves its vCPU to the child. */
static struct vcpu *least_busy(uint32_t hint, const struct task *task) {
    struct vcpu *best = NULL;
    uint32_t best_load = UINT32_MAX;
    for (uint32_t i = 0; i < g_systrap.vcpu_count; i++) {
        struct vcpu *v = vcpu_of((hint + i) % g_systrap.vcpu_count);
        uint32_t load = vcpu_load(v, task);
        if (load < best_load) {
            best = v;
            best_load = load;
        }
    }
    return best;
}

/* Asks a zygote for a clone of itself that becomes `t`. */
static int zygote_order(struct vcpu *v, struct platform_thread *t) {
    struct platform_space *z = v->zygote_space;
    struct order o = {.kind = ORDER_PROCESS, .child = t, .by = v->zygote};
    plock_lock(&z->lock);
    int err = queue_push(&z->queue, &o);
    if (err == 0) {
        t->counted = true;
        (void)atomic_fetch_add(&v->unborn, 1u); /* the old count is of no use */
    }
    if (err == 0 && v->zygote->state == CTX_FULL) {
        thread_resume(v->zygote, RESUME_ORDERS);
    }
    plock_unlock(&z->lock);
    return err;
}

must_check int space_create_on(struct vcpu *v, struct task *task, struct platform_space **out_space,
                               struct platform_thread **out_thread) {
    struct platform_space *s;
    struct platform_thread *t;
    int err = space_new(v, &s);
    if (err != 0) {
        return err;
    }
    err = thread_new(s, task, 0, &t);
    if (err != 0) {
        pool_space_put(s);
        return err;
    }
    frame_make(t);
    err = zygote_order(v, t);
    if (err != 0) {
        plock_lock(&s->lock);
        space_free(s);
        return err;
    }
    *out_space = s;
    *out_thread = t;
    return 0;
}

must_check int platform_space_create(uint32_t vcpu, struct task *task,
                                     struct platform_space **out_space,
                                     struct platform_thread **out_thread) {
    return space_create_on(least_busy(vcpu, task), task, out_space, out_thread);
}

static bool other_slots(const struct platform_space *s, uint32_t own) {
    for (uint32_t i = 0; i < ARRAY_COUNT(s->slots); i++) {
        uint64_t mine = i == own / 64 ? 1ull << (own % 64) : 0;
        if ((s->slots[i] & ~mine) != 0) {
            return true;
        }
    }
    return false;
}

must_check int platform_space_fork(struct platform_thread *parent, struct task *child,
                                   struct platform_space **out_space,
                                   struct platform_thread **out_thread) {
    struct platform_space *s;
    struct platform_thread *t;
    int err = space_new(parent->vcpu, &s);
    if (err != 0) {
        return err;
    }
    err = thread_new(s, child, parent->slot, &t);
    if (err != 0) {
        pool_space_put(s);
        return err;
    }
    struct order o = {.kind = ORDER_PROCESS, .child = t, .by = parent};
    err = frame_copy(t, parent);
    if (err == 0) {
        plock_lock(&parent->space->lock);
        s->inherited_slots = other_slots(parent->space, parent->slot);
        s->posts = parent->space->posts;
        err = queue_push(&parent->space->queue, &o);
        plock_unlock(&parent->space->lock);
    }
    if (err != 0) {
        plock_lock(&s->lock);
        space_free(s);
        return err;
    }
    *out_space = s;
    *out_thread = t;
    return 0;
}

static int slot_find(const struct platform_space *s, uint32_t *out_slot) {
    for (uint32_t i = 0; i < ARRAY_COUNT(s->slots); i++) {
        if (s->slots[i] != UINT64_MAX) {
            *out_slot = i * 64 + (uint32_t)__builtin_ctzll(~s->slots[i]);
            return 0;
        }
    }
    return -EAGAIN;
}

/* A context on the slot and area of one that is gone, or on new ones.  Space locked. */
static int thread_for_clone(struct platform_space *s, struct task *task,
                            struct platform_thread **out) {
    struct platform_thread *t;
    uint32_t slot;
    if (!list_empty(&s->spare)) {
        struct platform_thread *old = list_first(&s->spare, struct platform_thread, space_link);
        struct platform_thread fresh = {.space = s,
                                        .vcpu = s->vcpu,
                                        .task = task,
                                        .slot = old->slot,
                                        .area = old->area,
                                        .ctx = old->ctx,
                                        .state = CTX_UNBORN};
        list_del_init(&old->space_link);
        *old = fresh;
        list_init(&old->hash_link);
        list_init(&old->ready_link);
        list_push_back(&s->threads, &old->space_link);
        s->thread_count++;
        *out = old;
        return 0;
    }
    int err = slot_find(s, &slot);
    if (err != 0) {
        return err;
    }
    err = thread_new(s, task, slot, &t);
    if (err != 0) {
        return err;
    }
    struct order area = {.kind = ORDER_AREA, .child = t};
    err = queue_push(&s->queue, &area);
    if (err != 0) {
        s->thread_count--;
        s->slots[slot / 64] &= ~(1ull << (slot % 64));
        thread_free(t);
        return err;
    }
    *out = t;
    return 0;
}

must_check int platform_thread_clone(struct platform_thread *parent, struct task *child,
                                     struct platform_thread **out_thread) {
    struct platform_space *s = parent->space;
    struct platform_thread *t = NULL;
    plock_lock(&s->lock);
    int err = thread_for_clone(s, child, &t);
    if (err == 0) {
        struct order o = {.kind = ORDER_THREAD, .child = t};
        err = frame_copy(t, parent);
        if (err == 0) {
            err = queue_push(&s->queue, &o);
        }
        if (err != 0) {
            s->thread_count--;
            thread_gone(t);
        }
    }
    plock_unlock(&s->lock);
    *out_thread = t;
    return err;
}

/* Waits until the host has torn the process down (it is reaped by itself). */
static void wait_gone(int32_t pid) {
    struct {
        int64_t sec, nsec;
    } pause = {0, 50000};
    while (sys2(SYS_kill, pid, 0) == 0) {
        (void)sys2(SYS_nanosleep, (long)&pause, 0); /* interrupted is fine */
    }
}

void platform_space_destroy(struct platform_space *s) {
    plock_lock(&s->lock);
    struct platform_thread *leader =
        list_empty(&s->threads) ? NULL
                                : list_first(&s->threads, struct platform_thread, space_link);
    if (s->pid == 0 && leader != NULL && leader->state == CTX_UNBORN) {
        s->doomed = true; /* killed at its birth */
        plock_unlock(&s->lock);
        return;
    }
    if (s->pid != 0) {
        (void)sys2(SYS_kill, s->pid, SIGKILL); /* it may be dead already */
        if (s->killed || s->loose) {
            wait_gone(s->pid);
        }
    }
    space_free(s);
}

/* ---- orders ---- */

static bool range_ok(uint64_t va, uint64_t pages) {
    uint64_t len, end;
    return pages != 0 && IS_ALIGNED(va, PAGE_SIZE) && !ckd_mul(&len, pages, PAGE_SIZE) &&
           !ckd_add(&end, va, len) && va >= g_systrap.info.user_start &&
           end <= g_systrap.info.user_end;
}

/* Extends the last queued order when `o` goes on where it ends; orders of a batch under way are not
 * touched. */
static bool order_merge(struct platform_space *s, const struct order *o) {
    struct order *last = queue_last(&s->queue);
    if (last == NULL || s->batcher != NULL || last->kind != o->kind || last->prot != o->prot ||
        last->urgent != o->urgent || last->populate != o->populate ||
        last->va + last->pages * PAGE_SIZE != o->va) {
        return false;
    }
    if (o->kind == ORDER_MAP) {
        int fd, last_fd;
        uint64_t off;
        if (last->pfn + last->pages != o->pfn ||
            host_frame_locate(last->pfn, 1, &last_fd, &off) != 0 ||
            host_frame_locate(o->pfn, 1, &fd, &off) != 0 || fd != last_fd) {
            return false;
        }
    }
    last->pages += o->pages;
    return true;
}

static int order_add(struct platform_space *s, const struct order *o) {
    if (!range_ok(o->va, o->pages)) {
        return -EINVAL;
    }
    int err = 0;
    plock_lock(&s->lock);
    if (!order_merge(s, o)) {
        err = queue_push(&s->queue, o);
    }
    plock_unlock(&s->lock);
    return err;
}

must_check int platform_map(struct platform_space *space, uint64_t va, uint64_t pfn,
                            uint64_t page_count, uint32_t prot) {
    int fd;
    uint64_t off;
    struct order o = {.kind = ORDER_MAP,
                      .urgent = (prot & PROT_BIT_REPLACE) != 0,
                      .populate = (prot & PROT_BIT_POPULATE) != 0,
                      .prot = (uint8_t)(prot & 7),
                      .va = va,
                      .pfn = pfn,
                      .pages = page_count};
    int err = host_frame_locate(pfn, page_count, &fd, &off);
    return err != 0 ? err : order_add(space, &o);
}

must_check int platform_unmap(struct platform_space *space, uint64_t va, uint64_t page_count) {
    struct order o = {.kind = ORDER_UNMAP, .urgent = true, .va = va, .pages = page_count};
    return order_add(space, &o);
}

must_check int platform_protect(struct platform_space *space, uint64_t va, uint64_t page_count,
                                uint32_t prot) {
    struct order o = {.kind = ORDER_PROTECT,
                      .urgent = (prot & PROT_BIT_GRANT) == 0,
                      .prot = (uint8_t)(prot & 7),
                      .va = va,
                      .pages = page_count};
    return order_add(space, &o);
}

bool platform_orders_pending(const struct platform_space *space) {
    return atomic_load_relaxed(&space->queue.count) != 0 ||
           atomic_load_relaxed(&space->batcher) != NULL;
}

bool platform_orders_revoke(const struct platform_space *space) {
    return atomic_load_relaxed(&space->queue.urgent) != 0;
}
