/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter that seccomp_compile makes, run by a little interpreter: random profiles must decide
 * as the program does that libseccomp makes of them, for every number and for arguments around
 * those of the rules.
 */
#include "oci/seccomp.h"

#include <assert.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NUMBERS 470

static bool g_with_args;
static uint64_t g_seed = 88172645463325252ull;

static uint32_t rnd(uint32_t limit) {
    g_seed ^= g_seed << 13;
    g_seed ^= g_seed >> 7;
    g_seed ^= g_seed << 17;
    return (uint32_t)((g_seed >> 11) % limit);
}

/* Classic BPF as seccomp(2) runs it. */
static uint32_t run(const struct sock_filter *code, size_t count, const struct seccomp_data *data) {
    uint32_t a = 0;
    for (size_t pc = 0; pc < count; pc++) {
        const struct sock_filter *f = &code[pc];
        bool yes;
        switch (f->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert(f->k + 4 <= sizeof(*data) && f->k % 4 == 0);
            memcpy(&a, (const char *)data + f->k, 4);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= f->k;
            continue;
        case BPF_JMP | BPF_JA:
            pc += f->k;
            continue;
        case BPF_RET | BPF_K:
            return f->k;
        case BPF_JMP | BPF_JEQ | BPF_K:
            yes = a == f->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            yes = a > f->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            yes = a >= f->k;
            break;
        default:
            fprintf(stderr, "instruction %#x\n", f->code);
            abort();
        }
        pc += yes ? f->jt : f->jf;
    }
    fprintf(stderr, "ran past the end\n");
    abort();
}

static struct sock_filter g_theirs[BPF_MAXINSNS];

static size_t compile_theirs(const struct oci_seccomp *s) {
    scmp_filter_ctx ctx = seccomp_init(s->default_action);
    assert(ctx != NULL);
    for (size_t i = 0; i < s->architecture_count; i++) {
        int e = seccomp_arch_add(ctx, s->architectures[i]);
        assert(e == 0 || e == -EEXIST);
    }
    for (size_t i = 0; i < s->rule_count; i++) {
        const struct oci_seccomp_rule *r = &s->rules[i];
        struct scmp_arg_cmp args[6];
        for (size_t n = 0; n < r->arg_count; n++) {
            args[n] = (struct scmp_arg_cmp){r->args[n].index, (enum scmp_compare)r->args[n].op,
                                            r->args[n].value, r->args[n].value_two};
        }
        for (size_t n = 0; n < r->names.count && r->action != s->default_action; n++) {
            int number = seccomp_syscall_resolve_name(r->names.items[n]);
            int e =
                seccomp_rule_add_array(ctx, r->action, number, (unsigned int)r->arg_count, args);
            assert(e == 0);
        }
    }
    int fd = memfd_create("theirs", 0);
    assert(fd >= 0 && seccomp_export_bpf(ctx, fd) == 0);
    ssize_t n = pread(fd, g_theirs, sizeof(g_theirs), 0);
    assert(n > 0 && n % (ssize_t)sizeof(g_theirs[0]) == 0);
    (void)close(fd);
    seccomp_release(ctx);
    return (size_t)n / sizeof(g_theirs[0]);
}

/* ---- random profiles ---- */

static uint64_t random_value(void) {
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      0x20000,
                                      0xffffffffull,
                                      0x100000000ull,
                                      0x7fffffffffffffffull,
                                      ~0ull,
                                      0x80000000ull};
    return values[rnd(ARRAY_COUNT(values))] + (rnd(4) == 0 ? rnd(3) : 0);
}

static void random_args(struct oci_seccomp_rule *r) {
    size_t count = g_with_args && rnd(3) == 0 ? 1 + rnd(3) : 0;
    r->args = calloc(count + 1, sizeof(*r->args));
    for (size_t i = 0; i < count; i++) {
        struct oci_seccomp_arg *a = &r->args[i];
        a->index = (uint32_t)(2 * i + rnd(2));
        a->op = SCMP_CMP_NE + rnd(7);
        a->value = random_value();
        /* Bits outside of the mask make a rule that libseccomp changes and we do not match. */
        a->value_two = a->op == SCMP_CMP_MASKED_EQ ? random_value() & a->value : 0;
    }
    r->arg_count = count;
}

static void random_profile(struct oci_seccomp *s) {
    static const uint32_t defaults[] = {SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(1), SCMP_ACT_KILL_PROCESS,
                                        SCMP_ACT_LOG};
    static const uint32_t actions[] = {SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(7), SCMP_ACT_TRAP,
                                       SCMP_ACT_TRACE(5), SCMP_ACT_LOG};
    static const uint32_t archs[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32};
    bool used[NUMBERS] = {false};
    *s = (struct oci_seccomp){.set = true, .default_action = defaults[rnd(4)]};
    s->architectures = calloc(3, sizeof(uint32_t));
    for (int i = 0; i < 3; i++) {
        if (rnd(2) == 0) {
            s->architectures[s->architecture_count++] = archs[i];
        }
    }
    s->rule_count = 1 + rnd(12);
    s->rules = calloc(s->rule_count, sizeof(*s->rules));
    for (size_t i = 0; i < s->rule_count; i++) {
        struct oci_seccomp_rule *r = &s->rules[i];
        r->action = actions[rnd(5)];
        random_args(r);
        for (uint32_t n = 1 + rnd(60); n > 0; n--) {
            uint32_t number = rnd(NUMBERS);
            char *name = used[number]
                             ? NULL
                             : seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)number);
            used[number] = true;
            if (name != NULL) {
                assert(strlist_add(&r->names, name) == 0);
            }
            free(name);
        }
        assert(strlist_add(&r->names, "a_call_of_the_future") == 0);
    }
}

static void free_profile(struct oci_seccomp *s) {
    for (size_t i = 0; i < s->rule_count; i++) {
        strlist_free(&s->rules[i].names);
        free(s->rules[i].args);
    }
    free(s->rules);
    free(s->architectures);
}

static uint64_t near_rule(const struct oci_seccomp *s, uint32_t index) {
    const struct oci_seccomp_rule *r = &s->rules[rnd((uint32_t)s->rule_count)];
    for (size_t i = 0; i < r->arg_count; i++) {
        if (r->args[i].index == index && rnd(3) != 0) {
            uint64_t v =
                r->args[i].op == SCMP_CMP_MASKED_EQ ? r->args[i].value_two : r->args[i].value;
            return v + rnd(3) - 1;
        }
    }
    return random_value();
}

/* libseccomp gives the unknown future calls no meaning, and neither do we; above the last named one
 * of an architecture we answer ENOSYS. */
static bool agrees(uint32_t ours, uint32_t theirs, const struct oci_seccomp *s) {
    return ours == theirs ||
           (ours == (SECCOMP_RET_ERRNO | ENOSYS) && theirs == s->default_action &&
            s->default_action != SCMP_ACT_ALLOW && s->default_action != SCMP_ACT_LOG);
}

static void compare(const struct oci_seccomp *s) {
    static const uint32_t archs[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_AARCH64};
    struct seccomp_program ours;
    struct err err = {0};
    struct oci_seccomp plain = *s;
    size_t theirs_count;
    bool any_args = false;
    for (size_t i = 0; i < s->rule_count; i++) {
        any_args = any_args || s->rules[i].arg_count > 0;
    }
    if (seccomp_compile(s, &ours, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    /* Names that it does not know are no rules to it. */
    for (size_t i = 0; i < plain.rule_count; i++) {
        plain.rules[i].names.count--;
    }
    theirs_count = compile_theirs(&plain);
    for (size_t i = 0; i < plain.rule_count; i++) {
        plain.rules[i].names.count++;
    }
    for (uint32_t k = 0; k < 12 * NUMBERS; k++) {
        struct seccomp_data data = {.arch = archs[rnd(8) == 0 ? 2 : rnd(2)],
                                    .nr = (int)(k % NUMBERS)};
        if (data.arch == SCMP_ARCH_X86_64 && rnd(3) == 0) {
            data.nr |= 0x40000000;
        }
        if (data.arch == SCMP_ARCH_X86 && (data.nr == 102 || data.nr == 117)) {
            continue; /* the second ways, below */
        }
        for (uint32_t i = 0; i < 6; i++) {
            data.args[i] = near_rule(s, i);
            if (data.arch == SCMP_ARCH_X86) {
                data.args[i] &= 0xffffffff;
            }
        }
        uint32_t a = run(ours.code, ours.count, &data);
        uint32_t b = run(g_theirs, theirs_count, &data);
        /* On x86 and x32 libseccomp looks at the low word of a rule's value alone, we at both. */
        bool words = data.arch == SCMP_ARCH_X86 || (data.nr & 0x40000000) != 0;
        if (!agrees(a, b, s) && !(words && any_args)) {
            fprintf(stderr, "arch %#x nr %d: %#x, libseccomp %#x (default %#x)\n", data.arch,
                    data.nr, a, b, s->default_action);
            abort();
        }
    }
    seccomp_program_free(&ours);
}

/* ---- what libseccomp is not asked about ---- */

static uint32_t decide(const struct seccomp_program *p, uint32_t arch, int nr, uint64_t arg0) {
    const struct seccomp_data data = {.arch = arch, .nr = nr, .args = {arg0}};
    return run(p->code, p->count, &data);
}

static void test_second_ways_and_future(void) {
    char *names[] = {(char *)(uintptr_t) "socket", (char *)(uintptr_t) "read", NULL};
    struct oci_seccomp_rule rule = {.names = {names, 2, 3}, .action = SCMP_ACT_ALLOW};
    uint32_t archs[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86};
    struct oci_seccomp s = {.set = true,
                            .default_action = SCMP_ACT_ERRNO(1),
                            .rules = &rule,
                            .rule_count = 1,
                            .architectures = archs,
                            .architecture_count = 2};
    struct seccomp_program p;
    struct err err = {0};
    assert(seccomp_compile(&s, &p, &err) == 0);
    assert(decide(&p, SCMP_ARCH_X86, 102, 1) == SECCOMP_RET_ALLOW); /* socketcall(SYS_SOCKET) */
    assert(decide(&p, SCMP_ARCH_X86, 359, 2) == SECCOMP_RET_ALLOW);
    assert(decide(&p, SCMP_ARCH_X86, 102, 2) == SCMP_ACT_ERRNO(1)); /* bind was not named */
    assert(decide(&p, SCMP_ARCH_X86_64, 41, 0) == SECCOMP_RET_ALLOW);
    assert(decide(&p, SCMP_ARCH_X86_64, 40, 0) == SCMP_ACT_ERRNO(1));
    assert(decide(&p, SCMP_ARCH_X86_64, 42, 0) == SCMP_ACT_ERRNO(ENOSYS));
    assert(decide(&p, SCMP_ARCH_X86_64, 0x40000000, 0) == SECCOMP_RET_KILL_THREAD);
    assert(decide(&p, SCMP_ARCH_AARCH64, 41, 0) == SECCOMP_RET_KILL_THREAD);
    seccomp_program_free(&p);
}

static void test_alternatives_in_order(void) {
    char *names[] = {(char *)(uintptr_t) "personality", NULL};
    struct oci_seccomp_arg twice[] = {{.index = 0, .value = 8, .op = SCMP_CMP_EQ},
                                      {.index = 0, .value = 0x20000, .op = SCMP_CMP_EQ}};
    struct oci_seccomp_arg high[] = {{.index = 0, .value = 8, .op = SCMP_CMP_GE}};
    struct oci_seccomp_rule rules[] = {
        {.names = {names, 1, 2}, .action = SCMP_ACT_ALLOW, .args = twice, .arg_count = 2},
        {.names = {names, 1, 2}, .action = SCMP_ACT_TRAP, .args = high, .arg_count = 1},
        {.names = {names, 1, 2}, .action = SCMP_ACT_ERRNO(9)},
    };
    struct oci_seccomp s = {
        .set = true, .default_action = SCMP_ACT_KILL_PROCESS, .rules = rules, .rule_count = 3};
    struct seccomp_program p;
    struct err err = {0};
    assert(seccomp_compile(&s, &p, &err) == 0);
    assert(decide(&p, SCMP_ARCH_X86_64, 135, 8) == SECCOMP_RET_ALLOW);
    assert(decide(&p, SCMP_ARCH_X86_64, 135, 0x20000) == SECCOMP_RET_ALLOW);
    assert(decide(&p, SCMP_ARCH_X86_64, 135, 9) == SECCOMP_RET_TRAP);
    assert(decide(&p, SCMP_ARCH_X86_64, 135, 7) == SCMP_ACT_ERRNO(9));
    seccomp_program_free(&p);
    twice[0].index = 6;
    assert(seccomp_compile(&s, &p, &err) == -EINVAL && strstr(err.msg, "index") != NULL);
}

int main(void) {
    test_second_ways_and_future();
    test_alternatives_in_order();
    for (int i = 0; i < 300; i++) {
        struct oci_seccomp s;
        g_with_args = i % 2 == 0;
        random_profile(&s);
        compare(&s);
        free_profile(&s);
    }
    return 0;
}
