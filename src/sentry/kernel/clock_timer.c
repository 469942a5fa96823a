/* SPDX-License-Identifier: Apache-2.0 */
/* Periodic timers on any clock: see clock_timer.h. */
#include "kernel/clock_timer.h"

#include "kernel/cpu.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "mm/mm.h"

/* A timer of a nanosecond's interval must not keep its vCPU from everything else; expirations are
 * still counted. */
#define REARM_MIN_NS (50 * NSEC_PER_USEC)
/* How closely a CPU clock is followed. */
#define CPU_LOOK_MIN_NS NSEC_PER_MSEC

static uint64_t kind_now(const struct clock_timer *ct) {
    uint64_t user_ns, sys_ns;
    switch (ct->kind) {
    case CLOCK_KIND_REALTIME:
        return hal_clock_ns(HAL_CLOCK_REALTIME);
    case CLOCK_KIND_MONOTONIC:
        return clock_now_ns();
    case CLOCK_KIND_BOOTTIME:
        return hal_clock_ns(HAL_CLOCK_BOOTTIME);
    case CLOCK_KIND_THREAD_CPU:
        task_cpu_times(ct->task, &user_ns, &sys_ns);
        return user_ns + sys_ns;
    case CLOCK_KIND_PROCESS_CPU:
    case CLOCK_KIND_PROCESS_USER:
        break;
    }
    process_cpu_times(ct->process, &user_ns, &sys_ns);
    return ct->kind == CLOCK_KIND_PROCESS_USER ? user_ns : user_ns + sys_ns;
}

static bool is_cpu_kind(enum clock_kind kind) {
    return kind >= CLOCK_KIND_PROCESS_CPU;
}

/* Looks at the clock again when `left` ns of it may have passed. */
static void arm_for(struct clock_timer *ct, uint64_t left, uint64_t at_least) {
    if (is_cpu_kind(ct->kind)) {
        uint32_t speed = ct->kind == CLOCK_KIND_THREAD_CPU ? 1 : cpu_count();
        left = MAX(left / speed, CPU_LOOK_MIN_NS);
    }
    timer_arm(&ct->timer, deadline_after(MAX(left, at_least)));
}

static void clock_timer_tick(struct timer *timer) {
    struct clock_timer *ct = timer->arg;
    uint64_t now = kind_now(ct), count = 0;
    spin_lock(&ct->lock);
    if (ct->expiry_ns != 0) {
        if (now >= ct->expiry_ns) {
            count = ct->interval_ns == 0 ? 1 : 1 + (now - ct->expiry_ns) / ct->interval_ns;
            ct->expiry_ns = ct->interval_ns == 0 ? 0 : ct->expiry_ns + count * ct->interval_ns;
        }
        if (ct->expiry_ns != 0) {
            arm_for(ct, ct->expiry_ns - now, count != 0 ? REARM_MIN_NS : 0);
        }
    }
    spin_unlock(&ct->lock);
    if (count != 0) {
        ct->fire(ct, count);
    }
}

void clock_timer_init(struct clock_timer *ct, enum clock_kind kind,
                      void (*fire)(struct clock_timer *ct, uint64_t count)) {
    *ct = (struct clock_timer){.kind = kind, .fire = fire};
    mutex_init(&ct->set_lock);
    spin_init(&ct->lock, RANK_FILE);
    timer_init(&ct->timer, clock_timer_tick, ct);
}

/* Lock held. */
static void read_setting(const struct clock_timer *ct, uint64_t now, struct clock_setting *out) {
    out->interval_ns = ct->interval_ns;
    out->value_ns = 0;
    if (ct->expiry_ns != 0) {
        /* Due but not yet fired counts as almost nothing left, as 0 would say that it is off. */
        out->value_ns = ct->expiry_ns > now ? ct->expiry_ns - now : 1;
    }
}

void clock_timer_set(struct clock_timer *ct, const struct clock_setting *setting, bool absolute,
                     struct clock_setting *out_old) {
    struct clock_setting old;
    mutex_lock(&ct->set_lock);
    timer_cancel(&ct->timer);
    uint64_t now = kind_now(ct);
    spin_lock(&ct->lock);
    read_setting(ct, now, &old);
    ct->expiry_ns = 0;
    ct->interval_ns = setting->interval_ns;
    if (setting->value_ns != 0) {
        uint64_t expiry;
        if (absolute) {
            expiry = setting->value_ns;
        } else if (ckd_add(&expiry, now, setting->value_ns)) {
            expiry = UINT64_MAX;
        }
        ct->expiry_ns = expiry;
        arm_for(ct, expiry > now ? expiry - now : 0, 0);
    }
    spin_unlock(&ct->lock);
    mutex_unlock(&ct->set_lock);
    if (out_old != NULL) {
        *out_old = old;
    }
}

void clock_timer_get(struct clock_timer *ct, struct clock_setting *out) {
    uint64_t now = kind_now(ct);
    spin_lock(&ct->lock);
    read_setting(ct, now, out);
    spin_unlock(&ct->lock);
}

void clock_timer_stop(struct clock_timer *ct) {
    spin_lock(&ct->lock);
    ct->expiry_ns = 0; /* a tick under way does not arm it again */
    spin_unlock(&ct->lock);
    timer_cancel(&ct->timer);
}

struct itimerspec_user { /* struct __kernel_itimerspec */
    struct ktimespec interval, value;
};

int copyin_itimerspec(struct uaddr src, struct clock_setting *out) {
    struct itimerspec_user its;
    int err = copyin(&its, src, sizeof(its));
    if (err == 0) {
        err = timespec_to_ns(&its.value, &out->value_ns);
    }
    return err != 0 ? err : timespec_to_ns(&its.interval, &out->interval_ns);
}

int copyout_itimerspec(struct uaddr dst, const struct clock_setting *setting) {
    struct itimerspec_user its = {ns_to_timespec(setting->interval_ns),
                                  ns_to_timespec(setting->value_ns)};
    return copyout(dst, &its, sizeof(its));
}
