/* SPDX-License-Identifier: Apache-2.0 */
/* What the host sees of a sandboxed container's files. */
#ifndef MOAT_SANDBOX_HOSTROOT_H
#define MOAT_SANDBOX_HOSTROOT_H

#include "oci/container.h"

/*
 * By the container's monitor, when its container is created: enters a mount namespace whose root is
 * the container's, with its bind mounts.  Engines enter the mount namespace of the container's pid
 * to copy files in and out (podman cp); without this they would read and write the host's.
 * Nothing is opened by path any more from here on.  What lies in the sandbox's memory (tmpfs, a
 * memory overlay) does not show, and the root of such a container is read-only here.
 * An ordinary user, who cannot make a mount namespace and whose engine has none either, goes
 * without.
 */
must_check int hostroot_enter(const struct container *c, struct err *err);

#endif
