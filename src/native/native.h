/* SPDX-License-Identifier: Apache-2.0 */
/* Isolation `native`: namespaces, an own root, dropped privileges; the host's kernel serves the
 * system calls. */
#ifndef MOAT_NATIVE_NATIVE_H
#define MOAT_NATIVE_NATIVE_H

#include "oci/isolation.h"

/* Root only; the container's process uses the caller's stdio. */
extern const struct isolation_ops g_isolation_native;

#endif
