/* SPDX-License-Identifier: Apache-2.0 */
/* Writing linux.uidMappings and linux.gidMappings. */
#ifndef MOAT_OCI_IDMAP_H
#define MOAT_OCI_IDMAP_H

#include "host/procfs.h"
#include "oci/spec.h"

/*
 * Writes the mappings of the user namespace of process `pid`: directly, or through newuidmap and
 * newgidmap where the caller may not.  A group mapping written by an ordinary user costs
 * setgroups(2) (user_namespaces(7)).
 */
must_check int idmap_write(const struct procfs *proc, pid_t pid,
                           const struct oci_mapping_list *uids, const struct oci_mapping_list *gids,
                           struct err *err);

#endif
