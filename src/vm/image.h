/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest image: a kernel, and an initramfs for each kind of agent (agent/inside.h) with the
 * modules it needs, in a folder named by the digest of what they were made of.  GUEST/current leads
 * to the one in use.
 */
#ifndef MOAT_VM_IMAGE_H
#define MOAT_VM_IMAGE_H

#include "host/err.h"

#include <limits.h>
#include <time.h>

struct image_build {
    const char *kernel;  /* bzImage or ELF, or NULL: found or fetched */
    const char *modules; /* its /lib/modules/RELEASE, with kernel; or NULL */
    const char *output;  /* GUEST, or NULL: the customary place */
};

/* Builds (or finds built) and makes it current; *out_path gets its folder. */
must_check int image_build(const struct image_build *how, char out_path[PATH_MAX], struct err *err);
/* Where images are kept: $MOAT_GUEST, /var/lib/moat/guest, or the user's own data folder. */
void image_place(char out_path[PATH_MAX]);
/* Which agent a machine starts: agent/inside.h. */
enum image_agent { IMAGE_AGENT_NATIVE, IMAGE_AGENT_SENTRY, IMAGE_AGENTS };
/* Names of files of an image, NULL at the end. */
extern const char *const g_image_files[];

/* The current image's files, as detached mounts.  *out_lock keeps the image from being pruned for
 * as long as it is open. */
must_check int image_open(enum image_agent agent, int *out_kernel, int *out_initramfs,
                          int *out_lock, struct err *err);

struct image_entry {
    char name[40];
    uint64_t size; /* bytes */
    time_t built;
    bool is_current;
    bool in_use; /* a machine runs on it */
};
/* Calls `each` for every image kept at `place` (NULL: image_place); it ends the list by another
 * result than 0. */
must_check int image_list(const char *place,
                          int (*each)(void *arg, const struct image_entry *entry), void *arg,
                          struct err *err);
/* Removes those that are neither current nor in use, and what killed builds left; `each` is called
 * for every image that went. */
must_check int image_prune(const char *place,
                           int (*each)(void *arg, const struct image_entry *entry), void *arg,
                           struct err *err);

/* The kernel of a bzImage, uncompressed where its compression is known (LZ4), so that no guest has
 * to do it at each start; else the file as it is.  *out is the caller's to free. */
must_check int kernel_unpack(const char *file, size_t size, char **out, size_t *out_size);

#endif
