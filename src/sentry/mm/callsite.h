/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call sites of an mm that are rewritten so that their calls are posted (platform.h, post_entry).
 *
 * A site whose calls keep coming gets a trampoline in a page nearby ("[calls]" in /proc/pid/maps),
 * and becomes a jump to it (arch/x86_64/callsite.h).  The page of text that holds it becomes the
 * mm's own copy, as if a debugger had written to it.
 */
#ifndef MOAT_SENTRY_MM_CALLSITE_H
#define MOAT_SENTRY_MM_CALLSITE_H

#include "mm/mm.h"

struct user_regs;

/* Counts a call of `current` made at the site before ip, and rewrites the site when it pays. */
void callsite_count(struct mm *mm, uint64_t ip, uint64_t nr);
/* Whether a call that says that it comes from the site before ip can come from there. */
bool callsite_known(struct mm *mm, uint64_t ip);
/* Registers that lie in a trampoline become those at the site.  True when they changed. */
bool callsite_unwind(struct mm *mm, struct user_regs *regs);
/* [start, start + len) will be mapped otherwise: if a page of trampolines is there, its sites
 * become what they were.  No lock held. */
void callsite_drop(struct mm *mm, uint64_t start, uint64_t len);
/* A fork's child gets its own account: space for it before the locks are taken, the copy after the
 * pages were copied, both pt_locks held. */
must_check int callsite_fork_prepare(struct mm *parent, struct mm *child);
void callsite_fork(struct mm *parent, struct mm *child);
void callsite_free(struct mm *mm);

#endif
