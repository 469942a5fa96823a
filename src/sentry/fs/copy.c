/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sendfile and copy_file_range: data from file to file through a kernel buffer.
 */
#include "fs/pipe.h"
#include "fs/rw.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"

#define COPY_CHUNK (64u * 1024u)

int64_t cursor_rw_iter(struct cursor *c, struct iov_iter *it, bool write) {
    if (!c->explicit_pos) {
        return file_rw(c->file, it, write);
    }
    int64_t n = file_rw_at(c->file, it, c->pos, write);
    if (n > 0) {
        c->pos += n;
    }
    return n;
}

int64_t cursor_rw(struct cursor *c, void *buf, size_t len, bool write) {
    struct iov_iter it;
    iter_init_kernel(&it, buf, len);
    return cursor_rw_iter(c, &it, write);
}

int cursor_load(struct cursor *c, struct file *f, struct uaddr user_pos) {
    *c = (struct cursor){.file = f, .explicit_pos = user_pos.v != 0};
    if (!c->explicit_pos) {
        return 0;
    }
    if (copyin(&c->pos, user_pos, sizeof(c->pos)) != 0) {
        return -EFAULT;
    }
    return c->pos < 0 ? -EINVAL : 0;
}

int cursor_store(const struct cursor *c, struct uaddr user_pos) {
    return c->explicit_pos ? copyout(user_pos, &c->pos, sizeof(c->pos)) : 0;
}

/* Takes back what was read but not written. */
static void cursor_back(struct cursor *c, int64_t by) {
    if (c->explicit_pos) {
        c->pos -= by;
    } else {
        c->file->pos -= (uint64_t)by;
    }
}

/* Writes all of it unless an error or a full non-blocking file stops it: bytes written, or the
 * error when none. */
static int64_t write_all(struct cursor *out, char *buf, size_t len) {
    size_t done = 0;
    while (done < len) {
        int64_t n = cursor_rw(out, buf + done, len - done, true);
        if (n <= 0) {
            return done > 0 ? (int64_t)done : n;
        }
        done += (size_t)n;
    }
    return (int64_t)done;
}

static int64_t copy_loop(struct cursor *in, struct cursor *out, size_t len) {
    int64_t total = 0;
    size_t chunk = MIN(len, COPY_CHUNK);
    char *buf = kmalloc(MAX(chunk, 1u));
    if (buf == NULL) {
        return -ENOMEM;
    }
    while (len > 0) {
        int64_t got = cursor_rw(in, buf, MIN(len, chunk), false);
        if (got <= 0) {
            total = total > 0 || got == 0 ? total : got;
            break;
        }
        int64_t put = write_all(out, buf, (size_t)got);
        if (put < got) {
            cursor_back(in, got - MAX(put, 0));
        }
        if (put <= 0) {
            total = total > 0 ? total : put;
            break;
        }
        total += put;
        len -= (size_t)put;
        if (put < got || signal_pending(current)) {
            break;
        }
    }
    kfree(buf);
    return total;
}

/* ---- sendfile(2) ---- */

static int64_t sendfile_checked(struct file *fout, struct file *fin, struct uaddr user_pos,
                                size_t len) {
    struct cursor in, out = {.file = fout};
    if ((fin->mode & FMODE_READ) == 0 || (fout->mode & FMODE_WRITE) == 0) {
        return -EBADF;
    }
    if ((fin->mode & FMODE_STREAM) != 0 || S_ISDIR(fin->inode->mode)) {
        return user_pos.v != 0 ? -ESPIPE : -EINVAL;
    }
    if ((fout->flags & O_APPEND) != 0) {
        return -EINVAL;
    }
    int err = cursor_load(&in, fin, user_pos);
    if (err != 0) {
        return err;
    }
    int64_t n = copy_loop(&in, &out, len);
    rw_count(n, false);
    rw_count(n, true);
    err = n >= 0 ? cursor_store(&in, user_pos) : 0;
    return err != 0 ? err : n;
}

int64_t sys_sendfile(struct task *t, const struct sysargs *args) {
    struct file *out = fd_get((int)args->a[0], false);
    struct file *in = fd_get((int)args->a[1], false);
    int64_t r = in == NULL || out == NULL
                    ? -EBADF
                    : sendfile_checked(out, in, uaddr_of(args->a[2]), MIN(args->a[3], RW_MAX));
    file_put(in);
    file_put(out);
    return r;
}

/* ---- copy_file_range(2) ---- */

static int check_copy_range(const struct cursor *in, const struct cursor *out, uint64_t len) {
    struct file *fin = in->file, *fout = out->file;
    int64_t from = in->explicit_pos ? in->pos : (int64_t)fin->pos;
    int64_t to = out->explicit_pos ? out->pos : (int64_t)fout->pos;
    int64_t end;
    if ((fin->mode & FMODE_READ) == 0 || (fout->mode & FMODE_WRITE) == 0 ||
        (fout->flags & O_APPEND) != 0) {
        return -EBADF;
    }
    if (S_ISDIR(fin->inode->mode) || S_ISDIR(fout->inode->mode)) {
        return -EISDIR;
    }
    if (!S_ISREG(fin->inode->mode) || !S_ISREG(fout->inode->mode)) {
        return -EINVAL;
    }
    if (ckd_add(&end, MAX(from, to), (int64_t)len)) {
        return -EOVERFLOW;
    }
    bool overlap = from < to + (int64_t)len && to < from + (int64_t)len;
    return fin->inode == fout->inode && overlap ? -EINVAL : 0;
}

static int64_t copy_range_checked(struct file *fin, struct file *fout, const struct sysargs *args) {
    struct cursor in, out;
    struct uaddr in_pos = uaddr_of(args->a[1]), out_pos = uaddr_of(args->a[3]);
    uint64_t len = MIN(args->a[4], RW_MAX);
    int64_t r = cursor_load(&in, fin, in_pos);
    if (r == 0) {
        r = cursor_load(&out, fout, out_pos);
    }
    if (r == 0) {
        r = check_copy_range(&in, &out, len);
    }
    if (r != 0) {
        return r;
    }
    int64_t n = copy_loop(&in, &out, len);
    if (n > 0) {
        r = cursor_store(&in, in_pos);
        r = r == 0 ? cursor_store(&out, out_pos) : r;
    }
    return r != 0 ? r : n;
}

int64_t sys_copy_file_range(struct task *t, const struct sysargs *args) {
    if (args->a[5] != 0) {
        return -EINVAL;
    }
    struct file *in = fd_get((int)args->a[0], false);
    struct file *out = fd_get((int)args->a[2], false);
    int64_t r = in == NULL || out == NULL ? -EBADF : copy_range_checked(in, out, args);
    file_put(in);
    file_put(out);
    return r;
}
