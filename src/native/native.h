/* SPDX-License-Identifier: Apache-2.0 */
/* Isolation `native`: namespaces, an own root, dropped privileges; the host's kernel serves the system calls. */
#ifndef MOAT_NATIVE_NATIVE_H
#define MOAT_NATIVE_NATIVE_H

#include "host/err.h"
#include "oci/container.h"

/*
 * Runs c's process on the caller's stdio in new namespaces and waits for it.  Root only.  *out_wait_status is the process's;
 * 0 or -errno with *err, and then nothing is left behind.
 */
must_check int native_run(const struct container *c, int *out_wait_status, struct err *err);

#endif
