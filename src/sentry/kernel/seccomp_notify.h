/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_unotify(2): a supervisor answers system calls that a filter hands to it.
 *
 * A listener stands between one filter and the file of its supervisor; each of the two holds a
 * reference and tells when it goes: a listener whose file is closed answers ENOSYS, one whose
 * filter nobody has any more shows POLLHUP.
 */
#ifndef MOAT_SENTRY_SECCOMP_NOTIFY_H
#define MOAT_SENTRY_SECCOMP_NOTIFY_H

#include "base/types.h"

struct file;
struct seccomp_data;
struct seccomp_listener;
struct task;

/* A listener with the filter's reference, and its file with one for the caller; -ENOMEM.
 * killable: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV. */
must_check int seccomp_listener_create(bool killable, struct seccomp_listener **out,
                                       struct file **out_file);
/* The filter is gone: drops its reference.  NULL allowed; any context that may take RANK_FILE. */
void seccomp_listener_orphan(struct seccomp_listener *l);
/* Somebody may still answer. */
bool seccomp_listener_active(struct seccomp_listener *l);
/* Waits for the answer to current's call: true when it shall be made after all, else *out_result is
 * its result (-ERESTARTSYS after a signal).  Sleeps. */
must_check bool seccomp_notify(struct task *t, struct seccomp_listener *l,
                               const struct seccomp_data *data, int64_t *out_result);

#endif
