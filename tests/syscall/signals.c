/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: handlers, masks, queues, restarts, alternate stacks, floating point state across
 * handlers. */
#include "harness.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>

static volatile sig_atomic_t g_count, g_last;
static volatile int g_code, g_value;
static volatile pid_t g_pid;
static void *volatile g_addr;

static void count(int signo) {
    g_count++;
    g_last = signo;
}

static void detail(int signo, siginfo_t *info, void *context) {
    g_count++;
    g_last = signo;
    g_code = info->si_code;
    g_pid = info->si_pid;
    g_value = info->si_value.sival_int;
    g_addr = info->si_addr;
}

static void handle(int signo, void (*fn)(int), int flags) {
    struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};
    REQUIRE(sigaction(signo, &sa, NULL) == 0);
}

static void handle_info(int signo, int flags) {
    struct sigaction sa = {.sa_sigaction = detail, .sa_flags = flags | SA_SIGINFO};
    REQUIRE(sigaction(signo, &sa, NULL) == 0);
}

static void handler_runs(void) {
    handle(SIGUSR1, count, 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(g_count == 1 && g_last == SIGUSR1);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(g_count, 2);
}

static void many_signals_keep_registers(void) {
    handle(SIGUSR1, count, 0);
    double sum = 0;
    for (int i = 1; i <= 1000; i++) {
        kill(getpid(), SIGUSR1);
        sum += 1.0 / i;
    }
    CHECK_EQ(g_count, 1000);
    CHECK(sum > 7.485470 && sum < 7.485472);
}

static void blocked_stays_pending(void) {
    sigset_t set, pending, old;
    handle(SIGUSR1, count, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, &old), 0);
    raise(SIGUSR1);
    raise(SIGUSR1);
    CHECK_EQ(g_count, 0);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 1);
    CHECK_EQ(sigprocmask(SIG_SETMASK, &old, NULL), 0);
    CHECK_EQ(g_count, 1); /* classic signals do not queue */
}

static void realtime_queues_in_order(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGRTMIN + 2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = i}), 0);
    }
    CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100}), 0);
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1); /* lower number first */
    CHECK(info.si_value.sival_int == 100 && info.si_code == SI_QUEUE && info.si_pid == getpid());
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 2);
        CHECK_EQ(info.si_value.sival_int, i);
    }
    struct timespec zero = {0, 0};
    CHECK_ERR(sigtimedwait(&set, &info, &zero), EAGAIN);
}

static void pending_limit(void) {
    struct rlimit r = {5, 5};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    REQUIRE(setrlimit(RLIMIT_SIGPENDING, &r) == 0);
    int sent = 0;
    while (sent < 100 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0) {
        sent++;
    }
    CHECK(sent <= 5 && errno == EAGAIN);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0); /* never refused */
}

static void sigwait_times_out(void) {
    sigset_t set;
    siginfo_t info;
    struct timespec ts = {0, 30000000};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int64_t start = now_ms();
    CHECK_ERR(sigtimedwait(&set, &info, &ts), EAGAIN);
    CHECK(now_ms() - start >= 29);
}

static void suspend_swaps_masks(void) {
    sigset_t set, empty, now;
    handle(SIGUSR1, count, 0);
    sigemptyset(&empty);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    CHECK_ERR(sigsuspend(&empty), EINTR);
    CHECK_EQ(g_count, 1);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
}

static void handler_mask_and_nodefer(void) {
    struct sigaction sa = {.sa_handler = count};
    sigset_t now;
    sigaddset(&sa.sa_mask, SIGUSR2);
    REQUIRE(sigaction(SIGUSR1, &sa, NULL) == 0);
    raise(SIGUSR1);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1) == 0 && sigismember(&now, SIGUSR2) == 0);
    handle(SIGUSR1, count, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction old;
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
}

/* A child signals us once we sleep in the kernel. */
static pid_t signal_me_when_asleep(int signo) {
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        wait_asleep(parent);
        kill(parent, signo);
        _exit(0);
    }
    return pid;
}

static void read_is_interrupted(void) {
    int p[2];
    char c;
    REQUIRE(pipe(p) == 0);
    handle(SIGUSR1, count, 0);
    pid_t pid = signal_me_when_asleep(SIGUSR1);
    CHECK_ERR(read(p[0], &c, 1), EINTR);
    CHECK_EQ(g_count, 1);
    CHECK(child_ok(pid));
}

static int g_pipe[2];

static void fill_pipe(int signo) {
    g_count++;
    if (write(g_pipe[1], "x", 1) != 1) {
        abort();
    }
}

static void read_is_restarted(void) {
    char c = 0;
    REQUIRE(pipe(g_pipe) == 0);
    handle(SIGUSR1, fill_pipe, SA_RESTART);
    pid_t pid = signal_me_when_asleep(SIGUSR1);
    CHECK_EQ(read(g_pipe[0], &c, 1), 1);
    CHECK(c == 'x' && g_count == 1);
    CHECK(child_ok(pid));
}

static void ignored_signal_does_not_interrupt(void) {
    int p[2];
    char c = 0;
    REQUIRE(pipe(p) == 0);
    signal(SIGUSR1, SIG_IGN);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        wait_asleep(parent);
        kill(parent, SIGUSR1);
        kill(parent, SIGSTOP > 0 ? SIGCONT : 0);
        _exit(write(p[1], "y", 1) != 1);
    }
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(c, 'y');
    CHECK(child_ok(pid));
}

static void stop_restarts_nanosleep(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec ts = {0, 100000000};
        _exit(nanosleep(&ts, NULL) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    kill(pid, SIGSTOP);
    int status;
    waitpid(pid, &status, WUNTRACED);
    kill(pid, SIGCONT);
    CHECK(child_ok(pid));
}

static sigjmp_buf g_jump;

static void jump(int signo, siginfo_t *info, void *context) {
    g_addr = info->si_addr;
    g_code = info->si_code;
    siglongjmp(g_jump, signo);
}

static void faults_say_where(void) {
    struct sigaction sa = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO};
    REQUIRE(sigaction(SIGSEGV, &sa, NULL) == 0 && sigaction(SIGILL, &sa, NULL) == 0 &&
            sigaction(SIGFPE, &sa, NULL) == 0);
    if (sigsetjmp(g_jump, 1) == 0) {
        *(volatile char *)0x123000 = 1;
        CHECK(!"fault");
    }
    CHECK(g_addr == (void *)0x123000 && g_code == SEGV_MAPERR);
    char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sigsetjmp(g_jump, 1) == 0) {
        *(volatile char *)ro = 1;
        CHECK(!"fault");
    }
    CHECK(g_addr == ro && g_code == SEGV_ACCERR);
    if (sigsetjmp(g_jump, 1) == 0) {
        __asm__ volatile("ud2");
    }
    if (sigsetjmp(g_jump, 1) == 0) {
        __asm__ volatile("cltd\n idivl %0" ::"r"(0), "a"(1) : "edx", "cc");
        CHECK(!"fault");
    }
    CHECK_EQ(g_code, FPE_INTDIV);
}

static void blocked_fault_kills(void) {
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        *(volatile char *)8 = 1;
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static char *g_stack;

static void on_stack(int signo) {
    char here;
    g_count += &here >= g_stack && &here < g_stack + 65536;
    stack_t now, other = {.ss_flags = SS_DISABLE};
    g_value = sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_ONSTACK) != 0 &&
              sigaltstack(&other, NULL) == -1 && errno == EPERM;
}

static void alternate_stack(void) {
    stack_t ss = {.ss_size = 65536}, old;
    g_stack = malloc(65536);
    ss.ss_sp = g_stack;
    CHECK(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
    CHECK_EQ(sigaltstack(&ss, NULL), 0);
    handle(SIGUSR1, on_stack, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(g_count == 1 && g_value == 1);
    CHECK(sigaltstack(NULL, &old) == 0 && old.ss_flags == 0 && old.ss_sp == g_stack);
    ss.ss_size = 100;
    CHECK_ERR(sigaltstack(&ss, NULL), ENOMEM);
    ss.ss_flags = 77;
    CHECK_ERR(sigaltstack(&ss, NULL), EINVAL);
}

static int overflow(volatile char *p) {
    volatile char big[8192];
    big[0] = *p;
    return overflow(big) + big[100];
}

static void leave(int signo) {
    siglongjmp(g_jump, 1);
}

static void stack_overflow_is_caught(void) {
    stack_t ss = {.ss_size = 65536, .ss_sp = malloc(65536)};
    sigaltstack(&ss, NULL);
    handle(SIGSEGV, leave, SA_ONSTACK);
    struct rlimit r = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_STACK, &r);
    volatile char c = 1;
    if (sigsetjmp(g_jump, 1) == 0) {
        overflow(&c);
        CHECK(!"no fault");
    }
}

static void edit_context(int signo, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    uc->uc_mcontext.gregs[REG_RBX] = 0x1234567;
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
}

static void handler_edits_registers(void) {
    struct sigaction sa = {.sa_sigaction = edit_context, .sa_flags = SA_SIGINFO};
    REQUIRE(sigaction(SIGILL, &sa, NULL) == 0);
    unsigned long rbx = 0;
    __asm__ volatile("ud2" : "+b"(rbx));
    CHECK_EQ(rbx, 0x1234567);
}

static void spoil_vectors(int signo) {
    g_count++;
    __asm__ volatile("pxor %%xmm7, %%xmm7\n pxor %%xmm3, %%xmm3" ::: "xmm3", "xmm7");
}

static void vectors_survive(void) {
    unsigned long in = 0x1122334455667788ul, out = 0;
    handle(SIGUSR1, spoil_vectors, 0);
    pid_t self = getpid();
    register long nr __asm__("rax") = SYS_kill;
    register long a0 __asm__("rdi") = self;
    register long a1 __asm__("rsi") = SIGUSR1;
    __asm__ volatile("movq %4, %%xmm7\n syscall\n movq %%xmm7, %0"
                     : "=r"(out), "+r"(nr)
                     : "r"(a0), "r"(a1), "r"(in)
                     : "rcx", "r11", "memory", "xmm7");
    CHECK_EQ(g_count, 1);
    CHECK(out == in);
}

static void red_zone_survives(void) {
    unsigned long out = 0;
    handle(SIGUSR1, count, 0);
    pid_t self = getpid();
    register long nr __asm__("rax") = SYS_kill;
    register long a0 __asm__("rdi") = self;
    register long a1 __asm__("rsi") = SIGUSR1;
    __asm__ volatile("movq $77, -120(%%rsp)\n syscall\n movq -120(%%rsp), %0"
                     : "=r"(out), "+r"(nr)
                     : "r"(a0), "r"(a1)
                     : "rcx", "r11", "memory");
    CHECK(out == 77 && g_count == 1);
}

static void sender_is_named(void) {
    handle_info(SIGUSR1, 0);
    kill(getpid(), SIGUSR1);
    CHECK(g_code == SI_USER && g_pid == getpid());
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    CHECK_EQ(g_code, SI_TKILL);
    handle_info(SIGCHLD, SA_RESTART);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    CHECK(g_last == SIGCHLD && g_code == CLD_EXITED && g_pid == pid);
}

static volatile pid_t g_handled_by;

static void note_thread(int signo) {
    g_handled_by = (pid_t)syscall(SYS_gettid);
}

static void *spin_until_handled(void *arg) {
    *(volatile pid_t *)arg = (pid_t)syscall(SYS_gettid);
    while (g_handled_by == 0) {
        __asm__ volatile("pause"); /* user mode: the signal has to break in */
    }
    return NULL;
}

static void thread_directed(void) {
    pthread_t t;
    volatile pid_t tid = 0;
    handle(SIGUSR1, note_thread, 0);
    REQUIRE(pthread_create(&t, NULL, spin_until_handled, (void *)&tid) == 0);
    while (tid == 0) {
        sched_yield();
    }
    CHECK_EQ(syscall(SYS_tgkill, getpid(), tid, SIGUSR1), 0);
    pthread_join(t, NULL);
    CHECK_EQ(g_handled_by, tid);
    CHECK_ERR(syscall(SYS_tgkill, getpid(), 99999999, SIGUSR1), ESRCH);
    CHECK_ERR(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 65), EINVAL);
}

static void bad_arguments(void) {
    struct sigaction sa = {.sa_handler = count};
    CHECK_ERR(sigaction(SIGKILL, &sa, NULL), EINVAL);
    CHECK_ERR(sigaction(SIGSTOP, &sa, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, 65, &sa, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, &sa, NULL, 4), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, BAD, NULL, 8), EFAULT);
    CHECK_ERR(syscall(SYS_rt_sigprocmask, 9, &sa, NULL, 8), EINVAL);
    CHECK_ERR(kill(99999999, SIGTERM), ESRCH);
    CHECK_ERR(kill(getpid(), 65), EINVAL);
}

int main(void) {
    RUN(handler_runs);
    RUN(many_signals_keep_registers);
    RUN(blocked_stays_pending);
    RUN(realtime_queues_in_order);
    RUN(pending_limit);
    RUN(sigwait_times_out);
    RUN(suspend_swaps_masks);
    RUN(handler_mask_and_nodefer);
    RUN(read_is_interrupted);
    RUN(read_is_restarted);
    RUN(ignored_signal_does_not_interrupt);
    RUN(stop_restarts_nanosleep);
    RUN(faults_say_where);
    RUN(blocked_fault_kills);
    RUN(alternate_stack);
    RUN(stack_overflow_is_caught);
    RUN(handler_edits_registers);
    RUN(vectors_survive);
    RUN(red_zone_survives);
    RUN(sender_is_named);
    RUN(thread_directed);
    RUN(bad_arguments);
    TEST_MAIN_END;
}
