/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll(2) and ppoll(2), and the waiting loop that select(2) shares.
 *
 * A call takes a reference on each file, registers one waiter per wait queue in the first round,
 * and asks the files again after each wake-up.  User arrays are copied once.
 */
#include "fs/poll.h"
#include "fs/pollset.h"
#include "fs/vfs.h"
#include "hal.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <asm/resource.h>

/* ---- deadlines and masks ---------------------------------------------------------------- */

int poll_deadline_relative(int64_t sec, int64_t nsec, uint64_t *out_deadline_ns) {
    if (sec < 0 || nsec < 0 || nsec >= (int64_t)NSEC_PER_SEC) {
        return -EINVAL;
    }
    if (sec == 0 && nsec == 0) {
        *out_deadline_ns = POLL_NO_WAIT;
        return 0;
    }
    uint64_t ns;
    if (ckd_mul(&ns, (uint64_t)sec, NSEC_PER_SEC) || ckd_add(&ns, ns, (uint64_t)nsec) ||
        ckd_add(&ns, ns, hal_clock_ns(HAL_CLOCK_MONOTONIC))) {
        ns = NO_DEADLINE;
    }
    *out_deadline_ns = ns;
    return 0;
}

int poll_deadline_user(struct uaddr ts, uint64_t *out_deadline_ns) {
    if (ts.v == 0) {
        *out_deadline_ns = NO_DEADLINE;
        return 0;
    }
    struct user_timespec t;
    int err = copyin(&t, ts, sizeof(t));
    if (err != 0) {
        return err;
    }
    return poll_deadline_relative(t.sec, t.nsec, out_deadline_ns);
}

uint64_t poll_deadline_ms(int32_t timeout_ms) {
    if (timeout_ms < 0) {
        return NO_DEADLINE;
    }
    if (timeout_ms == 0) {
        return POLL_NO_WAIT;
    }
    return hal_clock_ns(HAL_CLOCK_MONOTONIC) + (uint64_t)timeout_ms * NSEC_PER_MSEC;
}

int poll_sigmask_enter(struct uaddr mask, uint64_t size) {
    if (mask.v == 0) {
        return 0;
    }
    if (size != sizeof(sigset64)) {
        return -EINVAL;
    }
    sigset64 set;
    int err = copyin(&set, mask, sizeof(set));
    if (err != 0) {
        return err;
    }
    signal_mask_temporary(set);
    return 0;
}

void poll_sigmask_leave(struct task *t, bool interrupted) {
    if (!interrupted && t->restore_mask) {
        t->restore_mask = false;
        signal_mask_set(t->saved_mask);
    }
}

/* ---- the waiters of one call ------------------------------------------------------------ */

#define POLL_INLINE_WAITERS 12
#define POLL_CHUNK_WAITERS  64

struct waiter_chunk {
    struct waiter_chunk *next;
    uint32_t used;
    struct waiter waiters[POLL_CHUNK_WAITERS];
};

struct poll_call {
    struct poll_table table; /* first: the callback finds the call by it */
    uint32_t mask;           /* of the file being asked */
    int err;
    uint32_t inline_used;
    struct waiter_chunk *chunks; /* newest first */
    struct waiter inline_waiters[POLL_INLINE_WAITERS];
};

static struct waiter *poll_call_waiter(struct poll_call *call) {
    if (call->inline_used < POLL_INLINE_WAITERS) {
        return &call->inline_waiters[call->inline_used++];
    }
    struct waiter_chunk *chunk = call->chunks;
    if (chunk == NULL || chunk->used == POLL_CHUNK_WAITERS) {
        chunk = kmalloc(sizeof(*chunk));
        if (chunk == NULL) {
            return NULL;
        }
        chunk->used = 0;
        chunk->next = call->chunks;
        call->chunks = chunk;
    }
    return &chunk->waiters[chunk->used++];
}

static void poll_call_queue(struct poll_table *table, struct waitq *q) {
    struct poll_call *call = container_of(table, struct poll_call, table);
    struct waiter *w = poll_call_waiter(call);
    if (w == NULL) {
        call->err = -ENOMEM;
        return;
    }
    waiter_init_task(w, current);
    w->mask = poll_wake_mask(call->mask);
    waitq_add(q, w);
}

static void poll_call_end(struct poll_call *call) {
    for (uint32_t i = 0; i < call->inline_used; i++) {
        waitq_remove(&call->inline_waiters[i]);
    }
    struct waiter_chunk *chunk = call->chunks;
    while (chunk != NULL) {
        struct waiter_chunk *next = chunk->next;
        for (uint32_t i = 0; i < chunk->used; i++) {
            waitq_remove(&chunk->waiters[i]);
        }
        kfree(chunk);
        chunk = next;
    }
}

/* One round over all items; how many have events. */
static uint32_t poll_round(struct poll_call *call, struct poll_item *items, uint32_t count) {
    uint32_t ready = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct poll_item *item = &items[i];
        if (item->file == NULL) {
            item->revents = item->fd >= 0 ? POLLNVAL : 0;
        } else {
            call->mask = item->events;
            uint32_t got = vfs_poll(item->file, &call->table);
            item->revents = got & item->events;
        }
        if (item->revents != 0) {
            ready++;
            call->table.queue = NULL; /* the call will not sleep: no more waiters */
        }
    }
    call->table.queue = NULL;
    return ready;
}

int64_t poll_items_wait(struct poll_item *items, uint32_t count, uint64_t deadline_ns) {
    for (uint32_t i = 0; i < count; i++) {
        items[i].file = items[i].fd >= 0 ? fd_get(items[i].fd, false) : NULL;
    }
    struct poll_call call;
    call.table.queue = deadline_ns == POLL_NO_WAIT ? NULL : poll_call_queue;
    call.err = 0;
    call.inline_used = 0;
    call.chunks = NULL;
    int64_t result;
    bool last = deadline_ns == POLL_NO_WAIT;
    for (;;) {
        result = poll_round(&call, items, count);
        if (result != 0 || last) {
            break;
        }
        if (call.err != 0) {
            result = call.err;
            break;
        }
        int err = task_block(deadline_ns, BLOCK_INTERRUPTIBLE);
        if (err == -EINTR) {
            result = -EINTR;
            break;
        }
        last = err == -ETIMEDOUT;
    }
    poll_call_end(&call);
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].file != NULL) {
            file_put(items[i].file);
        }
    }
    return result;
}

/* ---- poll(2) ---------------------------------------------------------------------------- */

#define POLL_INLINE_ITEMS 12

static int64_t poll_copy_in(struct poll_item *items, struct pollfd *fds, struct uaddr user,
                            uint32_t count) {
    int err = copyin(fds, user, count * sizeof(*fds));
    if (err != 0) {
        return err;
    }
    for (uint32_t i = 0; i < count; i++) {
        items[i].fd = fds[i].fd;
        items[i].events = (uint16_t)fds[i].events | POLLERR | POLLHUP;
        items[i].revents = 0;
    }
    return 0;
}

/* Writes only what differs, so that other fields changed meanwhile by the program stay. */
static int64_t poll_copy_out(const struct poll_item *items, const struct pollfd *fds,
                             struct uaddr user, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        int16_t revents = (int16_t)items[i].revents;
        if (revents == fds[i].revents) {
            continue;
        }
        struct uaddr to = uaddr_add(user, i * sizeof(*fds) + offsetof(struct pollfd, revents));
        int err = copyout(to, &revents, sizeof(revents));
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int64_t poll_run(struct uaddr user, uint64_t nfds, uint64_t deadline_ns) {
    if (nfds > rlimit_get(RLIMIT_NOFILE) || nfds > POLL_ITEMS_MAX) {
        return -EINVAL;
    }
    uint32_t count = (uint32_t)nfds;
    struct poll_item inline_items[POLL_INLINE_ITEMS];
    struct pollfd inline_fds[POLL_INLINE_ITEMS];
    struct poll_item *items = inline_items;
    struct pollfd *fds = inline_fds;
    void *memory = NULL;
    if (count > POLL_INLINE_ITEMS) {
        memory = kmalloc(count * (sizeof(*items) + sizeof(*fds)));
        if (memory == NULL) {
            return -ENOMEM;
        }
        items = memory;
        fds = (void *)(items + count);
    }
    int64_t result = poll_copy_in(items, fds, user, count);
    if (result == 0) {
        result = poll_items_wait(items, count, deadline_ns);
        if (result >= 0) {
            int64_t err = poll_copy_out(items, fds, user, count);
            result = err != 0 ? err : result;
        }
    }
    kfree(memory);
    return result;
}

static int64_t poll_restart(struct task *t) {
    const uint64_t *a = t->restart.args;
    int64_t result = poll_run(uaddr_of(a[0]), a[1], a[2]);
    return result == -EINTR ? -ERESTART_RESTARTBLOCK : result;
}

int64_t sys_poll(struct task *t, const struct sysargs *args) {
    uint64_t deadline_ns = poll_deadline_ms((int32_t)args->a[2]);
    int64_t result = poll_run(uaddr_of(args->a[0]), (uint32_t)args->a[1], deadline_ns);
    if (result != -EINTR) {
        return result;
    }
    t->restart.fn = poll_restart;
    t->restart.args[0] = args->a[0];
    t->restart.args[1] = (uint32_t)args->a[1];
    t->restart.args[2] = deadline_ns;
    return -ERESTART_RESTARTBLOCK;
}

void poll_write_remaining(struct uaddr to, uint64_t deadline_ns, bool as_timeval) {
    if (to.v == 0 || deadline_ns == NO_DEADLINE) {
        return;
    }
    struct user_timespec left = {0, 0};
    uint64_t now = hal_clock_ns(HAL_CLOCK_MONOTONIC);
    if (deadline_ns > now) {
        left.sec = (int64_t)((deadline_ns - now) / NSEC_PER_SEC);
        left.nsec = (int64_t)((deadline_ns - now) % NSEC_PER_SEC);
    }
    if (as_timeval) {
        left.nsec /= (int64_t)NSEC_PER_USEC;
    }
    (void)!copyout(to, &left,
                   sizeof(left)); /* the result stands even when the time left cannot be told */
}

int64_t sys_ppoll(struct task *t, const struct sysargs *args) {
    uint64_t deadline_ns;
    int err = poll_deadline_user(uaddr_of(args->a[2]), &deadline_ns);
    if (err == 0) {
        err = poll_sigmask_enter(uaddr_of(args->a[3]), args->a[4]);
    }
    if (err != 0) {
        return err;
    }
    int64_t result = poll_run(uaddr_of(args->a[0]), (uint32_t)args->a[1], deadline_ns);
    poll_sigmask_leave(t, result == -EINTR);
    poll_write_remaining(uaddr_of(args->a[2]), deadline_ns, false);
    return result == -EINTR ? -ERESTARTNOHAND : result;
}
