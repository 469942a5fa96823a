/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions that are counted, for programs of several files: one of them defines g_checks. */
#ifndef MOAT_TESTS_COUNTED_CHECK_H
#define MOAT_TESTS_COUNTED_CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

extern unsigned int g_checks;
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        g_checks++;                                                                                \
        if (!(cond)) {                                                                             \
            (void)fprintf(stderr, "%s:%d: failed: %s (errno %d)\n", __FILE__, __LINE__, #cond,     \
                          errno);                                                                  \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_EQ(got, want)                                                                        \
    do {                                                                                           \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        g_checks++;                                                                                \
        if (got_ != want_) {                                                                       \
            (void)fprintf(stderr, "%s:%d: %s is %lld, not %lld (%s)\n", __FILE__, __LINE__, #got,  \
                          got_, want_, #want);                                                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#endif
