/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator: the one process that can speak to the hypervisor's monitor.  It restores the
 * machine and lets it run.  It reads nothing of the guest, and the bridge, which does, cannot reach
 * the monitor.
 */
#ifndef MOAT_VM_OPERATOR_H
#define MOAT_VM_OPERATOR_H

#include "vm/template.h"

#include <sys/types.h>

/* What a machine of HYPERVISOR_SAVE or RESTORE has beside others; nothing in BOOT. */
struct operation {
    char place[PATH_MAX]; /* of the template */
    struct template from; /* RESTORE */
    int state;            /* SAVE: a file in memory */
    struct ram ram;
    int monitor[2]; /* of the operator, of the hypervisor */
    int failure[2]; /* pipe: why there is no machine, for people */
};

void operation_init(struct operation *o);
/*
 * Prepares a machine like *config, whose `mode` and descriptors are set then.  BOOT stays BOOT:
 * -ENOENT (without *err) when a template is to be restored and there is none.
 */
must_check int operation_open(struct operation *o, const struct hypervisor_ops *hypervisor,
                              enum hypervisor_mode mode, struct hypervisor_config *config,
                              uid_t user, struct err *err);
void operation_close(struct operation *o);

/* In a child of its own: restores the machine, lets it run, and ends with the hypervisor. */
noreturn_fn void operator_restore(const struct operation *o,
                                  const struct hypervisor_ops *hypervisor,
                                  const struct hypervisor_config *config, uid_t user);
/* Waits for the agent's HELLO on `agent` and saves the machine. */
must_check int operator_save(const struct operation *o, const struct hypervisor_ops *hypervisor,
                             int agent, struct err *err);

#endif
