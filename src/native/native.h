/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Isolation `native`: namespaces, an own root, dropped privileges, a seccomp filter; the host's
 * kernel serves the system calls.
 *
 * No process of moat stays behind: a created container's process is the one that will execute the
 * program (create.c), and the commands that made it leave.  Set-up is a list of typed steps
 * (setup_ops.def): plan.c lists them in the parent, the process carries them out (op_*.c), and
 * spawn.c and serve.c do what only the parent can.
 */
#ifndef MOAT_NATIVE_NATIVE_H
#define MOAT_NATIVE_NATIVE_H

#include "oci/isolation.h"

extern const struct isolation_ops g_isolation_native;

#endif
