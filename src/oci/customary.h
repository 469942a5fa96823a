/* SPDX-License-Identifier: Apache-2.0 */
/* A container that `moat do` describes, completed as a customary config.json has it: the usual file
 * systems and namespaces. */
#ifndef MOAT_OCI_CUSTOMARY_H
#define MOAT_OCI_CUSTOMARY_H

#include "host/err.h"
#include "oci/container.h"

/* A view of the caller's container with more in it; only what is listed here is owned. */
struct customary {
    struct container c;
    struct oci_id_mapping uid, gid;
};

/* 0 or -ENOMEM; customary_free follows in either case. */
must_check int customary_complete(const struct container *from, struct customary *out,
                                  struct err *err);
void customary_free(struct customary *k);

#endif
