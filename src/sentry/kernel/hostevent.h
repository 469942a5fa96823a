/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of donated host descriptors: which kernel object a cookie of hal_stream_watch belongs to.
 *
 * Contract.  An object that watches a host stream embeds a struct host_watch.  Its callback runs on
 * a vCPU thread, outside any task, and must not block.  After host_watch_remove returns the
 * callback does not run any more.
 */
#ifndef MOAT_SENTRY_HOSTEVENT_H
#define MOAT_SENTRY_HOSTEVENT_H

#include "base/list.h"
#include "base/types.h"

struct host_watch {
    struct list link; /* guarded by the table's lock */
    uint64_t cookie;  /* constant once added; 0: not in the table */
    uint32_t armed;   /* events asked of the host; guarded by the table's lock */
    int hfd;
    void (*fn)(struct host_watch *w, uint32_t events);
};

/* Enters `w` in the table; nothing is watched yet. */
void host_watch_add(struct host_watch *w, int hfd,
                    void (*fn)(struct host_watch *w, uint32_t events));
/* Asks for one call of fn once the stream has one of `events` (POLL*; added to those asked for
 * before).  0 or -errno. */
must_check int host_watch_arm(struct host_watch *w, uint32_t events);
void host_watch_remove(struct host_watch *w);

/* A control message waits: implemented by the container layer (kernel/container), called on a vCPU
 * thread outside any task; must not block. */
void control_event(void);

#endif
