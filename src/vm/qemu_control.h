/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU is told while it runs, over its monitor's socket: see hypervisor.h. */
#ifndef MOAT_VM_QEMU_CONTROL_H
#define MOAT_VM_QEMU_CONTROL_H

#include "vm/hypervisor.h"

must_check int qemu_save(int control, int state_fd, struct err *err);
must_check int qemu_restore(int control, int state_fd, const struct hypervisor_config *config,
                            struct err *err);
must_check int qemu_run(struct err *err);
void qemu_quit(int control);

#endif
