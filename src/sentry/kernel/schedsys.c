/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling system calls: sched_setaffinity(2), sched_setscheduler(2) and relatives,
 * getpriority(2), ioprio_set(2), getcpu(2), membarrier(2).
 *
 * The scheduler is first come, first served; affinity, policy and priority are checked, kept and
 * reported, as programs expect, and the host's own scheduler does the rest.
 */
#include "base/atomic.h"
#include "base/string.h"
#include "kernel/cpu.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "kernel/wait.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>
#include <asm-generic/resource.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/membarrier.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#define NICE_MIN      (-20)
#define NICE_MAX      19
#define RR_SLICE_NS   (100 * NSEC_PER_MSEC)
#define FAIR_SLICE_NS (4 * NSEC_PER_MSEC)
#define SCHED_ATTR_V0 48u

/* resource.h of user space */
enum { PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2 };

/* The task a call names (0: current), referenced; NULL when there is none. */
static struct task *target_get(struct task *t, uint64_t id) {
    if ((int32_t)id == 0) {
        task_get(t);
        return t;
    }
    return (int32_t)id < 0 ? NULL : task_find((int32_t)id);
}

/* May current change how `target` is scheduled? */
static bool may_schedule(struct task *t, struct task *target) {
    if (target->process == t->process || capable(CAP_SYS_NICE)) {
        return true;
    }
    const struct cred *c = task_cred_get(target);
    bool same = c->uid == t->cred->euid || c->euid == t->cred->euid;
    cred_put(c);
    return same;
}

/* ---- affinity ---- */

static uint64_t online_mask(void) {
    uint32_t count = cpu_count();
    return count >= 64 ? UINT64_MAX : (1ull << count) - 1;
}

int64_t sys_sched_setaffinity(struct task *t, const struct sysargs *args) {
    uint64_t mask = 0;
    size_t len = MIN((uint32_t)args->a[1], (uint32_t)sizeof(mask));
    if (copyin(&mask, uaddr_of(args->a[2]), len) != 0) {
        return -EFAULT;
    }
    struct task *target = target_get(t, args->a[0]);
    if (target == NULL) {
        return -ESRCH;
    }
    int64_t ret = -EINVAL;
    if (!may_schedule(t, target)) {
        ret = -EPERM;
    } else if ((mask & online_mask()) != 0) {
        atomic_store(&target->affinity, mask & online_mask());
        ret = 0;
    }
    task_put(target);
    return ret;
}

int64_t sys_sched_getaffinity(struct task *t, const struct sysargs *args) {
    uint32_t len = (uint32_t)args->a[1];
    if (len < sizeof(uint64_t) || (len & 7) != 0) {
        return -EINVAL;
    }
    struct task *target = target_get(t, args->a[0]);
    if (target == NULL) {
        return -ESRCH;
    }
    uint64_t mask = atomic_load(&target->affinity);
    task_put(target);
    mask = mask != 0 ? mask : online_mask();
    int err = copyout(uaddr_of(args->a[2]), &mask, sizeof(mask));
    return err != 0 ? err : (int64_t)sizeof(mask);
}

int64_t sys_getcpu(struct task *t, const struct sysargs *args) {
    uint32_t cpu = this_cpu()->id, node = 0;
    if (args->a[0] != 0 && copyout(uaddr_of(args->a[0]), &cpu, sizeof(cpu)) != 0) {
        return -EFAULT;
    }
    if (args->a[1] != 0 && copyout(uaddr_of(args->a[1]), &node, sizeof(node)) != 0) {
        return -EFAULT;
    }
    return 0;
}

int64_t sys_sched_yield(struct task *t, const struct sysargs *args) {
    task_yield();
    return 0;
}

/* ---- policy ---- */

static bool is_realtime(uint32_t policy) {
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static int check_policy(uint32_t policy, int32_t priority) {
    bool known = policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE ||
                 is_realtime(policy);
    if (!known || priority < (is_realtime(policy) ? 1 : 0) ||
        priority > (is_realtime(policy) ? 99 : 0)) {
        return -EINVAL;
    }
    if (is_realtime(policy) && !capable(CAP_SYS_NICE) &&
        (uint64_t)priority > rlimit_get(RLIMIT_RTPRIO)) {
        return -EPERM;
    }
    return 0;
}

static int set_policy(struct task *t, struct task *target, uint32_t policy, int32_t priority,
                      bool reset_on_fork) {
    int err = check_policy(policy, priority);
    if (err == 0 && !may_schedule(t, target)) {
        err = -EPERM;
    }
    if (err == 0 && target->sched_reset_on_fork && !reset_on_fork && !capable(CAP_SYS_NICE)) {
        err = -EPERM;
    }
    if (err == 0) {
        atomic_store(&target->sched_reset_on_fork, reset_on_fork);
        atomic_store(&target->sched_policy, policy);
        atomic_store(&target->rt_priority, priority);
    }
    return err;
}

/* Shared by sched_setscheduler and sched_setparam (`policy` -1: as it is). */
static int64_t change_policy(struct task *t, uint64_t id, int64_t policy, struct uaddr param) {
    int32_t priority;
    if (param.v == 0 || (int32_t)id < 0) {
        return -EINVAL;
    }
    if (copyin(&priority, param, sizeof(priority)) != 0) {
        return -EFAULT;
    }
    struct task *target = target_get(t, id);
    if (target == NULL) {
        return -ESRCH;
    }
    uint32_t wanted = policy < 0 ? atomic_load(&target->sched_policy)
                                 : (uint32_t)policy & ~(uint32_t)SCHED_RESET_ON_FORK;
    bool reset = policy < 0 ? atomic_load(&target->sched_reset_on_fork)
                            : ((uint32_t)policy & SCHED_RESET_ON_FORK) != 0;
    int err = set_policy(t, target, wanted, priority, reset);
    task_put(target);
    return err;
}

int64_t sys_sched_setscheduler(struct task *t, const struct sysargs *args) {
    if ((int32_t)args->a[1] < 0) {
        return -EINVAL;
    }
    return change_policy(t, args->a[0], (uint32_t)args->a[1], uaddr_of(args->a[2]));
}

int64_t sys_sched_setparam(struct task *t, const struct sysargs *args) {
    return change_policy(t, args->a[0], -1, uaddr_of(args->a[1]));
}

int64_t sys_sched_getscheduler(struct task *t, const struct sysargs *args) {
    struct task *target = target_get(t, args->a[0]);
    if (target == NULL) {
        return (int32_t)args->a[0] < 0 ? -EINVAL : -ESRCH;
    }
    int64_t policy = atomic_load(&target->sched_policy) |
                     (atomic_load(&target->sched_reset_on_fork) ? SCHED_RESET_ON_FORK : 0);
    task_put(target);
    return policy;
}

int64_t sys_sched_getparam(struct task *t, const struct sysargs *args) {
    struct task *target = target_get(t, args->a[0]);
    if (target == NULL) {
        return (int32_t)args->a[0] < 0 ? -EINVAL : -ESRCH;
    }
    int32_t priority = atomic_load(&target->rt_priority);
    task_put(target);
    return copyout(uaddr_of(args->a[1]), &priority, sizeof(priority));
}

int64_t sys_sched_setattr(struct task *t, const struct sysargs *args) {
    struct sched_attr attr = {0};
    uint32_t size;
    if (args->a[1] == 0 || args->a[2] != 0 ||
        copyin(&size, uaddr_of(args->a[1]), sizeof(size)) != 0) {
        return args->a[1] == 0 || args->a[2] != 0 ? -EINVAL : -EFAULT;
    }
    size = size == 0 ? SCHED_ATTR_V0 : size;
    if (size < SCHED_ATTR_V0 || size > PAGE_SIZE) {
        return -E2BIG;
    }
    if (copyin(&attr, uaddr_of(args->a[1]), MIN(size, (uint32_t)sizeof(attr))) != 0) {
        return -EFAULT;
    }
    struct task *target = target_get(t, args->a[0]);
    if (target == NULL) {
        return -ESRCH;
    }
    int err = set_policy(t, target, attr.sched_policy, (int32_t)attr.sched_priority,
                         (attr.sched_flags & SCHED_FLAG_RESET_ON_FORK) != 0);
    if (err == 0 && !is_realtime(attr.sched_policy)) {
        int32_t nice = MAX(MIN(attr.sched_nice, NICE_MAX), NICE_MIN);
        bool lower = nice < atomic_load(&target->nice);
        if (lower && !capable(CAP_SYS_NICE)) {
            err = -EPERM;
        } else {
            atomic_store(&target->nice, nice);
        }
    }
    task_put(target);
    return err;
}

int64_t sys_sched_getattr(struct task *t, const struct sysargs *args) {
    struct sched_attr attr = {.size = SCHED_ATTR_V0};
    uint32_t size = (uint32_t)args->a[2];
    if (args->a[1] == 0 || size < SCHED_ATTR_V0 || size > PAGE_SIZE || args->a[3] != 0) {
        return -EINVAL;
    }
    struct task *target = target_get(t, args->a[0]);
    if (target == NULL) {
        return -ESRCH;
    }
    attr.sched_policy = atomic_load(&target->sched_policy);
    attr.sched_priority = (uint32_t)atomic_load(&target->rt_priority);
    attr.sched_nice = atomic_load(&target->nice);
    attr.sched_flags = atomic_load(&target->sched_reset_on_fork) ? SCHED_FLAG_RESET_ON_FORK : 0;
    task_put(target);
    return copyout(uaddr_of(args->a[1]), &attr, SCHED_ATTR_V0);
}

static int64_t priority_bound(uint64_t policy, int64_t realtime_bound) {
    if (is_realtime((uint32_t)policy)) {
        return realtime_bound;
    }
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE ||
                   policy == SCHED_DEADLINE
               ? 0
               : -EINVAL;
}

int64_t sys_sched_get_priority_max(struct task *t, const struct sysargs *args) {
    return priority_bound(args->a[0], 99);
}

int64_t sys_sched_get_priority_min(struct task *t, const struct sysargs *args) {
    return priority_bound(args->a[0], 1);
}

int64_t sys_sched_rr_get_interval(struct task *t, const struct sysargs *args) {
    struct task *target = target_get(t, args->a[0]);
    if (target == NULL) {
        return (int32_t)args->a[0] < 0 ? -EINVAL : -ESRCH;
    }
    uint32_t policy = atomic_load(&target->sched_policy);
    task_put(target);
    struct ktimespec ts = ns_to_timespec(policy == SCHED_RR     ? RR_SLICE_NS
                                         : policy == SCHED_FIFO ? 0
                                                                : FAIR_SLICE_NS);
    return copyout(uaddr_of(args->a[1]), &ts, sizeof(ts));
}

/* ---- nice values ---- */

struct prio_walk {
    struct task *self;
    bool set;
    int32_t nice;   /* set: the new value; get: the lowest found */
    int64_t result; /* -ESRCH until one matched */
};

static void prio_visit(struct prio_walk *walk, struct task *target) {
    if (!walk->set) {
        walk->nice = walk->result == -ESRCH ? target->nice : MIN(walk->nice, target->nice);
        walk->result = 0;
        return;
    }
    int64_t result = 0;
    if (!may_schedule(walk->self, target)) {
        result = -EPERM;
    } else if (walk->nice < target->nice && !capable(CAP_SYS_NICE) &&
               (uint64_t)(20 - walk->nice) > rlimit_get(RLIMIT_NICE)) {
        result = -EACCES;
    } else {
        atomic_store(&target->nice, walk->nice);
    }
    walk->result = walk->result == -ESRCH || result != 0 ? result : walk->result;
}

static bool prio_matches(struct process *p, uint64_t which, uint32_t who) {
    if (which == PRIO_PGRP) {
        return process_pgid(p) == (int32_t)who;
    }
    struct task *t = process_thread_get(p);
    if (t == NULL) {
        return false;
    }
    const struct cred *c = task_cred_get(t);
    bool same = c->uid == who;
    cred_put(c);
    task_put(t);
    return same;
}

static void prio_visit_process(struct prio_walk *walk, struct process *p) {
    int32_t tid = 0;
    struct task *target;
    while ((target = thread_next(p, tid)) != NULL) {
        prio_visit(walk, target);
        tid = target->tid + 1;
        task_put(target);
    }
}

static void prio_visit_all(struct prio_walk *walk, uint64_t which, uint32_t who) {
    struct process *p;
    int32_t pid = 0;
    if (who == 0) {
        who = which == PRIO_PGRP ? (uint32_t)process_pgid(walk->self->process)
                                 : walk->self->cred->uid;
    }
    while ((p = process_next(pid)) != NULL) {
        if (prio_matches(p, which, who)) {
            prio_visit_process(walk, p);
        }
        pid = p->pid + 1;
        process_put(p);
    }
}

static int64_t prio_walk(struct prio_walk *walk, uint64_t which, uint64_t who) {
    walk->result = -ESRCH;
    if (which > PRIO_USER) {
        return -EINVAL;
    }
    if (which != PRIO_PROCESS) {
        prio_visit_all(walk, which, (uint32_t)who);
        return walk->result;
    }
    struct task *target = target_get(walk->self, who);
    if (target != NULL) {
        prio_visit(walk, target);
        task_put(target);
    }
    return walk->result;
}

int64_t sys_getpriority(struct task *t, const struct sysargs *args) {
    struct prio_walk walk = {.self = t};
    int64_t err = prio_walk(&walk, args->a[0], args->a[1]);
    return err != 0 ? err : 20 - walk.nice; /* as the raw call answers: 40 .. 1 */
}

int64_t sys_setpriority(struct task *t, const struct sysargs *args) {
    int32_t nice = (int32_t)args->a[2];
    struct prio_walk walk = {.self = t, .set = true, .nice = MAX(MIN(nice, NICE_MAX), NICE_MIN)};
    return prio_walk(&walk, args->a[0], args->a[1]);
}

/* ---- I/O priority ---- */

int64_t sys_ioprio_get(struct task *t, const struct sysargs *args) {
    struct task *target =
        args->a[0] == IOPRIO_WHO_PROCESS ? target_get(t, args->a[1]) : target_get(t, 0);
    if (args->a[0] < IOPRIO_WHO_PROCESS || args->a[0] > IOPRIO_WHO_USER || target == NULL) {
        if (target != NULL) {
            task_put(target);
        }
        return target == NULL ? -ESRCH : -EINVAL;
    }
    int64_t prio = atomic_load(&target->ioprio);
    task_put(target);
    return prio;
}

int64_t sys_ioprio_set(struct task *t, const struct sysargs *args) {
    uint32_t prio = (uint32_t)args->a[2], class = IOPRIO_PRIO_CLASS(prio);
    if (args->a[0] < IOPRIO_WHO_PROCESS || args->a[0] > IOPRIO_WHO_USER ||
        class > IOPRIO_CLASS_IDLE || (prio & IOPRIO_PRIO_MASK) >= IOPRIO_NR_LEVELS ||
        (class == IOPRIO_CLASS_NONE && (prio & IOPRIO_PRIO_MASK) != 0)) {
        return -EINVAL;
    }
    if (class == IOPRIO_CLASS_RT && !capable(CAP_SYS_NICE)) {
        return -EPERM;
    }
    struct task *target =
        args->a[0] == IOPRIO_WHO_PROCESS ? target_get(t, args->a[1]) : target_get(t, 0);
    if (target == NULL) {
        return -ESRCH;
    }
    bool allowed = may_schedule(t, target);
    if (allowed) {
        atomic_store(&target->ioprio, prio);
    }
    task_put(target);
    return allowed ? 0 : -EPERM;
}

/* ---- membarrier ---- */

#define MEMBARRIER_SERVED                                                                          \
    (MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |                                     \
     MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |                 \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |      \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)

/* Makes a thread that runs user code trap once: entering the host kernel and coming back is a full
 * barrier and serialises the core.  A thread that is in the kernel passes one before it runs user
 * code again. */
static void barrier_thread(struct task *target) {
    uint32_t seq = atomic_load(&target->trap_seq);
    task_interrupt(target, false);
    while (atomic_load(&target->state) == TASK_USER && atomic_load(&target->trap_seq) == seq) {
        task_yield();
    }
}

static void barrier_process(struct task *t, struct process *p) {
    int32_t tid = 0;
    struct task *target;
    while ((target = thread_next(p, tid)) != NULL) {
        if (target != t && atomic_load(&target->state) == TASK_USER) {
            barrier_thread(target);
        }
        tid = target->tid + 1;
        task_put(target);
    }
}

static void barrier_everyone(struct task *t) {
    struct process *p;
    int32_t pid = 0;
    while ((p = process_next(pid)) != NULL) {
        barrier_process(t, p);
        pid = p->pid + 1;
        process_put(p);
    }
}

int64_t sys_membarrier(struct task *t, const struct sysargs *args) {
    if (args->a[1] != 0) {
        return -EINVAL;
    }
    switch ((int)args->a[0]) {
    case MEMBARRIER_CMD_QUERY:
        return MEMBARRIER_SERVED;
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
        return 0; /* nothing to prepare */
    case MEMBARRIER_CMD_GLOBAL:
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        barrier_everyone(t);
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        barrier_process(t, t->process);
        return 0;
    default:
        return -EINVAL;
    }
}
