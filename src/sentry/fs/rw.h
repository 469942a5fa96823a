/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing as the system calls do, shared by rw.c, rwv.c and splice.c.
 */
#ifndef MOAT_SENTRY_FS_RW_H
#define MOAT_SENTRY_FS_RW_H

#include "fs/internal.h"
#include "kernel/task.h"

/* At the file's own position, under its lock if it is shared. */
int64_t file_rw(struct file *f, struct iov_iter *it, bool write);
/* At `pos`.  -ESPIPE for streams. */
int64_t file_rw_at(struct file *f, struct iov_iter *it, int64_t pos, bool write);
/* O_SYNC and O_DSYNC after a write of `written` bytes: that, or the error. */
int64_t file_sync_if_asked(struct file *f, int64_t written);

/* What /proc/PID/io counts: a call, and the bytes it moved if it did (n > 0). */
static inline void rw_count(int64_t n, bool write) {
    struct io_counts *io = &current->io;
    uint64_t bytes = n > 0 ? (uint64_t)n : 0;
    *(write ? &io->wchar : &io->rchar) += bytes;
    *(write ? &io->syscw : &io->syscr) += 1;
}

/* Where a transfer reads or writes (splice.c, copy.c): at a position of its own, or at the file's.
 */
struct cursor {
    struct file *file;
    bool explicit_pos;
    int64_t pos;
};
/* The position from user memory, if the pointer is not NULL.  -EFAULT, -EINVAL. */
must_check int cursor_load(struct cursor *c, struct file *f, struct uaddr user_pos);
must_check int cursor_store(const struct cursor *c, struct uaddr user_pos);
int64_t cursor_rw_iter(struct cursor *c, struct iov_iter *it, bool write);
int64_t cursor_rw(struct cursor *c, void *buf, size_t len, bool write);

/* A copied struct iovec array: on the stack when it is short. */
#define IOV_SMALL 8u
struct iov_copy {
    struct kiovec *vecs;
    struct kiovec small[IOV_SMALL];
};
/* Copies and checks (readv(2)); *out_total is at most RW_MAX.  -EINVAL, -EFAULT, -ENOMEM. */
must_check int iov_copy_in(struct iov_copy *c, struct uaddr user_vecs, uint64_t count,
                           size_t *out_total);
void iov_copy_free(struct iov_copy *c);

#endif
