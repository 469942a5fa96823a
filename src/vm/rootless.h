/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines of ordinary users: the monitor goes into a user namespace of its own, where it is root
 * over nothing but its own namespaces (user_namespaces(7)).  All its processes are the user's then,
 * and only the user's id is known inside.
 */
#ifndef MOAT_VM_ROOTLESS_H
#define MOAT_VM_ROOTLESS_H

#include "host/err.h"

/* For an ordinary user's single-threaded process; does nothing for root. */
must_check int rootless_enter(struct err *err);

#endif
