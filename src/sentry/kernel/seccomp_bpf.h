/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic BPF as seccomp filters use it: checking a program, and running it.  Pure.
 *
 * Trust: programs are a guest's (or an image's profile).  Only a program that passed the check may
 * be run: it reads nothing but the 64 bytes of its data and its own 16 words, and jumps only
 * forward, so it ends after at most `count` steps.
 *
 * Sources: seccomp(2), bpf(4)'s instruction set, linux/filter.h, linux/seccomp.h.
 */
#ifndef MOAT_SENTRY_SECCOMP_BPF_H
#define MOAT_SENTRY_SECCOMP_BPF_H

#include "base/types.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

#define SECCOMP_INSNS_MAX 4096u /* BPF_MAXINSNS */

/* 0 or -EINVAL. */
must_check int seccomp_bpf_check(const struct sock_filter *code, uint32_t count);
/* What a checked program returns: SECCOMP_RET_* with data. */
uint32_t seccomp_bpf_run(const struct sock_filter *code, uint32_t count,
                         const struct seccomp_data *data);
/* Does it allow call `nr` of architecture `arch` whatever the arguments and the caller's address
 * are? False also when that cannot be told without them. */
bool seccomp_bpf_always_allows(const struct sock_filter *code, uint32_t count, int32_t nr,
                               uint32_t arch);

#endif
