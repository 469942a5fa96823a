/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps of the frame allocator: bit i is bit i % 64 of word i / 64. */
#ifndef MOAT_SENTRY_MM_BITS_H
#define MOAT_SENTRY_MM_BITS_H

#include "base/types.h"

static inline void bit_set(uint64_t *map, uint64_t i) {
    map[i / 64] |= 1ull << (i % 64);
}

static inline void bit_clear(uint64_t *map, uint64_t i) {
    map[i / 64] &= ~(1ull << (i % 64));
}

static inline bool bit_test(const uint64_t *map, uint64_t i) {
    return (map[i / 64] >> (i % 64) & 1) != 0;
}

static inline void bits_set(uint64_t *map, uint32_t from, uint32_t count) {
    while (count > 0) {
        uint32_t n = MIN(64 - from % 64, count);
        map[from / 64] |= (n == 64 ? ~0ull : (1ull << n) - 1) << (from % 64);
        from += n;
        count -= n;
    }
}

static inline void bits_clear(uint64_t *map, uint32_t from, uint32_t count) {
    while (count > 0) {
        uint32_t n = MIN(64 - from % 64, count);
        map[from / 64] &= ~((n == 64 ? ~0ull : (1ull << n) - 1) << (from % 64));
        from += n;
        count -= n;
    }
}

/* First bit at or after `from` that is `set` (or clear), in a map of `size` bits, whole words;
 * `size` when there is none. */
static inline uint32_t bits_next(const uint64_t *map, uint32_t size, uint32_t from, bool set) {
    while (from < size) {
        uint64_t word = (set ? map[from / 64] : ~map[from / 64]) >> (from % 64);
        if (word != 0) {
            return from + (uint32_t)__builtin_ctzll(word);
        }
        from = (from / 64 + 1) * 64;
    }
    return size;
}

#endif
