/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager hands to the program it starts, and moat to the container. */
#ifndef MOAT_CLI_SERVICE_H
#define MOAT_CLI_SERVICE_H

#include "oci/container.h"
#include "runtime/lifecycle.h"

/* Sockets of sd_listen_fds(3), which lie before the others, join *preserve_fds and the environment.
 */
must_check int service_listen_fds(struct container_process *p, uint32_t *preserve_fds,
                                  struct err *err);
/* Descriptors 3 ... 3 + preserve_fds - 1 must be open. */
must_check int service_check_fds(uint32_t preserve_fds, struct err *err);
/* sd_notify(3)'s socket is mounted at /run/notify/notify.sock where the isolation shares sockets
 * with the host; else a warning. */
must_check int service_notify(const struct runtime *rt, bool shares_sockets, struct container *c,
                              struct err *err);

#endif
