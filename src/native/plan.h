/* SPDX-License-Identifier: Apache-2.0 */
/* The list of set-up steps for a container, or for one more process in it. */
#ifndef MOAT_NATIVE_PLAN_H
#define MOAT_NATIVE_PLAN_H

#include "native/setup.h"

/* What the parent found out and opened for the plan. */
struct plan_input {
    const struct container *c;
    const struct container_process *process;
    const struct isolation_setup *how;
    const struct cgroup *cgroup;
    const struct cgroup *own_groups; /* those that the process enters by itself, or NULL */
    const struct procfs *proc;
    bool helper;         /* namespaces with a path are joined by a helper process */
    bool early;          /* the program runs without waiting for start */
    bool protect_inside; /* protect_binary() had no rights outside of the user namespace */
    bool enter_late;     /* exec: the pid namespace is entered when all rights are dropped */
    int target_pidfd;    /* exec: of the container's process */
};

/* Checks what can be known before, and lists the steps.  0 or -errno with *err; the plan is the
 * caller's to free in either case. */
must_check int plan_container(const struct plan_input *in, struct setup_plan *out, struct err *err);
must_check int plan_exec(const struct plan_input *in, struct setup_plan *out, struct err *err);
/* CLONE_NEW* of new namespaces that the process makes itself, later than clone. */
uint64_t plan_late_namespaces(const struct oci_linux *l);
/* The runtime's hooks (prestart, createRuntime) have something to run. */
bool plan_has_runtime_hooks(const struct container *c);

#endif
