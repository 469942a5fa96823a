/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iov_iter: a cursor over user or kernel memory that file operations read from or write to.
 */
#ifndef MOAT_SENTRY_ITER_H
#define MOAT_SENTRY_ITER_H

#include "base/types.h"
#include "hal.h"

#define IOV_MAX_COUNT 1024u
#define RW_MAX        0x7ffff000ull /* MAX_RW_COUNT of Linux */

struct kiovec { /* struct iovec of user space */
    uint64_t base;
    uint64_t len;
};

struct iov_iter {
    bool is_user;
    const struct kiovec *vecs; /* user addresses, or kernel pointers when !is_user */
    uint32_t vec_count;
    uint32_t vec; /* current */
    size_t off;   /* in the current one */
    size_t left;  /* bytes to go in all */
    struct kiovec single;
};

void iter_init_user(struct iov_iter *it, struct uaddr buf, size_t len);
void iter_init_user_vecs(struct iov_iter *it, const struct kiovec *vecs, uint32_t count,
                         size_t total);
void iter_init_kernel(struct iov_iter *it, void *buf, size_t len);
static inline size_t iter_left(const struct iov_iter *it) {
    return it->left;
}
/* Copy and advance.  Bytes moved (short at the end of the iterator or at a fault); -EFAULT when
 * none could be. */
int64_t iter_copy_to(struct iov_iter *it, const void *src, size_t len); /* kernel -> iterator */
int64_t iter_copy_from(struct iov_iter *it, void *dst, size_t len);     /* iterator -> kernel */
int64_t iter_zero(struct iov_iter *it, size_t len);
void iter_advance(struct iov_iter *it, size_t len);
void iter_revert(struct iov_iter *it, size_t len);
/* Pins up to `len` bytes at the cursor for direct host I/O: segs of kernel pointers.  Returns the
 * number of segs (0 at the end) or -EFAULT; *out_len is the bytes covered.  Then iter_unpin;
 * advance by what was moved. */
int64_t iter_pin(struct iov_iter *it, size_t len, bool write, struct hal_seg *segs, size_t seg_max,
                 size_t *out_len);
void iter_unpin(struct iov_iter *it, const struct hal_seg *segs, size_t seg_count);

#endif
