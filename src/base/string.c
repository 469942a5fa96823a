/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and string functions of the freestanding parts.
 *
 * Contract: those of the C standard (strlcpy: of BSD).  No vector registers, as ring-0 code must
 * not touch them; long blocks go through `rep movsb`/`rep stosb`, which every x86-64 of the last
 * decade makes fast, short ones through overlapping word moves, because a `rep` costs some 30
 * cycles to start.
 */
#include "base/string.h"

#if defined(__GNUC__) && !defined(__clang__)
/* Or the compiler turns these very loops into calls of the functions they are in. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

#define REP_THRESHOLD 192u

struct unaligned64 {
    uint64_t v;
} __attribute__((packed, may_alias));
struct unaligned32 {
    uint32_t v;
} __attribute__((packed, may_alias));
struct unaligned16 {
    uint16_t v;
} __attribute__((packed, may_alias));

static inline uint64_t load64(const void *p) {
    return ((const struct unaligned64 *)p)->v;
}

static inline void store64(void *p, uint64_t v) {
    ((struct unaligned64 *)p)->v = v;
}

static inline uint32_t load32(const void *p) {
    return ((const struct unaligned32 *)p)->v;
}

static inline void store32(void *p, uint32_t v) {
    ((struct unaligned32 *)p)->v = v;
}

static inline uint16_t load16(const void *p) {
    return ((const struct unaligned16 *)p)->v;
}

static inline void store16(void *p, uint16_t v) {
    ((struct unaligned16 *)p)->v = v;
}

/* At most 16 bytes; all loads come before the stores, so the blocks may overlap. */
static inline void move_small(char *d, const char *s, size_t len) {
    if (len >= 8) {
        uint64_t a = load64(s), b = load64(s + len - 8);
        store64(d, a);
        store64(d + len - 8, b);
    } else if (len >= 4) {
        uint32_t a = load32(s), b = load32(s + len - 4);
        store32(d, a);
        store32(d + len - 4, b);
    } else if (len >= 2) {
        uint16_t a = load16(s), b = load16(s + len - 2);
        store16(d, a);
        store16(d + len - 2, b);
    } else if (len == 1) {
        *d = *s;
    }
}

static inline void copy_rep(void *d, const void *s, size_t len) {
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(len) : : "memory");
}

void *memcpy(void *restrict dst, const void *restrict src, size_t len) {
    char *d = dst;
    const char *s = src;
    if (len <= 16) {
        move_small(d, s, len);
        return dst;
    }
    if (len > REP_THRESHOLD) {
        copy_rep(d, s, len);
        return dst;
    }
    uint64_t last_a = load64(s + len - 16), last_b = load64(s + len - 8);
    char *end = d + len;
    for (; len > 16; len -= 16, d += 16, s += 16) {
        uint64_t a = load64(s), b = load64(s + 8);
        store64(d, a);
        store64(d + 8, b);
    }
    store64(end - 16, last_a);
    store64(end - 8, last_b);
    return dst;
}

/* dst lies behind src and overlaps it: from the end to the start, a word at a time. */
static void move_backward(char *d, const char *s, size_t len) {
    while (len >= 8) {
        len -= 8;
        store64(d + len, load64(s + len));
    }
    while (len > 0) {
        len--;
        d[len] = s[len];
    }
}

static void move_forward(char *d, const char *s, size_t len) {
    while (len >= 8) {
        store64(d, load64(s));
        d += 8;
        s += 8;
        len -= 8;
    }
    while (len > 0) {
        *d++ = *s++;
        len--;
    }
}

void *memmove(void *dst, const void *src, size_t len) {
    char *d = dst;
    const char *s = src;
    if (len <= 16) {
        move_small(d, s, len);
    } else if ((uintptr_t)d - (uintptr_t)s >= len && (uintptr_t)s - (uintptr_t)d >= len) {
        memcpy(d, s, len);
    } else if ((uintptr_t)d > (uintptr_t)s) {
        move_backward(d, s, len);
    } else if ((uintptr_t)d < (uintptr_t)s) {
        move_forward(d, s, len);
    }
    return dst;
}

void *memset(void *dst, int byte, size_t len) {
    char *d = dst;
    uint64_t word = 0x0101010101010101ull * (uint8_t)byte;
    if (len >= 8 && len <= REP_THRESHOLD) {
        char *end = d + len;
        for (; len > 8; len -= 8, d += 8) {
            store64(d, word);
        }
        store64(end - 8, word);
        return dst;
    }
    if (len < 8) {
        while (len > 0) {
            *d++ = (char)byte;
            len--;
        }
        return dst;
    }
    void *p = d;
    __asm__ volatile("rep stosb" : "+D"(p), "+c"(len) : "a"(byte) : "memory");
    return dst;
}

int memcmp(const void *a, const void *b, size_t len) {
    const uint8_t *p = a, *q = b;
    while (len >= 8 && load64(p) == load64(q)) {
        p += 8;
        q += 8;
        len -= 8;
    }
    for (; len > 0; len--, p++, q++) {
        if (*p != *q) {
            return (int)*p - (int)*q;
        }
    }
    return 0;
}

void *memchr(const void *s, int byte, size_t len) {
    for (const uint8_t *p = s; len > 0; len--, p++) {
        if (*p == (uint8_t)byte) {
            return (void *)(uintptr_t)p;
        }
    }
    return NULL;
}

size_t strlen(const char *s) {
    const char *p = s;
    while (*p != '\0') {
        p++;
    }
    return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max) {
    size_t len = 0;
    while (len < max && s[len] != '\0') {
        len++;
    }
    return len;
}

int strcmp(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (int)(uint8_t)*a - (int)(uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t max) {
    for (; max > 0; max--, a++, b++) {
        if (*a != *b || *a == '\0') {
            return (int)(uint8_t)*a - (int)(uint8_t)*b;
        }
    }
    return 0;
}

char *strchr(const char *s, int c) {
    for (;; s++) {
        if (*s == (char)c) {
            return (char *)(uintptr_t)s;
        }
        if (*s == '\0') {
            return NULL;
        }
    }
}

char *strrchr(const char *s, int c) {
    const char *found = NULL;
    for (;; s++) {
        if (*s == (char)c) {
            found = s;
        }
        if (*s == '\0') {
            return (char *)(uintptr_t)found;
        }
    }
}

char *strstr(const char *haystack, const char *needle) {
    size_t len = strlen(needle);
    if (len == 0) {
        return (char *)(uintptr_t)haystack;
    }
    for (; (haystack = strchr(haystack, *needle)) != NULL; haystack++) {
        if (strncmp(haystack, needle, len) == 0) {
            return (char *)(uintptr_t)haystack;
        }
    }
    return NULL;
}

size_t strlcpy(char *dst, const char *src, size_t size) {
    size_t len = strlen(src);
    if (size > 0) {
        size_t n = MIN(len, size - 1);
        memcpy(dst, src, n);
        dst[n] = '\0';
    }
    return len;
}
