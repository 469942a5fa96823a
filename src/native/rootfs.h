/* SPDX-License-Identifier: Apache-2.0 */
/* The root of a native container. */
#ifndef MOAT_NATIVE_ROOTFS_H
#define MOAT_NATIVE_ROOTFS_H

#include "host/err.h"
#include "oci/container.h"

/* In the container's own mount name space: builds its root (overlay in memory if asked), /proc,
 * /sys, /dev and the volumes, and makes it the root of the file tree. */
must_check int native_enter_root(const struct container *c, struct err *err);

#endif
