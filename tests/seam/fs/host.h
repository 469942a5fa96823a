/* SPDX-License-Identifier: Apache-2.0 */
/* libc's side of the fakes, in kernel types. */
#ifndef MOAT_TESTS_FS_HOST_H
#define MOAT_TESTS_FS_HOST_H

#include "base/types.h"

noreturn_fn void host_die(const char *file, int line, const char *what);
void *host_alloc(size_t size);
void *host_realloc(void *p, size_t size);
void host_free(void *p);
void host_init(void);

#endif
