/* SPDX-License-Identifier: Apache-2.0 */
/* User namespaces of an ordinary user's own: user_namespaces(7). */
#ifndef MOAT_HOST_USERNS_H
#define MOAT_HOST_USERNS_H

#include "base/types.h"

#include <sys/types.h>

/* Is the caller in the first one, where root is the host's?  The first alone maps every id to
 * itself. */
bool userns_is_first(void);
/*
 * For a single-threaded process: enters a new one, and new ones of the kinds `others` (CLONE_NEW*)
 * with it, in which the caller's own ids are all there are, known as `uid` and `gid`.  Nobody can
 * change groups in it any more.  0 or -errno.
 */
must_check int userns_enter_alone(int others, uid_t uid, gid_t gid);

#endif
