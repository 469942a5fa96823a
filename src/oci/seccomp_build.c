/* SPDX-License-Identifier: Apache-2.0 */
/* Writing classic BPF backwards: see seccomp_build.h. */
#include "oci/seccomp_build.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>

#define JUMP_MAX 255u /* a conditional jump's offset is a byte */

static bpf_label emit(struct bpf_build *b, struct sock_filter instruction) {
    if (b->error != 0) {
        return 0;
    }
    if (b->count == b->cap) {
        size_t cap = b->cap == 0 ? 256 : b->cap * 2;
        struct sock_filter *grown =
            cap > 2 * BPF_MAXINSNS ? NULL : reallocarray(b->code, cap, sizeof(*grown));
        if (grown == NULL) {
            b->error = cap > 2 * BPF_MAXINSNS ? -E2BIG : -ENOMEM;
            return 0;
        }
        b->code = grown;
        b->cap = cap;
    }
    b->code[b->count] = instruction;
    return (bpf_label)b->count++;
}

/* How far the next instruction is from `target`. */
static uint32_t distance(const struct bpf_build *b, bpf_label target) {
    return (uint32_t)b->count - 1 - target;
}

static bpf_label emit_far(struct bpf_build *b, bpf_label target) {
    return emit(b, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, distance(b, target)));
}

bpf_label build_return(struct bpf_build *b, uint32_t action) {
    for (size_t i = 0; i < b->return_count; i++) {
        if (b->returns[i].action == action) {
            return b->returns[i].label;
        }
    }
    bpf_label label = emit(b, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
    if (b->return_count < BUILD_RETURNS) {
        b->returns[b->return_count].action = action;
        b->returns[b->return_count++].label = label;
    }
    return label;
}

bpf_label build_load(struct bpf_build *b, size_t off) {
    return emit(b, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)off));
}

bpf_label build_and(struct bpf_build *b, uint32_t mask) {
    return emit(b, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
}

void build_goto(struct bpf_build *b, bpf_label target) {
    if (b->error == 0 && distance(b, target) != 0) {
        (void)emit_far(b, target); /* what is reached next, by its place */
    }
}

bpf_label build_jump(struct bpf_build *b, uint16_t op, uint32_t value, bpf_label yes,
                     bpf_label no) {
    if (b->error != 0) {
        return 0;
    }
    /* A step in between moves the other target further away: one of room for it. */
    if (distance(b, yes) > JUMP_MAX - 1) {
        yes = emit_far(b, yes);
    }
    if (distance(b, no) > JUMP_MAX - 1) {
        no = emit_far(b, no);
    }
    return emit(b,
                (struct sock_filter)BPF_JUMP(BPF_JMP | op | BPF_K, value, (uint8_t)distance(b, yes),
                                             (uint8_t)distance(b, no)));
}

static size_t low_word(const struct oci_seccomp_arg *arg) {
    return offsetof(struct seccomp_data, args) + 8 * arg->index;
}

static bpf_label compare_masked(struct bpf_build *b, const struct oci_seccomp_arg *arg,
                                bpf_label yes, bpf_label no) {
    uint64_t mask = arg->value, want = arg->value_two;
    (void)build_jump(b, BPF_JEQ, (uint32_t)want, yes, no); /* reached by its place, as the next */
    (void)build_and(b, (uint32_t)mask);
    bpf_label low = build_load(b, low_word(arg));
    (void)build_jump(b, BPF_JEQ, (uint32_t)(want >> 32), low, no);
    (void)build_and(b, (uint32_t)(mask >> 32));
    return build_load(b, low_word(arg) + 4);
}

/* op on the low words when the high ones are equal; `above` when the argument's high one is larger.
 */
static bpf_label compare_words(struct bpf_build *b, const struct oci_seccomp_arg *arg, uint16_t op,
                               bpf_label yes, bpf_label no, bpf_label above) {
    uint32_t high = (uint32_t)(arg->value >> 32);
    (void)build_jump(b, op, (uint32_t)arg->value, yes, no); /* reached by its place */
    bpf_label low = build_load(b, low_word(arg));
    bpf_label equal = build_jump(b, BPF_JEQ, high, low, no);
    if (above != no) {
        (void)build_jump(b, BPF_JGT, high, above, equal); /* reached by its place */
    }
    return build_load(b, low_word(arg) + 4);
}

bpf_label build_compare(struct bpf_build *b, const struct oci_seccomp_arg *arg, bpf_label yes,
                        bpf_label no) {
    switch (arg->op) {
    case SCMP_CMP_EQ:
        return compare_words(b, arg, BPF_JEQ, yes, no, no);
    case SCMP_CMP_NE:
        return compare_words(b, arg, BPF_JEQ, no, yes, yes);
    case SCMP_CMP_GT:
        return compare_words(b, arg, BPF_JGT, yes, no, yes);
    case SCMP_CMP_GE:
        return compare_words(b, arg, BPF_JGE, yes, no, yes);
    case SCMP_CMP_LE:
        return compare_words(b, arg, BPF_JGT, no, yes, no);
    case SCMP_CMP_LT:
        return compare_words(b, arg, BPF_JGE, no, yes, no);
    case SCMP_CMP_MASKED_EQ:
        return compare_masked(b, arg, yes, no);
    default:
        b->error = -EINVAL;
        return 0;
    }
}
