/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises and encodes call sites: callsite.h. */
#include "arch/x86_64/callsite.h"

#include "base/string.h"

#define NEAR_MAX (0x7fffffffll - 0x10000)

/* Padding between functions and blocks that is long enough for a jump: the multi-byte forms of NOP
 * that the SDM recommends, and those with more prefixes that assemblers make. */
static bool is_padding(const uint8_t *p, size_t len) {
    static const struct {
        uint8_t len, bytes[10];
    } forms[] = {
        {5, {0x0f, 0x1f, 0x44, 0x00, 0x00}},
        {6, {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00}},
        {7, {0x0f, 0x1f, 0x80, 0, 0, 0, 0}},
        {8, {0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0}},
        {9, {0x66, 0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0}},
        {10, {0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        if (len >= forms[i].len && memcmp(p, forms[i].bytes, forms[i].len) == 0) {
            return true;
        }
    }
    return false;
}

/* mov $nr, %eax: not the end of a longer instruction (one with a REX or operand-size prefix, or a
 * store of the same constant to the stack). */
static bool is_move(const uint8_t *at, uint64_t nr) {
    uint32_t imm;
    memcpy(&imm, at + 1, sizeof(imm));
    return at[0] == 0xb8 && imm == nr && (at[-1] & 0xf0) != 0x40 && at[-1] != 0x66 &&
           at[-2] != 0xc7 && at[-3] != 0xc7;
}

/* mov 8(%rsp), %r9: how libc's syscall() fetches the last argument. */
static bool is_last_argument(const uint8_t *at) {
    static const uint8_t code[] = {0x4c, 0x8b, 0x4c, 0x24, 0x08};
    return memcmp(at, code, sizeof(code)) == 0;
}

/*
 * xor %eax, %eax; syscall; cmp $-4096, %rax; ja; ret; padding: read(2) as compilers write it.  From
 * the syscall on the instructions follow one another without a jump in between, so what comes after
 * the ret is never fallen into.
 */
static bool is_read(const uint8_t *ip, uint64_t nr) {
    static const uint8_t compare[] = {0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff};
    return nr == 0 && ip[-4] == 0x31 && ip[-3] == 0xc0 && (ip[-5] & 0xf0) != 0x40 &&
           memcmp(ip, compare, sizeof(compare)) == 0 && ip[6] == 0x77 && ip[8] == 0xc3 &&
           is_padding(ip + 9, CALLSITE_AFTER - 9);
}

bool arch_callsite_match(const uint8_t *code, uint64_t ip, uint64_t nr, struct callsite *out) {
    const uint8_t *end = code + CALLSITE_BEFORE;
    memset(out, 0, sizeof(*out));
    out->ip = ip;
    if (end[-2] != 0x0f || end[-1] != 0x05) {
        return false;
    }
    if (is_move(end - 7, nr) || is_last_argument(end - 7)) {
        out->old_len = 5;
    } else if (is_read(end, nr)) {
        out->old_len = 2;
        out->pad = ip + 9;
        memcpy(out->pad_old, end + 9, sizeof(out->pad_old));
    } else {
        return false;
    }
    memcpy(out->old, end - 2 - out->old_len, out->old_len);
    return true;
}

static bool displacement(uint64_t next, uint64_t to, uint8_t out[4]) {
    int64_t distance = (int64_t)(to - next);
    int32_t near32 = (int32_t)distance;
    memcpy(out, &near32, sizeof(near32));
    return distance < NEAR_MAX && distance > -NEAR_MAX;
}

bool arch_callsite_jump(uint64_t at, uint64_t to, uint8_t out[5]) {
    out[0] = 0xe9;
    return displacement(at + 5, to, out + 1);
}

bool arch_callsite_trampoline(const struct callsite *s, uint64_t at, uint64_t entry_at,
                              uint8_t out[CALLSITE_SLOT]) {
    uint8_t *p = out;
    memset(out, 0xcc, CALLSITE_SLOT); /* int3 */
    memcpy(p, s->old, s->old_len);
    p += s->old_len;
    p[0] = 0x4c, p[1] = 0x8d, p[2] = 0x1d; /* lea ip(%rip), %r11 */
    bool near_site = displacement(at + (uint64_t)(p - out) + 7, s->ip, p + 3);
    p += 7;
    p[0] = 0xff, p[1] = 0x25; /* jmp *entry(%rip) */
    return displacement(at + (uint64_t)(p - out) + 6, entry_at, p + 2) && near_site;
}

static bool cas16(void *at, const uint64_t old[2], const uint64_t fresh[2]) {
    bool done;
    uint64_t low = old[0], high = old[1];
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*(uint64_t(*)[2])at), "+a"(low), "+d"(high)
                     : "b"(fresh[0]), "c"(fresh[1])
                     : "memory");
    return done;
}

bool arch_code_replace(void *page, uint64_t off, const uint8_t *old, const uint8_t *fresh,
                       size_t len, bool alone) {
    uint8_t *at = (uint8_t *)page + off;
    if (off / 16 != (off + len - 1) / 16) {
        if (!alone || memcmp(at, old, len) != 0) {
            return false;
        }
        memcpy(at, fresh, len);
        return true;
    }
    union {
        uint64_t words[2];
        uint8_t bytes[16];
    } was, now;
    memcpy(was.bytes, at - off % 16, sizeof(was.bytes));
    if (memcmp(was.bytes + off % 16, old, len) != 0) {
        return false;
    }
    now = was;
    memcpy(now.bytes + off % 16, fresh, len);
    return cas16(at - off % 16, was.words, now.words);
}
