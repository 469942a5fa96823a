/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container is, independent of who asked (command line or config.json) and of the isolation
 * that runs it.
 */
#ifndef MOAT_OCI_CONTAINER_H
#define MOAT_OCI_CONTAINER_H

#include "base/types.h"
#include "host/strlist.h"
#include "oci/spec.h"

#include <sys/types.h>

enum overlay_mode { OVERLAY_MEMORY, OVERLAY_NONE };
enum network_mode { NETWORK_NONE, NETWORK_HOST };
/* What serves files to a virtual machine. */
enum vm_files { VM_FILES_VIRTIOFSD, VM_FILES_GOFER };

enum platform_choice { PLATFORM_AUTO, PLATFORM_SYSTRAP };

struct container_rlimit {
    uint32_t resource; /* RLIMIT_* */
    uint64_t cur, max;
};

enum mount_kind { MOUNT_BIND, MOUNT_TYPED };

/* An entry of "mounts"; the options are those of config.md "Linux mount options". */
struct container_mount {
    enum mount_kind kind;
    uint32_t flags; /* MOAT_MOUNT_* of moat/control.h */
    char *source, *target, *fstype;
    char *options;                 /* the file system's own, comma-separated, or NULL */
    uint64_t attr_set, attr_clear; /* MOUNT_ATTR_* of mount_setattr(2) */
    uint64_t tree_set, tree_clear; /* the same of rro, rnosuid, ...: the whole tree */
    uint32_t propagation;          /* MS_SHARED, ... with MS_REC; 0: not asked for */
    uint32_t super_flags;          /* MS_SYNCHRONOUS, MS_DIRSYNC, MS_LAZYTIME: of the file system */
    bool recursive;                /* rbind */
    bool tmpcopyup;                /* tmpfs gets a copy of what it hides */
    bool idmap, idmap_recursive;   /* idmap, ridmap */
    struct oci_mapping_list uid_mappings, gid_mappings; /* empty with idmap: the container's */
};

struct container_caps {
    uint64_t effective, permitted, inheritable, bounding, ambient;
};

/* One process: a container's init, or an exec. */
struct container_process {
    struct strlist args, env;
    char *cwd;
    uint32_t uid, gid, umask;
    uint32_t *groups;
    size_t group_count;
    struct container_rlimit *rlimits;
    size_t rlimit_count;
    struct container_caps caps;
    bool terminal, no_new_privs;
    uint16_t rows, cols;
    bool umask_set;
    bool oom_score_adj_set;
    int32_t oom_score_adj;
    char *apparmor_profile, *selinux_label; /* NULL: none */
    struct oci_scheduler scheduler;
    struct oci_io_priority io_priority;
    struct oci_cpu_affinity cpu_affinity;
};

struct container {
    char *id;
    char *hostname;   /* NULL: not set by the bundle */
    char *domainname; /* likewise */
    struct container_process process;
    char *rootfs; /* absolute host path */
    bool root_readonly;
    /* Isolation vm: the root is this disk image, below the folder root_image_base; NULL: `rootfs`
     * is a folder. */
    char *root_image, *root_image_base;
    bool vm_template; /* likewise: the machine starts from a template */
    bool vm_vsock;    /* likewise: the agent's connection may be a vsock */
    enum overlay_mode overlay;
    enum network_mode network;
    enum platform_choice platform;
    struct container_mount *mounts;
    size_t mount_count;
    uint64_t memory_limit; /* bytes, 0: none */
    bool strace;
    uint32_t handover; /* MOAT_HANDOVER_* */
    enum vm_files vm_files;
    uint32_t vm_start_timeout_s, vm_answer_timeout_s; /* 0: any time */
    struct oci_hook_list hooks[HOOK_STAGES];
    struct oci_key_values annotations;
    struct oci_linux linux_;
};

/* Adds a mount with copies of the strings (NULL allowed); 0 or -ENOMEM. */
must_check int container_add_mount(struct container *c, enum mount_kind kind, uint32_t flags,
                                   const char *source, const char *target, const char *fstype,
                                   const char *options);
must_check int container_add_rlimit(struct container_process *p, uint32_t resource, uint64_t cur,
                                    uint64_t max);
void container_process_free(struct container_process *p);
void container_free(struct container *c);

/* All capabilities the running kernel's headers name. */
uint64_t container_caps_all(void);

#endif
