/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime's own binary, kept from the containers.
 *
 * A process that enters a container carries a link to the binary that it was made of,
 * /proc/PID/exe; and an image can name /proc/self/exe as its program.  Root of the container could
 * open that file for writing once it no longer runs, and so replace the runtime on the host
 * (CVE-2019-5736).  So before a process enters, its memory is mapped anew from a file that nobody
 * can write, and the link is set to that file (prctl(2), PR_SET_MM_MAP): a read-only mount of the
 * binary, or a sealed copy in memory.  No second execve is needed for it.
 */
#ifndef MOAT_NATIVE_PROTECT_H
#define MOAT_NATIVE_PROTECT_H

#include "host/err.h"

/*
 * Protects the calling, single-threaded process and those that it clones later.  0; -EPERM without
 * *err when the rights for it come only with a user namespace: the clone calls it again there.
 * Cheap when done already.
 */
must_check int protect_binary(struct err *err);

/* The binary cannot be written by other means: protect_binary() has nothing to do. */
void protect_binary_not_needed(void);

#endif
