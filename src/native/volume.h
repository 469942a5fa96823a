/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of a config.json as detached trees and attributes. */
#ifndef MOAT_NATIVE_VOLUME_H
#define MOAT_NATIVE_VOLUME_H

#include "host/mounts.h"
#include "oci/container.h"

/* What is asked for the mount; `userns` is for its ids or -1.  What a bind does not say about
 * propagation follows linux.rootfsPropagation, as for every mount copied from the host. */
void volume_attrs(const struct container *c, const struct container_mount *m, int userns,
                  struct mount_attrs *out);
/*
 * In the parent, while paths mean what the caller meant: the detached tree of a bind, attributes
 * set.  *out_set false: the kernel can do that only once it is attached.  -EPERM or -ENOSYS without
 * *err: only the process itself can do it.
 */
must_check int volume_open(const struct container *c, const struct container_mount *m, int userns,
                           bool *out_set, struct err *err);
/* Copies what lies below folder `from` into the empty folder `to`, symlinks as symlinks, devices
 * and sockets left out.  Stays on one file system. */
must_check int volume_copy_up(int from, int to, struct err *err);

#endif
