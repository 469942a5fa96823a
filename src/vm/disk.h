/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk image as a container's root: opened once, here, and handed to the hypervisor as a
 * descriptor that can only read.  What is inside it is the guest's matter: the host looks at the
 * two bytes (or four) that tell which file system it holds.
 */
#ifndef MOAT_VM_DISK_H
#define MOAT_VM_DISK_H

#include "host/err.h"
#include "oci/container.h"

struct disk {
    int fd;        /* -1: the root is a folder */
    uint32_t kind; /* MOAT_AGENT_DISK_*, moat/agent.h */
};

/* -EINVAL for what is no regular file or no image of a kind that a guest can mount. */
must_check int disk_open(const struct container *c, struct disk *out, struct err *err);

#endif
