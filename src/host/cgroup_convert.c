/* SPDX-License-Identifier: Apache-2.0 */
/* Values of cgroup v1 in those of v2: see cgroup_internal.h. */
#include "host/cgroup_internal.h"

#include <errno.h>

#define SHARES_MIN 2u
#define SHARES_MAX 262144u
#define WEIGHT_MAX 10000u

/* log2 in 32.32 fixed point, x > 0: the integer part, then a bit for each squaring. */
static uint64_t log2_fixed(uint64_t x) {
    unsigned top = 63u - (unsigned)__builtin_clzll(x);
    uint64_t mantissa = x << (63u - top); /* 1.63 */
    uint64_t out = (uint64_t)top << 32;
    for (int bit = 31; bit >= 0; bit--) {
        unsigned __int128 square = (unsigned __int128)mantissa * mantissa; /* 2.126 */
        bool two = (square >> 127) != 0;
        mantissa = (uint64_t)(square >> (two ? 64 : 63));
        out |= two ? 1ull << bit : 0;
    }
    return out;
}

uint64_t cg_weight_of_shares(uint64_t shares) {
    if (shares <= SHARES_MIN) {
        return 1;
    }
    if (shares >= SHARES_MAX) {
        return WEIGHT_MAX;
    }
    /* The least w with log2(w) * 612 >= (l^2 + 125 l - 126) * log2(10); l is at most 18. */
    const uint64_t log2_10 = 14267572527ull; /* 3.3219280949 * 2^32 */
    const uint64_t slack = 612ull << 6;      /* of the last digits of fixed point */
    uint64_t l = log2_fixed(shares);
    uint64_t square = (uint64_t)(((unsigned __int128)l * l) >> 32);
    uint64_t curve = square + 125 * l - (126ull << 32);
    uint64_t want = (uint64_t)(((unsigned __int128)curve * log2_10) >> 32);
    uint64_t low = 1, high = WEIGHT_MAX;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (log2_fixed(middle) * 612 + slack >= want) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

uint64_t cg_io_weight_of_blkio(uint64_t weight) {
    return weight <= 10 ? 1 : weight >= 1000 ? WEIGHT_MAX : 1 + (weight - 10) * 9999 / 990;
}

int cg_swap_of_memsw(int64_t memsw, int64_t memory, int64_t *out_swap, bool *out_write,
                     struct err *err) {
    *out_swap = -1;
    *out_write = memsw != 0 || memory == -1;
    if (memsw == -1 || memsw == 0) {
        return 0; /* no limit; with 0 it follows an unlimited memory or stays as it is */
    }
    if (memory == -1) {
        *out_swap = memsw;
        return 0;
    }
    if (memory == 0) {
        return err_set(
            err, -EINVAL,
            "memory.swap is the sum of memory and swap: it needs memory.limit beside it");
    }
    if (memory < 0 || memsw < memory) {
        return err_set(err, -EINVAL,
                       "memory.swap %lld, the sum of memory and swap, is below memory.limit %lld",
                       (long long)memsw, (long long)memory);
    }
    *out_swap = memsw - memory;
    return 0;
}
