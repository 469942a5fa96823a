/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of config.json's sections, one file each, for config.c. */
#ifndef MOAT_OCI_CONFIG_PARTS_H
#define MOAT_OCI_CONFIG_PARTS_H

#include "oci/container.h"
#include "oci/read.h"

extern const struct oci_field g_process_fields[];   /* of struct container_process */
extern const struct oci_field g_hooks_fields[];     /* of an array of struct oci_hook_list */
extern const struct oci_field g_linux_fields[];     /* of struct oci_linux */
extern const struct oci_field g_resources_fields[]; /* of struct cgroup_resources */
extern const struct oci_field g_seccomp_fields[];   /* of struct oci_seccomp */
extern const struct oci_field g_mount_fields[];     /* of struct container_mount */
extern const struct oci_field g_mapping_fields[];   /* of struct oci_id_mapping */

#define OCI_MAPPINGS_MAX 340u /* user_namespaces(7) */

/* The rest of a section's rules, once its members are read. */
void oci_process_init(void *process);
must_check int oci_process_check(const struct oci_reader *r, const struct oci_node *n,
                                 void *process);
void oci_mount_init(void *mount);
must_check int oci_mount_check(const struct oci_reader *r, const struct oci_node *n, void *mount);
must_check int oci_seccomp_check(const struct oci_reader *r, const struct oci_node *n,
                                 void *seccomp);
must_check int oci_mapping_check(const struct oci_reader *r, const struct oci_node *n,
                                 void *mapping);
/* What sections ask of each other: `n` is the whole document. */
must_check int oci_config_check(const struct oci_reader *r, const struct oci_node *n,
                                const struct container *c);

#endif
