/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals of the Sentry's own threads: host bus errors inside copy.S become -EFAULT, the kick
 * signal moves a thread past the wait it was about to enter, and anything else is a bug of ours: a
 * report with a back trace, then the end.
 */
#include "platform/hal/host.h"
#include "platform/systrap/internal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

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
        len += (size_t)snprintf(line + len, sizeof(line) - len, " %#lx", (unsigned long)frame[1]);
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
        host_warn("sentry: signal %d at %#lx, address %p", signo,
                  (unsigned long)uc->uc_mcontext.gregs[REG_RIP], info->si_addr);
        backtrace_log(uc);
        host_die("sentry: crashed");
    }
    for (;;) { /* another thread writes the report */
        pause();
    }
}

static void on_kick(int signo, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    if (info->si_code == SI_TIMER) {
        struct vcpu *v = info->si_value.sival_ptr;
        (void)atomic_fetch_or(&v->attention, (uint32_t)ATT_TIMER); /* the old bits are of no use */
    }
    if (ip_in(uc, recv_wait_begin, recv_wait_end)) {
        ip_set(uc, recv_wait_abort);
    }
}

void host_faults_init(void) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigfillset(&sa.sa_mask);
    sa.sa_sigaction = on_kick;
    (void)sigaction(HOST_KICK_SIGNAL, &sa, NULL); /* valid by construction, as the ones below */
    sa.sa_sigaction = on_fault;
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
        (void)sigaction(faults[i], &sa, NULL);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGCHLD, SIG_IGN); /* stubs are reaped by the host */
}

void host_thread_init(void) {
    size_t size = ALIGN_UP(MAX(getauxval(AT_MINSIGSTKSZ), 4096ul) + 16384ul, 4096ul);
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t ss = {.ss_sp = mem, .ss_size = size};
    if (mem == MAP_FAILED || sigaltstack(&ss, NULL) != 0) {
        host_die("cannot make a signal stack");
    }
}
