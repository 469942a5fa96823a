/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host a container's Gofer serves: its root and its bind mounts, in that order. */
#ifndef MOAT_SANDBOX_EXPORTS_H
#define MOAT_SANDBOX_EXPORTS_H

#include "oci/container.h"

struct export_source {
    const char *path; /* on the host */
    uint32_t flags;   /* MOAT_GOFER_EXPORT_* */
};

/* Number of exports: the root's and one for each bind mount. */
uint32_t exports_count(const struct container *c);
/* The index-th of them. */
struct export_source exports_get(const struct container *c, uint32_t index);
/* An O_PATH descriptor of a directory or regular file, or -errno with *err. */
must_check int exports_open(const struct export_source *source, struct err *err);
/* The same as the root of a mount of its own (then with MOAT_GOFER_EXPORT_OWN in source->flags),
 * where the caller may make one. */
must_check int exports_open_own(struct export_source *source, struct err *err);

#endif
