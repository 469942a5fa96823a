/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in for the rest of the kernel and for the host around the VFS; for one thread. */
#ifndef MOAT_TESTS_FS_FAKES_H
#define MOAT_TESTS_FS_FAKES_H

#include "base/types.h"

noreturn_fn void fakes_die(const char *file, int line, const char *what);
#define FAKE_CHECK(cond)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fakes_die(__FILE__, __LINE__, #cond);                                                  \
        }                                                                                          \
    } while (0)

void fakes_init(void);
uint64_t fakes_random(void);
void fakes_seed(uint64_t seed);
void fakes_cred_set(uint32_t uid, uint32_t gid, uint64_t capabilities);

#endif
