/* SPDX-License-Identifier: Apache-2.0 */
/* Names that config.json uses for the kernel's numbers; `moat features` prints the same tables. */
#ifndef MOAT_OCI_NAMES_H
#define MOAT_OCI_NAMES_H

#include "base/types.h"

struct oci_name {
    const char *name;
    uint64_t value;
};

/* Each ends with a NULL name. */
extern const struct oci_name g_oci_capabilities[];      /* CAP_* numbers */
extern const struct oci_name g_oci_rlimits[];           /* RLIMIT_* */
extern const struct oci_name g_oci_namespaces[];        /* enum oci_namespace */
extern const struct oci_name g_oci_schedulers[];        /* SCHED_* policies */
extern const struct oci_name g_oci_scheduler_flags[];   /* SCHED_FLAG_* */
extern const struct oci_name g_oci_io_classes[];        /* IOPRIO_CLASS_* */
extern const struct oci_name g_oci_personalities[];     /* PER_* */
extern const struct oci_name g_oci_propagations[];      /* MS_* with MS_REC */
extern const struct oci_name g_oci_seccomp_actions[];   /* SCMP_ACT_* without data */
extern const struct oci_name g_oci_seccomp_operators[]; /* enum scmp_compare */
extern const struct oci_name g_oci_seccomp_archs[];     /* SCMP_ARCH_* */
extern const struct oci_name g_oci_seccomp_flags[];     /* SECCOMP_FILTER_FLAG_* */

/* The row of that name, or NULL. */
const struct oci_name *oci_name_find(const struct oci_name *names, const char *name);
/* "uts", ...: the first row with that value. */
const char *oci_name_of(const struct oci_name *names, uint64_t value);

/* CAP_* number of "CAP_CHOWN"; -1 when unknown. */
int oci_capability(const char *name);

/* ---- mount options (mount_options.def) ---- */

enum oci_mount_option_kind {
    OPTION_ATTR,       /* value: MOUNT_ATTR_* that is set */
    OPTION_ATTR_CLEAR, /* ... that is cleared */
    OPTION_TREE,       /* the same for the whole tree */
    OPTION_TREE_CLEAR,
    OPTION_SUPER, /* MS_* of the file system itself that is set */
    OPTION_SUPER_CLEAR,
    OPTION_PROPAGATION, /* MS_*, MS_REC */
    OPTION_BIND,        /* value: MS_REC for rbind */
    OPTION_IDMAP,       /* likewise for ridmap */
    OPTION_COPY_UP,
    OPTION_NOTHING, /* known and without effect */
};

struct oci_mount_option {
    const char *name;
    enum oci_mount_option_kind kind;
    uint64_t value;
};

extern const struct oci_mount_option g_oci_mount_options[]; /* ends with a NULL name */

#endif
