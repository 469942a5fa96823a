/* SPDX-License-Identifier: Apache-2.0 */
/* What ps shows of a monitor. */
#ifndef MOAT_SANDBOX_TITLE_H
#define MOAT_SANDBOX_TITLE_H

#include "host/strlist.h"

/* The calling process is shown with these arguments (`docker top`), as far as the host lets it; its
 * own arguments and environment are gone afterwards. */
void title_set(const struct strlist *args);

#endif
