/* SPDX-License-Identifier: Apache-2.0 */
/* CREATE and EXEC records for an agent: struct moat_agent_create and a container as bytes. */
#ifndef MOAT_VM_RECORD_H
#define MOAT_VM_RECORD_H

#include "oci/ctlmsg.h"

/* What a machine cannot do is an error where the container would not be what was asked for, and a
 * warning where it is only less. */
must_check int record_check_fields(const struct container *c,
                                   void (*warn)(void *arg, const char *message), void *arg,
                                   struct err *err);
/* ctlmsg_record_fn: what means the host in `in` is turned into what means the guest. */
must_check int record_build(const struct ctlmsg_create *in, void **out_buf, size_t *out_len,
                            struct err *err);

#endif
