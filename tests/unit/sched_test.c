/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduler, blocking, locks and timers on several vCPUs. */
#include "kernel_harness.h"

#include "kernel/lock.h"
#include "kernel/log.h"

#include <asm-generic/errno.h>
#include <string.h>

/* ---- ping-pong over wait queues: no wake-up may be lost ---- */

#define PINGS 20000

static struct waitq g_queue[2];
static uint32_t g_ball[2]; /* atomic */

static bool ball_here(void *arg) {
    return atomic_load((uint32_t *)arg) != 0;
}

static void player(void *arg) {
    int side = (int)(uintptr_t)arg;
    for (int i = 0; i < PINGS; i++) {
        CHECK(waitq_wait(&g_queue[side], ball_here, &g_ball[side], NO_DEADLINE,
                         BLOCK_INTERRUPTIBLE) == 0);
        atomic_store(&g_ball[side], 0);
        atomic_store(&g_ball[1 - side], 1);
        waitq_wake(&g_queue[1 - side], UINT32_MAX);
    }
}

static void test_ping_pong(void *arg) {
    (void)arg;
    waitq_init(&g_queue[0]);
    waitq_init(&g_queue[1]);
    g_ball[0] = 1;
    g_ball[1] = 0;
    harness_thread(player, (void *)0);
    harness_thread(player, (void *)1);
}

/* ---- mutual exclusion ---- */

#define WORKERS 8
#define ROUNDS  4000

static struct mutex g_mutex;
static struct rwmutex g_rw;
static struct spinlock g_spin = SPINLOCK_INIT(RANK_FILE);
static uint64_t g_plain, g_pair[2], g_spun;

static void mutex_worker(void *arg) {
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        mutex_lock(&g_mutex);
        uint64_t seen = g_plain;
        if (i % 64 == 0) {
            task_yield(); /* the holder of a sleeping lock may sleep */
        }
        g_plain = seen + 1;
        mutex_unlock(&g_mutex);
        spin_lock(&g_spin);
        g_spun++;
        spin_unlock(&g_spin);
    }
}

static void rw_worker(void *arg) {
    bool writes = (uintptr_t)arg % 4 == 0;
    for (int i = 0; i < ROUNDS; i++) {
        if (writes) {
            rw_write_lock(&g_rw);
            g_pair[0]++;
            if (i % 128 == 0) {
                task_yield();
            }
            g_pair[1]++;
            rw_write_unlock(&g_rw);
        } else {
            rw_read_lock(&g_rw);
            CHECK(g_pair[0] == g_pair[1]);
            if (i % 128 == 0) {
                task_yield();
                CHECK(g_pair[0] == g_pair[1]);
            }
            rw_read_unlock(&g_rw);
        }
    }
}

static void test_locks(void *arg) {
    (void)arg;
    mutex_init(&g_mutex);
    rw_init(&g_rw);
    for (uintptr_t i = 0; i < WORKERS; i++) {
        harness_thread(mutex_worker, NULL);
        harness_thread(rw_worker, (void *)i);
    }
}

static void check_locks(void) {
    CHECK(g_plain == (uint64_t)WORKERS * ROUNDS);
    CHECK(g_spun == (uint64_t)WORKERS * ROUNDS);
    CHECK(g_pair[0] == (uint64_t)ROUNDS * (WORKERS / 4) && g_pair[1] == g_pair[0]);
    CHECK(g_mutex.owner == 0 && g_rw.state == 0);
}

/* ---- deadlines, interruption, tokens ---- */

static struct task *g_sleeper; /* atomic */
static uint32_t g_woken;       /* atomic */

static void sleeper(void *arg) {
    (void)arg;
    struct task *t = current_task();
    uint64_t start = harness_now_ns();
    CHECK(task_block(start + 3 * NSEC_PER_MSEC, BLOCK_UNINTERRUPTIBLE) == -ETIMEDOUT);
    CHECK(harness_now_ns() >= start + 3 * NSEC_PER_MSEC);
    CHECK(task_block(start, BLOCK_INTERRUPTIBLE) == -ETIMEDOUT);
    task_wake(t);
    CHECK(task_block(start, BLOCK_INTERRUPTIBLE) == 0); /* the token comes before the deadline */
    atomic_store(&g_sleeper, t);
    int err;
    while ((err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE)) == 0) {
    }
    CHECK(err == -EINTR);
    /* A signal does not end these: only the wake-up does. */
    while (atomic_load(&g_woken) == 0) {
        CHECK(task_block(NO_DEADLINE, BLOCK_KILLABLE) == 0);
    }
    atomic_store(&g_sleeper, NULL);
}

static void disturber(void *arg) {
    (void)arg;
    struct task *t;
    while ((t = atomic_load(&g_sleeper)) == NULL) {
        task_yield();
    }
    harness_signal(t);
    for (int i = 0; i < 50; i++) {
        task_yield();
        harness_signal(t);
    }
    atomic_store(&g_woken, 1);
    task_wake(t);
}

static void test_block(void *arg) {
    (void)arg;
    harness_thread(sleeper, NULL);
    harness_thread(disturber, NULL);
}

/* ---- timers ---- */

#define TIMERS 64

struct periodic {
    struct timer timer;
    uint32_t fired; /* atomic */
    uint64_t due;
    bool early;
};

static void periodic_fire(struct timer *t) {
    struct periodic *p = t->arg;
    p->early = p->early || harness_now_ns() < p->due;
    p->due = harness_now_ns() + 20 * NSEC_PER_USEC;
    (void)atomic_fetch_add(&p->fired, 1u);
    timer_arm(t, p->due);
}

/* Arms, cancels from other vCPUs while they fire: after cancel nothing may happen any more. */
static void timer_worker(void *arg) {
    static struct periodic timers[WORKERS][TIMERS];
    struct periodic *mine = timers[(uintptr_t)arg];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < TIMERS; i++) {
            timer_init(&mine[i].timer, periodic_fire, &mine[i]);
            mine[i].due = harness_now_ns() + (uint64_t)(i % 7) * 10 * NSEC_PER_USEC;
            timer_arm(&mine[i].timer, mine[i].due);
        }
        CHECK(task_block(harness_now_ns() + 300 * NSEC_PER_USEC, BLOCK_UNINTERRUPTIBLE) ==
              -ETIMEDOUT);
        for (int i = 0; i < TIMERS; i++) {
            timer_cancel(&mine[i].timer);
            CHECK(!timer_pending(&mine[i].timer, NULL));
            CHECK(!mine[i].early);
            mine[i].fired = 0;
        }
        task_yield();
        for (int i = 0; i < TIMERS; i++) {
            CHECK(atomic_load(&mine[i].fired) == 0);
        }
    }
}

static void test_timers(void *arg) {
    (void)arg;
    for (uintptr_t i = 0; i < 4; i++) {
        harness_thread(timer_worker, (void *)i);
    }
}

/* ---- user tasks ---- */

static uint64_t g_calls; /* atomic */
static uint64_t g_last_call_ns;

static void on_call(struct task *t) {
    (void)t;
    (void)atomic_fetch_add(&g_calls, 1u);
}

/* Each call wakes the other users' queue and blocks for a moment now and then. */
static void on_call_mixed(struct task *t) {
    uint64_t n = atomic_fetch_add(&g_calls, 1u);
    if (n % 5 == 0) {
        (void)task_block(harness_now_ns() + 10 * NSEC_PER_USEC,
                         BLOCK_INTERRUPTIBLE); /* either end is fine */
    }
    if (n % 7 == 0) {
        harness_signal(t);
    }
}

static void test_users(void *arg) {
    (void)arg;
    for (int i = 0; i < WORKERS; i++) {
        harness_user(ROUNDS, on_call_mixed);
    }
}

static void test_round_trip(void *arg) {
    (void)arg;
    g_last_call_ns = harness_now_ns();
    harness_user(200000, on_call);
}

/* ---- work that piles up reaches a vCPU that is just going idle ---- */

#define NAPS     30000
#define NAPPERS  3u
#define PATIENCE (10 * NSEC_PER_SEC)

static struct waitq g_bed[NAPPERS];
static uint32_t g_called[NAPPERS], g_risen; /* atomic */

static void napper(void *arg) {
    uintptr_t self = (uintptr_t)arg;
    for (int i = 0; i < NAPS; i++) {
        CHECK(waitq_wait(&g_bed[self], ball_here, &g_called[self], NO_DEADLINE,
                         BLOCK_UNINTERRUPTIBLE) == 0);
        atomic_store(&g_called[self], 0);
        (void)atomic_fetch_add(&g_risen, 1u);
    }
}

/* Wakes as many tasks as there are vCPUs, at any moment of their going to sleep, and does not leave
 * its own before all but one have run. */
static void waker(void *arg) {
    (void)arg;
    unsigned long seed = 1;
    for (uint32_t i = 0; i < NAPS; i++) {
        for (unsigned long pause = test_random(&seed) % 2000; pause != 0; pause--) {
            __asm__ volatile("");
        }
        for (uint32_t k = 0; k < NAPPERS; k++) {
            atomic_store(&g_called[k], 1);
            waitq_wake(&g_bed[k], UINT32_MAX);
        }
        uint64_t limit = harness_now_ns() + PATIENCE;
        while (atomic_load(&g_risen) < i * NAPPERS + NAPPERS - 1) {
            CHECK(harness_now_ns() < limit);
        }
        while (atomic_load(&g_risen) < (i + 1) * NAPPERS) {
            task_yield();
        }
    }
}

static void test_piled_up(void *arg) {
    (void)arg;
    for (uintptr_t k = 0; k < NAPPERS; k++) {
        waitq_init(&g_bed[k]);
        harness_thread(napper, (void *)k);
    }
    harness_thread(waker, NULL);
}

static void tests(void *arg) {
    (void)arg;
    harness_run(test_ping_pong, NULL);
    harness_run(test_piled_up, NULL);
    harness_run(test_locks, NULL);
    check_locks();
    harness_run(test_block, NULL);
    CHECK(g_sleeper == NULL);
    harness_run(test_timers, NULL);
    harness_run(test_users, NULL);
    CHECK(g_calls == (uint64_t)WORKERS * ROUNDS);
    g_calls = 0;
    harness_run(test_round_trip, NULL);
    CHECK(g_calls == 200000);
    printf("%lu ns a turn of the vCPU loop, with the test's own locks\n",
           (unsigned long)((harness_now_ns() - g_last_call_ns) / 200000));
}

int main(void) {
    harness_main(tests);
}
