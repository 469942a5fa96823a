/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container as bytes, for another program of moat that runs it: the agent in a virtual machine.
 * Both are of one build (MOAT_AGENT_VERSION); the reader checks sizes and counts all the same.
 *
 * What is left out is the host's business: annotations, how the isolation is run, control groups'
 * paths, what names the host's devices (block, network, RDMA), and all hooks but startContainer.
 */
#ifndef MOAT_OCI_CARRY_H
#define MOAT_OCI_CARRY_H

#include "oci/container.h"
#include "oci/seccomp.h"

struct carried {
    struct container c;             /* with its first process */
    struct seccomp_program seccomp; /* of c.linux_.seccomp, which says no more than `set`, flags */
    char *state_json;               /* for hooks */
    bool no_new_keyring;
};

/* Writes into `size` bytes: 0 with the length, or -E2BIG. */
must_check int carry_container_write(const struct carried *from, void *buf, size_t size,
                                     size_t *out_len);
must_check int carry_process_write(const struct container_process *from, void *buf, size_t size,
                                   size_t *out_len);
/* 0, -EBADMSG or -ENOMEM; *out must be zeroed, and what it holds afterwards is the caller's to free
 * in either case. */
must_check int carry_container_read(const void *buf, size_t size, struct carried *out);
must_check int carry_process_read(const void *buf, size_t size, struct container_process *out);
void carried_free(struct carried *k);

#endif
