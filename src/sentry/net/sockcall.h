/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the system calls of sockets. */
#ifndef MOAT_SENTRY_SOCKCALL_H
#define MOAT_SENTRY_SOCKCALL_H

#include "net/socket.h"

/* The socket behind a descriptor of current and its referenced file, or NULL and *out_err (-EBADF,
 * -ENOTSOCK). */
struct file *sock_file_get(uint64_t fd, struct socket **out, int *out_err);
/* Copies an address in: -EINVAL for a bad length, -EFAULT. */
must_check int sock_addr_in(struct sock_addr *out, uint64_t user, uint64_t user_len);
/* Copies an address out, as much as *user_len allows, and its full length. */
must_check int sock_addr_out(const struct sock_addr *addr, uint64_t user, uint64_t user_len);

#endif
