/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/seccomp_bpf.h"

#include "base/string.h"

#include <linux/errno.h>

#define DATA_WORDS (sizeof(struct seccomp_data) / sizeof(uint32_t))

_Static_assert(sizeof(struct seccomp_data) == 64, "seccomp_data is 64 bytes");

/* The value of an operand: constant, or the register X. */
static inline uint32_t operand(const struct sock_filter *i, uint32_t x) {
    return BPF_SRC(i->code) == BPF_X ? x : i->k;
}

/* ---- check ---- */

static bool alu_ok(const struct sock_filter *i) {
    bool constant = BPF_SRC(i->code) == BPF_K;

    switch (BPF_OP(i->code)) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
        return true;
    case BPF_DIV:
        return !constant || i->k != 0;
    case BPF_LSH:
    case BPF_RSH:
        return !constant || i->k < 32;
    case BPF_NEG:
        return constant;
    default:
        return false; /* BPF_MOD is none of seccomp's */
    }
}

static bool jump_ok(const struct sock_filter *i, uint32_t at, uint32_t count) {
    uint32_t left = count - at - 1; /* instructions behind this one */

    switch (BPF_OP(i->code)) {
    case BPF_JA:
        return i->code == (BPF_JMP | BPF_JA) && i->k < left;
    case BPF_JEQ:
    case BPF_JGE:
    case BPF_JGT:
    case BPF_JSET:
        return i->jt < left && i->jf < left;
    default:
        return false;
    }
}

/* Is the instruction one of seccomp's, with operands in range?  Words of memory are not looked at
 * here. */
static bool insn_ok(const struct sock_filter *i, uint32_t at, uint32_t count) {
    switch (i->code) {
    case BPF_LD | BPF_W | BPF_ABS:
        return i->k < sizeof(struct seccomp_data) && i->k % sizeof(uint32_t) == 0;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
        return true;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
        return i->k < BPF_MEMWORDS;
    default:
        break;
    }
    if ((i->code & ~0xffu) != 0) {
        return false;
    }
    if (BPF_CLASS(i->code) == BPF_ALU) {
        return alu_ok(i);
    }
    return BPF_CLASS(i->code) == BPF_JMP && jump_ok(i, at, count);
}

/*
 * No word of memory may be read on a path that did not write it.  valid[at]: the words written on
 * every path that jumps to `at`; jumps go forward only, so one pass in order will do.
 */
static bool memory_ok(const struct sock_filter *code, uint32_t count) {
    static const uint16_t all = 0xffff;
    uint16_t valid[SECCOMP_INSNS_MAX]; /* 8 KiB: callers are near the top of their stack */
    uint16_t now = 0;

    memset(valid, 0xff, count * sizeof(valid[0]));
    for (uint32_t at = 0; at < count; at++) {
        const struct sock_filter *i = &code[at];
        now &= valid[at];
        switch (i->code) {
        case BPF_ST:
        case BPF_STX:
            now = (uint16_t)(now | (1u << i->k));
            break;
        case BPF_LD | BPF_MEM:
        case BPF_LDX | BPF_MEM:
            if ((now & (1u << i->k)) == 0) {
                return false;
            }
            break;
        case BPF_JMP | BPF_JA:
            valid[at + 1u + i->k] &= now;
            now = all;
            break;
        case BPF_RET | BPF_K:
        case BPF_RET | BPF_A:
            now = all; /* what follows is reached by jumps alone */
            break;
        default:
            if (BPF_CLASS(i->code) == BPF_JMP) {
                valid[at + 1u + i->jt] &= now;
                valid[at + 1u + i->jf] &= now;
                now = all;
            }
        }
    }
    return true;
}

int seccomp_bpf_check(const struct sock_filter *code, uint32_t count) {
    if (count == 0 || count > SECCOMP_INSNS_MAX) {
        return -EINVAL;
    }
    for (uint32_t at = 0; at < count; at++) {
        if (!insn_ok(&code[at], at, count)) {
            return -EINVAL;
        }
    }
    return BPF_CLASS(code[count - 1].code) == BPF_RET && memory_ok(code, count) ? 0 : -EINVAL;
}

/* ---- run ---- */

static uint32_t alu(const struct sock_filter *i, uint32_t a, uint32_t b) {
    switch (BPF_OP(i->code)) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_DIV:
        return b == 0 ? 0 : a / b; /* by X: the caller has ended the program before */
    case BPF_AND:
        return a & b;
    case BPF_OR:
        return a | b;
    case BPF_XOR:
        return a ^ b;
    case BPF_LSH:
        return b < 32 ? a << b : 0;
    case BPF_RSH:
        return b < 32 ? a >> b : 0;
    default: /* BPF_NEG */
        return 0u - a;
    }
}

static inline bool jump_taken(const struct sock_filter *i, uint32_t a, uint32_t b) {
    switch (BPF_OP(i->code)) {
    case BPF_JEQ:
        return a == b;
    case BPF_JGT:
        return a > b;
    case BPF_JGE:
        return a >= b;
    default: /* BPF_JSET */
        return (a & b) != 0;
    }
}

/* `known`: how many bytes at the start of the data may be read; false when the program wants more.
 */
static bool run(const struct sock_filter *code, uint32_t count, const uint32_t *words,
                uint32_t known, uint32_t *out) {
    uint32_t memory[BPF_MEMWORDS]; /* checked: written before they are read */
    uint32_t a = 0;
    uint32_t x = 0;

    for (uint32_t at = 0; at < count; at++) {
        const struct sock_filter *i = &code[at];
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (i->k >= known) {
                return false;
            }
            a = words[i->k / sizeof(uint32_t)];
            break;
        case BPF_JMP | BPF_JEQ | BPF_K: /* most of a filter */
            at += a == i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            *out = i->k;
            return true;
        case BPF_RET | BPF_A:
            *out = a;
            return true;
        case BPF_JMP | BPF_JA:
            at += i->k;
            break;
        case BPF_LD | BPF_IMM:
            a = i->k;
            break;
        case BPF_LDX | BPF_IMM:
            x = i->k;
            break;
        case BPF_LD | BPF_W | BPF_LEN:
            a = sizeof(struct seccomp_data);
            break;
        case BPF_LDX | BPF_W | BPF_LEN:
            x = sizeof(struct seccomp_data);
            break;
        case BPF_LD | BPF_MEM:
            a = memory[i->k];
            break;
        case BPF_LDX | BPF_MEM:
            x = memory[i->k];
            break;
        case BPF_ST:
            memory[i->k] = a;
            break;
        case BPF_STX:
            memory[i->k] = x;
            break;
        case BPF_MISC | BPF_TAX:
            x = a;
            break;
        case BPF_MISC | BPF_TXA:
            a = x;
            break;
        case BPF_ALU | BPF_DIV | BPF_X:
            if (x == 0) {
                *out = 0; /* bpf(4): the program ends with 0 */
                return true;
            }
            a /= x;
            break;
        default:
            if (BPF_CLASS(i->code) == BPF_ALU) {
                a = alu(i, a, operand(i, x));
            } else {
                at += jump_taken(i, a, operand(i, x)) ? i->jt : i->jf;
            }
        }
    }
    *out = SECCOMP_RET_KILL_PROCESS; /* a checked program ends with a return */
    return true;
}

uint32_t seccomp_bpf_run(const struct sock_filter *code, uint32_t count,
                         const struct seccomp_data *data) {
    uint32_t words[DATA_WORDS];
    uint32_t result = SECCOMP_RET_KILL_PROCESS;

    memcpy(words, data, sizeof(words));
    (void)run(code, count, words, sizeof(words), &result); /* all is known: it returns */
    return result;
}

bool seccomp_bpf_always_allows(const struct sock_filter *code, uint32_t count, int32_t nr,
                               uint32_t arch) {
    uint32_t words[2] = {(uint32_t)nr, arch};
    uint32_t result;

    _Static_assert(offsetof(struct seccomp_data, arch) == 4, "number and architecture come first");
    return run(code, count, words, sizeof(words), &result) &&
           (result & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW;
}
