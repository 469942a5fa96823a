/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections of a config.json (OCI runtime specification 1.2, config.md and config-linux.md) as
 * validated structs.  They are filled by config.c alone, owned by the struct container that holds
 * them, and read-only afterwards.  Absent: NULL, 0 or `set` false, as each field says.
 */
#ifndef MOAT_OCI_SPEC_H
#define MOAT_OCI_SPEC_H

#include "base/types.h"
#include "host/cgroup.h"
#include "host/strlist.h"

#include <sys/types.h>

/* ---- hooks (config.md "POSIX-platform Hooks") ---- */

enum hook_stage {
    HOOK_PRESTART,
    HOOK_CREATE_RUNTIME,
    HOOK_CREATE_CONTAINER,
    HOOK_START_CONTAINER,
    HOOK_POSTSTART,
    HOOK_POSTSTOP,
    HOOK_STAGES
};

struct oci_hook {
    char *path; /* absolute */
    struct strlist args, env;
    uint32_t timeout_s; /* 0: none */
};

struct oci_hook_list {
    struct oci_hook *items;
    size_t count;
};

/* ---- linux.namespaces, mappings, time offsets ---- */

enum oci_namespace {
    NS_PID,
    NS_NETWORK,
    NS_MOUNT,
    NS_IPC,
    NS_UTS,
    NS_USER,
    NS_CGROUP,
    NS_TIME,
    NS_KINDS
};

struct oci_namespace_entry {
    bool set;   /* named in the list: new, or joined by path */
    char *path; /* NULL: a new one */
};

struct oci_id_mapping {
    uint32_t container_id, host_id, size;
};

struct oci_mapping_list {
    struct oci_id_mapping *items;
    size_t count;
};

struct oci_time_offset {
    int64_t secs;
    uint32_t nanosecs;
    bool set;
};

/* ---- linux.devices ---- */

struct oci_device {
    char *path;
    char type; /* c, u, b, p */
    int64_t major, minor;
    uint32_t mode; /* permission bits */
    uint32_t uid, gid;
};

/* ---- linux.seccomp ---- */

struct oci_seccomp_arg {
    uint32_t index;
    uint64_t value, value_two;
    uint32_t op; /* enum scmp_compare of libseccomp */
};

struct oci_seccomp_rule {
    struct strlist names;
    uint32_t action; /* SCMP_ACT_* of libseccomp, errno included */
    struct oci_seccomp_arg *args;
    size_t arg_count;
};

struct oci_seccomp {
    bool set;
    uint32_t default_action;
    uint32_t *architectures; /* SCMP_ARCH_* */
    size_t architecture_count;
    uint32_t flags; /* SECCOMP_FILTER_FLAG_* of linux/seccomp.h */
    char *listener_path, *listener_metadata;
    struct oci_seccomp_rule *rules;
    size_t rule_count;
};

/* ---- smaller sections ---- */

struct oci_scheduler {
    bool set;
    uint32_t policy; /* SCHED_* */
    int32_t nice, priority;
    uint64_t flags; /* SCHED_FLAG_* */
    uint64_t runtime, deadline, period;
};

struct oci_io_priority {
    bool set;
    uint32_t class; /* IOPRIO_CLASS_* */
    uint32_t priority;
};

/* execCPUAffinity: lists of cpuset(7) syntax, NULL when absent. */
struct oci_cpu_affinity {
    char *initial, *final;
};

struct oci_intel_rdt {
    bool set;
    char *clos_id, *l3_cache_schema, *mem_bw_schema;
    bool enable_cmt, enable_mbm;
};

struct oci_key_value {
    char *key, *value;
};

/* annotations; sysctl: names with dots, or with slashes where a component holds a dot */
struct oci_key_values {
    struct oci_key_value *items;
    size_t count;
};

struct oci_net_device {
    char *host_name, *name; /* name: inside, NULL keeps it */
};

/* linux, and what of the top level is not in struct container itself. */
struct oci_linux {
    struct oci_namespace_entry namespaces[NS_KINDS];
    struct oci_mapping_list uid_mappings, gid_mappings;
    struct oci_time_offset boottime, monotonic;
    struct oci_device *devices;
    size_t device_count;
    char *cgroups_path; /* NULL: chosen from the container's id */
    struct cgroup_resources resources;
    struct oci_seccomp seccomp;
    struct strlist masked_paths, readonly_paths;
    struct oci_key_values sysctl;
    uint32_t rootfs_propagation; /* MS_* of mount(2), 0: absent */
    char *mount_label;
    bool personality_set;
    uint32_t personality; /* persona of personality(2) */
    struct oci_intel_rdt intel_rdt;
    struct oci_net_device *net_devices;
    size_t net_device_count;
};

/* The value of an annotation, or NULL. */
const char *oci_key_values_get(const struct oci_key_values *list, const char *key);

/* Free what the structs own and zero them. */
void oci_hook_list_free(struct oci_hook_list *list);
void oci_key_values_free(struct oci_key_values *list);
void oci_linux_free(struct oci_linux *l);

#endif
