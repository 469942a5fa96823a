/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load average: see loadavg.h.  Sources: proc_loadavg(5), include/linux/sched/loadavg.h (the
 * constants of the exponential damping).
 *
 * A timer samples every five seconds while something runs, and rests with a sandbox that does: who
 * wakes it up again makes up for the samples of the rest, all of them zero.
 *
 * Lock: g_lock (RANK_FS) guards the averages and when they were last brought up to date.
 */
#include "kernel/loadavg.h"

#include "base/atomic.h"
#include "base/string.h"
#include "hal.h"
#include "kernel/cpu.h"
#include "kernel/lock.h"
#include "kernel/time.h"
#include "kernel/wait.h"

#define SAMPLE_NS (5 * NSEC_PER_SEC)
#define FIXED_ONE (1u << LOADAVG_SHIFT)
#define REST_MAX  4096u /* samples after which all averages are zero */

static const uint32_t g_keep[3] = {1884, 2014, 2037}; /* what a sample leaves of the old value */

static struct spinlock g_lock = SPINLOCK_INIT(RANK_FS);
static uint64_t g_average[3]; /* guarded by g_lock, as the next two */
static uint64_t g_sampled_ns;
static struct timer g_timer;
static bool g_sampling; /* atomic: the timer is armed, or about to be */

static uint64_t running_count(void) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < cpu_count(); i++) {
        sum += atomic_load_relaxed(&cpu_get(i)->running_count);
    }
    return sum > 0 ? (uint64_t)sum : 0;
}

/* g_lock held. */
static void sample(uint64_t running) {
    uint64_t active = running * FIXED_ONE;
    for (int i = 0; i < 3; i++) {
        uint64_t sum = g_average[i] * g_keep[i] + active * (FIXED_ONE - g_keep[i]);
        sum += active >= g_average[i] ? FIXED_ONE - 1 : 0; /* a rising one is rounded up */
        g_average[i] = sum / FIXED_ONE;
    }
    g_sampled_ns += SAMPLE_NS;
}

/* The samples of a rest, the one at `now_ns` not among them.  g_lock held. */
static void catch_up(uint64_t now_ns) {
    for (uint32_t n = 0; g_sampled_ns + SAMPLE_NS <= now_ns && n < REST_MAX; n++) {
        sample(0);
    }
    g_sampled_ns = MAX(g_sampled_ns, now_ns >= SAMPLE_NS ? now_ns - SAMPLE_NS : 0);
}

static void tick(struct timer *timer) {
    uint64_t running = running_count();
    spin_lock(&g_lock);
    sample(running);
    uint64_t next = g_sampled_ns + SAMPLE_NS;
    spin_unlock(&g_lock);
    if (running > 0) {
        timer_arm(timer, MAX(next, hal_clock_ns(HAL_CLOCK_MONOTONIC)));
    } else {
        atomic_store(&g_sampling, false);
    }
}

void loadavg_poke(void) {
    if (likely(atomic_load_relaxed(&g_sampling)) || atomic_exchange(&g_sampling, true)) {
        return;
    }
    uint64_t now = hal_clock_ns(HAL_CLOCK_MONOTONIC);
    spin_lock(&g_lock);
    if (g_timer.fn == NULL) {
        timer_init(&g_timer, tick, NULL);
        g_sampled_ns = now;
    }
    catch_up(now);
    uint64_t next = g_sampled_ns + SAMPLE_NS;
    spin_unlock(&g_lock);
    timer_arm(&g_timer, MAX(next, now));
}

void loadavg_get(uint64_t out[3]) {
    loadavg_poke();
    spin_lock(&g_lock);
    memcpy(out, g_average, sizeof(g_average));
    spin_unlock(&g_lock);
}
