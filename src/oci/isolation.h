/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an isolation offers to those who run containers; they know it through this table alone.
 *
 * Who does what: the runtime keeps the state folder, makes and removes the control groups, and runs
 * the hooks of its own namespaces (prestart, createRuntime, poststart, poststop).  The isolation
 * makes the processes, puts each into the groups before anything of the container runs in it, and
 * runs createContainer and startContainer hooks where they belong.
 */
#ifndef MOAT_OCI_ISOLATION_H
#define MOAT_OCI_ISOLATION_H

#include "host/cgroup.h"
#include "host/err.h"
#include "oci/container.h"

#include <json-c/json.h>

struct isolation_run {
    const int *stdio; /* three descriptors; with a terminal the first is one, and raw meanwhile */
    int log_fd;       /* -1: no log of the sandbox */
    bool debug, log_json;
};

/* How create and exec set up what lies around the process. */
struct isolation_setup {
    const char *bundle;     /* absolute; what relative paths of the config mean */
    const char *state_json; /* for hooks in the container's namespaces, pid filled in by them */
    int log_fd;             /* -1: no log of the sandbox */
    int console_socket;     /* connected; gets a terminal's master (SCM_RIGHTS), or -1 */
    uint32_t preserve_fds;  /* descriptors 3 ... 3+n-1 go to the process */
    bool debug, log_json, no_pivot, no_new_keyring;
    bool whole_memory; /* a memory overlay may grow to all there is */
    /*
     * create only: the namespaces of `pid` exist, its root is not pivoted yet, and nothing of the
     * container has run.  The runtime's hooks run in here; a failure ends the create.
     */
    int (*on_namespaces)(void *arg, pid_t pid, struct err *err);
    void (*warn)(void *arg, const char *message); /* a thing that this host cannot do; not NULL */
    void *arg;
};

/* A container that was created, as later commands find it. */
struct isolation_target {
    const struct container *c; /* as it was created */
    /* Its folder; the isolation may keep files of its own there, which destroy removes.  A file
     * `exit`, the wait status in decimal, lets `moat wait` know the end of a process that was not
     * its child.  Reserved: state.json*, config.json. */
    int state_dir;
    const char *state_path; /* the same, absolute */
    pid_t pid;              /* as create returned it */
    uint64_t pid_start;     /* its start time in clock ticks, proc(5) field 22 */
    const struct cgroup *cgroup;
};

/* How control groups are written and read: criu(8), --manage-cgroups. */
enum image_cgroups {
    IMAGE_CGROUPS_SOFT,
    IMAGE_CGROUPS_FULL,
    IMAGE_CGROUPS_STRICT,
    IMAGE_CGROUPS_IGNORE
};

/* A container's state in a folder: how a checkpoint writes it, and a restore reads it. */
struct isolation_image {
    const char *path;        /* the folder; it exists */
    const char *work;        /* an existing folder for logs, or NULL: the image's own */
    const char *parent;      /* checkpoint: an earlier one, relative to `path`, or NULL */
    const char *criu;        /* the program; NULL: "criu" on the PATH */
    const char *page_server; /* checkpoint: memory goes to this address, or NULL */
    uint32_t page_server_port;
    int status_fd; /* checkpoint: told when lazy pages can be fetched; -1: none */
    const char *lsm_profile, *lsm_mount_context; /* restore: KIND:LABEL, LABEL; or NULL */
    enum image_cgroups cgroups;
    bool leave_running, pre_dump; /* checkpoint */
    bool tcp_established, ext_unix_sk, shell_job, file_locks, lazy_pages, auto_dedup;
    bool empty_network; /* the network namespace is left to hooks */
    bool debug;
};

struct isolation_ops {
    const char *name;
    /* Runs c's process and waits for its end, the calling process being its monitor.  0 with
     * *out_wait_status, or -errno with *err and nothing left behind. */
    int (*run)(const struct container *c, const struct isolation_run *run, int *out_wait_status,
               struct err *err);

    /*
     * Makes the container with its first process, which waits for start.  *out_pid is a host
     * process that ends with the container's process and its exit code (the process itself, or a
     * monitor): a child of the caller, in target->cgroup, that outlives the caller.  It takes
     * signals for the container.  Its stdio is the caller's, or a terminal.  The caller may have
     * signals blocked, and descriptors open that are not the container's: neither may show in it.
     * On an error nothing is left behind.  target->pid is not valid yet.
     */
    int (*create)(const struct isolation_target *target, const struct isolation_setup *setup,
                  pid_t *out_pid, struct err *err);
    int (*start)(const struct isolation_target *target, struct err *err);
    /* -ESRCH when it is gone.  all: every process of the container. */
    int (*kill)(const struct isolation_target *target, int signo, bool all, struct err *err);
    /* One more process; *out_pid as create's, running when this returns. */
    int (*exec)(const struct isolation_target *target, struct container_process *process,
                const struct isolation_setup *setup, pid_t *out_pid, struct err *err);
    /* The processes as seen inside: a JSON array of objects {pid, ppid, uid, comm, cmdline}. */
    int (*processes)(const struct isolation_target *target, struct json_object **out,
                     struct err *err);
    /* Stops and continues all processes; NULL: the control groups' freezer does it. */
    int (*pause)(const struct isolation_target *target, bool paused, struct err *err);
    /* Turns limits of the container into those of its processes on the host; may be NULL. */
    void (*host_limits)(struct cgroup_resources *resources);
    /* Tells the isolation of new limits after the control groups have them; may be NULL. */
    int (*update)(const struct isolation_target *target, const struct cgroup_resources *resources,
                  struct err *err);
    /* Changes or adds what it knows better than the control groups; may be NULL. */
    int (*stats)(const struct isolation_target *target, struct json_object *data, struct err *err);
    /* Ends what still lives and removes what create made beside the state folder.  Idempotent;
     * works when every process was killed already. */
    int (*destroy)(const struct isolation_target *target, struct err *err);
    /* Both may be NULL: a clear refusal is given.  Without leave_running and pre_dump the processes
     * have ended when checkpoint returns 0; otherwise, and after a failure, they run on. */
    int (*checkpoint)(const struct isolation_target *target, const struct isolation_image *image,
                      struct err *err);
    /* As create, but the process runs when this returns. */
    int (*restore)(const struct isolation_target *target, const struct isolation_setup *setup,
                   const struct isolation_image *image, pid_t *out_pid, struct err *err);
};

#endif
