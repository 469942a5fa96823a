/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces of a container: which are new, which are joined, and the id mappings. */
#ifndef MOAT_NATIVE_NAMESPACES_H
#define MOAT_NATIVE_NAMESPACES_H

#include "host/procfs.h"
#include "oci/spec.h"

/* CLONE_NEW* of a kind. */
uint64_t namespace_flag(enum oci_namespace kind);
const char *namespace_name(enum oci_namespace kind);
/* CLONE_NEW* of those that the container has at all, and of those that are new. */
uint64_t namespaces_of(const struct oci_linux *l);
uint64_t namespaces_new(const struct oci_linux *l);
/* Opens what a path names, and checks that it is a namespace of that kind: descriptor or -errno. */
must_check int namespace_open(const char *path, enum oci_namespace kind, struct err *err);

/* A descriptor of a user namespace with these mappings (for idmapped mounts), or -errno. */
must_check int namespaces_make_user(const struct procfs *proc, const struct oci_mapping_list *uids,
                                    const struct oci_mapping_list *gids, struct err *err);
/* clone3(2); `extra` is CLONE_PARENT or 0; cgroup is a folder for CLONE_INTO_CGROUP or -1. */
pid_t namespaces_clone(uint64_t new_namespaces, uint64_t extra, int cgroup);

#endif
