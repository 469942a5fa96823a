/* SPDX-License-Identifier: Apache-2.0 */
/* What uname(2) and /proc answer to "which kernel is this". */
#ifndef MOAT_SENTRY_UTS_H
#define MOAT_SENTRY_UTS_H

/* The Linux whose interface the kernel follows, so that programs that look at the number find what
 * they expect. */
#define UTS_SYSNAME "Linux"
#define UTS_RELEASE "6.12.0-moat"
#define UTS_VERSION "#1 SMP moat " MOAT_VERSION " application kernel"
#define UTS_MACHINE "x86_64"

#endif
