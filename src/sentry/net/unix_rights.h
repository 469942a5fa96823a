/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the accounts of descriptors in flight and their collector. */
#ifndef MOAT_SENTRY_UNIX_RIGHTS_H
#define MOAT_SENTRY_UNIX_RIGHTS_H

#include "net/unix.h"

extern struct spinlock g_unix_rights_lock;
extern struct list g_unix_inflight;    /* unix sockets in flight; guarded by g_unix_rights_lock */
extern uint32_t g_unix_inflight_files; /* files of any kind; guarded likewise, also read without */

/* The unix socket behind a file, or NULL. */
struct unix_sock *unix_of_file(const struct file *file);
/* As sock_rights_detach, under g_unix_rights_lock. */
void sock_rights_detach_locked(struct sock_rights *r);

#endif
