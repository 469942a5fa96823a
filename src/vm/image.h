/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest image: a kernel and an initramfs with the agent and the modules it needs, in a folder
 * named by the digest of what they were made of.  GUEST/current leads to the one in use.
 */
#ifndef MOAT_VM_IMAGE_H
#define MOAT_VM_IMAGE_H

#include "host/err.h"

#include <limits.h>

struct image_build {
    const char *kernel;  /* bzImage or ELF, or NULL: found or fetched */
    const char *modules; /* its /lib/modules/RELEASE, with kernel; or NULL */
    const char *output;  /* GUEST, or NULL: the customary place */
};

/* Builds (or finds built) and makes it current; *out_path gets its folder. */
must_check int image_build(const struct image_build *how, char out_path[PATH_MAX], struct err *err);
/* Where images are kept: $MOAT_GUEST, /var/lib/moat/guest, or the user's own data folder. */
void image_place(char out_path[PATH_MAX]);
/* The current image's files, as detached mounts. */
must_check int image_open(int *out_kernel, int *out_initramfs, struct err *err);

/* The kernel of a bzImage, uncompressed where its compression is known (LZ4), so that no guest has
 * to do it at each start; else the file as it is.  *out is the caller's to free. */
must_check int kernel_unpack(const char *file, size_t size, char **out, size_t *out_size);

#endif
