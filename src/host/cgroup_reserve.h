/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A moment of room for who has to give memory back.
 *
 * The memory of a container's programs is one file that the application kernel holds: a program
 * that the host's kernel kills for want of memory gives nothing back by itself, only the
 * application kernel does, a little later.  Until then it, too, may be refused a page and be the
 * next to be killed.  So at the first kill the group's limit is raised by CGROUP_RESERVE, and set
 * back once the memory in use is below it again.
 */
#ifndef MOAT_HOST_CGROUP_RESERVE_H
#define MOAT_HOST_CGROUP_RESERVE_H

#include "host/cgroup.h"

#define CGROUP_RESERVE (16 * MIB)

/*
 * Starts a thread of the calling process that does this until the process ends; the process must be
 * in no need of unshare(2) or setns(2) any more.  A thread, as the process itself may be the one
 * that waits for memory.  -ENOTSUP when the group has no memory controller.
 */
must_check int cgroup_reserve_start(const struct cgroup *cg);

#endif
