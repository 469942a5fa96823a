/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed hashing: SipHash with one compression and three finalisation rounds (Aumasson and
 * Bernstein, "SipHash: a fast short-input PRF", 2012), and a cheaper keyed mix for single words.
 */
#include "base/hash.h"

#include "base/string.h"

static uint64_t g_key[2] = {0x6d6f61742d6b6579ull, 0x9e3779b97f4a7c15ull};

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, unsigned int n) {
    return (x << n) | (x >> (64 - n));
}

static inline void sip_round(struct sip *s) {
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 = rotl(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word) {
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

void hash_seed(uint64_t k0, uint64_t k1) {
    g_key[0] = k0;
    g_key[1] = k1;
}

uint64_t hash_bytes(const void *data, size_t len) {
    const char *p = data;
    struct sip s = {
        g_key[0] ^ 0x736f6d6570736575ull,
        g_key[1] ^ 0x646f72616e646f6dull,
        g_key[0] ^ 0x6c7967656e657261ull,
        g_key[1] ^ 0x7465646279746573ull,
    };
    uint64_t word;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        sip_word(&s, word);
    }
    word = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++) {
        word |= (uint64_t)(uint8_t)p[i] << (8 * i);
    }
    sip_word(&s, word);
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* Two multiply-and-fold steps: without the key the collisions cannot be computed beforehand. */
uint64_t hash_u64(uint64_t value) {
    unsigned __int128 m = (unsigned __int128)(value ^ g_key[0]) * 0x9fb21c651e98df25ull;
    uint64_t x = (uint64_t)m ^ (uint64_t)(m >> 64) ^ g_key[1];
    m = (unsigned __int128)x * 0xd6e8feb86659fd93ull;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}
