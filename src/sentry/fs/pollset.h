/* SPDX-License-Identifier: Apache-2.0 */
/* The waiting loop of poll(2), shared with select(2). */
#ifndef MOAT_SENTRY_POLLSET_H
#define MOAT_SENTRY_POLLSET_H

#include "base/types.h"

struct file;

#define POLL_ITEMS_MAX (1u << 20)

struct poll_item {
    int32_t fd;        /* negative: ignored */
    uint32_t events;   /* POLL* that end the wait; poll(2) always has POLLERR and POLLHUP */
    uint32_t revents;  /* out; POLLNVAL for a descriptor that is not open */
    struct file *file; /* used by the loop */
};

/* Waits until an item has events: how many have, 0 at the deadline, -EINTR, -ENOMEM. */
int64_t poll_items_wait(struct poll_item *items, uint32_t count, uint64_t deadline_ns);
/* Tells user space the time left, as a timespec or a timeval. */
void poll_write_remaining(struct uaddr to, uint64_t deadline_ns, bool as_timeval);

#endif
