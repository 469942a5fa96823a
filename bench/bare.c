/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host asks for one seccomp user notification, there and back, with nothing of moat in
 * between: a child whose getppid is answered by its parent, one receive and one answer a call
 * (seccomp_unotify(2); same-CPU wake-up: Linux 6.6).  Prints "NAME NANOSECONDS" for the quickest of
 * many short runs and for the middle one.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS  400
#define CALLS 200

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1ul << 5)
#endif
#define SET_FLAGS    SECCOMP_IOW(4, __u64)
#define SYNC_WAKE_UP 1ul

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void child(int *listener) {
    static uint64_t ns[RUNS];
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                      &program);
    __atomic_store_n(listener, (int)fd, __ATOMIC_RELEASE);
    for (int r = 0; r < RUNS && fd >= 0; r++) {
        uint64_t start = now_ns();
        for (int i = 0; i < CALLS; i++) {
            syscall(SYS_getppid);
        }
        ns[r] = (now_ns() - start) / CALLS;
    }
    qsort(ns, RUNS, sizeof(ns[0]), compare);
    printf("bare_notification_best %llu\nbare_notification %llu\n", (unsigned long long)ns[0],
           (unsigned long long)ns[RUNS / 2]);
    fflush(stdout);
    _exit(fd < 0);
}

int main(void) {
    int *listener = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (listener == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        child(listener);
    }
    int fd;
    while ((fd = __atomic_load_n(listener, __ATOMIC_ACQUIRE)) == 0) {
        sched_yield();
    }
    (void)ioctl(fd, SET_FLAGS, SYNC_WAKE_UP); /* refused on older hosts: the figure says so */
    struct seccomp_notif n;
    struct seccomp_notif_resp r;
    do {
        memset(&n, 0, sizeof(n));
        memset(&r, 0, sizeof(r));
        r.id = ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n) == 0 ? n.id : 0;
    } while (r.id != 0 && ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &r) == 0);
    int status = 1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
