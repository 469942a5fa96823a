/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice, tee, vmsplice (splice(2), tee(2), vmsplice(2)).
 *
 * Into a pipe data go through a kernel buffer no larger than the room that was waited for; out of a
 * pipe they are written from the pipe's own pages, under its lock, and dropped as far as they were
 * written.
 */
#include "base/string.h"
#include "fs/pipe.h"
#include "fs/rw.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"

#include <linux/uio.h>

#define SPLICE_CHUNK    (64u * 1024u)
#define SPLICE_MOVE     1u /* splice(2) */
#define SPLICE_NONBLOCK 2u
#define SPLICE_MORE     4u
#define SPLICE_GIFT     8u
#define SPLICE_KNOWN    (SPLICE_MOVE | SPLICE_NONBLOCK | SPLICE_MORE | SPLICE_GIFT)

/* Puts all of `buf` into the pipe, waiting for room; what it put, or the first error. */
static int64_t put_all(struct pipe *p, void *buf, size_t len) {
    struct iov_iter it;
    int64_t n = 0;
    iter_init_kernel(&it, buf, len);
    mutex_lock(&p->lock);
    while (n >= 0 && iter_left(&it) > 0) {
        n = pipe_wait_room(p, 1, false);
        if (n > 0) {
            n = pipe_put_locked(p, &it, false);
            pipe_wake(&p->read_wait, PIPE_READABLE);
        }
    }
    mutex_unlock(&p->lock);
    return iter_left(&it) < len ? (int64_t)(len - iter_left(&it)) : n;
}

/* Puts what fits once there is room: vmsplice(2) does not wait for more. */
static int64_t put_some(struct pipe *p, struct iov_iter *it, bool nonblock) {
    mutex_lock(&p->lock);
    int64_t n = pipe_wait_room(p, 1, nonblock);
    if (n > 0) {
        n = pipe_put_locked(p, it, false);
    }
    mutex_unlock(&p->lock);
    if (n > 0) {
        pipe_wake(&p->read_wait, PIPE_READABLE);
    }
    return n;
}

static int64_t wait_room(struct pipe *p, bool nonblock, size_t *out_room) {
    mutex_lock(&p->lock);
    int64_t r = pipe_wait_room(p, 1, nonblock);
    *out_room = pipe_room(p);
    mutex_unlock(&p->lock);
    return r;
}

static int64_t file_to_pipe(struct cursor *in, struct pipe *p, size_t len, bool nonblock) {
    size_t room;
    int64_t n = wait_room(p, nonblock, &room);
    if (n < 0) {
        return n;
    }
    len = MIN(MIN(len, room), SPLICE_CHUNK);
    char *buf = kmalloc(len);
    if (buf == NULL) {
        return -ENOMEM;
    }
    n = cursor_rw(in, buf, len, false);
    if (n > 0) {
        n = put_all(p, buf, (size_t)n);
    }
    kfree(buf);
    return n;
}

/* Describes up to `len` bytes of the pipe in place.  Lock held. */
static uint32_t pipe_vecs(struct pipe *p, size_t len, struct kiovec *vecs, uint32_t max,
                          size_t *out_total) {
    uint64_t at = p->tail, end = p->tail + MIN(len, pipe_used(p));
    uint32_t count = 0;
    while (at < end && count < max) {
        size_t off = at & PAGE_MASK;
        size_t n = MIN(end - at, PAGE_SIZE - off);
        vecs[count].base =
            (uint64_t)(uintptr_t)(p->pages[(at >> PAGE_SHIFT) & (p->page_count - 1)] + off);
        vecs[count].len = n;
        count++;
        at += n;
    }
    *out_total = at - p->tail;
    return count;
}

static int64_t write_in_place(struct pipe *p, struct cursor *out, size_t len) {
    struct kiovec vecs[PIPE_PAGES_DEFAULT + 1];
    size_t total;
    uint32_t count = pipe_vecs(p, len, vecs, ARRAY_COUNT(vecs), &total);
    struct iov_iter it = {.is_user = false, .vecs = vecs, .vec_count = count, .left = total};
    return cursor_rw_iter(out, &it, true);
}

static int64_t pipe_to_file(struct pipe *p, struct cursor *out, size_t len, bool nonblock) {
    int64_t done = 0;
    mutex_lock(&p->lock);
    while (len > 0) {
        /* Only the first bytes are waited for. */
        int64_t n = pipe_wait_data(p, nonblock || done > 0);
        if (n > 0) {
            n = write_in_place(p, out, len);
        }
        if (n <= 0) {
            done = done > 0 || n == 0 ? done : n;
            break;
        }
        pipe_consume_locked(p, (uint64_t)n);
        pipe_wake(&p->write_wait, PIPE_WRITABLE);
        done += n;
        len -= (size_t)n;
    }
    mutex_unlock(&p->lock);
    return done;
}

/* Copies what is there into `buf`, with or without taking it; waits for the first byte. */
static int64_t pipe_copy_out(struct pipe *p, char *buf, size_t len, bool nonblock, bool take) {
    struct iov_iter it;
    iter_init_kernel(&it, buf, len);
    mutex_lock(&p->lock);
    int64_t n = pipe_wait_data(p, nonblock);
    if (n > 0 && take) {
        n = pipe_take_locked(p, &it);
    } else if (n > 0) {
        struct kiovec vecs[PIPE_PAGES_DEFAULT + 1];
        size_t total;
        uint32_t count = pipe_vecs(p, len, vecs, ARRAY_COUNT(vecs), &total);
        size_t at = 0;
        for (uint32_t i = 0; i < count; i++) {
            memcpy(buf + at, (const void *)(uintptr_t)vecs[i].base, vecs[i].len);
            at += vecs[i].len;
        }
        n = (int64_t)total;
    }
    mutex_unlock(&p->lock);
    if (n > 0 && take) {
        pipe_wake(&p->write_wait, PIPE_WRITABLE);
    }
    return n;
}

static int64_t pipe_to_pipe(struct pipe *in, struct pipe *out, size_t len, bool nonblock,
                            bool take) {
    size_t room;
    if (in == out) {
        return -EINVAL;
    }
    int64_t n = wait_room(out, nonblock, &room);
    if (n < 0) {
        return n;
    }
    len = MIN(MIN(len, room), SPLICE_CHUNK);
    char *buf = kmalloc(len);
    if (buf == NULL) {
        return -ENOMEM;
    }
    n = pipe_copy_out(in, buf, len, nonblock, take);
    if (n > 0) {
        n = put_all(out, buf, (size_t)n);
    }
    kfree(buf);
    return n;
}

/* ---- splice(2) ---- */

static int64_t splice_files(struct cursor *in, struct cursor *out, size_t len, uint32_t flags) {
    struct pipe *from = pipe_of(in->file), *to = pipe_of(out->file);
    bool nonblock_in =
        (flags & SPLICE_NONBLOCK) != 0 || (from != NULL && (in->file->flags & O_NONBLOCK) != 0);
    bool nonblock_out =
        (flags & SPLICE_NONBLOCK) != 0 || (to != NULL && (out->file->flags & O_NONBLOCK) != 0);
    if ((in->file->mode & FMODE_READ) == 0 || (out->file->mode & FMODE_WRITE) == 0) {
        return -EBADF;
    }
    if (from != NULL && to != NULL) {
        return pipe_to_pipe(from, to, len, nonblock_in || nonblock_out, true);
    }
    if (from != NULL) {
        return (out->file->flags & O_APPEND) != 0 ? -EINVAL
                                                  : pipe_to_file(from, out, len, nonblock_in);
    }
    return to != NULL && !S_ISDIR(in->file->inode->mode) ? file_to_pipe(in, to, len, nonblock_out)
                                                         : -EINVAL;
}

static int64_t splice_checked(struct file *fin, struct file *fout, const struct sysargs *args) {
    struct cursor in, out;
    struct uaddr in_pos = uaddr_of(args->a[1]), out_pos = uaddr_of(args->a[3]);
    if ((pipe_of(fin) != NULL && in_pos.v != 0) || (pipe_of(fout) != NULL && out_pos.v != 0)) {
        return -ESPIPE;
    }
    int64_t r = cursor_load(&in, fin, in_pos);
    if (r == 0) {
        r = cursor_load(&out, fout, out_pos);
    }
    if (r != 0) {
        return r;
    }
    int64_t n = splice_files(&in, &out, MIN(args->a[4], RW_MAX), (uint32_t)args->a[5]);
    if (n > 0) {
        r = cursor_store(&in, in_pos);
        r = r == 0 ? cursor_store(&out, out_pos) : r;
    }
    return r != 0 ? r : n;
}

int64_t sys_splice(struct task *t, const struct sysargs *args) {
    if ((args->a[5] & ~(uint64_t)SPLICE_KNOWN) != 0) {
        return -EINVAL;
    }
    if (args->a[4] == 0) {
        return 0;
    }
    struct file *in = fd_get((int)args->a[0], false);
    struct file *out = fd_get((int)args->a[2], false);
    int64_t r = in == NULL || out == NULL ? -EBADF : splice_checked(in, out, args);
    file_put(in);
    file_put(out);
    return r;
}

int64_t sys_tee(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[3];
    if ((flags & ~SPLICE_KNOWN) != 0) {
        return -EINVAL;
    }
    struct file *in = fd_get((int)args->a[0], false);
    struct file *out = fd_get((int)args->a[1], false);
    int64_t r = -EBADF;
    if (in != NULL && out != NULL && (in->mode & FMODE_READ) != 0 &&
        (out->mode & FMODE_WRITE) != 0) {
        struct pipe *from = pipe_of(in), *to = pipe_of(out);
        r = from == NULL || to == NULL ? -EINVAL
            : args->a[2] == 0          ? 0
                                       : pipe_to_pipe(from, to, MIN(args->a[2], RW_MAX),
                                                      (flags & SPLICE_NONBLOCK) != 0, false);
    }
    file_put(in);
    file_put(out);
    return r;
}

/* Pages are copied, not given: allowed, as the program may not tell. */
int64_t sys_vmsplice(struct task *t, const struct sysargs *args) {
    struct iov_copy c;
    struct iov_iter it;
    size_t total;
    if ((args->a[3] & ~(uint64_t)SPLICE_KNOWN) != 0) {
        return -EINVAL;
    }
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL || pipe_of(f) == NULL) {
        file_put(f);
        return -EBADF;
    }
    int64_t r = iov_copy_in(&c, uaddr_of(args->a[1]), args->a[2], &total);
    if (r == 0) {
        iter_init_user_vecs(&it, c.vecs, (uint32_t)args->a[2], total);
        bool nonblock = (args->a[3] & SPLICE_NONBLOCK) != 0 || (f->flags & O_NONBLOCK) != 0;
        r = total == 0                     ? 0
            : (f->mode & FMODE_WRITE) != 0 ? put_some(pipe_of(f), &it, nonblock)
                                           : file_rw(f, &it, false);
        iov_copy_free(&c);
    }
    file_put(f);
    return r;
}
