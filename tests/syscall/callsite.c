/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System-call instructions that run many times, in all surroundings: whoever rewrites hot call
 * sites must leave registers, flags, signals, restarts, forks, threads and the mappings as they
 * are.
 */
#include "harness.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define ROUNDS 4000

struct state {
    uint64_t rbx, rbp, r12, r13, r14, r15, rdi, rsi, rdx, r10, r8, r9, rflags;
};

/* getppid from one site with a pattern in every register that a call keeps; what is in them
 * afterwards. */
__attribute__((noinline)) static long call_with_pattern(struct state *out) {
    long ret;
    __asm__ volatile(
        "lea -128(%%rsp), %%rsp\n\tpush %%rbp\n\tpush %%rbx\n\tpush %[out]\n\t"
        "mov $0x11, %%rbx\n\tmov $0x12, %%rbp\n\tmov $0x13, %%r12\n\tmov $0x14, %%r13\n\t"
        "mov $0x15, %%r14\n\tmov $0x16, %%r15\n\tmov $0x17, %%rdi\n\tmov $0x18, %%rsi\n\t"
        "mov $0x19, %%rdx\n\tmov $0x1a, %%r10\n\tmov $0x1b, %%r8\n\tmov $0x1c, %%r9\n\t"
        "cmp %%rax, %%rax\n\tstc\n\tstd\n\t"
        "mov $110, %%eax\n\tsyscall\n\t"
        "pushfq\n\tcld\n\tmov 8(%%rsp), %%rcx\n\tmov %%rbx, 0(%%rcx)\n\tmov %%rbp, 8(%%rcx)\n\t"
        "mov %%r12, 16(%%rcx)\n\tmov %%r13, 24(%%rcx)\n\tmov %%r14, 32(%%rcx)\n\t"
        "mov %%r15, 40(%%rcx)\n\tmov %%rdi, 48(%%rcx)\n\tmov %%rsi, 56(%%rcx)\n\t"
        "mov %%rdx, 64(%%rcx)\n\tmov %%r10, 72(%%rcx)\n\tmov %%r8, 80(%%rcx)\n\t"
        "mov %%r9, 88(%%rcx)\n\tpop 96(%%rcx)\n\tpop %%rcx\n\tpop %%rbx\n\t"
        "pop %%rbp\n\tlea 128(%%rsp), %%rsp"
        : "=a"(ret)
        : [out] "c"(out)
        : "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rdx", "r10", "r8", "r9", "memory",
          "cc");
    return ret;
}

static void registers_and_flags(void) {
    long parent = getppid();
    for (int i = 0; i < ROUNDS; i++) {
        struct state s;
        memset(&s, 0, sizeof(s));
        REQUIRE(call_with_pattern(&s) == parent);
        const uint64_t *regs = &s.rbx;
        for (uint64_t k = 0; k < 12; k++) {
            REQUIRE(regs[k] == 0x11 + k);
        }
        REQUIRE((s.rflags & 0xcd5) == (0x400 | 0x40 | 0x4 | 0x1)); /* DF ZF PF CF */
    }
}

/* The red zone below the stack pointer is the program's. */
static void red_zone(void) {
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t kept;
        __asm__ volatile(
            "lea -256(%%rsp), %%rsp\n\tmovq $0x5a5a, -8(%%rsp)\n\tmovq $0x5a5a, -128(%%rsp)\n\t"
            "mov $110, %%eax\n\tsyscall\n\t"
            "mov -8(%%rsp), %0\n\tand -128(%%rsp), %0\n\tlea 256(%%rsp), %%rsp"
            : "=&r"(kept)
            :
            : "rax", "rcx", "r11", "memory", "cc");
        REQUIRE(kept == 0x5a5a);
    }
}

/* A call whose instruction is also reached by a jump past the instruction before it. */
static void jump_to_instruction(void) {
    long parent = getppid(), self = getpid();
    for (int i = 0; i < ROUNDS; i++) {
        long ret, number = 39;
        __asm__ volatile("test %[late], %[late]\n\tjnz 1f\n\tmov $110, %%eax\n1:\tsyscall"
                         : "=a"(ret)
                         : "0"(number), [late] "r"((long)(i & 1))
                         : "rcx", "r11", "memory", "cc");
        REQUIRE(ret == ((i & 1) != 0 ? self : parent));
    }
}

static void all_numbers_through_one_site(void) {
    struct stat st;
    char c;
    int zero = open("/dev/zero", O_RDONLY);
    for (int i = 0; i < ROUNDS; i++) {
        REQUIRE(syscall(SYS_getppid) == getppid());
        REQUIRE(syscall(SYS_read, zero, &c, 1L) == 1);
        REQUIRE(syscall(SYS_fstat, zero, &st) == 0 && S_ISCHR(st.st_mode));
        REQUIRE(syscall(SYS_dup, -1L) == -1 && errno == EBADF);
        if (i % 64 == 0) {
            void *p = (void *)syscall(SYS_mmap, NULL, 4096L, (long)PROT_READ,
                                      (long)(MAP_PRIVATE | MAP_ANONYMOUS), -1L, 0L);
            REQUIRE(p != MAP_FAILED && syscall(SYS_munmap, p, 4096L) == 0);
        }
    }
}

static volatile sig_atomic_t g_alarms;
static volatile uintptr_t g_lowest = UINTPTR_MAX;

static void on_alarm(int signo, siginfo_t *info, void *context) {
    const ucontext_t *uc = context;
    (void)signo, (void)info;
    g_alarms++;
    uintptr_t ip = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
    g_lowest = ip < g_lowest ? ip : g_lowest;
    (void)getppid();
}

static void ticking(int usec, int flags) {
    struct sigaction sa = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | flags};
    struct itimerval it = {{0, usec}, {0, usec}};
    REQUIRE(sigaction(SIGALRM, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &it, NULL) == 0);
}

/* Every byte arrives once, whatever interrupts. */
static void signals_between_calls(void) {
    int p[2];
    unsigned char out, in;
    REQUIRE(pipe(p) == 0);
    ticking(500, SA_RESTART);
    for (int i = 0; i < 20000 || g_alarms < 20; i++) {
        out = (unsigned char)i;
        REQUIRE(write(p[1], &out, 1) == 1);
        REQUIRE(read(p[0], &in, 1) == 1 && in == out);
    }
    CHECK(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
    CHECK_ERR(read(p[0], &in, 1), EAGAIN);
}

/* A call that sleeps at a hot site: interrupted it fails, restarted it goes on. */
static void sleeping_at_a_hot_site(void) {
    int p[2];
    char c = 0;
    REQUIRE(pipe(p) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        REQUIRE(write(p[1], &c, 1) == 1 && read(p[0], &c, 1) == 1);
    }
    ticking(2000, 0);
    for (int i = 0; i < 20; i++) {
        CHECK_ERR(read(p[0], &c, 1), EINTR);
    }
    ticking(2000, SA_RESTART);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct timespec t = {0, 30000000};
        nanosleep(&t, NULL);
        c = 42;
        _exit(write(p[1], &c, 1) == 1 ? 0 : 1);
    }
    int before = g_alarms;
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(c, 42);
    CHECK(g_alarms > before);
    signal(SIGALRM, SIG_IGN);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void forks_from_hot_sites(void) {
    int zero = open("/dev/zero", O_RDONLY);
    char c = 1;
    for (int i = 0; i < ROUNDS; i++) {
        REQUIRE(read(zero, &c, 1) == 1 && syscall(SYS_getppid) == getppid());
    }
    for (int i = 0; i < 20; i++) {
        pid_t self = getpid(), child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            for (int k = 0; k < 200; k++) {
                if (syscall(SYS_getppid) != self || read(zero, &c, 1) != 1 || c != 0) {
                    _exit(1);
                }
            }
            _exit(0);
        }
        int status = -1;
        REQUIRE(syscall(SYS_getppid) == getppid());
        REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    }
}

static void *reader(void *arg) {
    int p[2];
    uintptr_t wrong = 0;
    if (pipe(p) != 0) {
        return arg;
    }
    for (unsigned i = 0; i < 3000; i++) {
        unsigned out = i ^ (unsigned)(uintptr_t)arg, in = 0;
        wrong += write(p[1], &out, sizeof(out)) != sizeof(out) ||
                 read(p[0], &in, sizeof(in)) != sizeof(in) || in != out;
    }
    close(p[0]), close(p[1]);
    return (void *)wrong;
}

static void threads_at_hot_sites(void) {
    pthread_t t[6];
    for (int round = 0; round < 3; round++) {
        for (uintptr_t i = 0; i < 6; i++) {
            REQUIRE(pthread_create(&t[i], NULL, reader, (void *)(i << 20)) == 0);
        }
        for (int i = 0; i < 6; i++) {
            void *wrong;
            REQUIRE(pthread_join(t[i], &wrong) == 0);
            CHECK_EQ((uintptr_t)wrong, 0);
        }
    }
}

/* The kernel's own copies of code pages go with their mapping: here a page of code that is filled,
 * used and replaced. */
static void code_that_changes(void) {
    static const unsigned char parent[] = {0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xc3};
    static const unsigned char self[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    long ppid = getppid(), pid = getpid();
    unsigned char *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(page != MAP_FAILED);
    for (int round = 0; round < 6; round++) {
        const unsigned char *code = round % 2 == 0 ? parent : self;
        REQUIRE(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
        memset(page, 0xcc, 4096);
        memcpy(page + 64 + round, code, sizeof(parent));
        REQUIRE(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
        long (*call)(void);
        unsigned char *entry = page + 64 + round;
        memcpy(&call, &entry, sizeof(call));
        for (int i = 0; i < 500; i++) {
            REQUIRE(call() == (round % 2 == 0 ? ppid : pid));
        }
    }
    /* elsewhere, with the same code */
    unsigned char *moved =
        mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, page + (1 << 20));
    if (moved != MAP_FAILED) {
        munmap(moved, 4096);
    }
}

/* The same process number everywhere, also in children and threads; and a filter that is set later
 * sees the call. */
static void *same_pid(void *arg) {
    uintptr_t wrong = 0;
    for (int i = 0; i < 300; i++) {
        wrong += getpid() != (pid_t)(uintptr_t)arg;
    }
    return (void *)wrong;
}

static bool pid_in_thread(void) {
    pthread_t t;
    void *wrong = (void *)1;
    return pthread_create(&t, NULL, same_pid, (void *)(uintptr_t)getpid()) == 0 &&
           pthread_join(t, &wrong) == 0 && wrong == NULL;
}

static int refuse_getpid(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0;
}

static void process_numbers(void) {
    pid_t self = getpid();
    CHECK(same_pid((void *)(uintptr_t)self) == NULL && pid_in_thread());
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        pid_t mine = getpid();
        bool ok = mine != self && same_pid((void *)(uintptr_t)mine) == NULL && pid_in_thread();
        ok = ok && refuse_getpid() == 0;
        for (int i = 0; i < 300 && ok; i++) {
            ok = syscall(SYS_getpid) == -1 && errno == EXDEV;
        }
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(same_pid((void *)(uintptr_t)self) == NULL);
}

/* Whatever areas a program did not make itself, it may take away. */
static void unknown_areas_taken_away(void) {
    char line[512];
    for (int i = 0; i < ROUNDS; i++) {
        REQUIRE(getppid() > 0);
    }
    for (int round = 0; round < 2; round++) {
        FILE *f = fopen("/proc/self/maps", "r");
        REQUIRE(f != NULL);
        unsigned long from = 0, to = 0;
        while (fgets(line, sizeof(line), f) != NULL) {
            if (strstr(line, "[calls]") != NULL) {
                REQUIRE(sscanf(line, "%lx-%lx", &from, &to) == 2);
            }
        }
        fclose(f);
        if (to != 0 && round == 0) {
            REQUIRE(mprotect((void *)from, to - from, PROT_NONE) == 0);
        } else if (to != 0) {
            REQUIRE(munmap((void *)from, to - from) == 0);
        }
        for (int i = 0; i < ROUNDS; i++) {
            REQUIRE(getppid() > 0);
        }
    }
}

/* A program may use the other segment base as it likes. */
static void segment_base(void) {
    static uint64_t words[64];
    const int set = 0x1001, get = 0x1004; /* ARCH_SET_GS, ARCH_GET_GS (asm/prctl.h) */
    uint64_t base = 1;
    for (int i = 0; i < 500; i++) {
        REQUIRE(getppid() > 0);
    }
    REQUIRE(syscall(SYS_arch_prctl, get, &base) == 0);
    CHECK_EQ(base, 0);
    REQUIRE(syscall(SYS_arch_prctl, set, words) == 0);
    for (uint64_t i = 0; i < 500; i++) {
        uint64_t seen;
        words[3] = i;
        REQUIRE(getppid() > 0);
        __asm__ volatile("mov %%gs:24, %0" : "=r"(seen));
        REQUIRE(seen == i);
    }
    for (int i = 0; i < 64; i++) {
        CHECK(words[i] == (i == 3 ? 499u : 0));
    }
    REQUIRE(syscall(SYS_arch_prctl, get, &base) == 0);
    CHECK_EQ(base, (uintptr_t)words);
    REQUIRE(syscall(SYS_arch_prctl, set, 0) == 0);
    for (int i = 0; i < 500; i++) {
        REQUIRE(getppid() > 0);
    }
}

int main(void) {
    RUN(registers_and_flags);
    RUN(red_zone);
    RUN(jump_to_instruction);
    RUN(all_numbers_through_one_site);
    RUN(signals_between_calls);
    RUN(sleeping_at_a_hot_site);
    RUN(forks_from_hot_sites);
    RUN(threads_at_hot_sites);
    RUN(code_that_changes);
    RUN(process_numbers);
    RUN(unknown_areas_taken_away);
    RUN(segment_base);
    TEST_MAIN_END;
}
