/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods: containers that say by the annotations of CRI or CRI-O to which sandbox they belong.  One
 * pod has one sandbox, a Sentry or a virtual machine: the first container's, mostly the one that
 * does nothing but hold the pod's name spaces; those of the same isolation that follow join it.
 *
 * Files in state folders: `pod`, in that of the container whose sandbox it is, holds the isolation
 * and the pod's id
 * (`pod-first` where no annotation says that it is the pod's sandbox); `joined`, in that of
 * another, holds the id of the container that it joined, and its control.sock is that one's.
 */
#ifndef MOAT_SANDBOX_POD_H
#define MOAT_SANDBOX_POD_H

#include "oci/isolation.h"
#include "sandbox/sandbox.h"

/* The id of the pod's sandbox, or NULL for a container of no pod. */
const char *pod_id(const struct container *c);
/*
 * Is there a sandbox to join?  1 with a descriptor of its container's state folder and that
 * container's id (host_id, 128 bytes), 0 when there is none: the container gets its own, which
 * others of the pod may join.  -errno with *err.
 */
must_check int pod_find(const struct isolation_target *target, const struct sandbox_kind *kind,
                        int *out_dir, char *host_id, struct err *err);
/* Notes in the state folder that this sandbox is the pod's / which container's it joined. */
must_check int pod_note_sandbox(const struct isolation_target *target,
                                const struct sandbox_kind *kind, struct err *err);
must_check int pod_note_joined(const struct isolation_target *target, int host_dir,
                               const char *host_id, struct err *err);

#endif
