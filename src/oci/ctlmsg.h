/* SPDX-License-Identifier: Apache-2.0 */
/* Building the control messages of moat/control.h from containers. */
#ifndef MOAT_OCI_CTLMSG_H
#define MOAT_OCI_CTLMSG_H

#include "host/err.h"
#include "moat/control.h"
#include "oci/container.h"

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

#endif
