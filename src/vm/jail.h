/* SPDX-License-Identifier: Apache-2.0 */
/* What the processes of a machine give up before they run: files, identity, privileges. */
#ifndef MOAT_VM_JAIL_H
#define MOAT_VM_JAIL_H

#include "host/err.h"

#include <sys/types.h>

/* The user id of the machine of a monitor, which no other machine alive has. */
uid_t jail_user(pid_t monitor);
/*
 * In a mount namespace that is the caller's alone: a root of /usr (read-only), the loader's cache,
 * a few devices, the image's two files, and the file system with its memory unless that is -1;
 * /dev/kvm for `kvm_owner` unless that is -1.
 */
must_check int jail_hypervisor_root(int kernel, int initramfs, int ram, uid_t kvm_owner,
                                    struct err *err);
/* Likewise: an empty one. */
must_check int jail_empty_root(struct err *err);
/* Only 0, 1, 2 and these (-1: none) stay open in the program to be executed; they keep their
 * numbers. */
void jail_keep_only(const int *keep, size_t count);
/* Gives up every privilege and becomes `user`. */
must_check int jail_drop(uid_t user, struct err *err);
/* Gives up every privilege but mounting, and all system calls but those of the keeper (keeper.h).
 */
must_check int jail_keeper(struct err *err);
/* The system calls that the bridge may make from here on; any other ends it. */
must_check int jail_bridge_calls(struct err *err);

#endif
