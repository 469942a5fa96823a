/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door between the application kernel and whatever runs user code (design section 2).
 *
 * Contract.  The kernel owns tasks, address-space layout and page tables; the platform owns the
 * means of running a user context inside an address space and of coming back with a trap.  All
 * functions are called on a vCPU thread.  None of them sleeps on behalf of a task, but
 * platform_wait, in which an idle vCPU rests.
 *
 * Life of a user context:
 *   platform_space_create / _fork, platform_thread_clone  make one (asynchronously: the platform
 *   hides the birth; a context may be set and resumed at once and runs when it is born)
 *   platform_wait(resume)  lets it run;  a later platform_wait, on any vCPU, returns its trap
 *   platform_thread_destroy ends it, in whatever state it is.
 *
 * Mapping orders.  map/unmap/protect only queue orders on the space.  They are carried out, in
 * order, before the next user instruction of the thread that is resumed; with RESUME_ORDERS the
 * thread comes back with TRAP_ORDERS_DONE instead of running user code.  A thread that traps
 * without full context goes on before orders that only add; urgent ones (unmap, protect, a map that
 * replaces) come first in any case.  Frames that an order took away may be used for something else
 * once platform_orders_pending is false, asked by a task of the space: then every thread's batch is
 * over, or the asking thread has run since its own. An urgent order that the host refuses ends the
 * space.
 *
 * Trust: everything read back from a stub (registers, frames of signals, results) is guest
 * controlled.  The platform copies it once; the kernel validates it like any register of a guest.
 */
#ifndef MOAT_SENTRY_PLATFORM_H
#define MOAT_SENTRY_PLATFORM_H

#include "base/types.h"

struct task;            /* the kernel's cookie, never looked into by a platform */
struct platform_space;  /* one address space */
struct platform_thread; /* one user context in a space */

enum {
    PROT_BIT_READ = 1,
    PROT_BIT_WRITE = 2,
    PROT_BIT_EXEC = 4,
};

/* Or-ed into the rights of an order. */
enum {
    /* platform_map: the pages may be mapped to other frames now.  The order is urgent: carried out
     * before user code of any thread of the space that is resumed goes on, also after a trap
     * without full context. */
    PROT_BIT_REPLACE = 16,
    /* platform_map: the frames hold memory already and will be used: worth entering in the host's
       page tables at once. */
    PROT_BIT_POPULATE = 64,
    /* platform_protect: takes no right away, so it is not urgent. */
    PROT_BIT_GRANT = 32,
};

/* Full user register state (x86-64 names; arch/ keeps other machines' versions). */
struct user_regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
    uint64_t rax, rcx, rdx, rsi, rdi;
    uint64_t orig_rax; /* number of the call being made, or -1 outside one */
    uint64_t rip, rflags, rsp;
    uint64_t fs_base, gs_base;
};

enum trap_kind {
    TRAP_NONE,        /* deadline passed or the vCPU was kicked: look at the run queue and timers */
    TRAP_SYSCALL,     /* u.syscall */
    TRAP_FAULT,       /* u.fault: page fault */
    TRAP_EXCEPTION,   /* u.exception: #DE, #UD, #BP, #DB, #GP, ... as the signal it becomes */
    TRAP_INTERRUPT,   /* platform_kick or RESUME_KICK took effect: full context at hand */
    TRAP_ORDERS_DONE, /* RESUME_ORDERS finished; u.orders.error is 0 or -errno of the first that
                         failed */
    TRAP_DEAD,        /* the context is gone (killed from outside, out of host resources) */
};

struct trap {
    enum trap_kind kind;
    struct platform_thread *thread; /* NULL with TRAP_NONE */
    struct task *task;              /* the cookie of `thread` */
    bool full_context; /* platform_regs_get/set and fpstate are allowed until resumed */
    union {
        struct {
            uint64_t nr;
            uint64_t args[6];
            uint64_t ip; /* after the instruction */
            bool posted; /* came by a post: ip is what the guest says */
        } syscall;
        struct {
            uint64_t addr;
            uint32_t access; /* PROT_BIT_* that was wanted */
            uint64_t ip;
        } fault;
        struct {
            int signo;
            int code; /* si_code */
            uint64_t addr;
            uint32_t trapno;
            uint32_t error_code;
        } exception;
        struct {
            int error;
        } orders;
    } u;
};

enum resume_mode {
    RESUME_USER,   /* carry out queued orders, then run user code */
    RESUME_ORDERS, /* carry out queued orders, then TRAP_ORDERS_DONE.  Needs a full context */
    RESUME_KICK,   /* for a trap without full context: finish the call with the result that was set,
                      then   TRAP_INTERRUPT with the full context before any user instruction */
};

struct resume {
    struct platform_thread *thread;
    enum resume_mode mode;
};

/* What the chosen platform offers; constant after platform_init. */
struct platform_info {
    const char *name;     /* "systrap" */
    const char *handover; /* which hand-over the probe took, and why, for `moat features` */
    uint32_t vcpu_count;
    uint64_t user_start; /* lowest mappable address */
    uint64_t user_end;   /* first address that is not the guest's (TASK_SIZE of the guest) */
    uint64_t vdso_base;  /* address of an ELF vDSO present in every space, or 0 */
    size_t fpstate_size; /* bytes of the XSAVE area of platform_fpstate_* (<= 16 KiB) */
    uint64_t xfeatures;  /* XCR0 as the guest sees it */
    /* Posted calls; 0: the platform has none.  Where a rewritten call site jumps to, with the
     * number in rax, the address behind its syscall instruction in r11, and all else as at the
     * call: goes on there with the result in rax, or at the syscall instruction two bytes before,
     * with the number in rax.  Changes rcx and r11 besides, nothing else. */
    uint64_t post_entry;
    uint32_t post_after; /* calls of one site after which rewriting it pays */
};

const struct platform_info *platform_info(void);

/* ---- running ------------------------------------------------------------------------------ */

/*
 * Resumes `resume` (may be NULL), then returns the next trap of a context of this vCPU.  Without
 * anything to return it sleeps until `deadline_ns` (CLOCK_MONOTONIC; 0: do not sleep at all,
 * UINT64_MAX: no limit) or platform_kick_vcpu.  A trap may come from any context whose traps are
 * routed to `vcpu`.
 */
void platform_wait(uint32_t vcpu, const struct resume *resume, uint64_t deadline_ns,
                   struct trap *out_trap);
/* Resumes without waiting, for a vCPU that has more kernel work to do first. */
void platform_resume(uint32_t vcpu, const struct resume *resume);
/* Makes platform_wait of `vcpu` return TRAP_NONE soon; callable from any host thread of the Sentry.
 * Sticky. */
void platform_kick_vcpu(uint32_t vcpu);
/* Makes a context that runs user code trap with TRAP_INTERRUPT.  Sticky: when it is in the kernel,
 * its next resume (but for RESUME_ORDERS) traps at once, so that a kick between the kernel's last
 * look at its flags and the resume is not lost. */
void platform_kick(struct platform_thread *thread);
/* The vCPU that gets this context's traps. */
uint32_t platform_thread_vcpu(const struct platform_thread *thread);

/* Whether a call with this number may be posted: mostly it answers at once. */
bool platform_call_posts(uint64_t nr);
/* What rewritten sites of getpid answer by themselves in this context from now on; 0: nothing. */
void platform_thread_pid(struct platform_thread *thread, int32_t pid);
/* The space has rewritten call sites from now on. */
void platform_space_posts(struct platform_space *space);

/* ---- contexts ----------------------------------------------------------------------------- */

/* Sets what the call being made returns (also with a full context: then it becomes rax). */
void platform_result_set(struct platform_thread *thread, int64_t result);
/* Full registers; only after a trap with full_context, or for a context not yet started. */
void platform_regs_get(struct platform_thread *thread, struct user_regs *out_regs);
/* The platform sanitises rflags and refuses non-canonical rip/rsp/bases by making the thread fault.
 */
void platform_regs_set(struct platform_thread *thread, const struct user_regs *regs);
/* XSAVE image in standard form, platform_info()->fpstate_size bytes; same precondition.  get: 0 or
 * -EINVAL when the guest destroyed its frame; set validates the header and answers -EINVAL for a
 * bad image. */
must_check int platform_fpstate_get(struct platform_thread *thread, void *buf);
must_check int platform_fpstate_set(struct platform_thread *thread, const void *buf);
/* Puts the initial FPU state in (execve). */
void platform_fpstate_reset(struct platform_thread *thread);
/* User CPU time the context consumed so far, ns. */
uint64_t platform_thread_cpu_ns(struct platform_thread *thread);

/* ---- spaces ------------------------------------------------------------------------------- */

/* An empty address space with one context, routed to the vCPU the platform finds least busy (hint:
 * `vcpu`). `task` is the context's cookie.  0, -ENOMEM, -EAGAIN. */
must_check int platform_space_create(uint32_t vcpu, struct task *task,
                                     struct platform_space **out_space,
                                     struct platform_thread **out_thread);
/* Queues on parent's space: duplicate it with all its current mappings, with one context that has a
 * copy of the parent's registers and FPU state.  Parent must be at a trap with full context; the
 * kernel queues the protect orders for copy-on-write first and then resumes the parent with
 * RESUME_ORDERS; the error of that trap tells whether the child exists. */
must_check int platform_space_fork(struct platform_thread *parent, struct task *child,
                                   struct platform_space **out_space,
                                   struct platform_thread **out_thread);
/* Queues: one more context in parent's space, with a copy of parent's registers and FPU state.  As
 * above. */
must_check int platform_thread_clone(struct platform_thread *parent, struct task *child,
                                     struct platform_thread **out_thread);
/* Changes the cookie (execve by a thread that is not the leader). */
void platform_thread_set_task(struct platform_thread *thread, struct task *task);
/* Ends a context; it never traps again after this returns (a trap being delivered on another vCPU
 * may still carry it: the kernel destroys a thread only from its own task, or after that task left
 * it). */
void platform_thread_destroy(struct platform_thread *thread);
/* Ends a space; all its contexts must have been destroyed.  On return no user code can touch its
 * mappings any more (the platform waits for the host if it must), so its frames may be freed. */
void platform_space_destroy(struct platform_space *space);

/* Orders (see the contract above); addresses and lengths are page-aligned, pfn is a frame or window
 * number. -ENOMEM when the queue cannot grow. */
must_check int platform_map(struct platform_space *space, uint64_t va, uint64_t pfn,
                            uint64_t page_count, uint32_t prot);
must_check int platform_unmap(struct platform_space *space, uint64_t va, uint64_t page_count);
must_check int platform_protect(struct platform_space *space, uint64_t va, uint64_t page_count,
                                uint32_t prot);
/* True also while orders are being carried out. */
bool platform_orders_pending(const struct platform_space *space);
/* True when urgent orders are queued.  Always false on platforms whose orders act at once. */
bool platform_orders_revoke(const struct platform_space *space);

#endif
