/* SPDX-License-Identifier: Apache-2.0 */
/* Records with descriptors over SOCK_SEQPACKET unix sockets (unix(7), SCM_RIGHTS). */
#ifndef MOAT_HOST_MSG_H
#define MOAT_HOST_MSG_H

#include "base/types.h"

#include <sys/types.h>

#define MSG_FDS_MAX 8u

/* Sends one record.  0 or -errno (-EAGAIN when `dont_wait` and the peer's queue is full). */
must_check int msg_send(int sock, const void *buf, size_t len, const int *fds, size_t fd_count,
                        bool dont_wait);
/* Receives one record: length, 0 at the end of the connection, -errno; -EMSGSIZE when it does not
 * fit (it is then dropped).  fds has room for MSG_FDS_MAX; they are close-on-exec and the caller's.
 */
ssize_t msg_recv(int sock, void *buf, size_t max, int *fds, size_t *out_fd_count, bool dont_wait);

#endif
