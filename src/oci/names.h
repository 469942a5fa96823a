/* SPDX-License-Identifier: Apache-2.0 */
/* Names that config.json uses for the kernel's numbers. */
#ifndef MOAT_OCI_NAMES_H
#define MOAT_OCI_NAMES_H

#include "base/types.h"

/* CAP_* number of "CAP_CHOWN"; -1 when unknown. */
int oci_capability(const char *name);
/* RLIMIT_* number of "RLIMIT_NOFILE"; -1 when unknown. */
int oci_rlimit(const char *name);
/* MOAT_MOUNT_* that a mount option sets or clears; false when it is none of those. */
bool oci_mount_flag(const char *option, uint32_t *out_set, uint32_t *out_clear);

#endif
