/* SPDX-License-Identifier: Apache-2.0 */
/* The table of vCPUs. */
#include "kernel/cpu.h"

#include "kernel/log.h"
#include "kernel/sched.h"

static struct cpu g_cpus[MAX_VCPUS];
static uint32_t g_cpu_count;

_Static_assert(offsetof(struct cpu, self) == 0 && offsetof(struct cpu, running) == 8,
               "this_cpu, current_task");

struct cpu *cpu_get(uint32_t id) {
    return &g_cpus[id];
}

uint32_t cpu_count(void) {
    return g_cpu_count;
}

void cpu_table_init(uint32_t count) {
    kassert(count > 0);
    g_cpu_count = MIN(count, MAX_VCPUS);
    for (uint32_t i = 0; i < g_cpu_count; i++) {
        struct cpu *c = &g_cpus[i];
        c->self = c;
        c->id = i;
        spin_init(&c->runq_lock, RANK_RUNQ);
        list_init(&c->runq);
        spin_init(&c->timer_lock, RANK_TIMER);
        c->next_deadline = UINT64_MAX;
    }
}
