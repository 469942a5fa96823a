/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs each test as the kernel of a fresh Sentry: a child that is PID 1 of new user and pid
 * namespaces. Usage: seam_test notify|trap VCPUS [name]
 */
#include "moat/boot.h"
#include "platform/hal/host.h"
#include "seam.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct seam_test *g_test;

noreturn_fn void seam_fail(const char *file, int line, const char *what) {
    char text[512];
    int n = snprintf(text, sizeof(text), "%s:%d: failed: %s\n", file, line, what);
    (void)!write(STDERR_FILENO, text, (size_t)n);
    hal_exit(1);
}

void seam_say(const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)!write(STDOUT_FILENO, text, (size_t)n);
}

/* ---- the kernel's entry points ---- */

void sentry_boot(const void *boot, size_t len) {
    CHECK(len == sizeof(struct moat_boot));
}

noreturn_fn void sentry_vcpu_main(uint32_t vcpu) {
    if (vcpu == 0) {
        g_test->run();
        hal_exit(0);
    }
    seam_vcpu(vcpu);
}

void sentry_host_event(uint64_t cookie, uint32_t events) {
    seam_event(cookie, events);
}

int gofer_channel_init(const struct moat_boot *boot) {
    return 0;
}

/* libc registered its restartable-sequence area (rseq(2)); in a stub it is unmapped, which would be
 * fatal. */
static void forget_rseq(void) {
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    (void)syscall(SYS_rseq, area, 32, 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG); /* none is fine */
}

/* Where the kernel left the auxiliary vector: behind the environment. */
static const uint64_t *auxv(void) {
    char **e = environ;
    while (*e != NULL) {
        e++;
    }
    return (const uint64_t *)(e + 1);
}

static int run_one(uint32_t handover, uint32_t vcpus) {
    struct moat_boot boot = {.magic = MOAT_BOOT_MAGIC,
                             .version = MOAT_BOOT_VERSION,
                             .size = sizeof(boot),
                             .handover = handover,
                             .vcpu_count = vcpus,
                             .control_fd = -1,
                             .gofer_fd = -1,
                             .gofer_shm_fd = -1,
                             .memory_dir_fd = -1,
                             .log_fd = STDERR_FILENO};
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
            perror("unshare");
            _exit(77);
        }
        pid_t init = fork();
        if (init == 0) {
            int control = seam_hal_prepare();
            boot.control_fd = g_test->control ? control : -1; /* its event would end a wait */
            forget_rseq();
            host_runtime_init(auxv());
            host_run(&boot);
        }
        int status = 0;
        (void)waitpid(init, &status, 0); /* the child just made */
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    int status = 0;
    (void)waitpid(pid, &status, 0); /* likewise */
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* Runs a test and tells how it went: 0, 1, or 77 when this machine cannot. */
static int run_test(const struct seam_test *test, uint32_t handover, uint32_t vcpus) {
    struct timespec a, b;
    g_test = test;
    clock_gettime(CLOCK_MONOTONIC, &a);
    int status = run_one(handover, vcpus);
    clock_gettime(CLOCK_MONOTONIC, &b);
    if (status == 77) {
        printf("skip: no user namespaces here\n");
        return status;
    }
    printf("%s %s (%.1f ms)", status == 0 ? "ok  " : "FAIL", test->name,
           (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
    printf(status > 1 ? " status %d\n" : "\n", status);
    return status != 0;
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "auto";
    uint32_t handover = strcmp(way, "trap") == 0     ? MOAT_HANDOVER_TRAP
                        : strcmp(way, "notify") == 0 ? MOAT_HANDOVER_NOTIFY
                        : strcmp(way, "post") == 0   ? MOAT_HANDOVER_POST
                                                     : MOAT_HANDOVER_AUTO;
    uint32_t vcpus = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
    int failed = 0, ran = 0;
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; i < g_seam_test_count + g_seam_hal_test_count; i++) {
        const struct seam_test *test =
            i < g_seam_test_count ? &g_seam_tests[i] : &g_seam_hal_tests[i - g_seam_test_count];
        if (argc > 3 && strcmp(argv[3], test->name) != 0) {
            continue;
        }
        int status = run_test(test, handover, vcpus);
        if (status == 77) {
            return 77;
        }
        failed += status;
        ran++;
    }
    return ran == 0 ? 2 : failed != 0;
}
