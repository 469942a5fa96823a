/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the guest's memory runs out.
 *
 * The memory file has a size on the host (the container's limit without the sandbox's own costs:
 * sandbox/limits.c), so a page that would be one too many is refused at once, before the host's
 * control group kills a process of its own choice.  Whoever needs that page comes here, and tries
 * again afterwards.
 */
#ifndef MOAT_SENTRY_OOM_H
#define MOAT_SENTRY_OOM_H

#include "base/types.h"

struct container;
struct process;

void oom_init(void);
/*
 * Gets guest memory back: free frames that the host still holds, then the memory of a process that
 * is killed for it, the one with the most (proc(5), oom_score_adj).  True: the access is worth
 * another try (or the caller is the one that is killed: it sees to its signals first).  `wanted`:
 * the place in the linear map that could not be had, or NULL.  may_wait: the caller holds no
 * sleeping lock, and may wait for the end of the process that was killed.
 * May sleep in either case, for others that do the same.
 */
must_check bool oom_relieve(const void *wanted, bool may_wait);
/* Kills of the container's processes since the last call. */
uint32_t oom_take_kills(struct container *c);
/* The kernel's view of how much of all memory a process would free, in thousandths, with its
 * oom_score_adj: /proc/PID/oom_score. */
int32_t oom_score(struct process *p);

#endif
