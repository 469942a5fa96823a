/* SPDX-License-Identifier: Apache-2.0 */
/* Posted calls: one context, whose calls come by notification on its own vCPU and by post on the
 * other; results, registers around kicks, sleeping calls, ends in the middle. */
#include "base/atomic.h"
#include "platform/systrap/internal.h"
#include "seam.h"

#include <string.h>

extern const char guest_posts[];

#define NR_GETPPID 110
#define NR_SLEEP   230 /* clock_nanosleep: is never taken from a post */
#define NR_EXIT    60

static struct task g_task;
static uint64_t g_nr = NR_GETPPID, g_calls, g_status;
static uint64_t g_made[2], g_kicked;
static uint32_t g_over; /* atomic */
static bool g_kicks, g_sleeps;

static uint64_t now(void) {
    return hal_clock_ns(HAL_CLOCK_MONOTONIC);
}

/* What the kernel would do with a call: the answer is twice the argument.  True: the context is to
 * be resumed. */
static bool serve(uint32_t vcpu, const struct trap *trap, struct resume *r) {
    *r = (struct resume){g_task.thread, RESUME_USER};
    CHECK(trap->task == &g_task);
    if (trap->kind == TRAP_INTERRUPT) {
        struct user_regs regs;
        platform_regs_get(g_task.thread, &regs);
        CHECK(trap->full_context && regs.rip - GUEST_CODE < PAGE_SIZE);
        CHECK(regs.r12 == GUEST_DATA && regs.gs_base == 0 && regs.rsp == GUEST_STACK);
        g_kicked++;
        return true;
    }
    CHECK(trap->kind == TRAP_SYSCALL);
    if (trap->u.syscall.nr == NR_EXIT) {
        g_status = trap->u.syscall.args[0];
        atomic_store(&g_over, 1u);
        platform_kick_vcpu(1 - vcpu);
        return false;
    }
    CHECK(trap->u.syscall.nr == g_nr);
    for (int i = 1; i < 6; i++) {
        CHECK(trap->u.syscall.args[i] == trap->u.syscall.args[0] + (uint64_t)i);
    }
    uint64_t n = g_made[0] + g_made[1];
    g_made[vcpu]++;
    platform_result_set(g_task.thread, (int64_t)(trap->u.syscall.args[0] * 2));
    if (g_kicks && n % 7 == 0) {
        platform_kick(g_task.thread);
    }
    if (g_kicks && n % 5 == 0) {
        r->mode = RESUME_KICK;
    }
    return true;
}

static void run(uint32_t vcpu) {
    struct resume r = {g_task.thread, RESUME_USER};
    struct trap trap;
    bool resume = vcpu == 0;
    uint64_t limit = now() + 30 * NSEC_PER_SEC;
    while (atomic_load(&g_over) == 0) {
        platform_wait(vcpu, resume ? &r : NULL, limit, &trap);
        CHECK(now() < limit);
        resume = false;
        if (trap.kind == TRAP_NONE) {
            continue;
        }
        resume = serve(vcpu, &trap, &r);
        if (resume && g_sleeps && vcpu == 1 && g_made[1] % 3 == 0) {
            /* the call sleeps, and another vCPU answers it later, or this one */
            platform_wait(vcpu, NULL, now() + 100 * NSEC_PER_USEC, &trap);
            CHECK(trap.kind == TRAP_NONE || atomic_load(&g_over) != 0);
        }
    }
}

static void posts(uint64_t calls) {
    g_calls = calls;
    g_made[0] = g_made[1] = g_kicked = 0;
    atomic_store(&g_over, 0u);
    seam_start(&g_task, GUEST(guest_posts));
    platform_space_posts(g_task.space);
    g_task.regs.rbx = calls;
    g_task.regs.rbp = platform_info()->post_entry;
    g_task.regs.r14 = g_nr;
    platform_regs_set(g_task.thread, &g_task.regs);
    seam_smp(run);
    CHECK(g_made[0] + g_made[1] == calls);
    CHECK(g_status == calls * (calls + 1)); /* 2 * (1 + ... + calls) */
    seam_destroy(&g_task);
}

static bool have_posts(void) {
    if (platform_info()->post_entry == 0) {
        seam_say("     no posts with this hand-over, or one CPU only\n");
        return false;
    }
    return true;
}

void seam_post_calls(void) {
    if (!have_posts()) {
        return;
    }
    uint64_t start = now();
    posts(200000);
    seam_say("     %lu ns a call, %lu %% of them posted\n",
             (unsigned long)((now() - start) / 200000), (unsigned long)(g_made[1] / 2000));
}

void seam_post_kicks(void) {
    if (have_posts()) {
        g_kicks = true;
        posts(20000);
        CHECK(g_kicked >= 20000 / 5);
    }
}

/* Calls that are not taken are made as ever, once each. */
void seam_post_refused(void) {
    if (have_posts()) {
        g_nr = NR_SLEEP;
        posts(50000);
        CHECK(g_made[1] == 0);
    }
}

void seam_post_sleeps(void) {
    if (have_posts()) {
        g_sleeps = true;
        posts(3000);
        g_kicks = true;
        posts(3000);
    }
}

/* A guest that writes into its post what it likes, and never sleeps when told to, is served what it
 * asks for or ended; the Sentry goes on. */
void seam_post_ends(void) {
    struct trap trap;
    for (int round = 0; have_posts() && round < 30; round++) {
        struct task t;
        seam_start(&t, GUEST(guest_posts));
        platform_space_posts(t.space);
        t.regs.rbx = UINT64_MAX / 2;
        t.regs.rbp = platform_info()->post_entry;
        t.regs.r14 = NR_GETPPID;
        platform_regs_set(t.thread, &t.regs);
        struct resume r = {t.thread, RESUME_USER};
        platform_wait(0, &r, now() + NSEC_PER_SEC, &trap);
        CHECK(trap.kind == TRAP_SYSCALL);
        /* as if this vCPU were another's: looks at the post itself, and takes a call */
        struct stub_post *p = &t.thread->ctx->post;
        platform_result_set(t.thread, 1);
        atomic_store(&p->open, 1u);
        vcpu_of(0)->polls[0] = (struct post_watch){t.thread, t.space, p, t.thread->tid};
        vcpu_of(0)->poll_count = 1;
        t.thread->poller = 1;
        platform_wait(0, &r, now() + NSEC_PER_SEC, &trap);
        CHECK(trap.kind == TRAP_SYSCALL || trap.kind == TRAP_NONE);
        atomic_store(&p->seq, UINT64_MAX);
        atomic_store(&p->state, (uint32_t)round);
        if (round % 3 == 0) {
            platform_kick(t.thread);
        }
        if (round % 2 == 0 && trap.kind == TRAP_SYSCALL) {
            platform_result_set(t.thread, 1);
            platform_wait(0, &r, now() + NSEC_PER_MSEC, &trap);
        }
        seam_destroy(&t);
        vcpu_of(0)->poll_count = 0;
    }
}
