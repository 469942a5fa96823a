/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making pipes (pipe(2)), opening FIFOs (fifo(7)), and the size of a pipe (F_SETPIPE_SZ of
 * fcntl(2)).
 */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/pipe.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"

#include <linux/capability.h>

static const struct inode_ops g_pipe_iops;

/* ---- pipe(2) ---- */

static struct inode *pipe_inode_new(void) {
    struct inode *inode = inode_alloc(anon_super(), S_IFIFO | 0600, &g_pipe_iops, &g_pipe_fops);
    if (inode == NULL) {
        return NULL;
    }
    inode->uid = current->cred->fsuid;
    inode->gid = current->cred->fsgid;
    inode->pipe = pipe_alloc();
    if (inode->pipe == NULL) {
        inode_put(inode);
        return NULL;
    }
    return inode;
}

static int open_end(struct inode *inode, const char *label, uint32_t flags, struct file **out) {
    int err = file_from_inode(inode, label, &g_pipe_fops, flags, out);
    if (err == 0) {
        (*out)->mode |= FMODE_STREAM;
        struct pipe *p = inode->pipe;
        if ((flags & O_ACCMODE) == O_WRONLY) {
            p->writers = p->writer_opens = 1;
        } else {
            p->readers = p->reader_opens = 1;
        }
    }
    return err;
}

int pipe_create(uint32_t flags, struct file **out_read, struct file **out_write) {
    char label[32];
    struct inode *inode = pipe_inode_new();
    if (inode == NULL) {
        return -ENOMEM;
    }
    (void)fmt_snprintf(label, sizeof(label), "pipe:[%llu]",
                       (unsigned long long)inode->ino); /* fits */
    flags &= O_NONBLOCK | O_DIRECT;
    int err = open_end(inode, label, O_RDONLY | flags, out_read);
    if (err == 0) {
        err = open_end(inode, label, O_WRONLY | flags, out_write);
        if (err != 0) {
            file_put(*out_read);
        }
    }
    inode_put(inode); /* the files have their own */
    return err;
}

static int64_t pipe_fds(struct uaddr user_fds, uint32_t flags) {
    struct file *r, *w;
    int32_t fds[2];
    if ((flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) != 0) {
        return -EINVAL;
    }
    int64_t err = pipe_create(flags, &r, &w);
    if (err != 0) {
        return err;
    }
    bool cloexec = (flags & O_CLOEXEC) != 0;
    fds[0] = fd_install(r, cloexec, 0);
    fds[1] = fds[0] < 0 ? fds[0] : fd_install(w, cloexec, 0);
    file_put(r);
    file_put(w);
    err = fds[1] < 0 ? fds[1] : copyout(user_fds, fds, sizeof(fds));
    if (err != 0) {
        if (fds[0] >= 0) {
            (void)fd_close(fds[0]); /* the first error is reported */
        }
        if (fds[1] >= 0) {
            (void)fd_close(fds[1]);
        }
    }
    return err;
}

int64_t sys_pipe(struct task *t, const struct sysargs *args) {
    return pipe_fds(uaddr_of(args->a[0]), 0);
}

int64_t sys_pipe2(struct task *t, const struct sysargs *args) {
    return pipe_fds(uaddr_of(args->a[0]), (uint32_t)args->a[1]);
}

/* ---- FIFOs ---- */

static struct pipe *fifo_pipe(struct inode *inode) {
    struct pipe *seen = NULL;
    struct pipe *p = atomic_load(&inode->pipe);
    if (p != NULL) {
        return p;
    }
    p = pipe_alloc();
    if (p != NULL && !atomic_cas(&inode->pipe, &seen, p)) {
        pipe_free(p);
        p = seen;
    }
    return p;
}

/* Waits until *opens differs from `seen`: the other side was opened.  Lock held before and after.
 */
static int wait_for_partner(struct pipe *p, struct waitq *q, const uint32_t *opens, uint32_t seen) {
    struct waiter w;
    int err = 0;
    waiter_init_task(&w, current);
    waitq_add(q, &w);
    while (err == 0 && *opens == seen) {
        mutex_unlock(&p->lock);
        err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
        mutex_lock(&p->lock);
    }
    waitq_remove(&w);
    return *opens != seen ? 0 : -ERESTARTSYS;
}

static int open_reader(struct pipe *p, struct file *f) {
    p->reader_opens++;
    atomic_store(&p->readers, p->readers + 1);
    pipe_wake(&p->write_wait, UINT32_MAX);
    if (p->writers > 0) {
        return 0;
    }
    if (f->inode->sb == anon_super()) {
        return 0; /* a pipe opened again through /proc/PID/fd: nobody is waited for */
    }
    if ((f->flags & O_NONBLOCK) != 0) {
        f->pos = p->writer_opens; /* no POLLHUP until a writer came and went */
        return 0;
    }
    int err = wait_for_partner(p, &p->read_wait, &p->writer_opens, p->writer_opens);
    if (err != 0) {
        atomic_store(&p->readers, p->readers - 1);
        pipe_wake(&p->write_wait, UINT32_MAX);
    }
    return err;
}

static int open_writer(struct pipe *p, struct file *f) {
    bool nameless = f->inode->sb == anon_super(); /* as in open_reader */
    if (!nameless && (f->flags & O_NONBLOCK) != 0 && p->readers == 0) {
        return -ENXIO;
    }
    p->writer_opens++;
    atomic_store(&p->writers, p->writers + 1);
    pipe_wake(&p->read_wait, UINT32_MAX);
    if (p->readers > 0 || nameless) {
        return 0;
    }
    int err = wait_for_partner(p, &p->write_wait, &p->reader_opens, p->reader_opens);
    if (err != 0) {
        atomic_store(&p->writers, p->writers - 1);
        pipe_wake(&p->read_wait, UINT32_MAX);
    }
    return err;
}

static void open_both(struct pipe *p) {
    p->reader_opens++;
    p->writer_opens++;
    atomic_store(&p->readers, p->readers + 1);
    atomic_store(&p->writers, p->writers + 1);
    pipe_wake(&p->read_wait, UINT32_MAX);
    pipe_wake(&p->write_wait, UINT32_MAX);
}

int fifo_open(struct inode *inode, struct file *f) {
    struct pipe *p = fifo_pipe(inode);
    int err = 0;
    if (p == NULL) {
        return -ENOMEM;
    }
    f->mode |= FMODE_STREAM;
    f->ops = &g_pipe_fops;
    mutex_lock(&p->lock);
    switch (f->mode & (FMODE_READ | FMODE_WRITE)) {
    case FMODE_READ:
        err = open_reader(p, f);
        break;
    case FMODE_WRITE:
        err = open_writer(p, f);
        break;
    default:
        open_both(p);
        break;
    }
    mutex_unlock(&p->lock);
    return err;
}

/* ---- size ---- */

int64_t pipe_get_size(struct file *f) {
    struct pipe *p = pipe_of(f);
    return p == NULL ? -EBADF : (int64_t)(p->page_count * PAGE_SIZE);
}

/* Moves the content into `pages` (page_count of them), from position 0 on.  Lock held.  -ENOMEM:
 * nothing changed. */
static int move_content(struct pipe *p, char **pages) {
    uint64_t used = pipe_used(p);
    for (uint64_t at = 0; at < used; at += PAGE_SIZE) {
        pages[at >> PAGE_SHIFT] = kmalloc(PAGE_SIZE);
        if (pages[at >> PAGE_SHIFT] == NULL) {
            return -ENOMEM;
        }
    }
    for (uint64_t done = 0; done < used;) {
        uint64_t from = p->tail + done;
        size_t len =
            MIN(MIN(PAGE_SIZE - (from & PAGE_MASK), PAGE_SIZE - (done & PAGE_MASK)), used - done);
        memcpy(pages[done >> PAGE_SHIFT] + (done & PAGE_MASK),
               p->pages[(from >> PAGE_SHIFT) & (p->page_count - 1)] + (from & PAGE_MASK), len);
        done += len;
    }
    return 0;
}

static void pages_free(char **pages, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        kfree(pages[i]);
    }
    kfree(pages);
}

static int resize_locked(struct pipe *p, uint32_t count) {
    uint64_t used = pipe_used(p);
    if (used > count * PAGE_SIZE || p->packet_count > 0) {
        return -EBUSY;
    }
    char **pages = kcalloc(count, sizeof(*pages));
    if (pages == NULL) {
        return -ENOMEM;
    }
    if (move_content(p, pages) != 0) {
        pages_free(pages, count);
        return -ENOMEM;
    }
    pages_free(p->pages, p->page_count);
    p->pages = pages;
    p->page_count = count;
    p->tail = 0;
    p->head = used;
    return 0;
}

int64_t pipe_set_size(struct file *f, uint64_t size) {
    struct pipe *p = pipe_of(f);
    uint32_t count = 1;
    if (p == NULL) {
        return -EBADF;
    }
    if (size > 1ull << 31) {
        return -EINVAL;
    }
    if (size > PIPE_PAGES_MAX * PAGE_SIZE) {
        return capable(CAP_SYS_RESOURCE) ? -ENOMEM : -EPERM;
    }
    while (count * PAGE_SIZE < size) {
        count *= 2;
    }
    mutex_lock(&p->lock);
    int err = count == p->page_count ? 0 : resize_locked(p, count);
    mutex_unlock(&p->lock);
    pipe_wake(&p->write_wait, PIPE_WRITABLE);
    return err != 0 ? err : (int64_t)(count * PAGE_SIZE);
}
