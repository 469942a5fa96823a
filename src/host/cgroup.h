/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups of a container, cgroup v1 (one hierarchy a controller, hybrid too) and v2 alike,
 * made directly or through systemd (a transient scope over D-Bus).
 *
 * A struct cgroup is a value: it can be written to the container's state and read back by another
 * command.  Paths come from /proc/self/mountinfo and /proc/self/cgroup once, are opened by openat2
 * below the hierarchy (no symlinks), and are never composed from a container's file system.
 */
#ifndef MOAT_HOST_CGROUP_H
#define MOAT_HOST_CGROUP_H

#include "base/types.h"
#include "host/err.h"
#include "host/strlist.h"

#include <json-c/json.h>
#include <sys/types.h>

/* ---- resources (config-linux.md "Control groups"); a limit that is absent is not written ---- */

struct cgroup_i64 {
    bool set;
    int64_t value; /* -1: unlimited where the specification says so */
};

struct cgroup_u64 {
    bool set;
    uint64_t value;
};

struct cgroup_device_rule {
    bool allow;
    char type;            /* a, b, c */
    int64_t major, minor; /* -1: any */
    bool read, write, mknod;
};

struct cgroup_block_device {
    int64_t major, minor;
    struct cgroup_u64 weight, leaf_weight; /* weightDevice */
    uint64_t rate;                         /* throttle lists */
};

struct cgroup_block_list {
    struct cgroup_block_device *items;
    size_t count;
};

struct cgroup_hugepage {
    char *page_size; /* "2MB" */
    uint64_t limit;
};

struct cgroup_rdma {
    char *device;
    struct cgroup_u64 handles, objects;
};

struct cgroup_net_prio {
    char *name;
    uint32_t priority;
};

struct cgroup_unified {
    char *key, *value; /* file of cgroup v2 and its text */
};

struct cgroup_resources {
    struct cgroup_device_rule *devices;
    size_t device_count;
    struct {
        struct cgroup_i64 limit, reservation, swap, kernel, kernel_tcp;
        struct cgroup_u64 swappiness;
        bool disable_oom_killer, disable_oom_killer_set, use_hierarchy, use_hierarchy_set,
            check_before_update;
    } memory;
    struct {
        struct cgroup_u64 shares, period, realtime_period, burst;
        struct cgroup_i64 quota, realtime_runtime, idle;
        char *cpus, *mems;
    } cpu;
    struct cgroup_i64 pids;
    struct {
        struct cgroup_u64 weight, leaf_weight;
        struct cgroup_block_list weight_device, read_bps, write_bps, read_iops, write_iops;
    } block;
    struct cgroup_hugepage *hugepages;
    size_t hugepage_count;
    struct cgroup_u64 net_class;
    struct cgroup_net_prio *net_prio;
    size_t net_prio_count;
    struct cgroup_rdma *rdma;
    size_t rdma_count;
    struct cgroup_unified *unified;
    size_t unified_count;
};

void cgroup_resources_free(struct cgroup_resources *r);

/* ---- a container's groups ---- */

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

#define CGROUP_CONTROLLERS_MAX 16

struct cgroup {
    enum cgroup_mode mode;
    bool systemd;
    bool rootless;   /* what could not be made or written is left out, with a warning */
    char unit[256];  /* systemd's scope, or "" */
    char path[4096]; /* below each hierarchy's mount, begins with '/'; "" when there is none */
    struct {
        char name[32];  /* controller, or "name=systemd"; "" for v2 */
        char dir[4096]; /* absolute: mount point and path */
        bool created;   /* by us: removed by cgroup_destroy */
    } at[CGROUP_CONTROLLERS_MAX];
    size_t count;
};

struct cgroup_options {
    const char *path; /* linux.cgroupsPath, or NULL; slice:prefix:name with systemd */
    const char *id;   /* what the group is called without a path */
    bool systemd, rootless;
    /* v2: the group is handed to this user, who may make groups in it (cgroup-v2.rst,
     * "Delegation"). */
    bool delegate;
    uid_t owner;
    /* Called for each limit that is out of reach and not fatal; may be NULL. */
    void (*warn)(void *arg, const char *message);
    void *arg;
};

/*
 * Makes the groups and writes the limits; nobody is in them yet (with systemd `pid` must be a live
 * process, for the scope; 0 otherwise).  On an error nothing is left behind.
 */
must_check int cgroup_create(const struct cgroup_options *options,
                             const struct cgroup_resources *resources, pid_t pid,
                             struct cgroup *out, struct err *err);
/* Moves a process, with the threads it has, into all of them. */
must_check int cgroup_enter(const struct cgroup *cg, pid_t pid, struct err *err);
/* A descriptor of the v2 folder for CLONE_INTO_CGROUP, or -ENOTSUP where it has none. */
must_check int cgroup_open(const struct cgroup *cg, struct err *err);
/* Writes those limits that `resources` has set; device rules stay as they were created. */
must_check int cgroup_update(const struct cgroup *cg, const struct cgroup_resources *resources,
                             struct err *err);
/* Likewise, telling of each limit that is left out. */
must_check int cgroup_update_warn(const struct cgroup *cg, const struct cgroup_resources *resources,
                                  void (*warn)(void *arg, const char *message), void *arg,
                                  struct err *err);
must_check int cgroup_freeze(const struct cgroup *cg, bool frozen, struct err *err);
must_check int cgroup_is_frozen(const struct cgroup *cg, bool *out_frozen, struct err *err);
/* Host pids of all processes in it and below, in *out_pids (the caller frees), sorted. */
must_check int cgroup_pids(const struct cgroup *cg, pid_t **out_pids, size_t *out_count,
                           struct err *err);
/* Sends a signal to every process (SIGKILL: by cgroup.kill where there is one, else frozen while it
 * goes round, thawed at the end), until none is missed.  0 also when there is none. */
must_check int cgroup_signal(const struct cgroup *cg, int signo, struct err *err);
/* Kills what is left, waits until it is empty and removes what cgroup_create made.  Idempotent. */
must_check int cgroup_destroy(const struct cgroup *cg, struct err *err);
/* The "data" object of `events --stats` (the shape that containerd's runc shim reads): cpu, cpuset,
 * memory, pids, blkio, hugetlb.  NULL without memory; what cannot be read is zero. */
struct json_object *cgroup_stats(const struct cgroup *cg);
/* An eventfd (v1) or inotify descriptor (v2) that becomes readable on an OOM event; after that
 * cgroup_oom_count tells how many kills there were. */
must_check int cgroup_oom_watch(const struct cgroup *cg, struct err *err);
must_check int cgroup_oom_count(const struct cgroup *cg, uint64_t *out_kills, struct err *err);
/* To be called when that descriptor is readable: empties it.  *out_gone: the groups are gone, or
 * (v2) their last process is. */
must_check int cgroup_oom_take(const struct cgroup *cg, int fd, uint64_t *out_kills, bool *out_gone,
                               struct err *err);
/* For the state file. */
struct json_object *cgroup_to_json(const struct cgroup *cg);
must_check int cgroup_from_json(struct json_object *o, struct cgroup *out, struct err *err);

#endif
