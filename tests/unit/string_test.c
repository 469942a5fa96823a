/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The freestanding string functions against libc's, at every small size and alignment and around
 * the size where they change method.  They are compiled under other names (see meson.build).
 */
#include "check.h"

#include <stdint.h>
#include <string.h>

void *moat_memcpy(void *dst, const void *src, size_t len);
void *moat_memmove(void *dst, const void *src, size_t len);
void *moat_memset(void *dst, int byte, size_t len);
int moat_memcmp(const void *a, const void *b, size_t len);
void *moat_memchr(const void *s, int byte, size_t len);
size_t moat_strlen(const char *s);
size_t moat_strnlen(const char *s, size_t max);
int moat_strcmp(const char *a, const char *b);
int moat_strncmp(const char *a, const char *b, size_t max);
char *moat_strchr(const char *s, int c);
char *moat_strrchr(const char *s, int c);
char *moat_strstr(const char *haystack, const char *needle);
size_t moat_strlcpy(char *dst, const char *src, size_t size);

#define BUF 1024

static unsigned char a[BUF], b[BUF], want[BUF];

static void fill(unsigned char *p, unsigned long seed) {
    for (int i = 0; i < BUF; i++) {
        p[i] = (unsigned char)test_random(&seed);
    }
}

static void test_copy(void) {
    for (size_t len = 0; len < 300; len++) {
        for (size_t off = 0; off < 9; off++) {
            fill(a, 7 + len);
            fill(b, 9 + len);
            memcpy(want, b, BUF);
            memcpy(want + off, a + 3, len);
            CHECK(moat_memcpy(b + off, a + 3, len) == b + off);
            CHECK(memcmp(b, want, BUF) == 0);
            memset(want + off, (int)len, len);
            CHECK(moat_memset(b + off, (int)len, len) == b + off);
            CHECK(memcmp(b, want, BUF) == 0);
        }
    }
}

static void test_move(void) {
    for (size_t len = 0; len < 300; len++) {
        for (size_t dst = 0; dst < 40; dst += 3) {
            fill(a, len + 1);
            memcpy(want, a, BUF);
            memmove(want + dst, want + 20, len);
            CHECK(moat_memmove(a + dst, a + 20, len) == a + dst);
            CHECK(memcmp(a, want, BUF) == 0);
        }
    }
}

static int sign(int v) {
    return (v > 0) - (v < 0);
}

static void test_compare(void) {
    for (size_t len = 1; len < 40; len++) {
        for (size_t at = 0; at < len; at++) {
            fill(a, 5);
            memcpy(b, a, BUF);
            b[at] ^= 0x80;
            CHECK(sign(moat_memcmp(a, b, len)) == sign(memcmp(a, b, len)));
            CHECK(moat_memcmp(a, b, at) == 0);
            CHECK(moat_memchr(a, a[at], len) == memchr(a, a[at], len));
        }
    }
    CHECK(moat_memchr("abc", 'd', 3) == NULL);
}

static void test_strings(void) {
    static const char *const words[] = {"",    "a",    "ab",          "abc",
                                        "abd", "\xff", "hello world", "hello"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        CHECK(moat_strlen(words[i]) == strlen(words[i]));
        CHECK(moat_strnlen(words[i], 2) == strnlen(words[i], 2));
        CHECK(moat_strchr(words[i], 'l') == strchr(words[i], 'l'));
        CHECK(moat_strchr(words[i], 0) == strchr(words[i], 0));
        CHECK(moat_strrchr(words[i], 'l') == strrchr(words[i], 'l'));
        for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
            CHECK(sign(moat_strcmp(words[i], words[k])) == sign(strcmp(words[i], words[k])));
            CHECK(sign(moat_strncmp(words[i], words[k], 2)) ==
                  sign(strncmp(words[i], words[k], 2)));
            CHECK(moat_strstr(words[i], words[k]) == strstr(words[i], words[k]));
        }
    }
    char out[4];
    CHECK(moat_strlcpy(out, "abcdef", sizeof(out)) == 6 && strcmp(out, "abc") == 0);
    CHECK(moat_strlcpy(out, "x", sizeof(out)) == 1 && strcmp(out, "x") == 0);
}

int main(void) {
    test_copy();
    test_move();
    test_compare();
    test_strings();
    return 0;
}
