/* SPDX-License-Identifier: Apache-2.0 */
/* Which call sites are rewritten, and what takes their place. */
#include "arch/x86_64/callsite.h"
#include "check.h"

#include <string.h>

#define IP 0x401020ull

static uint8_t g_code[CALLSITE_BEFORE + CALLSITE_AFTER];

/* `before` ends with the syscall instruction. */
static bool match(const void *before, size_t before_len, const void *after, size_t after_len,
                  uint64_t nr, struct callsite *s) {
    memset(g_code, 0x90, sizeof(g_code));
    memcpy(g_code + CALLSITE_BEFORE - before_len, before, before_len);
    memcpy(g_code + CALLSITE_BEFORE, after, after_len);
    return arch_callsite_match(g_code, IP, nr, s);
}
#define MATCH(before, after, nr, s)                                                                \
    match(before, sizeof(before) - 1, after, sizeof(after) - 1, nr, s)

static void moves(void) {
    struct callsite s;
    CHECK(MATCH("\xf3\x0f\x1e\xfa\xb8\x6e\0\0\0\x0f\x05", "\xc3", 110, &s));
    CHECK(s.ip == IP && s.old_len == 5 && s.pad == 0 && callsite_start(&s) == IP - 7);
    CHECK(memcmp(s.old, "\xb8\x6e\0\0\0", 5) == 0);
    CHECK(!MATCH("\xb8\x6e\0\0\0\x0f\x05", "\xc3", 111, &s));         /* another number */
    CHECK(!MATCH("\x41\xb8\x6e\0\0\0\x0f\x05", "\xc3", 110, &s));     /* mov to r8d */
    CHECK(!MATCH("\x66\xb8\x6e\0\0\0\x0f\x05", "\xc3", 110, &s));     /* mov to ax */
    CHECK(!MATCH("\xc7\x45\xb8\x6e\0\0\0\x0f\x05", "\xc3", 110, &s)); /* a store */
    CHECK(!MATCH("\xc7\x44\x24\xb8\x6e\0\0\0\x0f\x05", "\xc3", 110, &s));
    CHECK(!MATCH("\xb8\x6e\0\0\0\x0f\x34", "\xc3", 110, &s)); /* sysenter */
    CHECK(!MATCH("\xb8\x6e\0\0\0\x90\x0f\x05", "\xc3", 110, &s));
    CHECK(MATCH("\x4d\x89\xc8\x4c\x8b\x4c\x24\x08\x0f\x05", "\x48\x3d", 7, &s));
    CHECK(s.old_len == 5 && memcmp(s.old, "\x4c\x8b\x4c\x24\x08", 5) == 0);
}

#define COMPARE "\x48\x3d\x00\xf0\xff\xff\x77\x5b\xc3"

static void reads(void) {
    struct callsite s;
    CHECK(MATCH("\x74\x17\x31\xc0\x0f\x05", COMPARE "\x66\x2e\x0f\x1f\x84\0\0\0\0\0", 0, &s));
    CHECK(s.old_len == 2 && s.pad == IP + 9 && callsite_start(&s) == IP - 4);
    CHECK(memcmp(s.pad_old, "\x66\x2e\x0f\x1f\x84", 5) == 0);
    CHECK(MATCH("\x74\x17\x31\xc0\x0f\x05", COMPARE "\x0f\x1f\x44\0\0", 0, &s));
    CHECK(!MATCH("\x74\x17\x31\xc0\x0f\x05", COMPARE "\x0f\x1f\x40\0\x55\x48", 0, &s)); /* short */
    CHECK(!MATCH("\x74\x17\x31\xc0\x0f\x05", COMPARE "\x55\x48\x89\xe5\0\0\0", 0, &s)); /* code */
    CHECK(!MATCH("\x74\x17\x31\xc0\x0f\x05", COMPARE "\x0f\x1f\x44\0\0", 1, &s));
    CHECK(!MATCH("\x45\x31\xc0\x0f\x05", COMPARE "\x0f\x1f\x44\0\0", 0, &s)); /* xor r8d, r8d */
    CHECK(!MATCH("\x74\x17\x31\xc0\x0f\x05", "\x48\x3d\x00\xf0\xff\xff\x77\x5b\x90\x0f\x1f\x44\0\0",
                 0, &s)); /* falls through */
}

static int32_t rel32(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static void code(void) {
    struct callsite s;
    uint8_t out[CALLSITE_SLOT], jump[5];
    const uint64_t at = 0x3ef040, entry_at = 0x3ef000;
    CHECK(MATCH("\xb8\x6e\0\0\0\x0f\x05", "\xc3", 110, &s));
    CHECK(arch_callsite_trampoline(&s, at, entry_at, out));
    CHECK(memcmp(out, "\xb8\x6e\0\0\0\x4c\x8d\x1d", 8) == 0 &&
          memcmp(out + 12, "\xff\x25", 2) == 0);
    CHECK(at + 12 + (uint64_t)(int64_t)rel32(out + 8) == IP);
    CHECK(at + 18 + (uint64_t)(int64_t)rel32(out + 14) == entry_at);
    CHECK(out[18] == 0xcc && out[CALLSITE_SLOT - 1] == 0xcc);
    CHECK(arch_callsite_jump(IP - 7, at, jump) && jump[0] == 0xe9);
    CHECK(IP - 2 + (uint64_t)(int64_t)rel32(jump + 1) == at);
    CHECK(!arch_callsite_jump(IP, IP + (2ull << 30), jump));
    CHECK(!arch_callsite_jump(0x7ffff0000000, 0x400000, jump));
    CHECK(!arch_callsite_trampoline(&s, at + (3ull << 30), entry_at, out));
}

static void replaced_at_once(void) {
    static uint8_t page[64] __attribute__((aligned(64)));
    const uint8_t old[] = {1, 2, 3, 4, 5}, fresh[] = {6, 7, 8, 9, 10};
    for (uint64_t off = 0; off + sizeof(old) <= sizeof(page); off++) {
        bool within = off % 16 <= 11;
        memset(page, 0xaa, sizeof(page));
        CHECK(!arch_code_replace(page, off, old, fresh, sizeof(old), true));
        memcpy(page + off, old, sizeof(old));
        CHECK(arch_code_replace(page, off, old, fresh, sizeof(old), false) == within);
        CHECK(within || arch_code_replace(page, off, old, fresh, sizeof(old), true));
        CHECK(memcmp(page + off, fresh, sizeof(fresh)) == 0);
        for (uint64_t i = 0; i < sizeof(page); i++) {
            CHECK((i >= off && i < off + sizeof(old)) || page[i] == 0xaa);
        }
    }
}

int main(void) {
    moves();
    reads();
    code();
    replaced_at_once();
    return 0;
}
