/* SPDX-License-Identifier: Apache-2.0 */
/* System V shared memory: what the rest of the kernel tells it. */
#ifndef MOAT_SENTRY_SHM_H
#define MOAT_SENTRY_SHM_H

struct container;

void shm_init(void);
/* The container has no process any more and is about to be freed: its segments go.  May sleep. */
void shm_container_gone(struct container *c);

#endif
