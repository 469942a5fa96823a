/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zygotes: the stubs that all others are cloned from.  One for each vCPU, forked from the Sentry
 * while it has a single thread and no filter yet, sharing its descriptor table.  The child strips
 * itself, below, to the stub region; its last steps (unmapping the Sentry's image) are orders, as
 * its filter is in place by then.
 *
 * The child runs on a static stack at a low address: the region may overlap the Sentry's own stack
 * and vDSO.
 */
#include "base/string.h"
#include "platform/systrap/internal.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define VDSO_TEMP      0x100000000000ul /* where the vDSO waits while the region is emptied */
#define VDSO_PIECES    8u
#define VDSO_PIECE_MAX 16u /* pages */
#define VVAR_PAGES_MAX 16u
#define SIGNAL_COUNT   64
#define MEASURE_ROUNDS 16

struct vdso_piece {
    uint64_t at, len;
};

static char g_stack[16384] __attribute__((aligned(16)));
static struct sock_filter g_filter[FILTER_MAX];
static struct sock_fprog g_program;
static struct vdso_piece g_pieces[VDSO_PIECES];
static uint32_t g_piece_count;

static noreturn_fn void child_fail(int step) {
    for (;;) {
        (void)sys1(SYS_exit_group, step); /* does not return */
    }
}

static long remap(uint64_t from, uint64_t len, uint64_t to) {
    return sys5(SYS_mremap, (long)from, (long)len, (long)len, MREMAP_MAYMOVE | MREMAP_FIXED,
                (long)to);
}

/* Moves the whole mapping that starts (or ends) at `at`; its length in bytes, or 0.  Its size is
 * found by trial: special mappings cannot be split. */
static uint64_t vdso_take(uint64_t at, bool ends, uint64_t to) {
    for (uint64_t len = PAGE_SIZE; len <= VDSO_PIECE_MAX * PAGE_SIZE; len += PAGE_SIZE) {
        uint64_t from = ends ? at - len : at;
        uint64_t dest = ends ? to - len : to;
        if (remap(from, len, dest) == (long)dest) {
            g_pieces[g_piece_count++] = (struct vdso_piece){dest, len};
            return len;
        }
    }
    return 0;
}

/* Takes vDSO and its data pages to VDSO_TEMP, keeping their distances. */
static bool vdso_save(void) {
    uint64_t base = host_auxv(AT_SYSINFO_EHDR);
    if (base == 0 || vdso_take(base, false, VDSO_TEMP) == 0) {
        return false;
    }
    uint64_t below = 0;
    while (below < VVAR_PAGES_MAX * PAGE_SIZE && g_piece_count < VDSO_PIECES) {
        uint64_t len = vdso_take(base - below, true, VDSO_TEMP - below);
        if (len == 0) {
            break;
        }
        below += len;
    }
    return true;
}

static bool vdso_place(void) {
    for (uint32_t i = 0; i < g_piece_count; i++) {
        uint64_t dest = g_pieces[i].at - VDSO_TEMP + STUB_VDSO;
        if (remap(g_pieces[i].at, g_pieces[i].len, dest) != (long)dest) {
            return false;
        }
    }
    return true;
}

static void map_at(uint64_t at, uint64_t len, int prot, int fd, uint64_t off, int step) {
    if (sys6(SYS_mmap, (long)at, (long)len, prot, MAP_SHARED | MAP_FIXED, fd, (long)off) !=
        (long)at) {
        child_fail(step);
    }
}

static void child_signals(void) {
    static const int traps[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, STUB_KICK_SIGNAL};
    struct sys_sigaction ignore = {.handler = 1};
    struct sys_sigaction trap = {
        .handler = g_systrap.fsgsbase ? STUB_ADDR(stub_entry_handler)
                                      : STUB_ADDR(stub_entry_handler_nofsgs),
        .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SYS_SA_RESTORER,
        .restorer = STUB_ADDR(stub_ip_sigreturn), /* never returned to */
        .mask = UINT64_MAX,
    };
    uint64_t all = UINT64_MAX; /* until a context's own frame is returned to */
    stack_t stack = {.ss_sp = (void *)(slot_va(0) + STUB_CTX_SIZE),
                     .ss_size = STUB_AREA_SIZE - STUB_CTX_SIZE};
    if (sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, 8) != 0) {
        child_fail(9);
    }
    for (int i = 1; i <= SIGNAL_COUNT; i++) {
        if (i != SIGCHLD) {
            (void)sys4(SYS_rt_sigaction, i, (long)&ignore, 0, 8); /* SIGKILL and SIGSTOP refuse */
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(traps); i++) {
        if (sys4(SYS_rt_sigaction, traps[i], (long)&trap, 0, 8) != 0) {
            child_fail(10);
        }
    }
    if (sys2(SYS_sigaltstack, (long)&stack, 0) != 0) {
        child_fail(11);
    }
}

static long child_install_filter(void) {
    /* The trap hand-over works without killable waits (Linux 5.19 brought them), but where there
     * are some, neither the freezer of a control group nor a stop signal breaks a wait off. */
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    long fd = sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                   (long)(flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV), (long)&g_program);
    if (fd == -EINVAL) {
        fd = sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (long)flags, (long)&g_program);
    }
    return fd;
}

/* The child, from its first instruction; never returns. */
static noreturn_fn void child_main(struct platform_thread *z) {
    (void)sys2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL); /* the pid namespace ends it as well */
    if (g_systrap.trap_only) { /* inherited by all its clones; without it calls only cost more */
        (void)sys3(SYS_sched_setaffinity, 0, sizeof(z->vcpu->cpus), (long)&z->vcpu->cpus);
    }
    bool vdso = vdso_save();
    if (sys2(SYS_munmap, STUB_REGION, (long)(STUB_HOST_END - STUB_REGION)) != 0) {
        child_fail(1);
    }
    map_at(STUB_TEXT, STUB_TEXT_SIZE, PROT_READ | PROT_EXEC, g_systrap.text_fd, 0, 2);
    map_at(slot_va(0), STUB_AREA_SIZE, PROT_READ | PROT_WRITE, g_systrap.area_fd,
           (uint64_t)z->area * STUB_AREA_SIZE, 3);
    vdso = vdso && vdso_place();
    child_signals();
    long fd = child_install_filter();
    struct stub_ctx *ctx = (struct stub_ctx *)slot_va(0);
    ctx->pad[0] = vdso ? STUB_VDSO : 0;
    /* From here on every call is a notification: the parent learns the descriptor from memory. */
    atomic_store(&ctx->listener, (uint64_t)(fd < 0 ? fd : fd + 1));
    if (fd < 0) {
        child_fail(4);
    }
    uint64_t frame = slot_va(0) + frame_default_off();
    __asm__ volatile("mov %0, %%rbp\n\tjmp *%1"
                     :
                     : "r"(frame), "r"(STUB_ADDR(stub_entry_zygote))
                     : "memory");
    __builtin_unreachable();
}

/* fork on another stack; the descriptor table stays shared. */
static long fork_child(struct platform_thread *z) {
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    long ret;
    __asm__ volatile("mov %5, %%r12\n\t"
                     "syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r12, %%rdi\n\t"
                     "call *%6\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(ret)
                     : "a"(SYS_clone), "D"((long)(CLONE_FILES | SIGCHLD)),
                       "S"(g_stack + sizeof(g_stack)), "d"(0l), "r"(z), "r"(child_main), "r"(r10),
                       "r"(r8)
                     : "rcx", "r11", "r12", "memory");
    return ret;
}

/* Waits for the child's word: its listener.  It has no way to wake us (all its calls are
 * notifications by then). */
static int await_listener(const struct stub_ctx *ctx, int32_t pid) {
    for (uint64_t start = host_now_ns(); host_now_ns() - start < 5 * NSEC_PER_SEC;) {
        int64_t word = (int64_t)atomic_load(&ctx->listener);
        if (word != 0) {
            return word < 0 ? (int)word : (int)(word - 1);
        }
        if (sys2(SYS_kill, pid, 0) != 0) {
            return -ECHILD;
        }
        (void)sys0(SYS_sched_yield); /* a hint */
    }
    return -ETIMEDOUT;
}

/* Queues the unmapping of what the child still has of the Sentry's image. */
static int strip_orders(struct platform_space *s) {
    struct order o = {.kind = ORDER_RAW_UNMAP, .va = 0, .pages = STUB_REGION / PAGE_SIZE};
    return queue_push(&s->queue, &o);
}

must_check int zygote_fork(struct vcpu *v) {
    struct platform_space *s;
    struct platform_thread *z;
    int err = space_new(v, &s);
    if (err != 0) {
        return err;
    }
    err = thread_new(s, NULL, 0, &z);
    if (err != 0) {
        return err;
    }
    frame_make(z);
    z->bases_dirty = false;
    s->zygote = true;
    g_program.filter = g_filter;
    g_program.len = (unsigned short)filter_build(g_filter, g_systrap.trap_only);
    long pid = fork_child(z);
    if (pid < 0) {
        return (int)pid;
    }
    s->pid = z->tid = (int32_t)pid;
    z->state = CTX_RUN;
    v->zygote = z;
    v->zygote_space = s;
    thread_hash_add(z);
    return strip_orders(s);
}

must_check int zygote_await(struct vcpu *v) {
    struct stub_ctx *ctx = v->zygote->ctx;
    int fd = await_listener(ctx, v->zygote->tid);
    if (fd < 0) {
        return fd;
    }
    v->listener = fd;
    g_systrap.info.vdso_base = ctx->pad[0];
    if (!g_systrap.trap_only && notify_setup(fd, true) != 0) {
        return -ENOTTY;
    }
    return 0;
}

void zygote_discard(struct vcpu *v) {
    struct platform_space *s = v->zygote_space;
    if (s == NULL) {
        return;
    }
    (void)sys2(SYS_kill, s->pid, SIGKILL); /* nothing waits for it */
    if (v->listener > 0) {
        (void)sys1(SYS_close, v->listener); /* nothing was written */
        v->listener = 0;
    }
    plock_lock(&s->lock);
    space_free(s);
    v->zygote_space = NULL;
    v->zygote = NULL;
}

/* Answers a notification of the zygote and takes the next one. */
static void probe_turn(struct vcpu *v, struct seccomp_notif *n, uint64_t command) {
    int err = notify_send(v->listener, n->id, (int64_t)command);
    memset(n, 0, sizeof(*n));
    err = err != 0 ? err : (int)recv_wait(v, v->listener, n);
    if (err != 0) {
        host_die("systrap: a zygote does not answer: %d", err);
    }
}

static uint64_t probe_turns(struct vcpu *v, struct seccomp_notif *n, uint64_t command) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < MEASURE_ROUNDS; i++) {
        uint64_t start = host_now_ns();
        probe_turn(v, n, command);
        best = MIN(best, host_now_ns() - start);
    }
    return best;
}

static struct stub_frame *probe_frame(const struct vcpu *v, const struct seccomp_notif *n) {
    uint64_t off = n->data.args[2] - offsetof(struct stub_frame, uc_flags) - slot_va(0);
    if (n->data.nr != STUB_NR_TRAP || off > STUB_AREA_SIZE - sizeof(struct stub_frame)) {
        host_die("systrap: a zygote does not trap");
    }
    return (struct stub_frame *)((char *)v->zygote->ctx + off);
}

/* The way through the handler as it is used alone: on one CPU, with a plain wake-up.  The zygote
 * comes from its report and goes back to it. */
static uint64_t probe_trap(struct vcpu *v, struct seccomp_notif *n) {
    const bool alone = g_systrap.trap_only;
    int32_t tid = v->zygote->tid;
    struct stub_frame *f = frame_of(v->zygote);
    if (!alone) {
        (void)sys3(SYS_sched_setaffinity, tid, sizeof(v->cpus), (long)v->cpus);
        (void)sys3(SYS_sched_setaffinity, 0, sizeof(v->cpus), (long)v->cpus);
        (void)notify_setup(v->listener, false); /* it could be set, so it can be cleared */
    }
    f->mc.rip = STUB_ADDR(stub_probe);
    probe_turn(v, n, 0);
    uint64_t best = probe_turns(v, n, 0);
    f = probe_frame(v, n);
    f->mc.rip = STUB_ADDR(stub_entry_zygote);
    f->mc.rbp = slot_va(0) + frame_default_off();
    f->sigmask = UINT64_MAX; /* as before its first report */
    probe_turn(v, n, 0);
    if (!alone) {
        (void)notify_setup(v->listener, true); /* likewise */
        (void)sys3(SYS_sched_setaffinity, 0, sizeof(g_systrap.affinity), (long)g_systrap.affinity);
        (void)sys3(SYS_sched_setaffinity, tid, sizeof(g_systrap.affinity),
                   (long)g_systrap.affinity);
    }
    return best;
}

void zygote_measure(struct vcpu *v, uint64_t *out_notify_ns, uint64_t *out_trap_ns) {
    struct seccomp_notif n;
    struct trap unused;
    memset(&n, 0, sizeof(n));
    long err = recv_wait(v, v->listener, &n);
    if (err != 0) {
        host_die("systrap: a zygote does not come up: %ld", err);
    }
    *out_notify_ns = probe_turns(v, &n, STUB_CMD_REPORT);
    *out_trap_ns = probe_trap(v, &n);
    frame_make(v->zygote);
    v->zygote->bases_dirty = false;
    (void)receive(v, &n, &unused); /* a report of a zygote is never for the kernel */
}
