/* SPDX-License-Identifier: Apache-2.0 */
/* System V shared memory: what the rest of the kernel tells it. */
#ifndef MOAT_SENTRY_SHM_H
#define MOAT_SENTRY_SHM_H

struct container;
struct seq;

void shm_init(void);
int shm_proc_show(struct seq *s); /* /proc/sysvipc/shm */
/* The container has no process any more and is about to be freed: its segments go.  May sleep. */
void shm_container_gone(struct container *c);

#endif
