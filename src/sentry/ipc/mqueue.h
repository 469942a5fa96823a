/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of POSIX message queues: mq_overview(7).
 *
 * Locks: g_mqueue_lock (RANK_FILES) guards the table of names; a queue's lock (RANK_FILE) its
 * contents.  A queue is counted: by its name and by each open file.
 */
#ifndef MOAT_SENTRY_MQUEUE_H
#define MOAT_SENTRY_MQUEUE_H

#include "base/atomic.h"
#include "base/list.h"
#include "fs/vfs.h"
#include "kernel/signal.h"

#define MQ_NAME_MAX      255u
#define MQ_QUEUES_MAX    256u /* /proc/sys/fs/mqueue/queues_max */
#define MQ_MSG_DEFAULT   10
#define MQ_SIZE_DEFAULT  8192
#define MQ_MSG_MAX       10 /* msg_max, msgsize_max */
#define MQ_SIZE_MAX      8192
#define MQ_MSG_HARD_MAX  65536 /* with CAP_SYS_RESOURCE */
#define MQ_SIZE_HARD_MAX (1024 * 1024)
#define MQ_PRIORITY_MAX  32768u

struct container;
struct process;

struct mq_message {
    struct list link;
    uint32_t priority;
    uint32_t len;
    uint8_t data[];
};

struct user_mq_attr {
    int64_t flags, max_msg, msg_size, cur_msgs;
    int64_t reserved[4];
};

struct mqueue {
    struct refcount ref;
    struct list link; /* guarded by g_mqueue_lock, as the next two */
    struct container *container;
    uint64_t cost;
    char name[MQ_NAME_MAX + 1]; /* constant, as the next six */
    uint32_t uid, gid, mode;
    int64_t max_msg, msg_size;
    struct spinlock lock;
    struct list messages; /* highest priority first, oldest first; guarded by lock, as the rest */
    int64_t count;
    uint64_t bytes;
    uint32_t receivers; /* tasks that wait for a message */
    struct process
        *notify;           /* referenced: whom a message to the empty queue is told; NULL: nobody */
    int32_t notify_signal; /* 0: SIGEV_NONE */
    uint64_t notify_value;
    struct waitq waitq; /* receivers by POLLIN, senders by POLLOUT */
};

extern const struct file_ops g_mqueue_ops;

/* The queue of a descriptor and its referenced file, or NULL and *out_err. */
struct file *mqueue_file_get(int fd, struct mqueue **out, int *out_err);
void mqueue_put(struct mqueue *q);
/* Ends a registration of notification; under q->lock; the caller puts the process without it. */
struct process *mqueue_notify_end(struct mqueue *q);

#endif
