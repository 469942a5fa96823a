/* SPDX-License-Identifier: Apache-2.0 */
/* The boot message as the rest of the kernel sees it. */
#ifndef MOAT_SENTRY_BOOT_H
#define MOAT_SENTRY_BOOT_H

struct moat_boot;

/* Checked and constant. */
const struct moat_boot *boot_info(void);

#endif
