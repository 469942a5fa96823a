/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Atomic helpers over the compiler's built-ins, and reference counts.
 */
#ifndef MOAT_BASE_ATOMIC_H
#define MOAT_BASE_ATOMIC_H

#include "base/types.h"

#define atomic_load(p)             __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define atomic_store(p, v)         __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define atomic_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define atomic_fetch_add(p, v)     __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define atomic_fetch_sub(p, v)     __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define atomic_fetch_or(p, v)      __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define atomic_fetch_and(p, v)     __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define atomic_fence()             __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define atomic_exchange(p, v)      __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)

/* Strong compare-and-swap: true when *p was *expected and is now desired. */
#define atomic_cas(p, expected, desired)                                                           \
    __atomic_compare_exchange_n((p), (expected), (desired), false, __ATOMIC_ACQ_REL,               \
                                __ATOMIC_ACQUIRE)

struct refcount {
    uint32_t n;
};

static inline void ref_init(struct refcount *r) {
    atomic_store(&r->n, 1u);
}

static inline void ref_get(struct refcount *r) {
    (void)atomic_fetch_add(&r->n, 1u); /* the old count is of no use */
}

/* Takes a reference unless the count already fell to zero; true when taken. */
static inline bool ref_get_unless_zero(struct refcount *r) {
    uint32_t n = atomic_load(&r->n);
    while (n != 0) {
        if (atomic_cas(&r->n, &n, n + 1)) {
            return true;
        }
    }
    return false;
}

/* Drops a reference; true when it was the last one and the caller must free the object. */
must_check static inline bool ref_put(struct refcount *r) {
    return atomic_fetch_sub(&r->n, 1u) == 1;
}

#endif
