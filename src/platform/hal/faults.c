/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals of the Sentry's own threads: host bus errors inside copy.S become -EFAULT, the kick
 * signal moves a thread past the wait it was about to enter, and anything else is a bug of ours: a
 * report with a back trace, then the end.
 */
#include "base/fmt.h"
#include "base/string.h"
#include "platform/hal/host.h"
#include "platform/systrap/internal.h"

#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>

#define BACKTRACE_MAX 24

extern const char fixup_begin[], fixup_end[], fixup_fail[];

static bool ip_in(const ucontext_t *uc, const char *begin, const char *end) {
    uint64_t ip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    return ip >= (uint64_t)(uintptr_t)begin && ip < (uint64_t)(uintptr_t)end;
}

static void ip_set(ucontext_t *uc, const char *to) {
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)to;
}

/* Return addresses up the frame pointers, for addr2line. */
static void backtrace_log(const ucontext_t *uc) {
    uint64_t fp = (uint64_t)uc->uc_mcontext.gregs[REG_RBP];
    char line[BACKTRACE_MAX * 20];
    size_t len = 0;
    for (int i = 0; i < BACKTRACE_MAX; i++) {
        uint64_t frame[2];
        if ((fp & 7) != 0 || hal_copy(frame, (const void *)(uintptr_t)fp, sizeof(frame)) != 0) {
            break;
        }
        len += fmt_snprintf(line + len, sizeof(line) - len, " 0x%lx", (unsigned long)frame[1]);
        if (frame[0] <= fp || len + 20 >= sizeof(line)) {
            break;
        }
        fp = frame[0];
    }
    host_warn("called from%s", line);
}

static void on_fault(int signo, siginfo_t *info, void *context) {
    static uint32_t reporting;
    ucontext_t *uc = context;
    if (ip_in(uc, fixup_begin, fixup_end)) {
        ip_set(uc, fixup_fail);
        return;
    }
    if (atomic_exchange(&reporting, 1u) == 0) {
        host_warn("sentry: signal %d at 0x%lx, address %p", signo,
                  (unsigned long)uc->uc_mcontext.gregs[REG_RIP], info->si_addr);
        backtrace_log(uc);
        host_die("sentry: crashed");
    }
    for (;;) {                 /* another thread writes the report */
        (void)sys0(SYS_pause); /* until the end */
    }
}

/* Set while host_fpstate_probe wants to know. */
static uint32_t *volatile g_probe_size;
static uint64_t *g_probe_features;

/* asm/sigcontext.h: struct _fpx_sw_bytes at byte 464 of the image. */
static void probe_answer(const ucontext_t *uc) {
    struct _fpx_sw_bytes sw;
    memcpy(&sw, (const char *)uc->uc_mcontext.fpregs + 464, sizeof(sw));
    /* Without XSAVE the kernel (6.1) tells of the 512 bytes of FXSAVE. */
    bool xsave = sw.magic1 == FP_XSTATE_MAGIC1 && sw.xstate_size > sizeof(struct _fpstate);
    *g_probe_features = xsave ? sw.xstate_bv : 0;
    *g_probe_size = xsave ? sw.xstate_size : 0;
    g_probe_size = NULL;
}

static void on_kick(int signo, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    if (unlikely(g_probe_size != NULL)) {
        probe_answer(uc);
        return;
    }
    if (info->si_code == SI_TIMER) {
        struct vcpu *v = info->si_value.sival_ptr;
        (void)atomic_fetch_or(&v->attention, (uint32_t)ATT_TIMER); /* the old bits are of no use */
    }
    if (ip_in(uc, recv_wait_begin, recv_wait_end)) {
        ip_set(uc, recv_wait_abort);
    }
}

void host_fpstate_probe(uint32_t *out_size, uint64_t *out_features) {
    g_probe_features = out_features;
    g_probe_size = out_size;
    (void)sys3(SYS_tgkill, 1, 1, HOST_KICK_SIGNAL); /* checked below */
    if (g_probe_size != NULL) {
        host_die("no signal frame to learn the FPU state from");
    }
}

static void handle(int signo, void (*fn)(int, siginfo_t *, void *)) {
    struct sys_sigaction sa = {.handler = (uint64_t)(uintptr_t)fn,
                               .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SYS_SA_RESTORER,
                               .restorer = (uint64_t)(uintptr_t)host_sigreturn,
                               .mask = UINT64_MAX};
    (void)sys4(SYS_rt_sigaction, signo, (long)&sa, 0, 8); /* valid by construction */
}

static void ignore(int signo) {
    struct sys_sigaction sa = {.handler = 1};
    (void)sys4(SYS_rt_sigaction, signo, (long)&sa, 0, 8); /* valid by construction */
}

void host_faults_init(void) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    handle(HOST_KICK_SIGNAL, on_kick);
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
        handle(faults[i], on_fault);
    }
    ignore(SIGPIPE);
    ignore(SIGCHLD); /* stubs are reaped by the host */
}

void host_thread_init(void) {
    size_t size = ALIGN_UP(MAX(host_auxv(AT_MINSIGSTKSZ), 4096ul) + 16384ul, 4096ul);
    void *mem = host_reserve(size);
    stack_t ss = {.ss_sp = mem, .ss_size = size};
    if (mem == NULL || sys2(SYS_sigaltstack, (long)&ss, 0) != 0) {
        host_die("cannot make a signal stack");
    }
}
