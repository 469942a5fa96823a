/* SPDX-License-Identifier: Apache-2.0 */
/* Files in memory that carry a few bytes to another process: memfd_create(2). */
#ifndef MOAT_HOST_MEMFD_H
#define MOAT_HOST_MEMFD_H

#include "base/types.h"

/* One that holds `data` and stands at its beginning, close-on-exec: descriptor or -errno. */
must_check int memfd_make(const char *name, const void *data, size_t size);

#endif
