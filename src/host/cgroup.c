/* SPDX-License-Identifier: Apache-2.0 */
/* Making a container's groups and entering them: see cgroup.h. */
#include "host/cgroup_internal.h"

#include "host/cleanup.h"
#include "host/cgroup_systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNTINFO   "/proc/self/mountinfo"
#define SELF_CGROUP "/proc/self/cgroup"

/* ---- levels of a path ---- */

/* A new cpuset group of v1 takes no process before it has CPUs and memory nodes (cpusets.rst). */
static int cpuset_inherit(int parent, int dir, struct err *err) {
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    char text[CG_VALUE_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        int e = cg_read(dir, files[i], text, sizeof(text));
        if (e == -ENOENT || (e == 0 && text[0] != '\0')) {
            continue; /* set by somebody, or inherited by cgroup.clone_children */
        }
        e = e != 0 ? e : cg_read(parent, files[i], text, sizeof(text));
        e = e != 0 || text[0] == '\0' ? e : cg_write(dir, files[i], text);
        if (e != 0) {
            return err_sys(err, e, "cannot hand %s of the parent group on to the container's",
                           files[i]);
        }
    }
    return 0;
}

static bool has_word(const char *list, const char *word, size_t len) {
    for (const char *p = list; *p != '\0';) {
        size_t n = strcspn(p, " ");
        if (n == len && strncmp(p, word, len) == 0) {
            return true;
        }
        p += n + (p[n] == ' ');
    }
    return false;
}

/* Lets the groups in `dir` use every controller that dir has.  What cannot be handed on is missed
 * when a limit needs it, and said then. */
static void controllers_enable(int dir) {
    char have[512], on[512], all[600] = "";
    if (cg_read(dir, "cgroup.controllers", have, sizeof(have)) != 0 ||
        cg_read(dir, "cgroup.subtree_control", on, sizeof(on)) != 0) {
        return;
    }
    size_t used = 0;
    for (const char *p = have; *p != '\0';) {
        size_t len = strcspn(p, " ");
        if (len > 0 && !has_word(on, p, len) && used + len + 3 < sizeof(all)) {
            used += (size_t)snprintf(all + used, sizeof(all) - used, "%s+%.*s", used > 0 ? " " : "",
                                     (int)len, p); /* fits */
        }
        p += len + (p[len] == ' ');
    }
    if (used == 0 || cg_write(dir, "cgroup.subtree_control", all) == 0) {
        return;
    }
    char *rest = all, *one;
    while ((one = strsep(&rest, " ")) != NULL) {
        (void)cg_write(dir, "cgroup.subtree_control", one); /* one may be refused, others not */
    }
}

/* A group under one that holds processes is of no use to domain controllers (cgroup-v2.rst,
 * "Threads"). */
static int type_check(int dir, struct err *err) {
    char type[32] = "domain";
    (void)cg_read(dir, "cgroup.type", type, sizeof(type)); /* no file at the root */
    if (strcmp(type, "domain invalid") == 0 || strcmp(type, "threaded") == 0) {
        return err_set(err, -EOPNOTSUPP,
                       "the control group is of type '%s': it lies below a threaded group or one "
                       "that holds processes; give another linux.cgroupsPath",
                       type);
    }
    return 0;
}

struct level {
    const struct cg_hierarchy *h;
};

static int on_level(void *arg, int parent, int dir, bool made, struct err *err) {
    const struct level *l = arg;
    if (l->h->v2) {
        controllers_enable(parent);
        return type_check(dir, err);
    }
    for (size_t i = 0; i < l->h->name_count; i++) {
        if (strcmp(l->h->names[i], "cpuset") == 0) {
            return cpuset_inherit(parent, dir, err);
        }
    }
    return 0;
}

/* ---- one group of each hierarchy ---- */

/* Somebody else's processes in a group that was there before would be limited, frozen and killed
 * together with the container's. */
static int adopt_check(int dir, const char *path, bool *out_children, struct err *err) {
    struct cg_pids pids = {0};
    int e = cg_pids_collect(dir, &pids, out_children);
    size_t count = pids.count;
    cg_pids_free(&pids);
    if (e != 0) {
        return err_sys(err, e, "cannot look into the control group %s", path);
    }
    if (count > 0) {
        return err_set(err, -EBUSY,
                       "the control group %s exists and holds %zu process%s: another container "
                       "uses it; give another linux.cgroupsPath or end them",
                       path, count, count == 1 ? "" : "es");
    }
    if (cg_has(dir, "freezer.state")) {
        (void)cg_write(dir, "freezer.state", "THAWED"); /* an old one may be frozen */
    } else if (cg_has(dir, "cgroup.freeze")) {
        (void)cg_write(dir, "cgroup.freeze", "0");
    }
    return 0;
}

static int at_add(struct cgroup *cg, const char *name, const char *mount, const char *below,
                  bool created, struct err *err) {
    if (cg->count == ARRAY_COUNT(cg->at)) {
        return err_set(err, -E2BIG, "this host has more than %zu cgroup controllers",
                       ARRAY_COUNT(cg->at));
    }
    (void)snprintf(cg->at[cg->count].name, sizeof(cg->at[0].name), "%s", name); /* same size */
    /* cg_path_below bounds the sum */
    (void)snprintf(cg->at[cg->count].dir, sizeof(cg->at[0].dir), "%.2047s%.2048s",
                   strcmp(mount, "/") == 0 ? "" : mount, below);
    cg->at[cg->count++].created = created;
    return 0;
}

int cg_make_hierarchy(const struct cg_hierarchy *h, const char *below, struct cgroup *cg,
                      bool may_be_used, struct err *err) {
    struct level level = {.h = h};
    bool made = false, children = false;
    cleanup_fd int dir = cg_make(h->mount, below, on_level, &level, &made, err);
    if (dir < 0) {
        return dir;
    }
    char path[4200];
    (void)snprintf(path, sizeof(path), "%s%s", h->mount, below); /* fits */
    int e = made || may_be_used ? 0 : adopt_check(dir, path, &children, err);
    if (h->v2) {
        return e != 0 ? e : at_add(cg, "", h->mount, below, !children, err);
    }
    for (size_t i = 0; i < h->name_count && e == 0; i++) {
        e = at_add(cg, h->names[i], h->mount, below, i == 0 && !children, err);
    }
    return e;
}

/* The group from which both the caller's and the container's descend must be the user's, or no
 * process can be moved (cgroup-v2.rst, "Delegation Containment"). */
static int may_move(const struct cg_hierarchy *h, const char *below) {
    char common[4200];
    size_t same = 0, cut = 0;
    while (h->self[same] != '\0' && h->self[same] == below[same]) {
        cut = below[same] == '/' ? same : cut;
        same++;
    }
    if (h->self[same] == '\0' && below[same] == '/') {
        cut = same;
    }
    (void)snprintf(common, sizeof(common), "%s%.*s", h->mount, (int)cut, below); /* fits */
    cleanup_fd int dir = cg_open(common);
    return dir < 0 ? dir : faccessat(dir, CG_PROCS_FILE, W_OK, AT_EACCESS) != 0 ? -errno : 0;
}

static const char *hierarchy_name(const struct cg_hierarchy *h) {
    return h->v2 ? "cgroup v2" : h->names[0];
}

/* Hierarchies without a group, which get one warning together, and why the first has none. */
struct missing {
    char names[256];
    struct err why;
};

static void miss(struct missing *m, const struct cg_hierarchy *h, const struct err *why) {
    size_t used = strlen(m->names);
    (void)snprintf(m->names + used, sizeof(m->names) - used, "%s%s", used > 0 ? ", " : "",
                   hierarchy_name(h));                 /* a long list is cut */
    (void)err_set(&m->why, why->code, "%s", why->msg); /* the first is kept */
}

static int make_one(const struct cg_hierarchy *h, const struct cgroup_options *options,
                    const char *clean, struct cgroup *cg, struct missing *missing,
                    struct err *err) {
    struct err why = {0};
    char below[2048];
    int e = cg_path_below(h, clean, below, sizeof(below), err);
    if (e != 0) {
        return e;
    }
    if (cg->path[0] == '\0') {
        memcpy(cg->path, below, strlen(below) + 1);
    }
    if (options->rootless) {
        e = may_move(h, below);
        if (e != 0) {
            (void)err_sys(&why, e, "processes cannot be moved from %s%s to %s%s", h->mount, h->self,
                          h->mount, below);
        }
    }
    e = e != 0 ? e : cg_make_hierarchy(h, below, cg, false, &why);
    if (e != 0 && options->rootless && e != -EBUSY && e != -EINVAL) {
        miss(missing, h, &why);
        return 0;
    }
    return e != 0 ? err_set(err, e, "%s", why.msg) : 0;
}

/* Does the container ask for more than the rules for devices that every engine writes? */
static bool asks_for_limits(const struct cgroup_resources *r) {
    const struct cgroup_i64 *amounts[] = {&r->memory.limit, &r->memory.reservation,
                                          &r->memory.swap,  &r->memory.kernel,
                                          &r->cpu.quota,    &r->pids};
    for (size_t i = 0; i < ARRAY_COUNT(amounts); i++) {
        if (amounts[i]->set && amounts[i]->value > 0) {
            return true;
        }
    }
    return (r->cpu.shares.set && r->cpu.shares.value > 0) || r->cpu.cpus != NULL ||
           r->cpu.mems != NULL || (r->block.weight.set && r->block.weight.value > 0) ||
           r->hugepage_count + r->net_prio_count + r->rdma_count + r->unified_count > 0;
}

static int make_all(const struct cg_host *host, const struct cgroup_options *options, bool asked,
                    struct cgroup *cg, struct err *err) {
    char path[2048], clean[2048];
    if (snprintf(path, sizeof(path), "%s",
                 options->path != NULL && options->path[0] != '\0' ? options->path : "moat/") >=
        (int)sizeof(path)) {
        return err_set(err, -ENAMETOOLONG, "linux.cgroupsPath is too long");
    }
    if (strcmp(path, "moat/") == 0) {
        (void)snprintf(path, sizeof(path), "moat/%.255s", options->id); /* fits */
    }
    const struct cg_warn warn = {.warn = options->warn, .arg = options->arg};
    struct missing missing = {.names = ""};
    int e = cg_path_clean(path, clean, sizeof(clean), err);
    for (size_t i = 0; i < host->count && e == 0; i++) {
        e = make_one(&host->items[i], options, clean, cg, &missing, err);
    }
    /* Engines read standard error and take "Permission denied" there for a failure. */
    if (e == 0 && asked && missing.names[0] != '\0') {
        cg_warn(&warn,
                "the container gets no control group of %s, so its limits, statistics and freezer "
                "are missing: %s (delegate a group to the user to have them, as systemd does with "
                "Delegate=yes)",
                missing.names, missing.why.msg);
    }
    return e;
}

/* The folder and the files that the kernel names for it; the limits stay root's. */
static int hand_over(const struct cgroup *cg, uid_t owner, struct err *err) {
    static const char fallback[] = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";
    cleanup_free char *names = NULL;
    cleanup_fd int sys = cg_open("/sys/kernel/cgroup");
    int i = cg_find_at(cg, "");
    cleanup_fd int dir = i < 0 ? -ENOENT : cg_open(cg->at[i].dir);
    if (dir < 0) {
        return err_sys(err, dir, "cannot hand a control group to the container's user");
    }
    if (sys < 0 || cg_read_all(sys, "delegate", &names) != 0) {
        names = strdup(fallback); /* before Linux 4.15 */
    }
    int e = names == NULL ? -ENOMEM : fchownat(dir, "", owner, (gid_t)-1, AT_EMPTY_PATH);
    e = e == -1 ? -errno : e;
    char *rest = names, *name;
    while (e == 0 && (name = strsep(&rest, "\n")) != NULL) {
        bool plain = name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
        if (plain && fchownat(dir, name, owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) != 0 &&
            errno != ENOENT) { /* a controller that is not enabled */
            e = -errno;
        }
    }
    return e == 0 ? 0
                  : err_sys(err, e, "cannot hand the control group %s to user %u", cg->at[i].dir,
                            (unsigned)owner);
}

int cgroup_create(const struct cgroup_options *options, const struct cgroup_resources *resources,
                  pid_t pid, struct cgroup *out, struct err *err) {
    struct cg_host host;
    const struct cg_warn warn = {.warn = options->warn, .arg = options->arg};
    struct err ignored = {0};
    int e = cg_host_read(MOUNTINFO, SELF_CGROUP, &host, err);
    if (e != 0) {
        return e;
    }
    memset(out, 0, sizeof(*out));
    out->mode = host.mode;
    out->rootless = options->rootless;
    if (host.mode == CGROUP_NONE) {
        cg_warn(&warn, "no cgroup hierarchy is mounted here: the container runs without limits, "
                       "statistics and freezer");
    } else if (options->systemd) {
        e = cg_systemd_create(&host, options, resources, pid, out, err);
    } else {
        e = make_all(&host, options, asks_for_limits(resources), out, err);
    }
    if (out->count == 0 && e == 0) {
        out->mode = CGROUP_NONE;
        out->path[0] = '\0';
    }
    e = e != 0 ? e : cg_limits(out, resources, true, &warn, err);
    if (e == 0 && options->delegate && out->mode == CGROUP_V2 && !options->rootless) {
        e = hand_over(out, options->owner, err);
    }
    if (e != 0) {
        (void)cgroup_destroy(out, &ignored); /* the failure itself is what is told */
    }
    return e;
}

/* ---- entering ---- */

static bool alone(pid_t pid) {
    struct stat st;
    /* "." and "..", and a folder for each thread */
    return pid == getpid() && stat("/proc/self/task", &st) == 0 && st.st_nlink == 3;
}

static int enter_one(const struct cgroup *cg, size_t i, pid_t pid, bool single, struct err *err) {
    char text[24];
    cleanup_fd int dir = cg_open(cg->at[i].dir);
    int e = dir < 0 ? dir : 0;
    (void)snprintf(text, sizeof(text), "%d", pid); /* fits */
    if (e == 0 && single && cg->at[i].name[0] != '\0') {
        /* The caller's one thread moving itself spares the kernel its lock over all forks. */
        e = cg_write(dir, "tasks", "0");
    } else if (e == 0) {
        e = cg_write(dir, CG_PROCS_FILE, text);
    }
    if (e == 0) {
        return 0;
    }
    (void)err_sys(err, e, "cannot put process %d into the control group %s", pid, cg->at[i].dir);
    if (e == -ENOSPC) {
        err_append(err, " (its cpuset has no CPUs or memory nodes)");
    } else if (e == -EBUSY) {
        err_append(err, " (it passes controllers on to groups below it, so it cannot hold "
                        "processes itself)");
    } else if (e == -EAGAIN || e == -EINVAL) {
        err_append(err, " (a real-time process needs cpu.realtimeRuntime)");
    }
    return e;
}

int cgroup_enter(const struct cgroup *cg, pid_t pid, struct err *err) {
    bool single = alone(pid);
    for (size_t i = 0; i < cg->count; i++) {
        if (i > 0 && strcmp(cg->at[i].dir, cg->at[i - 1].dir) == 0) {
            continue; /* controllers of one hierarchy */
        }
        int e = enter_one(cg, i, pid, single, err);
        if (e != 0) {
            return e;
        }
    }
    return 0;
}

int cgroup_open(const struct cgroup *cg, struct err *err) {
    int i = cg_find_at(cg, "");
    if (i < 0) {
        return err_set(err, -ENOTSUP, "the container has no group of cgroup v2");
    }
    /* Not O_PATH: clone3(2) wants a descriptor that was opened. */
    cleanup_fd int dir = cg_open(cg->at[i].dir);
    int fd = dir < 0 ? dir : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int e = fd >= 0 || dir < 0 ? fd : -errno;
    return e < 0 ? err_sys(err, e, "cannot open the control group %s", cg->at[i].dir) : fd;
}
