/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of inotify: instances, watches, queued events.
 *
 * Locks: inode->lock (RANK_INODE) guards an inode's list of watches and is taken before
 * instance->lock (RANK_FILE), which guards the instance's queue and its table of watches.  A watch
 * is in both lists or in neither; it holds its inode, and an instance outlives its watches.
 */
#ifndef MOAT_SENTRY_INOTIFY_INT_H
#define MOAT_SENTRY_INOTIFY_INT_H

#include "base/atomic.h"
#include "base/radix.h"
#include "fs/vfs.h"

#include <linux/inotify.h>

/* Of all users together, whatever the sysctls allow each of them: kernel memory is finite. */
#define INOTIFY_INSTANCES_MAX 16384u
#define INOTIFY_WATCHES_MAX   (1u << 20)
#define INOTIFY_QUEUE_MAX     (1u << 20)

struct inotify_record {
    struct list link;
    uint32_t name_len;          /* without padding */
    struct inotify_event event; /* followed by the padded name */
};

struct inotify {
    struct spinlock lock;
    struct list records; /* guarded by lock, as the rest */
    uint32_t record_count;
    uint32_t record_max;      /* constant */
    struct user_counts *user; /* who made it, referenced; constant */
    uint64_t queued_bytes;
    struct radix watches; /* wd to struct inotify_watch */
    int32_t next_wd;
    struct waitq waitq;
};

struct inotify_watch {
    struct refcount ref;    /* one while in the lists */
    struct list inode_link; /* guarded by inode->lock */
    struct inotify *instance;
    struct inode *inode; /* referenced */
    int32_t wd;
    uint32_t mask; /* guarded by inode->lock */
    bool attached; /* in both lists; guarded by inode->lock */
};

/* Queues an event; with instance->lock held. */
void inotify_queue(struct inotify *in, int32_t wd, uint32_t mask, uint32_t cookie,
                   const char *name);
/* Takes a watch out of both lists and queues IN_IGNORED; under inode->lock.  False when it was out
 * already; else the caller gets the lists' reference and puts it without spinlocks. */
must_check bool inotify_watch_detach(struct inotify_watch *w);
void inotify_watch_put(struct inotify_watch *w);

#endif
