/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw host system calls (the Sentry links no libc; its headers give only types and numbers): no
 * errno, no cancellation, no allocation.  They return what the kernel returns, that is -errno on
 * failure.  Used wherever libc's wrapper would do more than the call (hot paths, stubs that have no
 * libc any more).
 */
#ifndef MOAT_PLATFORM_SYS_H
#define MOAT_PLATFORM_SYS_H

#include "base/types.h"

#include <sys/syscall.h>

static inline long sys6(long nr, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

static inline long sys3(long nr, long a, long b, long c) {
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return ret;
}

static inline long sys4(long nr, long a, long b, long c, long d) {
    register long r10 __asm__("r10") = d;
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return ret;
}

static inline long sys0(long nr) {
    return sys3(nr, 0, 0, 0);
}

static inline long sys1(long nr, long a) {
    return sys3(nr, a, 0, 0);
}

static inline long sys2(long nr, long a, long b) {
    return sys3(nr, a, b, 0);
}

static inline long sys5(long nr, long a, long b, long c, long d, long e) {
    return sys6(nr, a, b, c, d, e, 0);
}

static inline int sys_close(int fd) {
    return (int)sys1(SYS_close, fd);
}

/* The address, or -errno in [-4095, -1]. */
static inline long sys_mmap(void *at, size_t len, int prot, int flags, int fd, uint64_t off) {
    return sys6(SYS_mmap, (long)at, (long)len, prot, flags, fd, (long)off);
}

static inline bool sys_failed(long result) {
    return (unsigned long)result >= -4095ul;
}

static inline uint64_t cpu_ticks(void) {
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

struct sys_sigaction { /* rt_sigaction(2), x86-64 */
    uint64_t handler, flags, restorer, mask;
};
#define SYS_SA_RESTORER 0x04000000ul

#endif
