/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes between their files: pipe.c (bytes in and out), pipe_open.c (pipe(2), FIFOs, size),
 * splice.c.
 */
#ifndef MOAT_SENTRY_FS_PIPE_H
#define MOAT_SENTRY_FS_PIPE_H

#include "fs/internal.h"

#include <asm/poll.h>

#define PIPE_PAGES_DEFAULT 16u  /* pipe(7) */
#define PIPE_PAGES_MAX     256u /* /proc/sys/fs/pipe-max-size: 1 MiB */
#define PIPE_BUF_SIZE      4096u
#define PIPE_PACKETS_MAX   16u

#define PIPE_READABLE (POLLIN | POLLRDNORM)
#define PIPE_WRITABLE (POLLOUT | POLLWRNORM)

struct pipe_packet { /* O_DIRECT: bytes [start, end) are read as one piece */
    uint64_t start, end;
};

/* A ring of bytes.  head and tail only grow; when they meet both go back to 0, so that small
 * traffic stays in one page. */
struct pipe {
    struct mutex lock;                   /* guards all below; held while user memory is copied */
    struct waitq read_wait;              /* for data, and for a writer to open */
    struct waitq write_wait;             /* for room, and for a reader to open */
    uint64_t head, tail;                 /* byte positions of the next write and read */
    uint32_t page_count;                 /* power of two */
    char **pages;                        /* each allocated when first written to */
    uint32_t readers, writers;           /* open ends; atomic for poll */
    uint32_t reader_opens, writer_opens; /* how often one was opened */
    struct pipe_packet *packets;         /* NULL until O_DIRECT is used */
    uint32_t packet_first, packet_count;
};

static inline uint64_t pipe_used(const struct pipe *p) {
    return p->head - p->tail;
}
static inline uint64_t pipe_room(const struct pipe *p) {
    return p->page_count * PAGE_SIZE - pipe_used(p);
}

extern const struct file_ops g_pipe_fops;
struct pipe *pipe_alloc(void);
void pipe_free(struct pipe *p);
/* Wakes one side after its condition changed; the pipe's lock was dropped after the change. */
void pipe_wake(struct waitq *q, uint32_t events);
/* Moves bytes with the lock held, as much as there is (room for) at once: bytes, 0, or -errno. */
int64_t pipe_take_locked(struct pipe *p, struct iov_iter *to);
int64_t pipe_put_locked(struct pipe *p, struct iov_iter *from, bool packet);
/* Waits, lock held before and after: for data (1: there is some, 0: none and no writer), for `need`
 * bytes of room (1, or -EPIPE).  -EAGAIN when `nonblock`, -ERESTARTSYS. */
int pipe_wait_data(struct pipe *p, bool nonblock);
int pipe_wait_room(struct pipe *p, uint64_t need, bool nonblock);
/* Drops `len` bytes that were looked at in place. */
void pipe_consume_locked(struct pipe *p, uint64_t len);
/* The pipe behind a file, or NULL if it is none. */
struct pipe *pipe_of(const struct file *f);

#endif
