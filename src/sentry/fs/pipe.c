/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in and out of pipes (pipe(7)).
 *
 * Locks: pipe->lock (sleeping) > waitq.  A waiter enters its queue before it looks at the pipe
 * under the lock, and a waker looks at the queue after it dropped the lock, so no wake-up is lost
 * and an empty queue costs nothing.
 */
#include "fs/pipe.h"

#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"

#include <asm/ioctls.h>
#include <asm/signal.h>

struct pipe *pipe_of(const struct file *f) {
    return f->ops == &g_pipe_fops ? f->inode->pipe : NULL;
}

void pipe_wake(struct waitq *q, uint32_t events) {
    if (atomic_load(&q->waiters.next) != &q->waiters) {
        waitq_wake(q, events);
    }
}

/* ---- the ring, lock held ---- */

static void rewind_if_empty(struct pipe *p) {
    if (p->head == p->tail) {
        p->head = p->tail = 0;
    }
}

static char *page_at(struct pipe *p, uint64_t pos) {
    return p->pages[(pos >> PAGE_SHIFT) & (p->page_count - 1)];
}

void pipe_consume_locked(struct pipe *p, uint64_t len) {
    p->tail += len;
    while (p->packet_count > 0) {
        struct pipe_packet *packet = &p->packets[p->packet_first];
        if (packet->end > p->tail) {
            packet->start = MAX(packet->start, p->tail);
            break;
        }
        p->packet_first = (p->packet_first + 1) % PIPE_PACKETS_MAX;
        p->packet_count--;
    }
    rewind_if_empty(p);
}

/* Copies out of [tail, end): bytes, or -EFAULT when none could be. */
static int64_t copy_out(struct pipe *p, struct iov_iter *to, uint64_t end) {
    int64_t done = 0;
    uint64_t at = p->tail;
    while (at < end && iter_left(to) > 0) {
        size_t off = at & PAGE_MASK;
        size_t len = MIN(MIN(end - at, PAGE_SIZE - off), iter_left(to));
        int64_t n = iter_copy_to(to, page_at(p, at) + off, len);
        if (n <= 0) {
            return done > 0 ? done : -EFAULT;
        }
        done += n;
        at += (uint64_t)n;
        if ((size_t)n < len) {
            break;
        }
    }
    return done;
}

int64_t pipe_take_locked(struct pipe *p, struct iov_iter *to) {
    uint64_t end = p->head;
    struct pipe_packet *packet = p->packet_count > 0 ? &p->packets[p->packet_first] : NULL;
    bool whole = packet != NULL && packet->start == p->tail;
    if (packet != NULL) {
        end = whole ? packet->end : packet->start;
    }
    int64_t n = copy_out(p, to, end);
    if (n > 0 && whole) {
        pipe_consume_locked(p,
                            end - p->tail); /* the rest of a packet is lost (pipe(2), O_DIRECT) */
    } else if (n > 0) {
        pipe_consume_locked(p, (uint64_t)n);
    }
    return n;
}

static int make_page(struct pipe *p, uint64_t pos) {
    char **slot = &p->pages[(pos >> PAGE_SHIFT) & (p->page_count - 1)];
    if (*slot == NULL) {
        *slot = kmalloc(PAGE_SIZE);
    }
    return *slot == NULL ? -ENOMEM : 0;
}

/* One packet of at most PIPE_BUF bytes. */
static bool packet_note(struct pipe *p, uint64_t start, uint64_t end) {
    if (p->packets == NULL) {
        p->packets = kcalloc(PIPE_PACKETS_MAX, sizeof(*p->packets));
    }
    if (p->packets == NULL || p->packet_count == PIPE_PACKETS_MAX) {
        return false;
    }
    p->packets[(p->packet_first + p->packet_count) % PIPE_PACKETS_MAX] =
        (struct pipe_packet){start, end};
    p->packet_count++;
    return true;
}

int64_t pipe_put_locked(struct pipe *p, struct iov_iter *from, bool packet) {
    int64_t done = 0;
    uint64_t want = MIN(iter_left(from), pipe_room(p));
    uint64_t start = p->head;
    if (packet) {
        want = MIN(want, PIPE_BUF_SIZE);
        if (p->packet_count == PIPE_PACKETS_MAX) {
            return 0;
        }
    }
    while ((uint64_t)done < want) {
        size_t off = p->head & PAGE_MASK;
        size_t len = MIN(want - (uint64_t)done, PAGE_SIZE - off);
        int err = make_page(p, p->head);
        int64_t n = err != 0 ? err : iter_copy_from(from, page_at(p, p->head) + off, len);
        if (n <= 0) {
            done = done > 0 ? done : err != 0 ? err : -EFAULT;
            break;
        }
        done += n;
        p->head += (uint64_t)n;
        if ((size_t)n < len) {
            break;
        }
    }
    if (packet && done > 0 && !packet_note(p, start, p->head)) {
        p->head = start; /* no memory for the first packet's note */
        return -ENOMEM;
    }
    return done;
}

/* ---- waiting, lock held before and after ---- */

/* Drops the lock and sleeps once on `q`, whose waiter is in place. */
static int sleep_unlocked(struct pipe *p) {
    mutex_unlock(&p->lock);
    int err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
    mutex_lock(&p->lock);
    return err == 0 ? 0 : -ERESTARTSYS;
}

int pipe_wait_data(struct pipe *p, bool nonblock) {
    if (pipe_used(p) > 0) {
        return 1;
    }
    if (p->writers == 0) {
        return 0;
    }
    if (nonblock) {
        return -EAGAIN;
    }
    struct waiter w;
    int err = 0;
    waiter_init_task(&w, current);
    waitq_add(&p->read_wait, &w);
    while (err == 0 && pipe_used(p) == 0 && p->writers > 0) {
        err = sleep_unlocked(p);
    }
    waitq_remove(&w);
    if (pipe_used(p) > 0) {
        return 1;
    }
    return p->writers == 0 ? 0 : err;
}

static bool has_room(const struct pipe *p, uint64_t need) {
    return pipe_room(p) >= need && p->packet_count < PIPE_PACKETS_MAX;
}

int pipe_wait_room(struct pipe *p, uint64_t need, bool nonblock) {
    int err = 0;
    if (p->readers > 0 && !has_room(p, need)) {
        if (nonblock) {
            return -EAGAIN;
        }
        struct waiter w;
        waiter_init_task(&w, current);
        waitq_add(&p->write_wait, &w);
        while (err == 0 && p->readers > 0 && !has_room(p, need)) {
            err = sleep_unlocked(p);
        }
        waitq_remove(&w);
    }
    if (p->readers == 0) {
        (void)signal_send_task(current, SIGPIPE, NULL); /* the error says the same */
        return -EPIPE;
    }
    return has_room(p, need) ? 1 : err;
}

/* ---- file operations ---- */

static int64_t pipe_read(struct file *f, struct iov_iter *to, uint64_t *pos) {
    struct pipe *p = f->inode->pipe;
    if (iter_left(to) == 0) {
        return 0;
    }
    mutex_lock(&p->lock);
    int64_t n = pipe_wait_data(p, (f->flags & O_NONBLOCK) != 0);
    if (n > 0) {
        n = pipe_take_locked(p, to);
    }
    mutex_unlock(&p->lock);
    if (n > 0) {
        pipe_wake(&p->write_wait, PIPE_WRITABLE);
    }
    return n;
}

static int64_t pipe_write(struct file *f, struct iov_iter *from, uint64_t *pos) {
    struct pipe *p = f->inode->pipe;
    bool packet = (f->flags & O_DIRECT) != 0;
    int64_t done = 0;
    if (iter_left(from) == 0) {
        return 0;
    }
    uint64_t atomic_len = iter_left(from) <= PIPE_BUF_SIZE ? iter_left(from) : 1;
    mutex_lock(&p->lock);
    for (;;) {
        int64_t n = pipe_wait_room(p, packet ? MIN(iter_left(from), PIPE_BUF_SIZE) : atomic_len,
                                   (f->flags & O_NONBLOCK) != 0);
        if (n > 0) {
            n = pipe_put_locked(p, from, packet);
        }
        if (n < 0) {
            done = done > 0 ? done : n;
            break;
        }
        done += n;
        if (iter_left(from) == 0) {
            break;
        }
        /* Readers must know before this writer sleeps; they need the lock first. */
        pipe_wake(&p->read_wait, PIPE_READABLE);
    }
    mutex_unlock(&p->lock);
    if (done > 0) {
        pipe_wake(&p->read_wait, PIPE_READABLE);
    }
    return done;
}

static uint32_t pipe_poll(struct file *f, struct poll_table *table) {
    struct pipe *p = f->inode->pipe;
    uint32_t events = 0;
    if ((f->mode & FMODE_READ) != 0) {
        poll_wait(table, &p->read_wait);
    }
    if ((f->mode & FMODE_WRITE) != 0) {
        poll_wait(table, &p->write_wait);
    }
    /* Racy reads: whoever changes the pipe afterwards wakes the queues. */
    uint64_t used = atomic_load(&p->head) - atomic_load(&p->tail);
    if ((f->mode & FMODE_READ) != 0) {
        events |= used > 0 ? PIPE_READABLE : 0;
        if (atomic_load(&p->writers) == 0 && f->pos != p->writer_opens) {
            events |= POLLHUP;
        }
    }
    if ((f->mode & FMODE_WRITE) != 0) {
        events |= p->page_count * PAGE_SIZE - used >= PIPE_BUF_SIZE ? PIPE_WRITABLE : 0;
        events |= atomic_load(&p->readers) == 0 ? POLLERR : 0;
    }
    return events;
}

static int64_t pipe_ioctl(struct file *f, uint32_t request, struct uaddr arg) {
    struct pipe *p = f->inode->pipe;
    if (request != FIONREAD) {
        return -ENOTTY;
    }
    mutex_lock(&p->lock);
    int32_t used = (int32_t)pipe_used(p);
    mutex_unlock(&p->lock);
    return copyout(arg, &used, sizeof(used));
}

static void drop_content(struct pipe *p) {
    for (uint32_t i = 0; i < p->page_count; i++) {
        kfree(p->pages[i]);
        p->pages[i] = NULL;
    }
    p->head = p->tail = 0;
    p->packet_count = 0;
}

static void pipe_release(struct file *f) {
    struct pipe *p = f->inode->pipe;
    mutex_lock(&p->lock);
    if ((f->mode & FMODE_READ) != 0) {
        atomic_store(&p->readers, p->readers - 1);
    }
    if ((f->mode & FMODE_WRITE) != 0) {
        atomic_store(&p->writers, p->writers - 1);
    }
    if (p->readers == 0 && p->writers == 0) {
        drop_content(p); /* a FIFO keeps nothing when nobody has it open */
    }
    mutex_unlock(&p->lock);
    pipe_wake(&p->read_wait, UINT32_MAX);
    pipe_wake(&p->write_wait, UINT32_MAX);
}

const struct file_ops g_pipe_fops = {
    .sends_sigio = true,
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .release = pipe_release,
};

/* ---- life ---- */

struct pipe *pipe_alloc(void) {
    struct pipe *p = kzalloc(sizeof(*p));
    if (p == NULL) {
        return NULL;
    }
    p->pages = kcalloc(PIPE_PAGES_DEFAULT, sizeof(*p->pages));
    if (p->pages == NULL) {
        kfree(p);
        return NULL;
    }
    p->page_count = PIPE_PAGES_DEFAULT;
    mutex_init(&p->lock);
    waitq_init(&p->read_wait);
    waitq_init(&p->write_wait);
    return p;
}

void pipe_free(struct pipe *p) {
    drop_content(p);
    kfree(p->packets);
    kfree(p->pages);
    kfree(p);
}

void pipe_inode_evict(struct inode *inode) {
    pipe_free(inode->pipe);
    inode->pipe = NULL;
}
