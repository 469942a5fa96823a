/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics of a container in a machine: see stats.h.  The numbers are the guest's words. */
#include "vm/stats.h"

#include "moat/agent.h"
#include "sandbox/sentry.h"

/* Adds take the value over; without memory the old member stays. */
static void set(struct json_object *o, const char *key, uint64_t value) {
    (void)json_object_object_add(o, key, json_object_new_uint64(value)); /* see above */
}

static struct json_object *part(struct json_object *o, const char *key) {
    struct json_object *found = NULL;
    if (!json_object_object_get_ex(o, key, &found)) {
        found = json_object_new_object();
        (void)json_object_object_add(o, key, found); /* no memory: what is set is lost */
    }
    return found;
}

static void set_cpu(struct json_object *cpu, const struct moat_agent_stats *s) {
    struct json_object *usage = part(cpu, "usage"), *throttling = part(cpu, "throttling");
    set(usage, "total", s->base.cpu_ns);
    set(usage, "user", s->cpu_user_ns);
    set(usage, "kernel", s->cpu_system_ns);
    json_object_object_del(usage, "percpu"); /* the host's processors */
    set(throttling, "periods", s->cpu_periods);
    set(throttling, "throttledPeriods", s->cpu_throttled);
    set(throttling, "throttledTime", s->cpu_throttled_ns);
}

static void set_memory(struct json_object *memory, const struct moat_agent_stats *s) {
    struct json_object *usage = part(memory, "usage"), *raw = json_object_new_object();
    set(usage, "limit", s->memory_limit);
    set(usage, "usage", s->base.memory_used);
    set(usage, "max", s->memory_peak);
    set(usage, "failcnt", s->memory_limit_hits);
    set(memory, "cache", s->file);
    set(part(memory, "kernel"), "usage", s->kernel);
    set(raw, "anon", s->anon);
    set(raw, "file", s->file);
    set(raw, "kernel", s->kernel);
    set(raw, "swap", s->swap);
    set(raw, "pgfault", s->page_faults);
    set(raw, "pgmajfault", s->major_faults);
    set(raw, "oom_kill", s->oom_kills);
    (void)json_object_object_add(memory, "raw", raw); /* no memory: as it was */
}

int vm_stats(const struct isolation_target *target, struct json_object *data, struct err *err) {
    struct moat_agent_stats s;
    if (sandbox_ask_stats(target, &s, sizeof(s)) != 0) {
        return 0; /* what the control groups say stays */
    }
    set_cpu(part(data, "cpu"), &s);
    set_memory(part(data, "memory"), &s);
    set(part(data, "pids"), "current", s.base.thread_count);
    set(part(data, "pids"), "limit", s.base.pids_limit);
    return 0;
}
