/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a user context enters the kernel: the loop of every task with a user side.
 *
 * One turn: do what must be done before user code may go on (signals, a pending end, mapping orders
 * that take rights away), let the context run, handle the trap it comes back with.
 *
 * A trap without full context is enough for most calls.  When leaving it needs the registers after
 * all, the call is finished with its result and the context asked to trap again with everything
 * (RESUME_KICK); task->orig_nr and task->result then still describe the call.
 *
 * Trust: all of task->trap is the guest's; handlers treat it as arguments.
 */
#include "base/atomic.h"
#include "kernel/cpu.h"
#include "kernel/log.h"
#include "kernel/oom.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/callsite.h"
#include "mm/mm.h"
#include "platform.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>
#include <asm-generic/siginfo.h>
#include <asm/signal.h>

/* Page-fault error code bits and the vector (Intel SDM volume 3, "Interrupt 14"). */
#define TRAPNO_PAGE_FAULT 14u
#define PF_PRESENT        1u
#define PF_WRITE          2u
#define PF_USER           4u
#define PF_FETCH          16u

/* Of one address in a row, when memory is short: then the program gets the signal. */
#define SHORT_TRIES_MAX 1000u

static void force_fault_signal(struct task *t, int signo, int code, uint64_t addr) {
    struct ksiginfo info = {.signo = signo, .code = code};
    info.u.fault.addr = addr;
    t->fault_addr = addr;
    signal_force(t, &info);
}

static void handle_fault(struct task *t) {
    uint64_t addr = t->trap.u.fault.addr;
    uint32_t access = t->trap.u.fault.access;
    int code = SEGV_MAPERR;
    int err = mm_fault(t->mm, addr, access, &code);
    if (likely(err == 0)) {
        return;
    }
    if (err == -ENOMEM) {
        if (!mm_is_broken(t->mm) && oom_relieve(NULL, true)) {
            return; /* it is tried again */
        }
        log_warn("process %d (%s): out of guest memory, killed", t->process->pid, t->comm);
        dmesg_add("Out of memory: Killed process %d (%s)", t->process->pid, t->comm);
        process_exit_group(SIGKILL);
    }
    t->fault_trapno = TRAPNO_PAGE_FAULT;
    t->fault_error = PF_USER | (code == SEGV_ACCERR ? PF_PRESENT : 0) |
                     ((access & PROT_BIT_WRITE) != 0 ? PF_WRITE : 0) |
                     ((access & PROT_BIT_EXEC) != 0 ? PF_FETCH : 0);
    if (err == -EIO) {
        force_fault_signal(t, SIGBUS, BUS_ADRERR, addr);
    } else {
        force_fault_signal(t, SIGSEGV, code, addr);
    }
}

/* The host did not give a page of guest memory. */
static bool is_short_of_memory(struct task *t) {
    uint64_t addr = t->trap.u.exception.addr;
    if (t->trap.u.exception.signo != SIGBUS || t->trap.u.exception.code != BUS_ADRERR) {
        return false;
    }
    t->short_tries = addr == t->short_addr ? t->short_tries + 1 : 0;
    t->short_addr = addr;
    const void *page = mm_frame_at(t->mm, addr);
    return page != NULL && t->short_tries < SHORT_TRIES_MAX && oom_relieve(page, true);
}

static void handle_exception(struct task *t) {
    if (unlikely(is_short_of_memory(t))) {
        return; /* it is tried again */
    }
    t->fault_trapno = t->trap.u.exception.trapno;
    t->fault_error = t->trap.u.exception.error_code;
    force_fault_signal(t, t->trap.u.exception.signo, t->trap.u.exception.code,
                       t->trap.u.exception.addr);
}

static bool is_restart(int64_t result) {
    return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;
}

static void handle_syscall(struct task *t) {
    struct sysargs args;
    uint64_t nr = (uint32_t)t->trap.u.syscall.nr; /* an int to Linux; never ORIG_NR_NONE here */
    for (int i = 0; i < 6; i++) {
        args.a[i] = t->trap.u.syscall.args[i];
    }
    t->orig_nr = nr;
    if (t->trap.u.syscall.posted) {
        if (unlikely(t->seccomp_mode != 0) && !callsite_known(t->mm, t->trap.u.syscall.ip)) {
            t->trap.u.syscall.ip = 0; /* filters may go by it */
        }
    } else if (platform_info()->post_entry != 0 && !t->trap.full_context) {
        callsite_count(t->mm, t->trap.u.syscall.ip, nr);
    }
    int64_t result = syscall_dispatch(t, nr, &args);
    if (t->orig_nr == ORIG_NR_NONE) {
        return; /* rt_sigreturn, execve: the registers are all new */
    }
    t->result = result;
    if (unlikely(is_restart(result))) {
        /* signal_deliver decides.  The host must not see these: it would restart the call by
         * itself. */
        result = -EINTR;
    }
    t->regs.rax = (uint64_t)result;
    platform_result_set(t->pthread, result);
}

/* The stub could not do what the kernel's page tables say is done: the program cannot go on. */
static void orders_failed(struct task *t, int error) {
    log_error("process %d (%s): mapping failed on the host (error %d), killed", t->process->pid,
              t->comm, -error);
    process_exit_group(SIGKILL);
}

static void handle_trap(struct task *t) {
    mm_orders_done(t->mm); /* what was queued before it last went to user mode is done */
    if (t->trap.full_context) {
        platform_regs_get(t->pthread, &t->regs);
        t->regs_dirty = callsite_unwind(t->mm, &t->regs);
    }
    switch (t->trap.kind) {
    case TRAP_SYSCALL:
        handle_syscall(t);
        break;
    case TRAP_FAULT:
        handle_fault(t);
        break;
    case TRAP_EXCEPTION:
        handle_exception(t);
        break;
    case TRAP_ORDERS_DONE:
        if (t->trap.u.orders.error != 0) {
            orders_failed(t, t->trap.u.orders.error);
        }
        break;
    case TRAP_DEAD:
        log_warn("process %d (%s): its context died on the host", t->process->pid, t->comm);
        process_exit_group(SIGKILL);
    case TRAP_INTERRUPT:
    case TRAP_NONE:
        break;
    }
}

/* Many frames wait for orders: carries them out, so that they can be freed. */
static void sync_orders(struct task *t) {
    int error = 0;
    rw_write_lock(&t->mm->lock);
    bool done = sched_sync_orders(&error);
    rw_write_unlock(&t->mm->lock);
    kassert(done); /* the caller has the full context */
    if (error != 0) {
        orders_failed(t, error);
    }
}

/* Does what has to be done before user code may go on; how to go on. */
static enum resume_mode return_work(struct task *t) {
    for (;;) {
        bool signals = signal_work_pending(t);
        if (signals && signal_fatal_pending(t)) {
            signal_deliver(t); /* does not return */
        }
        bool orders = mm_must_wait(t->mm);
        if (likely(!signals && !orders)) {
            return RESUME_USER;
        }
        if (!t->trap.full_context) {
            return RESUME_KICK;
        }
        if (orders) {
            sync_orders(t);
        }
        if (signals) {
            signal_deliver(t);
        }
    }
}

void task_user_loop(struct task *t) {
    t->orig_nr = ORIG_NR_NONE;
    for (;;) {
        enum resume_mode mode = return_work(t);
        if (t->regs_dirty) {
            platform_regs_set(t->pthread, &t->regs);
            t->regs_dirty = false;
        }
        sched_user(t, mode);
        if (unlikely(t->trap.kind == TRAP_NONE)) {
            continue; /* not gone to user mode: the flags want a look first */
        }
        if (mode == RESUME_USER) {
            t->orig_nr = ORIG_NR_NONE;
        }
        handle_trap(t);
    }
}
