/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call sites that can be rewritten to a jump: what they look like, and the code that takes their
 * place (Intel SDM volume 2 for the encodings).
 *
 * The syscall instruction itself always stays: who jumps to it, is restarted at it or sleeps in it
 * meets what was there before.  What gives way are the five bytes of an instruction right before
 * it, or two bytes before it where five bytes of padding are near.  The instruction that gave way
 * is the first of the site's trampoline.
 */
#ifndef MOAT_SENTRY_ARCH_CALLSITE_H
#define MOAT_SENTRY_ARCH_CALLSITE_H

#include "base/types.h"

#define CALLSITE_BEFORE                                                                            \
    16u                    /* bytes looked at before the address behind the syscall instruction    \
                            */
#define CALLSITE_AFTER 24u /* and from there on */
#define CALLSITE_SLOT  32u /* bytes of a trampoline; the first slot of a page holds the entry */

struct callsite {
    uint64_t ip;     /* behind the syscall instruction */
    uint64_t pad;    /* where padding takes the long jump, 0: the site itself does */
    uint8_t old[8];  /* the instruction that gives way */
    uint8_t old_len; /* 5, or 2 with padding */
    uint8_t pad_old[5];
};

static inline uint64_t callsite_start(const struct callsite *s) {
    return s->ip - 2 - s->old_len;
}

/* Whether the site behind which `code` was read (CALLSITE_BEFORE bytes before ip, CALLSITE_AFTER
 * from it) can be rewritten; its call had number `nr`. */
bool arch_callsite_match(const uint8_t *code, uint64_t ip, uint64_t nr, struct callsite *out);
/* The trampoline of `s` at address `at`; the entry's address lies at `entry_at`.  False when the
 * distance is too far. */
bool arch_callsite_trampoline(const struct callsite *s, uint64_t at, uint64_t entry_at,
                              uint8_t out[CALLSITE_SLOT]);
/* A jump of five bytes from `at` to `to`; false when it is too far. */
bool arch_callsite_jump(uint64_t at, uint64_t to, uint8_t out[5]);
/* Replaces `len` bytes (at most 16) at `page + off` when they are `old`: at once for whoever
 * executes them where they lie in one aligned 16 bytes; else false unless `alone`. */
bool arch_code_replace(void *page, uint64_t off, const uint8_t *old, const uint8_t *fresh,
                       size_t len, bool alone);

#endif
