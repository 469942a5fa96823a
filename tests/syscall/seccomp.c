/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp(2): modes, every action, chains, threads, and programs that must be refused. */
#include "harness.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define COUNT(a)       (unsigned short)(sizeof(a) / sizeof((a)[0]))
#define LOAD(field)    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARG(n)    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))
#define RET(value)     BPF_STMT(BPF_RET | BPF_K, (value))
#define IF_EQ(v, t, f) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (v), (t), (f))

static long install(const struct sock_filter *code, unsigned short count, unsigned int flags) {
    struct sock_fprog prog = {count, (struct sock_filter *)code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static void no_new_privs(void) {
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

/* `action` for one call, everything else allowed. */
static void refuse(int nr, unsigned int action, unsigned int flags) {
    struct sock_filter code[] = {LOAD(nr), IF_EQ((unsigned int)nr, 0, 1), RET(action),
                                 RET(SECCOMP_RET_ALLOW)};
    no_new_privs();
    REQUIRE(install(code, COUNT(code), flags) == 0);
}

static void status_line(const char *name, char *out, size_t size) {
    FILE *f = fopen("/proc/thread-self/status", "r");
    char line[256];
    out[0] = 0;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            snprintf(out, size, "%s", line + strlen(name));
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

static int status_number(const char *name) {
    char text[64];
    status_line(name, text, sizeof(text));
    return text[0] == 0 ? -1 : atoi(text);
}

/* ---- modes ---- */

static void modes_and_status(void) {
    int base = status_number("Seccomp_filters:");
    CHECK_EQ(prctl(PR_GET_SECCOMP), base > 0 ? 2 : 0);
    refuse(SYS_mincore, SECCOMP_RET_ERRNO | ENOTTY, 0);
    CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
    CHECK_EQ(status_number("Seccomp:"), 2);
    CHECK_EQ(status_number("Seccomp_filters:"), base + 1);
    CHECK_ERR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL); /* not after a filter */
    CHECK_ERR(prctl(PR_SET_SECCOMP, 7), EINVAL);
}

static void strict_write(void) {
    if (prctl(PR_GET_SECCOMP) != 0) {
        _exit(44); /* a filter came before: strict cannot be had */
    }
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL) != 0) {
        _exit(1);
    }
    (void)!write(1, "", 0);
    syscall(SYS_exit, 43);
}

static void strict_getpid(void) {
    (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    (void)syscall(SYS_getpid);
    syscall(SYS_exit, 0);
}

static void strict(void) {
    int status = in_child(strict_write);
    if (status == 44) {
        SKIP("a filter is active from outside");
    }
    CHECK_EQ(status, 43);
    CHECK_EQ(in_child(strict_getpid), 256 + SIGKILL);
}

static void needs_privilege(void) {
    struct sock_filter code[] = {RET(SECCOMP_RET_ALLOW)};
    if (geteuid() != 0) {
        if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) {
            CHECK_ERR(install(code, COUNT(code), 0), EACCES);
        }
        return;
    }
    REQUIRE(setresuid(65534, 65534, 65534) == 0); /* gives CAP_SYS_ADMIN up */
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) {
        CHECK_ERR(install(code, COUNT(code), 0), EACCES);
    }
    no_new_privs();
    CHECK_EQ(install(code, COUNT(code), 0), 0);
}

/* ---- actions ---- */

static void action_errno(void) {
    refuse(SYS_getppid, SECCOMP_RET_ERRNO | 77, 0);
    CHECK_ERR(syscall(SYS_getppid), 77);
    CHECK_EQ(syscall(SYS_getpid), getpid());
    refuse(SYS_getppid, SECCOMP_RET_ERRNO | 0, 0);
    /* Of equal actions the newest filter's counts; errno 0 is success with 0. */
    CHECK_EQ(syscall(SYS_getppid), 0);
}

static void big_errno(void) {
    refuse(SYS_getppid, SECCOMP_RET_ERRNO | 0xffff, 0);
    CHECK_ERR(syscall(SYS_getppid), 4095);
}

static void do_kill_process(void) {
    refuse(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0);
    (void)syscall(SYS_getppid);
}

static void do_kill_only_thread(void) {
    refuse(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
    (void)syscall(SYS_getppid);
}

static void do_unknown_action(void) {
    refuse(SYS_getppid, 0x00100000u, 0);
    (void)syscall(SYS_getppid);
}

static void actions_kill(void) {
    CHECK_EQ(in_child(do_kill_process), 256 + SIGSYS);
    CHECK_EQ(in_child(do_kill_only_thread), 256 + SIGSYS);
    CHECK_EQ(in_child(do_unknown_action), 256 + SIGSYS);
}

static int g_thread_fd[2];

static void *call_getppid(void *arg) {
    (void)arg;
    (void)syscall(SYS_getppid);
    (void)!write(g_thread_fd[1], "x", 1); /* not reached */
    return NULL;
}

static void do_kill_thread(void) {
    pthread_t thread;
    char byte;
    REQUIRE(pipe(g_thread_fd) == 0);
    refuse(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
    REQUIRE(pthread_create(&thread, NULL, call_getppid, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0); /* its tid is cleared by the kernel */
    fcntl(g_thread_fd[0], F_SETFL, O_NONBLOCK);
    CHECK_ERR(read(g_thread_fd[0], &byte, 1), EAGAIN);
}

static void action_kill_thread(void) {
    CHECK_EQ(in_child(do_kill_thread), 0);
}

static void action_trace(void) {
    refuse(SYS_getppid, SECCOMP_RET_TRACE | 5, 0);
    CHECK_ERR(syscall(SYS_getppid), ENOSYS);
}

static void action_log(void) {
    refuse(SYS_getppid, SECCOMP_RET_LOG, 0);
    CHECK(syscall(SYS_getppid) > 0);
}

static volatile int g_traps;
static siginfo_t g_info;
static long long g_rax;
static unsigned long long g_rip;

static void on_sigsys(int signo, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    (void)signo;
    g_info = *info;
    g_rax = uc->uc_mcontext.gregs[REG_RAX];
    g_rip = (unsigned long long)uc->uc_mcontext.gregs[REG_RIP];
    uc->uc_mcontext.gregs[REG_RAX] = 1234; /* what the call shall return */
    g_traps++;
}

static void catch_sigsys(void) {
    struct sigaction sa = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
    REQUIRE(sigaction(SIGSYS, &sa, NULL) == 0);
}

static void action_trap(void) {
    catch_sigsys();
    refuse(SYS_getppid, SECCOMP_RET_TRAP | 0x1234, 0);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(syscall(SYS_getppid), 1234);
        CHECK_EQ(g_traps, i);
        CHECK_EQ(g_info.si_signo, SIGSYS);
        CHECK_EQ(g_info.si_code, 1); /* SYS_SECCOMP */
        CHECK_EQ(g_info.si_errno, 0x1234);
        CHECK_EQ(g_info.si_syscall, SYS_getppid);
        CHECK_EQ(g_info.si_arch, AUDIT_ARCH_X86_64);
        CHECK_EQ((unsigned long long)(uintptr_t)g_info.si_call_addr, g_rip);
        CHECK_EQ(g_rax, SYS_getppid);
    }
}

/* A call for which the kernel takes another way in than for the plain ones. */
static void trap_of_mapping_call(void) {
    catch_sigsys();
    refuse(SYS_munmap, SECCOMP_RET_TRAP | 9, 0);
    CHECK_EQ(syscall(SYS_munmap, 0x1000, 0x1000), 1234);
    CHECK_EQ(g_rax, SYS_munmap);
    CHECK_EQ(g_info.si_syscall, SYS_munmap);
    refuse(SYS_mprotect, SECCOMP_RET_ERRNO | 9, 0);
    CHECK_ERR(syscall(SYS_mprotect, 0x1000, 0x1000, 0), 9);
}

static void do_trap_default(void) {
    refuse(SYS_getppid, SECCOMP_RET_TRAP, 0);
    (void)syscall(SYS_getppid);
}

static void do_trap_blocked(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    catch_sigsys();
    sigprocmask(SIG_BLOCK, &set, NULL);
    refuse(SYS_getppid, SECCOMP_RET_TRAP, 0);
    (void)syscall(SYS_getppid);
}

static void trap_without_handler(void) {
    CHECK_EQ(in_child(do_trap_default), 256 + SIGSYS);
    CHECK_EQ(in_child(do_trap_blocked), 256 + SIGSYS); /* forced: blocking does not help */
}

/* ---- data and arithmetic ---- */

static void argument_words(void) {
    struct sock_filter code[] = {
        LOAD(arch),
        IF_EQ(AUDIT_ARCH_X86_64, 1, 0),
        RET(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        IF_EQ(SYS_dup, 1, 0),
        RET(SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + 4),
        IF_EQ(0x11223344, 0, 3),
        LOAD_ARG(0),
        IF_EQ(0x55667788, 0, 1),
        RET(SECCOMP_RET_ERRNO | 99),
        RET(SECCOMP_RET_ALLOW)};
    no_new_privs();
    REQUIRE(install(code, COUNT(code), 0) == 0);
    CHECK_ERR(syscall(SYS_dup, 0x1122334455667788ul), 99);
    CHECK_ERR(syscall(SYS_dup, 0x11223344ffffff00ul), EBADF);
}

static void instruction_pointer(void) {
    struct sock_filter code[] = {
        LOAD(nr),
        IF_EQ(SYS_getppid, 1, 0),
        RET(SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        IF_EQ(0, 0, 1),
        RET(SECCOMP_RET_ERRNO | 1),
        RET(SECCOMP_RET_ERRNO | 2)};
    no_new_privs();
    REQUIRE(install(code, COUNT(code), 0) == 0);
    errno = 0;
    CHECK_EQ(syscall(SYS_getppid), -1);
    CHECK_EQ(errno, (uintptr_t)syscall >> 32 == 0 ? 1 : 2);
}

/* Every operation once; the result is the errno. */
static void arithmetic(void) {
    struct sock_filter code[] = {LOAD(nr),
                                 IF_EQ(SYS_getppid, 1, 0),
                                 RET(SECCOMP_RET_ALLOW),
                                 BPF_STMT(BPF_LD | BPF_IMM, 100),            /* a = 100 */
                                 BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 20),    /* 120 */
                                 BPF_STMT(BPF_LDX | BPF_IMM, 2),             /* x = 2 */
                                 BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),     /* 60 */
                                 BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),     /* 58 */
                                 BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 4),     /* 928 */
                                 BPF_STMT(BPF_ALU | BPF_RSH | BPF_X, 0),     /* 232 */
                                 BPF_STMT(BPF_ALU | BPF_OR | BPF_K, 0x1007), /* 4335 = 0x10ef */
                                 BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff), /* 0xef = 239 */
                                 BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 0xff),  /* 16 */
                                 BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3),     /* 48 */
                                 BPF_STMT(BPF_ST, 15),                       /* m[15] = 48 */
                                 BPF_STMT(BPF_MISC | BPF_TAX, 0),            /* x = 48 */
                                 BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),      /* a = 64 */
                                 BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),     /* 16 */
                                 BPF_STMT(BPF_ALU | BPF_NEG, 0),             /* -16 */
                                 BPF_STMT(BPF_LDX | BPF_MEM, 15),            /* x = 48 */
                                 BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),     /* 32 */
                                 BPF_STMT(BPF_STX, 3),
                                 BPF_STMT(BPF_LDX | BPF_IMM, 0),
                                 BPF_STMT(BPF_LDX | BPF_MEM, 3),                   /* x = 48 */
                                 BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 5, 0),     /* 32 > 48: no */
                                 BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 32, 0, 4),    /* yes */
                                 BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x20, 0, 3), /* yes */
                                 BPF_STMT(BPF_JMP | BPF_JA, 0),
                                 BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
                                 BPF_STMT(BPF_RET | BPF_A, 0),
                                 RET(SECCOMP_RET_KILL_PROCESS)};
    no_new_privs();
    REQUIRE(install(code, COUNT(code), 0) == 0);
    CHECK_ERR(syscall(SYS_getppid), 32);
}

static void do_divide_by_zero(void) {
    struct sock_filter code[] = {LOAD(nr),
                                 IF_EQ(SYS_getppid, 1, 0),
                                 RET(SECCOMP_RET_ALLOW),
                                 BPF_STMT(BPF_LDX | BPF_IMM, 0),
                                 BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
                                 RET(SECCOMP_RET_ALLOW)};
    no_new_privs();
    REQUIRE(install(code, COUNT(code), 0) == 0);
    (void)syscall(SYS_getppid);
}

static void divide_by_zero(void) {
    CHECK_EQ(in_child(do_divide_by_zero), 256 + SIGSYS); /* 0 is KILL_THREAD */
}

/* ---- what is refused ---- */

#define REFUSED(...)                                                                               \
    do {                                                                                           \
        struct sock_filter code[] = {__VA_ARGS__};                                                 \
        CHECK_ERR(install(code, COUNT(code), 0), EINVAL);                                          \
    } while (0)

static void bad_programs(void) {
    struct sock_filter ok[] = {RET(SECCOMP_RET_ALLOW)};
    struct sock_fprog prog = {0, ok};
    no_new_privs();
    REFUSED(LOAD(nr));                                       /* does not end */
    REFUSED(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RET(0)); /* behind the data */
    REFUSED(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RET(0));  /* not aligned */
    REFUSED(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RET(0));  /* not a word */
    REFUSED(BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RET(0));
    REFUSED(IF_EQ(1, 1, 0), RET(0)); /* jumps out */
    REFUSED(BPF_STMT(BPF_JMP | BPF_JA, 1), RET(0));
    REFUSED(BPF_STMT(BPF_JMP | BPF_JA, 0xffffffffu), RET(0)); /* backwards */
    REFUSED(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0));
    REFUSED(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), RET(0));
    REFUSED(BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET(0));
    REFUSED(BPF_STMT(BPF_ST, 16), RET(0));
    REFUSED(BPF_STMT(BPF_LD | BPF_MEM, 0), RET(0)); /* read before written */
    REFUSED(IF_EQ(1, 1, 0), BPF_STMT(BPF_ST, 0), BPF_STMT(BPF_LD | BPF_MEM, 0), RET(0));
    REFUSED(BPF_STMT(BPF_RET | BPF_X, 0));
    REFUSED(BPF_STMT(0xffff, 0), RET(0));
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog), EINVAL); /* empty */
    prog.len = 4097;
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog), EINVAL);
    prog.len = 1;
    prog.filter = BAD;
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog), EFAULT);
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0x4000u, &prog), EINVAL);
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
}

/* Memory that is written on both ways to where it is read, and far jumps in between. */
static void memory_on_all_paths(void) {
    struct sock_filter code[400];
    unsigned short n = 0;
    struct sock_filter head[] = {LOAD(nr),
                                 IF_EQ(SYS_getppid, 0, 2),
                                 BPF_STMT(BPF_ST, 1),
                                 BPF_STMT(BPF_JMP | BPF_JA, 300),
                                 BPF_STMT(BPF_ST, 1),
                                 BPF_STMT(BPF_JMP | BPF_JA, 298)};
    memcpy(code, head, sizeof(head));
    n = COUNT(head);
    while (n < 304) {
        code[n++] = (struct sock_filter)RET(SECCOMP_RET_KILL_PROCESS);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_MEM, 1);
    code[n++] = (struct sock_filter)IF_EQ(SYS_getppid, 0, 1);
    code[n++] = (struct sock_filter)RET(SECCOMP_RET_ERRNO | 55);
    code[n++] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
    no_new_privs();
    REQUIRE(install(code, n, 0) == 0);
    CHECK_ERR(syscall(SYS_getppid), 55);
    CHECK_EQ(syscall(SYS_getpid), getpid());
}

static void what_is_there(void) {
    static const unsigned int actions[] = {
        SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
        SECCOMP_RET_TRACE,        SECCOMP_RET_LOG,         SECCOMP_RET_ALLOW};
    unsigned int none = 0x00110000u;
    struct {
        unsigned short notif, resp, data;
    } sizes = {0, 0, 0};
    for (size_t i = 0; i < COUNT(actions); i++) {
        CHECK_EQ(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]), 0);
    }
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &none), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &none), EINVAL);
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, BAD), EFAULT);
    CHECK_EQ(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes), 0);
    CHECK_EQ(sizes.notif, 80);
    CHECK_EQ(sizes.resp, 24);
    CHECK_EQ(sizes.data, 64);
}

/* ---- chains ---- */

static void strictest_wins(void) {
    catch_sigsys();
    refuse(SYS_getppid, SECCOMP_RET_ERRNO | 5, 0);
    refuse(SYS_getppid, SECCOMP_RET_TRACE, 0);
    CHECK_ERR(syscall(SYS_getppid), 5);
    refuse(SYS_getppid, SECCOMP_RET_TRAP | 3, 0);
    CHECK_EQ(syscall(SYS_getppid), 1234);
    CHECK_EQ(g_info.si_errno, 3);
    refuse(SYS_getppid, SECCOMP_RET_LOG, 0);
    CHECK_EQ(syscall(SYS_getppid), 1234);
}

static void chain_has_an_end(void) {
    static struct sock_filter code[4096];
    int i = 0;
    for (size_t k = 0; k < COUNT(code); k++) {
        code[k] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
    }
    no_new_privs();
    while (i < 20 && install(code, COUNT(code), 0) == 0) {
        i++;
    }
    CHECK_EQ(errno, ENOMEM);
    CHECK(i >= 3 && i < 20); /* Linux counts in instructions of its own */
}

static void do_after_exec(void) {
    refuse(SYS_getppid, SECCOMP_RET_ERRNO | 21, 0);
    execl("/proc/self/exe", "seccomp", "child", (char *)NULL);
    _exit(1);
}

static void inherited(void) {
    CHECK_EQ(in_child(do_after_exec), 21);
    refuse(SYS_getppid, SECCOMP_RET_ERRNO | 22, 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(syscall(SYS_getppid) == -1 ? errno : 1);
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(WEXITSTATUS(status), 22);
    CHECK_EQ(status_number("NoNewPrivs:"), 1);
}

/* ---- threads ---- */

static pthread_barrier_t g_barrier;
static int g_thread_errno, g_thread_nnp;
static void (*g_thread_setup)(void);

static void *waiting_thread(void *arg) {
    (void)arg;
    if (g_thread_setup != NULL) {
        g_thread_setup();
    }
    pthread_barrier_wait(&g_barrier);
    pthread_barrier_wait(&g_barrier);
    errno = 0;
    g_thread_errno = syscall(SYS_getppid) == -1 ? errno : 0;
    g_thread_nnp = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    return NULL;
}

static void own_filter(void) {
    refuse(SYS_mincore, SECCOMP_RET_ERRNO | 1, 0);
}

static void start_thread(pthread_t *thread, void (*setup)(void)) {
    g_thread_setup = setup;
    REQUIRE(pthread_barrier_init(&g_barrier, NULL, 2) == 0);
    REQUIRE(pthread_create(thread, NULL, waiting_thread, NULL) == 0);
    pthread_barrier_wait(&g_barrier);
}

static void own_thread_only(void) {
    pthread_t thread;
    start_thread(&thread, NULL);
    refuse(SYS_getppid, SECCOMP_RET_ERRNO | 31, 0);
    pthread_barrier_wait(&g_barrier);
    pthread_join(thread, NULL);
    CHECK_EQ(g_thread_errno, 0);
}

static void all_threads(void) {
    pthread_t thread;
    start_thread(&thread, NULL);
    refuse(SYS_getppid, SECCOMP_RET_ERRNO | 32, SECCOMP_FILTER_FLAG_TSYNC);
    pthread_barrier_wait(&g_barrier);
    pthread_join(thread, NULL);
    CHECK_EQ(g_thread_errno, 32);
    CHECK_EQ(g_thread_nnp, 1);
}

static void cannot_sync(void) {
    struct sock_filter code[] = {RET(SECCOMP_RET_ALLOW)};
    pthread_t thread;
    no_new_privs();
    start_thread(&thread, own_filter);
    CHECK(install(code, COUNT(code), SECCOMP_FILTER_FLAG_TSYNC) > 0); /* the thread's id */
    CHECK_ERR(
        install(code, COUNT(code), SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH),
        ESRCH);
    pthread_barrier_wait(&g_barrier);
    pthread_join(thread, NULL);
    CHECK_EQ(g_thread_errno, 0);
}

/* Threads make calls while filters are laid over them. */
static volatile int g_stop;

static void *busy_thread(void *arg) {
    (void)arg;
    while (!g_stop) {
        (void)syscall(SYS_getppid);
        (void)syscall(SYS_dup, -1);
    }
    return NULL;
}

static void sync_while_busy(void) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, busy_thread, NULL) == 0);
    }
    for (int i = 0; i < 50; i++) {
        refuse(SYS_getppid, SECCOMP_RET_ERRNO | (unsigned int)(i + 1), SECCOMP_FILTER_FLAG_TSYNC);
    }
    g_stop = 1;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_ERR(syscall(SYS_getppid), 50);
}

static void setuid_gains_nothing(void) {
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "child") == 0) {
        return syscall(SYS_getppid) == -1 ? errno : 1;
    }
    RUN(modes_and_status);
    RUN(strict);
    RUN(needs_privilege);
    RUN(action_errno);
    RUN(big_errno);
    RUN(actions_kill);
    RUN(action_kill_thread);
    RUN(action_trace);
    RUN(action_log);
    RUN(action_trap);
    RUN(trap_of_mapping_call);
    RUN(trap_without_handler);
    RUN(argument_words);
    RUN(instruction_pointer);
    RUN(arithmetic);
    RUN(divide_by_zero);
    RUN(bad_programs);
    RUN(memory_on_all_paths);
    RUN(what_is_there);
    RUN(strictest_wins);
    RUN(chain_has_an_end);
    RUN(inherited);
    RUN(own_thread_only);
    RUN(all_threads);
    RUN(cannot_sync);
    RUN(sync_while_busy);
    RUN(setuid_gains_nothing);
    TEST_MAIN_END;
}
