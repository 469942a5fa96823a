/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of vhost_attack share. */
#ifndef MOAT_TESTS_VHOST_CHECK_H
#define MOAT_TESTS_VHOST_CHECK_H

#include "../lib/counted_check.h"

#define WAIT_MS 60000 /* an answer that takes longer does not come */
/* Bounds of a back end in a child: small, so that they are met. */
#define CHILD_FDS     64u
#define CHILD_HANDLES 128u

#endif
