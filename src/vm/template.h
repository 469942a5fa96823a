/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: a machine that has booted as far as its agent, which waits for WELCOME, saved once and
 * restored for each start.  Nothing of any container, nor of the host but the processor's features
 * and the rate of its cycle counter, is in one.
 *
 * IMAGE/templates/DIGEST holds `memory` (sparse) and `state` (of the devices); the digest is over
 * the guest image, the hypervisor's program and all of its arguments, memory and processors among
 * them.  Files and folder are root's, as the image is.
 */
#ifndef MOAT_VM_TEMPLATE_H
#define MOAT_VM_TEMPLATE_H

#include "vm/hypervisor.h"
#include "vm/ram.h"

#include <limits.h>

struct template {
    int memory, state; /* for reading, or -1 */
};

/* Where the template for such a machine belongs. */
must_check int template_place(const struct hypervisor_ops *hypervisor,
                              const struct hypervisor_config *config, char out_path[PATH_MAX],
                              struct err *err);
/* -ENOENT (without *err) when there is none. */
must_check int template_open(const char *path, struct template *out, struct err *err);
/* Keeps what a machine left behind: its memory, and the state that `state` holds. */
must_check int template_store(const char *path, const struct ram *memory, int state,
                              struct err *err);
void template_close(struct template *t);

/* Removes all templates of the image whose folder `image` is; what cannot be removed stays. */
void template_forget(int image);

/* One process at a time makes templates of an image: the lock until it is closed, or -EWOULDBLOCK
 * (without *err) while another has it. */
must_check int template_lock(const char *path, bool wait, struct err *err);

#endif
