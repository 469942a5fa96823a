/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set-up of a native container's process: a list of typed steps, made and checked in the parent
 * (plan.c) and carried out by the process itself, in order (setup.c).
 *
 * Trust: the plan, the container's description and all descriptors come from the parent.  From
 * ROOT on, every path below the container's root is hostile and goes through host/path.h; once the
 * root is entered, nothing is opened by a plain path any more except the program itself.
 */
#ifndef MOAT_NATIVE_SETUP_H
#define MOAT_NATIVE_SETUP_H

#include "host/procfs.h"
#include "oci/isolation.h"
#include "oci/seccomp.h"

#include <limits.h>

enum setup_kind {
#define SETUP_OP(kind, words, function) SETUP_##kind,
#include "native/setup_ops.def"
#undef SETUP_OP
    SETUP_KINDS
};

struct setup_op {
    enum setup_kind kind;
    const char *subject; /* what an error names behind the step's words; not owned; or "" */
    const void *arg;     /* of the kind's own type; not owned */
    int fd;              /* owned by the plan, or -1 */
    uint64_t value;
};

struct setup_plan {
    struct setup_op *ops;
    size_t count, cap;
};

/* What the steps share, in the process that carries them out. */
struct setup {
    const struct container *c;
    const struct container_process *process;
    const struct isolation_setup *how;
    const struct cgroup *cgroup;
    const struct seccomp_program *seccomp;
    struct procfs proc;
    int sync;                /* to the parent, or -1 when it has gone */
    int start_listen;        /* create: where start knocks, or -1 */
    int report;              /* where a failure goes: sync, then start's connection */
    int root;                /* of the container, O_PATH */
    int null;                /* the host's /dev/null, checked to be the device 1:3 */
    int lsm_fd;              /* of LSM_OPEN, or -1 */
    int lsm_key_fd;          /* the same for keys' labels */
    const char *mount_label; /* of SELinux, or NULL */
    uint32_t keep_fds;       /* 3 ... 3 + keep_fds - 1 go to the program */
    bool user_namespace;
    struct strlist env;     /* of the program */
    char program[PATH_MAX]; /* of FIND_PROGRAM */
};

typedef int setup_fn(struct setup *s, const struct setup_op *op, struct err *err);
#define SETUP_OP(kind, words, function) setup_fn function;
#include "native/setup_ops.def"
#undef SETUP_OP

/* Appends; op.fd is taken over, also on -ENOMEM. */
must_check int setup_plan_add(struct setup_plan *plan, struct setup_op op);
void setup_plan_free(struct setup_plan *plan);

/* Carries the plan out; returns only on a failure, which *err names. */
int setup_run(struct setup *s, const struct setup_plan *plan, struct err *err);

#endif
