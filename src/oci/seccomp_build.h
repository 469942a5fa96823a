/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a classic BPF program for seccomp (linux/filter.h, linux/seccomp.h) from its end to its
 * beginning: jumps go forward only, so that every target is known when a jump to it is written.
 */
#ifndef MOAT_OCI_SECCOMP_BUILD_H
#define MOAT_OCI_SECCOMP_BUILD_H

#include "oci/spec.h"

#include <linux/filter.h>

#define BUILD_RETURNS 16

struct bpf_build {
    struct sock_filter *code; /* the last instruction first */
    size_t count, cap;
    int error; /* 0, or the first -errno; everything is a no-op then */
    struct {
        uint32_t action;
        uint32_t label;
    } returns[BUILD_RETURNS]; /* written already */
    size_t return_count;
};

/* A place in the program: how many instructions follow it. */
typedef uint32_t bpf_label;

bpf_label build_return(struct bpf_build *b, uint32_t action);
/* Loads the word at `off` of struct seccomp_data and goes on with what was written last. */
bpf_label build_load(struct bpf_build *b, size_t off);
bpf_label build_and(struct bpf_build *b, uint32_t mask);
/* BPF_JEQ, BPF_JGT or BPF_JGE of the loaded word and `value`. */
bpf_label build_jump(struct bpf_build *b, uint16_t op, uint32_t value, bpf_label yes, bpf_label no);
/* Makes `target` the instruction that is reached next. */
void build_goto(struct bpf_build *b, bpf_label target);
/* The argument is compared as 64 bits; yes and no as above.  The start of the comparison. */
bpf_label build_compare(struct bpf_build *b, const struct oci_seccomp_arg *arg, bpf_label yes,
                        bpf_label no);

#endif
