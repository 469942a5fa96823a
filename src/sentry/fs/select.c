/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select(2) and pselect6(2), as a translation of descriptor sets to the loop of poll(2).
 */
#include "base/string.h"
#include "fs/poll.h"
#include "fs/pollset.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>

#define SELECT_IN  (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX  POLLPRI

#define SELECT_INLINE_WORDS 16 /* 1024 descriptors, as glibc's fd_set holds */
#define SELECT_INLINE_ITEMS 12

static const uint32_t g_select_meaning[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};

struct select_sets {
    uint32_t words;       /* 64-bit words in a set */
    struct uaddr user[3]; /* read, write, exception; 0: absent */
    uint64_t *bits[3];
};

static int select_sets_read(struct select_sets *s) {
    for (int i = 0; i < 3; i++) {
        if (s->user[i].v == 0) {
            memset(s->bits[i], 0, s->words * sizeof(uint64_t));
            continue;
        }
        int err = copyin(s->bits[i], s->user[i], s->words * sizeof(uint64_t));
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int select_sets_write(const struct select_sets *s) {
    for (int i = 0; i < 3; i++) {
        if (s->user[i].v == 0) {
            continue;
        }
        int err = copyout(s->user[i], s->bits[i], s->words * sizeof(uint64_t));
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

/* Bits at and above n do not count. */
static void select_sets_trim(struct select_sets *s, uint32_t n) {
    if ((n % 64) == 0) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        s->bits[i][s->words - 1] &= (1ull << (n % 64)) - 1;
    }
}

static uint32_t select_count(const struct select_sets *s) {
    uint32_t count = 0;
    for (uint32_t w = 0; w < s->words; w++) {
        for (uint64_t any = s->bits[0][w] | s->bits[1][w] | s->bits[2][w]; any != 0;
             any &= any - 1) {
            count++;
        }
    }
    return count;
}

static void select_items_fill(const struct select_sets *s, struct poll_item *items) {
    uint32_t at = 0;
    for (uint32_t w = 0; w < s->words; w++) {
        uint64_t any = s->bits[0][w] | s->bits[1][w] | s->bits[2][w];
        for (; any != 0; any &= any - 1) {
            uint32_t bit = (uint32_t)__builtin_ctzll(any);
            struct poll_item *item = &items[at++];
            item->fd = (int32_t)(w * 64 + bit);
            item->events = 0;
            item->revents = 0;
            for (int i = 0; i < 3; i++) {
                if ((s->bits[i][w] >> bit) & 1) {
                    item->events |= g_select_meaning[i];
                }
            }
        }
    }
}

/* Turns the answers back into sets; bits that are set, or -EBADF. */
static int64_t select_items_drain(struct select_sets *s, const struct poll_item *items,
                                  uint32_t count) {
    int64_t result = 0;
    for (uint32_t n = 0; n < count; n++) {
        const struct poll_item *item = &items[n];
        if ((item->revents & POLLNVAL) != 0) {
            return -EBADF;
        }
        uint32_t w = (uint32_t)item->fd / 64;
        uint64_t bit = 1ull << ((uint32_t)item->fd % 64);
        for (int i = 0; i < 3; i++) {
            if ((s->bits[i][w] & bit) == 0) {
                continue;
            }
            if ((item->revents & g_select_meaning[i]) != 0) {
                result++;
            } else {
                s->bits[i][w] &= ~bit;
            }
        }
    }
    return result;
}

static int64_t select_wait(struct select_sets *s, uint64_t deadline_ns) {
    uint32_t count = select_count(s);
    struct poll_item inline_items[SELECT_INLINE_ITEMS];
    struct poll_item *items = inline_items;
    if (count > SELECT_INLINE_ITEMS) {
        items = kcalloc(count, sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
    }
    select_items_fill(s, items);
    int64_t result = poll_items_wait(items, count, deadline_ns);
    if (result > 0) {
        result = select_items_drain(s, items, count);
    } else if (result == 0) {
        for (int i = 0; i < 3; i++) {
            memset(s->bits[i], 0, s->words * sizeof(uint64_t));
        }
    }
    if (items != inline_items) {
        kfree(items);
    }
    return result;
}

static int64_t select_run(uint32_t n, const struct uaddr user[3], uint64_t deadline_ns) {
    struct select_sets sets = {.words = (n + 63) / 64, .user = {user[0], user[1], user[2]}};
    uint64_t inline_bits[3 * SELECT_INLINE_WORDS];
    uint64_t *bits = inline_bits;
    if (sets.words > SELECT_INLINE_WORDS) {
        bits = kcalloc(3ull * sets.words, sizeof(uint64_t));
        if (bits == NULL) {
            return -ENOMEM;
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        sets.bits[i] = bits + i * sets.words;
    }
    int64_t result = select_sets_read(&sets);
    if (result == 0) {
        select_sets_trim(&sets, n);
        result = select_wait(&sets, deadline_ns);
        if (result >= 0) {
            int err = select_sets_write(&sets);
            result = err != 0 ? err : result;
        }
    }
    if (bits != inline_bits) {
        kfree(bits);
    }
    return result;
}

static int select_check_count(uint64_t arg, uint32_t *out_n) {
    int32_t n = (int32_t)arg;
    if (n < 0) {
        return -EINVAL;
    }
    *out_n = MIN((uint32_t)n, POLL_ITEMS_MAX);
    return 0;
}

int64_t sys_select(struct task *t, const struct sysargs *args) {
    uint32_t n;
    int err = select_check_count(args->a[0], &n);
    struct uaddr timeout = uaddr_of(args->a[4]);
    uint64_t deadline_ns = NO_DEADLINE;
    if (err == 0 && timeout.v != 0) {
        int64_t tv[2]; /* seconds, microseconds */
        err = copyin(tv, timeout, sizeof(tv));
        if (err == 0) {
            bool bad = tv[1] < 0 || ckd_add(&tv[0], tv[0], tv[1] / 1000000);
            err = bad ? -EINVAL
                      : poll_deadline_relative(tv[0], (tv[1] % 1000000) * 1000, &deadline_ns);
        }
    }
    if (err != 0) {
        return err;
    }
    const struct uaddr user[3] = {uaddr_of(args->a[1]), uaddr_of(args->a[2]), uaddr_of(args->a[3])};
    int64_t result = select_run(n, user, deadline_ns);
    poll_write_remaining(timeout, deadline_ns, true);
    return result == -EINTR ? -ERESTARTNOHAND : result;
}

int64_t sys_pselect6(struct task *t, const struct sysargs *args) {
    uint32_t n;
    int err = select_check_count(args->a[0], &n);
    uint64_t deadline_ns = NO_DEADLINE;
    uint64_t mask[2] = {0, 0}; /* address and size of the signal set */
    if (err == 0) {
        err = poll_deadline_user(uaddr_of(args->a[4]), &deadline_ns);
    }
    if (err == 0 && args->a[5] != 0) {
        err = copyin(mask, uaddr_of(args->a[5]), sizeof(mask));
    }
    if (err == 0) {
        err = poll_sigmask_enter(uaddr_of(mask[0]), mask[1]);
    }
    if (err != 0) {
        return err;
    }
    const struct uaddr user[3] = {uaddr_of(args->a[1]), uaddr_of(args->a[2]), uaddr_of(args->a[3])};
    int64_t result = select_run(n, user, deadline_ns);
    poll_sigmask_leave(t, result == -EINTR);
    poll_write_remaining(uaddr_of(args->a[4]), deadline_ns, false);
    return result == -EINTR ? -ERESTARTNOHAND : result;
}
