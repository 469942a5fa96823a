/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Newborn stubs on the CPU of their vCPU.  The host puts a clone on the idlest CPU, and waking
 * another CPU costs more than all the rest of a fork (design section 2: 70 us; 47 us for fork, run
 * and exit on one CPU, 90 to 250 us across).  So the thread that clones is kept on the vCPU's CPU
 * for that moment; the newborn is free to move from its birth on.
 */
#include "platform/systrap/internal.h"

#include <sched.h>

static void affinity_set(int32_t tid, const uint64_t *mask) {
    /* where it runs is a matter of speed only */
    (void)sys3(SYS_sched_setaffinity, tid, sizeof(g_systrap.affinity), (long)mask);
}

void near_begin(struct platform_thread *t) {
    uint64_t mask[ARRAY_COUNT(g_systrap.affinity)] = {0};
    uint32_t cpu = host_cpu();
    if (g_systrap.trap_only || cpu / 64 >= ARRAY_COUNT(mask)) {
        return;
    }
    mask[cpu / 64] = 1ull << (cpu % 64);
    affinity_set(t->tid, mask);
    t->near_ = true;
}

void near_end(struct platform_thread *t) {
    if (t->near_) {
        t->near_ = false;
        affinity_set(t->tid, g_systrap.affinity);
    }
}

void near_newborn(const struct platform_thread *t) {
    if (!g_systrap.trap_only) {
        affinity_set(t->tid, g_systrap.affinity);
    }
}
