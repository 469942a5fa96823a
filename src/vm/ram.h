/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's memory as a file on a file system of its own, as large as the machine's memory and no
 * larger, whatever /dev/shm of the host may hold: what restoring a template needs.
 */
#ifndef MOAT_VM_RAM_H
#define MOAT_VM_RAM_H

#include "host/err.h"

#include <sys/types.h>

#define RAM_FILE "memory" /* in the root of the mount */

struct ram {
    int mount; /* detached */
    int file;
};

/* `size` bytes, all zero, that `owner` may read and write. */
must_check int ram_open(uint64_t size, uid_t owner, struct ram *out, struct err *err);
/* Copies what `from` holds where it is no hole; both are of the same size. */
must_check int ram_fill(const struct ram *to, int from, struct err *err);
/* Writes what is not zero to `to`, an empty file, and makes it as large. */
must_check int ram_save(const struct ram *from, int to, struct err *err);
void ram_close(struct ram *r);

#endif
