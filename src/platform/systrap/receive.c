/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes over a listener: calls of guests, traps from the handler, orders, reports, births.
 *
 * Boundary: all of a notification's data is the guest's choice, but its thread id (the host's) and,
 * within the limits that stub_abi.h explains, its instruction pointer.  A context that was
 * destroyed on another vCPU meanwhile is recognised after its space's lock is taken: threads and
 * spaces are recycled, never unmapped.
 */
#include "platform/systrap/internal.h"

#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <sys/mman.h>

#define NR_MMAP   9
#define NR_EXIT   60
#define TRAPNO_PF 14
#define PF_WRITE  2u
#define PF_FETCH  16u

void thread_leave_user(struct platform_thread *t) {
    t->left = cpu_ticks();
    if (t->space->many) { /* else the host's account of the process is the thread's */
        uint64_t spent = t->left - t->started;
        t->ran += spent;
        t->space->ran += spent;
    }
    t->kick_ticks = 0;
}

/* A call made by guest code. */
static bool plain(struct platform_thread *t, const struct seccomp_notif *n, struct trap *out) {
    if (t->state == CTX_LEAVE) {
        return false; /* stays in its call until the space ends */
    }
    if (t->state != CTX_RUN) {
        space_kill(t->space, "a call in the middle of a batch");
        return false;
    }
    if (n->data.arch != AUDIT_ARCH_X86_64) {
        if (notify_send(t->vcpu->listener, n->id, -ENOSYS) != 0) {
            space_kill(t->space, "stub died");
        }
        return false;
    }
    uint64_t before = t->left;
    thread_leave_user(t);
    if (t->space->posts) {
        post_ask(t, before);
    }
    t->state = CTX_PLAIN;
    t->kick = 0;
    t->unreported = false;
    t->notif_id = n->id;
    t->call_nr = (uint64_t)(int64_t)n->data.nr;
    *out = (struct trap){.kind = TRAP_SYSCALL, .thread = t, .task = t->task};
    out->u.syscall.nr = t->call_nr;
    for (int i = 0; i < 6; i++) {
        out->u.syscall.args[i] = n->data.args[i];
    }
    out->u.syscall.ip = n->data.instruction_pointer;
    return true;
}

static void trap_call(struct platform_thread *t, const struct stub_frame *f, struct trap *out) {
    const struct user_regs *r = &t->regs;
    bool native = atomic_load_relaxed(&f->info_arch) == AUDIT_ARCH_X86_64;
    out->kind = TRAP_SYSCALL;
    out->u.syscall.nr = native ? r->rax : UINT64_MAX;
    out->u.syscall.args[0] = r->rdi;
    out->u.syscall.args[1] = r->rsi;
    out->u.syscall.args[2] = r->rdx;
    out->u.syscall.args[3] = r->r10;
    out->u.syscall.args[4] = r->r8;
    out->u.syscall.args[5] = r->r9;
    out->u.syscall.ip = r->rip;
    t->regs.orig_rax = out->u.syscall.nr;
}

static void trap_fault(struct platform_thread *t, const struct stub_frame *f, int signo,
                       struct trap *out) {
    uint64_t trapno = atomic_load_relaxed(&f->mc.trapno);
    uint64_t code = atomic_load_relaxed(&f->mc.err);
    uint64_t addr = atomic_load_relaxed(&f->mc.cr2);
    if (signo == SIGSEGV && trapno == TRAPNO_PF && addr < (uint64_t)STUB_HOST_END) {
        out->kind = TRAP_FAULT;
        out->u.fault.addr = addr;
        out->u.fault.access = (code & PF_FETCH) != 0   ? PROT_BIT_EXEC
                              : (code & PF_WRITE) != 0 ? PROT_BIT_WRITE
                                                       : PROT_BIT_READ;
        out->u.fault.ip = t->regs.rip;
        return;
    }
    out->kind = TRAP_EXCEPTION;
    out->u.exception.signo = signo;
    out->u.exception.code = atomic_load_relaxed(&f->info_code);
    out->u.exception.addr = atomic_load_relaxed(&f->info_addr);
    out->u.exception.trapno = (uint32_t)trapno;
    out->u.exception.error_code = (uint32_t)code;
}

/* A kick arrived; true when the kernel is to know. */
static bool trap_kick(struct platform_thread *t, bool wanted, struct trap *out) {
    bool orders = t->orders_first;
    t->orders_first = false;
    if (wanted) {
        out->kind = TRAP_INTERRUPT;
        return true;
    }
    if (orders) {
        thread_resume(t, RESUME_USER);
    } else {
        thread_run(t); /* a kick that came late */
    }
    return false;
}

/* A kick came late, while the call that was posted is worked on: the context waits in its handler
 * from now on. */
static void trapped_post(struct platform_thread *t, const struct seccomp_notif *n) {
    t->state = CTX_FULL;
    t->notif_id = n->id;
    if (t->post_later) {
        t->post_later = false;
        thread_resume(t, t->mode);
    }
}

/* The handler notifies: signal, siginfo, ucontext, fs base, gs base. */
static bool trapped(struct platform_thread *t, const struct seccomp_notif *n, struct trap *out) {
    const __u64 *a = n->data.args;
    if (t->state == CTX_LEAVE) {
        return false; /* stays in its trap until the space ends */
    }
    if (t->state != CTX_RUN && (t->state != CTX_POST || a[0] != STUB_KICK_SIGNAL)) {
        space_kill(t->space, "a trap in the middle of a batch");
        return false;
    }
    if (frame_load(t, a[2], a[3], a[4]) != 0 || !post_unwind(t)) {
        space_kill(t->space, "a signal frame outside its stack");
        return false;
    }
    if (t->state == CTX_POST) {
        trapped_post(t, n);
        return false;
    }
    const struct stub_frame *f = frame_of(t);
    thread_leave_user(t);
    bool kicked = atomic_exchange(&t->kick, 0u) != 0;
    t->state = CTX_FULL;
    t->unreported = false;
    t->notif_id = n->id;
    *out = (struct trap){.thread = t, .task = t->task, .full_context = true};
    switch (a[0]) {
    case SIGSYS:
        trap_call(t, f, out);
        return true;
    case STUB_KICK_SIGNAL:
        return trap_kick(t, kicked, out);
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
        trap_fault(t, f, (int)a[0], out);
        return true;
    default:
        t->state = CTX_RUN;
        space_kill(t->space, "an unknown signal");
        return false;
    }
}

static void left(struct platform_thread *t, const struct seccomp_notif *n) {
    struct platform_space *s = t->space;
    bool leaving = t->state == CTX_LEAVE;
    if (notify_continue(t->vcpu->listener, n->id) != 0) {
        return; /* killed meanwhile */
    }
    if (leaving) {
        thread_gone(t);
    } else {
        space_kill(s, "a thread left by itself");
    }
}

/* ---- births ---- */

static bool birth_matches(const struct platform_thread *t, const struct seccomp_data *d) {
    if (d->args[0] != slot_va(t->slot)) {
        return false;
    }
    if (d->instruction_pointer == STUB_ADDR(stub_ip_born)) {
        return d->nr == STUB_NR_BORN && t->space->pid != 0;
    }
    return d->nr == NR_MMAP && d->args[1] == STUB_AREA_SIZE &&
           d->args[2] == (PROT_READ | PROT_WRITE) && d->args[3] == (MAP_SHARED | MAP_FIXED) &&
           d->args[4] == (uint64_t)g_systrap.area_fd && t->space->pid == 0;
}

/* The areas of other threads that a child inherited from its parent's space are taken away before
 * it runs. */
static int birth_unmap_slots(struct platform_thread *t) {
    uint64_t own = slot_va(t->slot), end = slot_va(STUB_SLOT_MAX);
    struct order below = {
        .kind = ORDER_RAW_UNMAP, .va = STUB_SLOTS, .pages = (own - STUB_SLOTS) / PAGE_SIZE};
    struct order above = {.kind = ORDER_RAW_UNMAP, .va = own + STUB_AREA_SIZE};
    above.pages = (end - above.va) / PAGE_SIZE;
    int err = below.pages == 0 ? 0 : queue_push(&t->space->queue, &below);
    return err != 0 ? err : queue_push(&t->space->queue, &above);
}

/* Space locked. */
static void birth_accept(struct platform_thread *t, const struct seccomp_notif *n) {
    struct platform_space *s = t->space;
    bool process = n->data.instruction_pointer == STUB_ADDR(stub_ip_birth);
    t->tid = (int32_t)n->pid;
    t->notif_id = n->id;
    t->state = CTX_FULL;
    t->birth = process;
    t->left = cpu_ticks();
    near_newborn(t);
    child_settled(t);
    if (process) {
        s->pid = t->tid;
    }
    thread_hash_add(t);
    if (process && s->inherited_slots && birth_unmap_slots(t) != 0) {
        space_kill(s, "no memory for orders");
    } else if (t->destroyed) {
        t->state = CTX_LEAVE;
    } else if (t->resumed) {
        thread_resume(t, t->mode);
    }
}

static void birth(struct vcpu *v, const struct seccomp_notif *n) {
    uint64_t off = n->data.args[5];
    struct platform_thread *t = off % STUB_AREA_SIZE == 0 ? area_owner(off / STUB_AREA_SIZE) : NULL;
    struct platform_space *s = t != NULL ? atomic_load(&t->space) : NULL;
    if (s == NULL) {
        (void)sys2(SYS_kill, n->pid, SIGKILL); /* nobody's child */
        return;
    }
    plock_lock(&s->lock);
    bool ok = t->space == s && t->vcpu == v && t->state == CTX_UNBORN &&
              area_owner(off / STUB_AREA_SIZE) == t && birth_matches(t, &n->data);
    if (!ok) {
        (void)sys2(SYS_kill, n->pid, SIGKILL); /* an impostor */
    } else if (s->doomed) {
        child_settled(t);
        (void)sys2(SYS_kill, n->pid, SIGKILL); /* no longer wanted */
        space_free(s);
        return;
    } else {
        birth_accept(t, n);
    }
    plock_unlock(&s->lock);
}

/* Space locked. */
static bool dispatch(struct platform_thread *t, const struct seccomp_notif *n, struct trap *out) {
    uint64_t ip = n->data.instruction_pointer;
    if (ip - STUB_TEXT >= STUB_TEXT_SIZE) {
        return plain(t, n, out);
    }
    if (ip == STUB_ADDR(stub_ip_order)) {
        batch_order(t, n);
        return false;
    }
    if (ip == STUB_ADDR(stub_ip_trap) && n->data.nr == STUB_NR_TRAP) {
        return trapped(t, n, out);
    }
    if (ip == STUB_ADDR(stub_ip_report) && n->data.nr == STUB_NR_REPORT) {
        return batch_report(t, n, out);
    }
    if (ip == STUB_ADDR(stub_ip_wait) && n->data.nr == STUB_NR_WAIT && post_sleeps(t, n)) {
        return false;
    }
    if (ip == STUB_ADDR(stub_ip_exit) && n->data.nr == NR_EXIT && n->data.args[0] == 0) {
        left(t, n);
        return false;
    }
    space_kill(t->space, "an unknown call of the stub");
    return false;
}

bool receive(struct vcpu *v, const struct seccomp_notif *n, struct trap *out) {
    uint64_t ip = n->data.instruction_pointer;
    if (ip == STUB_ADDR(stub_ip_birth) || ip == STUB_ADDR(stub_ip_born)) {
        birth(v, n);
        return false;
    }
    struct platform_thread *t = v->recent; /* mostly the same one calls again */
    if (t == NULL || t->tid != (int32_t)n->pid) {
        t = v->recent = thread_lookup(v, (int32_t)n->pid);
    }
    struct platform_space *s = t != NULL ? atomic_load(&t->space) : NULL;
    if (s == NULL) {
        return false; /* destroyed: it is dying */
    }
    plock_lock(&s->lock);
    bool deliver = t->space == s && t->tid == (int32_t)n->pid && dispatch(t, n, out);
    plock_unlock(&s->lock);
    return deliver;
}
