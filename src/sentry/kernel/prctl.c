/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prctl(2), arch_prctl(2), and the calls that only ask who one is.
 */
#include "base/string.h"
#include "kernel/process.h"
#include "kernel/seccomp.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/prctl.h>
#include <linux/errno.h>
#include <linux/prctl.h>

int64_t sys_getpid(struct task *t, const struct sysargs *args) {
    struct process *p = t->process;
    if (platform_info()->post_entry != 0 && !hal_strace_enabled()) {
        spin_lock(&p->sig_lock); /* against a filter that another thread sets for this one */
        if (t->seccomp_mode == 0) {
            platform_thread_pid(t->pthread, p->pid);
        }
        spin_unlock(&p->sig_lock);
    }
    return p->pid;
}

int64_t sys_gettid(struct task *t, const struct sysargs *args) {
    return t->tid;
}

int64_t sys_getppid(struct task *t, const struct sysargs *args) {
    return process_ppid(t->process);
}

int64_t sys_set_tid_address(struct task *t, const struct sysargs *args) {
    t->clear_child_tid = uaddr_of(args->a[0]);
    return t->tid;
}

static int64_t prctl_set_name(struct task *t, struct uaddr addr) {
    char name[TASK_COMM_LEN];
    int64_t len = copyin_str(name, addr, sizeof(name));

    if (len == -ENAMETOOLONG) {
        if (copyin(name, addr, sizeof(name) - 1) != 0) {
            return -EFAULT;
        }
        name[sizeof(name) - 1] = '\0'; /* a longer name is cut */
    } else if (len < 0) {
        return len;
    }
    (void)strlcpy(t->comm, name, sizeof(t->comm)); /* fits */
    return 0;
}

static int64_t prctl_set_no_new_privs(struct task *t, const struct sysargs *args) {
    if (args->a[1] != 1 || args->a[2] != 0 || args->a[3] != 0 || args->a[4] != 0) {
        return -EINVAL;
    }
    t->no_new_privs = true;
    return 0;
}

static int64_t copyout_i32(uint64_t addr, int32_t value) {
    return copyout(uaddr_of(addr), &value, sizeof(value));
}

/* Requests about the thread or process itself; false when it is none of them. */
static bool prctl_process(struct task *t, const struct sysargs *args, int64_t *out_result) {
    struct process *p = t->process;
    uint64_t arg = args->a[1];

    *out_result = 0;
    switch (args->a[0]) {
    case PR_SET_PDEATHSIG:
        if (arg > NSIG_MAX) {
            *out_result = -EINVAL;
        } else {
            t->pdeath_signal = (int32_t)arg;
        }
        return true;
    case PR_GET_PDEATHSIG:
        *out_result = copyout_i32(arg, t->pdeath_signal);
        return true;
    case PR_GET_DUMPABLE:
        *out_result = atomic_load(&p->dumpable);
        return true;
    case PR_SET_DUMPABLE:
        if (arg > 1) {
            *out_result = -EINVAL;
        } else {
            atomic_store(&p->dumpable, (uint32_t)arg);
        }
        return true;
    case PR_SET_CHILD_SUBREAPER:
        p->is_subreaper = arg != 0;
        return true;
    case PR_GET_CHILD_SUBREAPER:
        *out_result = copyout_i32(arg, p->is_subreaper);
        return true;
    case PR_SET_NO_NEW_PRIVS:
        *out_result = prctl_set_no_new_privs(t, args);
        return true;
    case PR_GET_NO_NEW_PRIVS:
        *out_result = t->no_new_privs;
        return true;
    default:
        return false;
    }
}

int64_t sys_prctl(struct task *t, const struct sysargs *args) {
    uint64_t arg = args->a[1];
    int64_t result;

    if (prctl_process(t, args, &result) || prctl_capability(t, args, &result)) {
        return result;
    }
    switch (args->a[0]) {
    case PR_SET_NAME:
        return prctl_set_name(t, uaddr_of(arg));
    case PR_GET_NAME:
        return copyout(uaddr_of(arg), t->comm, sizeof(t->comm));
    case PR_SET_TIMERSLACK:
        t->timer_slack_ns = (int64_t)arg <= 0 ? t->timer_slack_default_ns : arg;
        return 0;
    case PR_GET_TIMERSLACK:
        return (int64_t)t->timer_slack_ns;
    case PR_GET_TIMING:
        return PR_TIMING_STATISTICAL;
    case PR_SET_TIMING:
        return arg == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
    case PR_GET_THP_DISABLE:
        return t->thp_disable;
    case PR_SET_THP_DISABLE:
        t->thp_disable = arg != 0;
        return 0;
    case PR_GET_SECCOMP:
        return seccomp_prctl_get(t);
    case PR_SET_SECCOMP:
        return seccomp_prctl_set(t, arg, args->a[2]);
    case PR_MCE_KILL_GET:
        return PR_MCE_KILL_DEFAULT;
    case PR_SET_VMA: /* names of anonymous areas are not kept */
        return 0;
    case PR_GET_TID_ADDRESS:
        return copyout(uaddr_of(arg), &t->clear_child_tid.v, sizeof(uint64_t));
    case PR_GET_TSC:
        return copyout_i32(arg, PR_TSC_ENABLE);
    case PR_SET_TSC:
        return arg == PR_TSC_ENABLE ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

int64_t sys_arch_prctl(struct task *t, const struct sysargs *args) {
    uint64_t addr = args->a[1];

    switch ((int32_t)args->a[0]) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (addr >= platform_info()->user_end) {
            return -EPERM;
        }
        if ((int32_t)args->a[0] == ARCH_SET_FS) {
            t->regs.fs_base = addr;
        } else {
            t->regs.gs_base = addr;
        }
        t->regs_dirty = true;
        return 0;
    case ARCH_GET_FS:
        return copyout(uaddr_of(addr), &t->regs.fs_base, sizeof(uint64_t));
    case ARCH_GET_GS:
        return copyout(uaddr_of(addr), &t->regs.gs_base, sizeof(uint64_t));
    default:
        return -EINVAL;
    }
}
