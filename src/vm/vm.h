/* SPDX-License-Identifier: Apache-2.0 */
/* Isolation `vm`: a Linux kernel of its own in a virtual machine, our agent as its PID 1. */
#ifndef MOAT_VM_VM_H
#define MOAT_VM_VM_H

#include "oci/isolation.h"

extern const struct isolation_ops g_isolation_vm;
/* The container in an application kernel of its own inside that machine. */
extern const struct isolation_ops g_isolation_vm_sentry;

#endif
