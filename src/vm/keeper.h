/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper of a pod's files: the process that adds folders to what a running machine's file
 * server shows, and takes them away again.
 *
 * The folder that the file server shows is a mount that hands on what is mounted below it
 * (mount_namespaces(7), "Shared subtrees"): the keeper has a peer of it in a mount namespace of its
 * own, the file server a slave, so the keeper can show files and the server can mount nothing.
 *
 * Trust: its one connection is the monitor's, which is trusted with what it shares.  It meets
 * nothing that a guest or a container can write: names are numbers, and files are descriptors.
 */
#ifndef MOAT_VM_KEEPER_H
#define MOAT_VM_KEEPER_H

#include "host/err.h"

/* In the mount namespace in which the keeper and the file server will be forked: what is mounted
 * below `place` from here on is seen in all of them. */
must_check int keeper_prepare(const char *place, struct err *err);
/* In a child of its own: takes struct moat_gofer_change from `admin` until that ends, and answers
 * each ADD with an int32_t.  Errors of the set-up are written to `status`, which it then closes. */
noreturn_fn void keeper_main(int admin, const char *place, int status);

#endif
