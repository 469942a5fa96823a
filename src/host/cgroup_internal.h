/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of cgroup.h share: the host's hierarchies, files of a group, and the rows of
 * controllers.  Contents of cgroup files and of /proc are bounded and checked where they are read.
 */
#ifndef MOAT_HOST_CGROUP_INTERNAL_H
#define MOAT_HOST_CGROUP_INTERNAL_H

#include "host/cgroup.h"

#define CG_FILE_MAX   (4u * 1024 * 1024) /* bytes read of any one file */
#define CG_NAMES_MAX  8u                 /* controllers that share a v1 hierarchy */
#define CG_VALUE_MAX  512u               /* a value we write */
#define CG_DEPTH_MAX  64u                /* levels of groups that are walked */
#define CG_PROCS_FILE "cgroup.procs"

/* ---- the host's hierarchies (cgroup_find.c) ---- */

struct cg_hierarchy {
    bool v2;
    char names[CG_NAMES_MAX][32]; /* v1: controllers, or one "name=..." */
    size_t name_count;
    char mount[2048]; /* where it is mounted */
    char self[2048];  /* the caller's group below the mount, "/..." */
};

struct cg_host {
    enum cgroup_mode mode;
    struct cg_hierarchy items[CGROUP_CONTROLLERS_MAX];
    size_t count;
};

/* Reads /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7)), or files like them. */
must_check int cg_host_read(const char *mountinfo, const char *self, struct cg_host *out,
                            struct err *err);

/* ---- paths and unit names (cgroup_path.c) ---- */

/* "/a/b" or "a/b" without empty and "." parts; -EINVAL for "..", line breaks, names that are too
 * long, and nothing left (the root of a hierarchy is no container's group). */
must_check int cg_path_clean(const char *path, char *out, size_t size, struct err *err);
/* The group's folder below h->mount: absolute paths from the mount, relative ones from the caller's
 * own group (v2: from its parent, as a group with processes cannot pass controllers on). */
must_check int cg_path_below(const struct cg_hierarchy *h, const char *clean, char *out,
                             size_t size, struct err *err);
/* "a-b.slice" to "/a.slice/a-b.slice" (systemd.slice(5)); "-.slice" to "". */
must_check int cg_slice_expand(const char *slice, char *out, size_t size, struct err *err);

/* ---- files of a group (cgroup_file.c) ---- */

struct cg_dir {
    int fd;
    const char *path; /* for messages */
};

/* Opens an absolute folder without following a symbolic link at any place; descriptor or -errno. */
must_check int cg_open(const char *path);
/* Makes what is missing of `below` under `mount`; *out_made tells whether the last part is new.
 * A descriptor or -errno with *err. */
must_check int cg_make(const char *mount, const char *below,
                       int (*on_level)(void *arg, int parent, int dir, bool made, struct err *err),
                       void *arg, bool *out_made, struct err *err);
/* The whole file, NUL-terminated, in *out (the caller frees); -errno. */
must_check int cg_read_all(int dir, const char *file, char **out);
/* A short file without its last line break, cut at size-1; -errno. */
must_check int cg_read(int dir, const char *file, char *buf, size_t size);
/* A number, "max" as UINT64_MAX. */
must_check int cg_read_u64(int dir, const char *file, uint64_t *out);
/* Likewise of a file that is open; false when it holds none. */
bool cg_pread_u64(int fd, uint64_t *out);
/* The number behind "key " at the begin of a line. */
must_check int cg_key_u64(const char *text, const char *key, uint64_t *out);
must_check int cg_read_key(int dir, const char *file, const char *key, uint64_t *out);
bool cg_has(int dir, const char *file);
/* Writes one value with one write(2); -errno. */
must_check int cg_write(int dir, const char *file, const char *value);
/* Likewise with a message that names file, value, the kernel's reason and the remedy. */
must_check int cg_set(const struct cg_dir *d, const char *file, struct err *err, const char *format,
                      ...) printf_like(4, 5);
/* Adds what is known about a failed write. */
void cg_explain(const struct cg_dir *d, const char *file, int code, struct err *err);

/* ---- limits ---- */

/* Where messages of limits that are left out go. */
struct cg_warn {
    void (*warn)(void *arg, const char *message);
    void *arg;
};

void cg_warn(const struct cg_warn *w, const char *format, ...) printf_like(2, 3);

/* A group's folder and the limits to write into it. */
struct cg_apply {
    struct cg_dir dir;
    const struct cgroup_resources *r;
    const struct cg_warn *warn;
};

/* Engines write zero for "not asked for". */
static inline bool asked_i64(const struct cgroup_i64 *v) {
    return v->set && v->value != 0;
}

static inline bool asked_u64(const struct cgroup_u64 *v) {
    return v->set && v->value != 0;
}

/* One row of cgroup_limits.c: a controller and how its limits are written. */
struct cg_controller {
    const char *v1, *v2; /* names; v2 "" for what every v2 group has */
    bool (*wanted)(const struct cgroup_resources *r);
    int (*set_v1)(const struct cg_apply *a, struct err *err);
    int (*set_v2)(const struct cg_apply *a, struct err *err);
};

must_check int cg_v1_cpu(const struct cg_apply *a, struct err *err);
must_check int cg_v1_cpuset(const struct cg_apply *a, struct err *err);
must_check int cg_v1_memory(const struct cg_apply *a, struct err *err);
must_check int cg_v1_pids(const struct cg_apply *a, struct err *err);
must_check int cg_v1_blkio(const struct cg_apply *a, struct err *err);
must_check int cg_v1_hugetlb(const struct cg_apply *a, struct err *err);
must_check int cg_v1_net_cls(const struct cg_apply *a, struct err *err);
must_check int cg_v1_net_prio(const struct cg_apply *a, struct err *err);
must_check int cg_v2_cpu(const struct cg_apply *a, struct err *err);
must_check int cg_v2_cpuset(const struct cg_apply *a, struct err *err);
must_check int cg_v2_memory(const struct cg_apply *a, struct err *err);
must_check int cg_v2_pids(const struct cg_apply *a, struct err *err);
must_check int cg_v2_io(const struct cg_apply *a, struct err *err);
must_check int cg_v2_hugetlb(const struct cg_apply *a, struct err *err);
must_check int cg_v2_unified(const struct cg_apply *a, struct err *err);
/* hugetlb.SIZE.`suffix`, and the same of reservations where the kernel has it. */
must_check int cg_set_hugetlb(const struct cg_apply *a, const char *suffix, struct err *err);
must_check int cg_set_rdma(const struct cg_apply *a, struct err *err);
/* All limits of `r` into the groups of cg.  devices: the device rules too. */
must_check int cg_limits(const struct cgroup *cg, const struct cgroup_resources *r, bool devices,
                         const struct cg_warn *warn, struct err *err);

/* ---- conversions (cgroup_convert.c): values of cgroup v1 in those of v2 ---- */

/* cpu.shares 2..262144 to cpu.weight 1..10000 so that least, default and most meet:
 * 10^((l^2 + 125 l)/612 - 7/34) with l = log2(shares), rounded up. */
uint64_t cg_weight_of_shares(uint64_t shares);
/* blkio.weight 10..1000 to io.weight 1..10000, linear. */
uint64_t cg_io_weight_of_blkio(uint64_t weight);
/* memory+swap limit and memory limit (0: not set, -1: none) to memory.swap.max: -1 none; 0 with
 * *out_write false: nothing to write. */
must_check int cg_swap_of_memsw(int64_t memsw, int64_t memory, int64_t *out_swap, bool *out_write,
                                struct err *err);

/* ---- device rules (cgroup_devices.c, cgroup_bpf.c) ---- */

#define CG_DEV_READ  1u
#define CG_DEV_WRITE 2u
#define CG_DEV_MKNOD 4u

/* A rule in the order it counts (the last that matches decides); major, minor -1: any. */
struct cg_device {
    bool allow;
    char type; /* a, b, c */
    uint8_t access;
    int64_t major, minor;
};

/* The container's rules, then those that every container has, behind "deny everything".  The
 * caller frees *out. */
must_check int cg_devices_list(const struct cgroup_resources *r, struct cg_device **out,
                               size_t *out_count, struct err *err);
must_check int cg_devices_v1(const struct cg_dir *d, const struct cg_device *rules, size_t count,
                             struct err *err);
must_check int cg_devices_v2(const struct cg_dir *d, const struct cg_device *rules, size_t count,
                             struct err *err);

/* ---- others ---- */

/* Index in cg->at of a controller ("": v2), or -1. */
int cg_find_at(const struct cgroup *cg, const char *name);
/* Opens the folder of a controller: descriptor, -ENOENT when the group has none. */
must_check int cg_open_at(const struct cgroup *cg, const char *name);
/* The folder whose cgroup.procs and children tell the container's processes: descriptor. */
must_check int cg_open_procs(const struct cgroup *cg);

/* Process ids, sorted, each once. */
struct cg_pids {
    pid_t *items;
    size_t count, cap;
};

/* All of a group and the groups below it; *out_children (may be NULL): there are such groups. */
must_check int cg_pids_collect(int dir, struct cg_pids *out, bool *out_children);
void cg_pids_free(struct cg_pids *p);
/* Makes the group `below` in h and adds a row for each controller to cg; -EBUSY when it was there
 * with processes in it, unless may_be_used. */
must_check int cg_make_hierarchy(const struct cg_hierarchy *h, const char *below, struct cgroup *cg,
                                 bool may_be_used, struct err *err);

#endif
