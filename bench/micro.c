/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Microbenchmarks: one process, static, run the same way under every runtime.  Prints "NAME
 * NANOSECONDS" (median of several rounds, per operation).  Names on the command line choose; none
 * means all.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 9

static volatile sig_atomic_t g_signals;
static char g_path[64];
static int g_file, g_zero;
static const char *g_self; /* path of this program */

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void check(int ok, const char *what) {
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static void b_getppid(int n) {
    while (n-- > 0) {
        syscall(SYS_getppid);
    }
}

static void b_getpid(int n) {
    while (n-- > 0) {
        syscall(SYS_getpid);
    }
}

static void b_clock(int n) {
    struct timespec t;
    while (n-- > 0) {
        clock_gettime(CLOCK_MONOTONIC, &t);
    }
}

static void b_read1(int n) {
    char c;
    while (n-- > 0) {
        check(read(g_zero, &c, 1) == 1, "read");
    }
}

static void b_pread4k(int n) {
    char buf[4096];
    while (n-- > 0) {
        check(pread(g_file, buf, sizeof(buf), 0) == (ssize_t)sizeof(buf), "pread");
    }
}

static void b_stat(int n) {
    struct stat st;
    while (n-- > 0) {
        check(stat(g_path, &st) == 0, "stat");
    }
}

static void b_openclose(int n) {
    while (n-- > 0) {
        int fd = open(g_path, O_RDONLY);
        check(fd >= 0, "open");
        close(fd);
    }
}

static void b_mmap_anon(int n) {
    while (n-- > 0) {
        char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(p != MAP_FAILED, "mmap");
        for (int i = 0; i < 65536; i += 4096) {
            p[i] = 1;
        }
        munmap(p, 65536);
    }
}

static void b_mmap_file(int n) {
    volatile char sum = 0;
    while (n-- > 0) {
        char *p = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE, g_file, 0);
        check(p != MAP_FAILED, "mmap");
        for (int i = 0; i < 65536; i += 4096) {
            sum = (char)(sum + p[i]);
        }
        munmap(p, 65536);
    }
}

static void on_signal(int signo) {
    (void)signo;
    g_signals++;
}

static void b_signal(int n) {
    signal(SIGUSR1, on_signal);
    pid_t pid = getpid();
    while (n-- > 0) {
        kill(pid, SIGUSR1);
    }
}

static void *nothing(void *arg) {
    return arg;
}

static void b_pthread(int n) {
    while (n-- > 0) {
        pthread_t t;
        check(pthread_create(&t, NULL, nothing, NULL) == 0, "pthread_create");
        pthread_join(t, NULL);
    }
}

static void b_fork(int n) {
    while (n-- > 0) {
        pid_t pid = fork();
        check(pid >= 0, "fork");
        if (pid == 0) {
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
}

static void b_forkexec(int n) {
    while (n-- > 0) {
        char *argv[] = {"/bin/true", NULL};
        pid_t pid = fork();
        check(pid >= 0, "fork");
        if (pid == 0) {
            execv(argv[0], argv);
            _exit(127);
        }
        int status;
        waitpid(pid, &status, 0);
        check(status == 0, "exec");
    }
}

/* Two processes that hand a byte to and fro. */
static void ping_pong(int to[2], int from[2], int n) {
    char c = 0;
    pid_t pid = fork();
    check(pid >= 0, "fork");
    if (pid == 0) {
        while (read(to[0], &c, 1) == 1 && write(from[1], &c, 1) == 1 && --n > 0) {
        }
        _exit(0);
    }
    for (int i = n; i > 0; i--) {
        check(write(to[1], &c, 1) == 1 && read(from[0], &c, 1) == 1, "ping");
    }
    waitpid(pid, NULL, 0);
}

static void b_pipe(int n) {
    int a[2], b[2];
    check(pipe(a) == 0 && pipe(b) == 0, "pipe");
    ping_pong(a, b, n);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static void b_unix(int n) {
    int s[2];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0, "socketpair");
    int to[2] = {s[1], s[0]}, from[2] = {s[0], s[1]};
    ping_pong(to, from, n);
    close(s[0]), close(s[1]);
}

struct futex_game {
    uint32_t turn;
    int n;
};

static void futex_side(struct futex_game *g, uint32_t me) {
    for (int i = 0; i < g->n; i++) {
        while (__atomic_load_n(&g->turn, __ATOMIC_ACQUIRE) != me) {
            syscall(SYS_futex, &g->turn, FUTEX_WAIT_PRIVATE, 1 - me, NULL, NULL, 0);
        }
        __atomic_store_n(&g->turn, 1 - me, __ATOMIC_RELEASE);
        syscall(SYS_futex, &g->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void *futex_other(void *arg) {
    futex_side(arg, 1);
    return NULL;
}

static void b_futex(int n) {
    struct futex_game g = {0, n};
    pthread_t t;
    check(pthread_create(&t, NULL, futex_other, &g) == 0, "pthread_create");
    futex_side(&g, 0);
    pthread_join(t, NULL);
}

static const struct {
    const char *name;
    void (*run)(int n);
    int n;
} g_benches[] = {
    {"getppid", b_getppid, 5000},        {"getpid", b_getpid, 5000},
    {"clock_gettime", b_clock, 50000},   {"read_zero_1", b_read1, 5000},
    {"pread_4k", b_pread4k, 5000},       {"stat", b_stat, 3000},
    {"open_close", b_openclose, 2000},   {"mmap_anon_64k", b_mmap_anon, 500},
    {"mmap_file_64k", b_mmap_file, 500}, {"signal_self", b_signal, 2000},
    {"pthread", b_pthread, 200},         {"fork_exit_wait", b_fork, 100},
    {"fork_exec_wait", b_forkexec, 50},  {"pipe_pingpong", b_pipe, 1000},
    {"unix_pingpong", b_unix, 1000},     {"futex_pingpong", b_futex, 1000},
};

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

#define BUSY_NS 300000000u

/* Calls that `processes` busy programs make together; each is executed, as separate programs are.
 */
static uint64_t busy_calls(int processes) {
    int result[2];
    char fd_text[16];
    check(pipe(result) == 0, "pipe");
    snprintf(fd_text, sizeof(fd_text), "%d", result[1]);
    for (int i = 0; i < processes; i++) {
        pid_t pid = fork();
        check(pid >= 0, "fork");
        if (pid == 0) {
            execl(g_self, g_self, "--busy", fd_text, NULL);
            _exit(127);
        }
    }
    close(result[1]); /* so that a program that cannot run ends the read */
    uint64_t sum = 0, calls;
    for (int i = 0; i < processes; i++) {
        check(read(result[0], &calls, sizeof(calls)) == (ssize_t)sizeof(calls), "read");
        sum += calls;
        wait(NULL);
    }
    close(result[0]);
    return sum;
}

static int busy_main(int result_fd) {
    uint64_t calls = 0, end = now_ns() + BUSY_NS;
    while (now_ns() < end) {
        b_getppid(1000);
        calls += 1000;
    }
    return write(result_fd, &calls, sizeof(calls)) == (ssize_t)sizeof(calls) ? 0 : 1;
}

int main(int argc, char **argv) {
    g_self = argv[0];
    if (argc > 2 && strcmp(argv[1], "--busy") == 0) {
        return busy_main(atoi(argv[2]));
    }
    snprintf(g_path, sizeof(g_path), "/tmp/moat-bench-%d", (int)getpid());
    g_file = open(g_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    g_zero = open("/dev/zero", O_RDONLY);
    char block[65536];
    memset(block, 1, sizeof(block));
    check(g_file >= 0 && g_zero >= 0 &&
              write(g_file, block, sizeof(block)) == (ssize_t)sizeof(block),
          "setup");
    for (size_t i = 0; i < sizeof(g_benches) / sizeof(g_benches[0]); i++) {
        int chosen = argc == 1;
        for (int k = 1; k < argc; k++) {
            chosen |= strcmp(argv[k], g_benches[i].name) == 0;
        }
        if (!chosen) {
            continue;
        }
        uint64_t times[ROUNDS];
        g_benches[i].run(g_benches[i].n / 10 + 1);
        for (int r = 0; r < ROUNDS; r++) {
            uint64_t start = now_ns();
            g_benches[i].run(g_benches[i].n);
            times[r] = (now_ns() - start) / (uint64_t)g_benches[i].n;
        }
        qsort(times, ROUNDS, sizeof(times[0]), compare);
        printf("%s %llu\n", g_benches[i].name, (unsigned long long)times[ROUNDS / 2]);
        fflush(stdout);
    }
    for (int k = 1; k <= argc; k++) {
        if (argc == 1 || (k < argc && strcmp(argv[k], "scaling") == 0)) {
            uint64_t one = busy_calls(1), two = busy_calls(2);
            printf("scaling_percent %llu\n", (unsigned long long)(one > 0 ? two * 100 / one : 0));
            break;
        }
    }
    unlink(g_path);
    return 0;
}
