/* SPDX-License-Identifier: Apache-2.0 */
/* Building the control messages of moat/control.h from containers. */
#ifndef MOAT_OCI_CTLMSG_H
#define MOAT_OCI_CTLMSG_H

#include "host/err.h"
#include "moat/control.h"
#include "oci/container.h"
#include "oci/seccomp.h"

/* What goes into a CREATE or EXEC record. */
struct ctlmsg_create {
    const struct container *c;
    const struct container_process *p;
    const char *exec_id; /* EXEC; NULL: CREATE */
    uint32_t request_id;
    uint32_t first_export;                 /* the root's; bind mounts follow it in order */
    const struct seccomp_program *seccomp; /* CREATE only; NULL: none */
    const char *share;                     /* id of a container to share with, or NULL */
    uint32_t share_flags;                  /* MOAT_SHARE_* */
    const char *state_json;                /* for hooks that run inside, or NULL */
    bool no_new_keyring;
};
/* Writes a CREATE or EXEC record: as a Sentry takes it, or an agent. */
typedef int ctlmsg_record_fn(const struct ctlmsg_create *in, void **out_buf, size_t *out_len,
                             struct err *err);
must_check int ctlmsg_create(const struct ctlmsg_create *in, void **out_buf, size_t *out_len,
                             struct err *err);
/* The limits that a container sees of these. */
struct moat_ctl_limits ctlmsg_limits(const struct cgroup_resources *r);
/* Is there such a device inside?  Others are left out of the record. */
bool ctlmsg_device_known(const struct oci_device *d);

/*
 * A CREATE (exec_id NULL) or EXEC record for `p`; bind mounts of `c` become exports 1, 2, ... in
 * order, the root is export 0.  *out_buf is the caller's to free.  0, -E2BIG when it does not fit a
 * record, -ENOMEM.
 */
must_check int ctlmsg_build_create(const struct container *c, const struct container_process *p,
                                   const char *exec_id, uint32_t request_id, void **out_buf,
                                   size_t *out_len, struct err *err);
/* Fills a fixed reference to a container or exec; -ENAMETOOLONG. */
must_check int ctlmsg_ref(struct moat_ctl_ref *ref, uint16_t type, uint32_t size,
                          uint32_t request_id, const char *container, const char *exec_id);

/* The window size of a terminal as a message: -errno of ioctl_tty(2), -ENAMETOOLONG. */
must_check int ctlmsg_winsize(struct moat_ctl_winsize *msg, int terminal_fd, uint32_t request_id,
                              const char *container, const char *exec_id);

#endif
