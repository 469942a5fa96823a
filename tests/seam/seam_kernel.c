/* SPDX-License-Identifier: Apache-2.0 */
/* The few lines of kernel behind the platform tests.  Every vCPU's traps are taken on vCPU 0's
 * thread but those of `smp`. */
#include "base/atomic.h"
#include "platform/systrap/internal.h"
#include "seam.h"

#include <string.h>

#define WAIT_LIMIT_NS (10 * NSEC_PER_SEC)

static void (*g_smp)(uint32_t vcpu);     /* written before g_smp_round */
static uint32_t g_smp_round, g_smp_done; /* atomic */
uint64_t g_event_cookie;
uint32_t g_event_count;

noreturn_fn void seam_vcpu(uint32_t vcpu) {
    uint32_t round = 0;
    for (;;) {
        hal_park(&g_smp_round, round);
        uint32_t seen = atomic_load(&g_smp_round);
        if (seen != round) {
            round = seen;
            g_smp(vcpu);
            (void)atomic_fetch_add(&g_smp_done, 1u); /* the old count is of no use */
            hal_unpark(&g_smp_done, 1);
        }
    }
}

/* Runs fn on every vCPU at once; returns when all are through. */
void seam_smp(void (*fn)(uint32_t vcpu)) {
    uint32_t count = platform_info()->vcpu_count;
    atomic_store(&g_smp_done, 0u);
    g_smp = fn;
    (void)atomic_fetch_add(&g_smp_round, 1u); /* the old count is of no use */
    hal_unpark(&g_smp_round, count);
    fn(0);
    for (uint32_t done = atomic_load(&g_smp_done); done != count - 1;
         done = atomic_load(&g_smp_done)) {
        hal_park(&g_smp_done, done);
    }
}

void seam_event(uint64_t cookie, uint32_t events) {
    g_event_cookie = cookie;
    g_event_count++;
}

void *seam_page(uint64_t pfn) {
    return hal_memory()->linear + pfn * PAGE_SIZE;
}

void seam_start(struct task *t, uint64_t entry) {
    seam_start_on(t, 0, entry);
}

void seam_start_on(struct task *t, uint32_t vcpu, uint64_t entry) {
    memset(t, 0, sizeof(*t));
    if (memcmp(seam_page(PFN_CODE), guest_start, (size_t)(guest_end - guest_start)) != 0) {
        memcpy(seam_page(PFN_CODE), guest_start, (size_t)(guest_end - guest_start));
    }
    CHECK(space_create_on(vcpu_of(vcpu), t, &t->space, &t->thread) == 0);
    CHECK(platform_map(t->space, GUEST_CODE, PFN_CODE, 1, PROT_BIT_READ | PROT_BIT_EXEC) == 0);
    CHECK(platform_map(t->space, GUEST_DATA, PFN_DATA, 1, PROT_BIT_READ | PROT_BIT_WRITE) == 0);
    CHECK(platform_map(t->space, GUEST_STACK - PAGE_SIZE, PFN_STACK, 1,
                       PROT_BIT_READ | PROT_BIT_WRITE) == 0);
    platform_regs_get(t->thread, &t->regs);
    t->regs.rip = entry;
    t->regs.rsp = GUEST_STACK;
    t->regs.r12 = GUEST_DATA;
    platform_regs_set(t->thread, &t->regs);
}

void seam_next(uint32_t vcpu, const struct resume *r, struct trap *out) {
    uint64_t limit = hal_clock_ns(HAL_CLOCK_MONOTONIC) + WAIT_LIMIT_NS;
    platform_wait(vcpu, r, limit, out);
    while (out->kind == TRAP_NONE) {
        CHECK(hal_clock_ns(HAL_CLOCK_MONOTONIC) < limit);
        platform_wait(vcpu, NULL, limit, out);
    }
    if (out->full_context) {
        platform_regs_get(out->thread, &out->task->regs);
    }
    out->task->last = *out;
}

struct trap *seam_run(struct task *t, enum resume_mode mode) {
    static struct trap trap;
    struct resume r = {t->thread, mode};
    seam_next(platform_thread_vcpu(t->thread), &r, &trap);
    return &trap;
}

uint64_t seam_exit_of(struct task *t) {
    for (;;) {
        struct trap *trap = seam_run(t, RESUME_USER);
        CHECK(trap->kind == TRAP_SYSCALL && trap->task == t);
        if (trap->u.syscall.nr == 60) {
            return trap->u.syscall.args[0];
        }
        CHECK(trap->u.syscall.nr == 110);
        platform_result_set(t->thread, 7);
    }
}

void seam_destroy(struct task *t) {
    platform_thread_destroy(t->thread);
    platform_space_destroy(t->space);
}
