/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits and usage: getrlimit(2), prlimit(2), getrusage(2).
 */
#include "base/string.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/resource.h>

#define RLIM_INF    UINT64_MAX
#define NR_OPEN_MAX (1024u * 1024u) /* /proc/sys/fs/nr_open */

uint64_t rlimit_get(int resource) {
    struct process *p = current->process;

    if (p == &g_kernel_process || resource < 0 || resource >= RLIMIT_COUNT) {
        return RLIM_INF;
    }
    return atomic_load_relaxed(&p->rlimits[resource].cur);
}

static int rlimit_check(const struct rlimit_pair *old, const struct rlimit_pair *fresh,
                        uint32_t resource) {
    if (fresh->cur > fresh->max) {
        return -EINVAL;
    }
    if (resource == RLIMIT_NOFILE && fresh->max > NR_OPEN_MAX) {
        return -EPERM;
    }
    if (fresh->max > old->max && !capable(CAP_SYS_RESOURCE)) {
        return -EPERM;
    }
    return 0;
}

static int do_prlimit(struct process *p, uint32_t resource, const struct rlimit_pair *fresh,
                      struct rlimit_pair *out_old) {
    int err = 0;

    if (resource >= RLIMIT_COUNT) {
        return -EINVAL;
    }
    spin_lock(&p->sig_lock);
    struct rlimit_pair old = p->rlimits[resource];
    if (fresh != NULL) {
        err = rlimit_check(&old, fresh, resource);
        if (err == 0) {
            p->rlimits[resource] = *fresh;
        }
    }
    spin_unlock(&p->sig_lock);
    if (err == 0 && fresh != NULL && resource == RLIMIT_CPU) {
        process_cpu_limit_apply(p);
    }
    if (out_old != NULL) {
        *out_old = old;
    }
    return err;
}

int64_t sys_getrlimit(struct task *t, const struct sysargs *args) {
    struct rlimit_pair pair;
    int err = do_prlimit(t->process, (uint32_t)args->a[0], NULL, &pair);

    return err != 0 ? err : copyout(uaddr_of(args->a[1]), &pair, sizeof(pair));
}

int64_t sys_setrlimit(struct task *t, const struct sysargs *args) {
    struct rlimit_pair pair;

    if (copyin(&pair, uaddr_of(args->a[1]), sizeof(pair)) != 0) {
        return -EFAULT;
    }
    return do_prlimit(t->process, (uint32_t)args->a[0], &pair, NULL);
}

/* prlimit(2): all ids of the target equal the caller's real ids, or CAP_SYS_RESOURCE. */
static int may_limit(struct process *p) {
    struct task *self = current;
    struct task *target = process_leader_get(p);

    if (target == NULL) {
        return -ESRCH;
    }
    const struct cred *c = task_cred_get(target);
    const struct cred *me = self->cred;
    bool same = me->uid == c->euid && me->uid == c->suid && me->uid == c->uid &&
                me->gid == c->egid && me->gid == c->sgid && me->gid == c->gid;
    cred_put(c);
    task_put(target);
    return same || p == self->process || capable(CAP_SYS_RESOURCE) ? 0 : -EPERM;
}

int64_t sys_prlimit64(struct task *t, const struct sysargs *args) {
    int32_t pid = (int32_t)args->a[0];
    struct rlimit_pair fresh;
    struct rlimit_pair old;
    struct process *p = t->process;

    if (args->a[2] != 0 && copyin(&fresh, uaddr_of(args->a[2]), sizeof(fresh)) != 0) {
        return -EFAULT;
    }
    if (pid != 0) {
        struct task *target = task_find(pid);
        if (target == NULL) {
            return -ESRCH;
        }
        p = target->process;
        process_get(p);
        task_put(target);
    } else {
        process_get(p);
    }
    int err = may_limit(p);
    if (err == 0) {
        err = do_prlimit(p, (uint32_t)args->a[1], args->a[2] != 0 ? &fresh : NULL, &old);
    }
    process_put(p);
    if (err == 0 && args->a[3] != 0) {
        err = copyout(uaddr_of(args->a[3]), &old, sizeof(old));
    }
    return err;
}

static struct ktimeval tv_of(uint64_t ns) {
    return ns_to_timeval(ns);
}

/* struct rusage of x86-64 (getrusage(2)). */
struct krusage {
    struct ktimeval utime, stime;
    int64_t maxrss, ixrss, idrss, isrss;
    int64_t minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv, nsignals, nvcsw, nivcsw;
};
_Static_assert(sizeof(struct krusage) == 144, "struct rusage is 144 bytes");

void process_switches(struct process *p, uint64_t *out_voluntary, uint64_t *out_involuntary) {
    struct task *t;

    spin_lock(&p->sig_lock);
    *out_voluntary = p->dead_nvcsw;
    *out_involuntary = p->dead_nivcsw;
    list_for_each_entry (t, &p->threads, thread_link) {
        *out_voluntary += atomic_load_relaxed(&t->nvcsw);
        *out_involuntary += atomic_load_relaxed(&t->nivcsw);
    }
    spin_unlock(&p->sig_lock);
}

void process_io(struct process *p, struct io_counts *out) {
    struct task *t;

    spin_lock(&p->sig_lock);
    *out = p->dead_io;
    list_for_each_entry (t, &p->threads, thread_link) {
        io_counts_add(out, &t->io);
    }
    spin_unlock(&p->sig_lock);
}

void rusage_make(const struct usage *u, void *out_rusage) {
    struct krusage ru;

    memset(&ru, 0, sizeof(ru));
    ru.utime = tv_of(u->user_ns);
    ru.stime = tv_of(u->sys_ns);
    ru.maxrss = (int64_t)(u->max_rss_pages * (PAGE_SIZE / 1024));
    ru.minflt = (int64_t)u->min_flt;
    ru.nvcsw = (int64_t)u->nvcsw;
    ru.nivcsw = (int64_t)u->nivcsw;
    memcpy(out_rusage, &ru, sizeof(ru));
}
_Static_assert(sizeof(struct krusage) <= RUSAGE_SIZE, "buffer of the callers");

static uint64_t own_max_rss(struct task *t) {
    uint64_t rss = t->mm != NULL ? atomic_load_relaxed(&t->mm->hiwater_rss) : 0;

    return MAX(rss, t->process->max_rss);
}

int64_t sys_getrusage(struct task *t, const struct sysargs *args) {
    struct process *p = t->process;
    char ru[RUSAGE_SIZE];
    struct usage u = {.max_rss_pages = own_max_rss(t), .min_flt = p->min_flt};

    switch ((int32_t)args->a[0]) {
    case RUSAGE_SELF:
        process_cpu_times(p, &u.user_ns, &u.sys_ns);
        process_switches(p, &u.nvcsw, &u.nivcsw);
        break;
    case RUSAGE_THREAD:
        task_cpu_times(t, &u.user_ns, &u.sys_ns);
        u.nvcsw = t->nvcsw;
        u.nivcsw = t->nivcsw;
        break;
    case RUSAGE_CHILDREN:
        u = (struct usage){p->child_cpu_user_ns, p->child_cpu_sys_ns, p->child_max_rss,
                           p->child_min_flt,     p->child_nvcsw,      p->child_nivcsw};
        break;
    default:
        return -EINVAL;
    }
    rusage_make(&u, ru);
    return copyout(uaddr_of(args->a[1]), ru, sizeof(struct krusage));
}
