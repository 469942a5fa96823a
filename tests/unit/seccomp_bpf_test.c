/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of guests: whatever passes the check runs to its end inside its bounds (sanitizers
 * watch), and what is said to be allowed always is allowed with any arguments.
 */
#include "check.h"

#include "kernel/seccomp_bpf.h"

#include <errno.h>
#include <linux/audit.h>
#include <string.h>

static unsigned long g_seed = 20261122;

static const uint16_t g_codes[] = {BPF_LD | BPF_W | BPF_ABS,
                                   BPF_LD | BPF_W | BPF_LEN,
                                   BPF_LDX | BPF_W | BPF_LEN,
                                   BPF_LD | BPF_IMM,
                                   BPF_LDX | BPF_IMM,
                                   BPF_LD | BPF_MEM,
                                   BPF_LDX | BPF_MEM,
                                   BPF_ST,
                                   BPF_STX,
                                   BPF_ALU | BPF_ADD | BPF_K,
                                   BPF_ALU | BPF_SUB | BPF_X,
                                   BPF_ALU | BPF_MUL | BPF_K,
                                   BPF_ALU | BPF_DIV | BPF_K,
                                   BPF_ALU | BPF_DIV | BPF_X,
                                   BPF_ALU | BPF_AND | BPF_K,
                                   BPF_ALU | BPF_OR | BPF_X,
                                   BPF_ALU | BPF_XOR | BPF_K,
                                   BPF_ALU | BPF_LSH | BPF_K,
                                   BPF_ALU | BPF_LSH | BPF_X,
                                   BPF_ALU | BPF_RSH | BPF_X,
                                   BPF_ALU | BPF_NEG,
                                   BPF_JMP | BPF_JA,
                                   BPF_JMP | BPF_JEQ | BPF_K,
                                   BPF_JMP | BPF_JEQ | BPF_X,
                                   BPF_JMP | BPF_JGT | BPF_K,
                                   BPF_JMP | BPF_JGE | BPF_X,
                                   BPF_JMP | BPF_JSET | BPF_K,
                                   BPF_RET | BPF_K,
                                   BPF_RET | BPF_A,
                                   BPF_MISC | BPF_TAX,
                                   BPF_MISC | BPF_TXA};
static const uint32_t g_actions[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 1,
                                     SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW};

static uint32_t rnd(uint32_t below) {
    return (uint32_t)(test_random(&g_seed) >> 16) % below;
}

/* Mostly sound instructions, some wild ones. */
static struct sock_filter make(uint32_t left) {
    struct sock_filter i = {.code = g_codes[rnd(ARRAY_COUNT(g_codes))]};
    i.jt = (uint8_t)rnd(MIN(left, 256u) + 1);
    i.jf = (uint8_t)rnd(MIN(left, 256u) + 1);
    switch (BPF_CLASS(i.code)) {
    case BPF_RET:
        i.k = g_actions[rnd(ARRAY_COUNT(g_actions))];
        break;
    case BPF_JMP:
        i.k = i.code == (BPF_JMP | BPF_JA) ? rnd(left + 1) : rnd(8);
        break;
    case BPF_LD:
        i.k = BPF_MODE(i.code) == BPF_ABS ? rnd(16) * 4 : rnd(17);
        break;
    default:
        i.k = rnd(33);
    }
    if (rnd(60) == 0) {
        i.code = (uint16_t)test_random(&g_seed);
    }
    if (rnd(60) == 0) {
        i.k = (uint32_t)test_random(&g_seed);
    }
    return i;
}

static void try_one(const struct sock_filter *code, uint32_t count) {
    int32_t nr = (int32_t)rnd(8);
    bool always = seccomp_bpf_always_allows(code, count, nr, AUDIT_ARCH_X86_64);
    for (int i = 0; i < 4; i++) {
        struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64};
        d.instruction_pointer = test_random(&g_seed);
        for (int a = 0; a < 6; a++) {
            d.args[a] = rnd(2) != 0 ? rnd(8) : test_random(&g_seed);
        }
        uint32_t action = seccomp_bpf_run(code, count, &d) & SECCOMP_RET_ACTION_FULL;
        CHECK(!always || action == SECCOMP_RET_ALLOW);
    }
}

static void test_random_programs(void) {
    uint32_t accepted = 0;
    for (int round = 0; round < 400000; round++) {
        uint32_t count = 1 + rnd(12);
        /* Exactly as long as it is, so that a step beyond it is seen. */
        struct sock_filter *code = malloc(count * sizeof(*code));
        CHECK(code != NULL);
        for (uint32_t i = 0; i < count; i++) {
            code[i] = make(count - i - 1);
        }
        code[count - 1].code = BPF_RET | BPF_K;
        code[count - 1].k = g_actions[rnd(ARRAY_COUNT(g_actions))];
        if (seccomp_bpf_check(code, count) == 0) {
            accepted++;
            try_one(code, count);
        }
        free(code);
    }
    CHECK(accepted > 10000);
}

static void test_always(void) {
    /* Allows 1 whatever comes, 2 by an argument, and nothing else. */
    const struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
                                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                                       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 3, 0),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 3),
                                       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 0, 1),
                                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1)};
    CHECK(seccomp_bpf_check(code, ARRAY_COUNT(code)) == 0);
    CHECK(seccomp_bpf_always_allows(code, ARRAY_COUNT(code), 1, AUDIT_ARCH_X86_64));
    CHECK(!seccomp_bpf_always_allows(code, ARRAY_COUNT(code), 2, AUDIT_ARCH_X86_64));
    CHECK(!seccomp_bpf_always_allows(code, ARRAY_COUNT(code), 3, AUDIT_ARCH_X86_64));
    CHECK(!seccomp_bpf_always_allows(code, ARRAY_COUNT(code), 1, 0));
    struct seccomp_data d = {.nr = 2, .arch = AUDIT_ARCH_X86_64, .args = {7}};
    CHECK(seccomp_bpf_run(code, ARRAY_COUNT(code), &d) == SECCOMP_RET_ALLOW);
    d.args[0] = 8;
    CHECK(seccomp_bpf_run(code, ARRAY_COUNT(code), &d) == (SECCOMP_RET_ERRNO | 1));
}

static void test_limits(void) {
    static struct sock_filter code[SECCOMP_INSNS_MAX + 1];
    for (uint32_t i = 0; i <= SECCOMP_INSNS_MAX; i++) {
        code[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, i);
    }
    code[SECCOMP_INSNS_MAX - 1].code = BPF_RET | BPF_K;
    code[SECCOMP_INSNS_MAX].code = BPF_RET | BPF_K;
    CHECK(seccomp_bpf_check(code, SECCOMP_INSNS_MAX) == 0);
    CHECK(seccomp_bpf_check(code, SECCOMP_INSNS_MAX + 1) == -EINVAL);
    CHECK(seccomp_bpf_check(code, 0) == -EINVAL);
    CHECK(seccomp_bpf_check(code, 1) == -EINVAL); /* does not return */
}

int main(void) {
    test_always();
    test_limits();
    test_random_programs();
    return 0;
}
