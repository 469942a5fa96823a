/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's initramfs: the agent as /init, the programs it starts, and the modules it loads. */
#ifndef MOAT_VM_INITRAMFS_H
#define MOAT_VM_INITRAMFS_H

#include "host/err.h"

#define INITRAMFS_PROGRAMS 3

/* The first program is the agent; names of NULL end the list. */
struct initramfs_programs {
    const char *names[INITRAMFS_PROGRAMS]; /* of moat's programs */
};

/* `modules` is a folder such as /lib/modules/6.1.0-1-cloud-amd64.  *out is the caller's to free. */
must_check int initramfs_build(const struct initramfs_programs *programs, const char *modules,
                               char **out, size_t *out_size, struct err *err);

#endif
