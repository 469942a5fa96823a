/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Basic types and helpers that every layer shares.  Freestanding: includes only compiler headers.
 */
#ifndef MOAT_BASE_TYPES_H
#define MOAT_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define must_check                  __attribute__((warn_unused_result))
#define printf_like(fmt_arg, first) __attribute__((format(printf, fmt_arg, first)))
#define noreturn_fn                 __attribute__((noreturn))
#define likely(x)                   __builtin_expect(!!(x), 1)
#define unlikely(x)                 __builtin_expect(!!(x), 0)

#define ARRAY_COUNT(a)                  (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define KIB           1024ull
#define MIB           (1024ull * KIB)
#define GIB           (1024ull * MIB)
#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull

/* Alignment: `to` is a power of two. */
#define ALIGN_UP(x, to)   (((x) + ((to)-1)) & ~((__typeof__(x))(to)-1))
#define ALIGN_DOWN(x, to) ((x) & ~((__typeof__(x))(to)-1))
#define IS_ALIGNED(x, to) (((x) & ((__typeof__(x))(to)-1)) == 0)

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Checked arithmetic (C23 names): true when the mathematical result does not fit *out. */
#define ckd_add(out, a, b) __builtin_add_overflow((a), (b), (out))
#define ckd_sub(out, a, b) __builtin_sub_overflow((a), (b), (out))
#define ckd_mul(out, a, b) __builtin_mul_overflow((a), (b), (out))

/* A user-space address of the guest: never dereferenced by the kernel, only by copyin/copyout. */
struct uaddr {
    uint64_t v;
};

static inline struct uaddr uaddr_of(uint64_t v) {
    return (struct uaddr){v};
}

static inline struct uaddr uaddr_add(struct uaddr a, uint64_t n) {
    return (struct uaddr){a.v + n};
}

#endif
