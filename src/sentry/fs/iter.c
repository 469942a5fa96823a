/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iov_iter: walks user or kernel segments; user memory is reached through mm/uaccess only.
 */
#include "fs/iter.h"

#include <linux/errno.h>

#include "base/string.h"
#include "kernel/task.h"
#include "mm/mm.h"

enum iter_op { ITER_TO, ITER_FROM, ITER_ZERO };

void iter_init_user(struct iov_iter *it, struct uaddr buf, size_t len) {
    *it = (struct iov_iter){.is_user = true, .vec_count = 1, .left = len, .single = {buf.v, len}};
    it->vecs = &it->single;
}

void iter_init_user_vecs(struct iov_iter *it, const struct kiovec *vecs, uint32_t count,
                         size_t total) {
    *it = (struct iov_iter){.is_user = true, .vecs = vecs, .vec_count = count, .left = total};
}

void iter_init_kernel(struct iov_iter *it, void *buf, size_t len) {
    *it = (struct iov_iter){.vec_count = 1, .left = len, .single = {(uint64_t)(uintptr_t)buf, len}};
    it->vecs = &it->single;
}

/* The rest of the current segment (empty ones are passed over); false at the end. */
static bool iter_segment(struct iov_iter *it, uint64_t *out_base, size_t *out_len) {
    while (it->left > 0 && it->vec < it->vec_count) {
        const struct kiovec *v = &it->vecs[it->vec];
        if (it->off < v->len) {
            *out_base = v->base + it->off;
            *out_len = MIN(v->len - it->off, it->left);
            return true;
        }
        it->vec++;
        it->off = 0;
    }
    return false;
}

static void iter_step(struct iov_iter *it, size_t len) {
    it->off += len;
    it->left -= len;
}

static size_t move_user(uint64_t base, char *buf, size_t len, enum iter_op op) {
    switch (op) {
    case ITER_TO:
        return user_copy_out(uaddr_of(base), buf, len);
    case ITER_FROM:
        return user_copy_in(uaddr_of(base), buf, len);
    case ITER_ZERO:
        return user_zero(uaddr_of(base), len);
    }
    return 0;
}

/* Kernel segments may lie in frames (page cache, pinned pages), which the host can take away:
 * hal_copy. */
static size_t move_kernel(uint64_t base, char *buf, size_t len, enum iter_op op) {
    void *mem = (void *)(uintptr_t)base;
    int err = 0;
    switch (op) {
    case ITER_TO:
        err = hal_copy(mem, buf, len);
        break;
    case ITER_FROM:
        err = hal_copy(buf, mem, len);
        break;
    case ITER_ZERO:
        err = hal_zero(mem, len);
        break;
    }
    return err == 0 ? len : 0;
}

static int64_t iter_move(struct iov_iter *it, char *buf, size_t len, enum iter_op op) {
    size_t done = 0, n;
    uint64_t base;
    len = MIN(len, it->left);
    while (done < len && iter_segment(it, &base, &n)) {
        n = MIN(n, len - done);
        char *at = buf != NULL ? buf + done : NULL;
        size_t moved = it->is_user ? move_user(base, at, n, op) : move_kernel(base, at, n, op);
        iter_step(it, moved);
        done += moved;
        if (moved < n) {
            break;
        }
    }
    return done == 0 && len > 0 ? -EFAULT : (int64_t)done;
}

int64_t iter_copy_to(struct iov_iter *it, const void *src, size_t len) {
    return iter_move(it, (char *)(uintptr_t)src, len, ITER_TO);
}

int64_t iter_copy_from(struct iov_iter *it, void *dst, size_t len) {
    return iter_move(it, dst, len, ITER_FROM);
}

int64_t iter_zero(struct iov_iter *it, size_t len) {
    return iter_move(it, NULL, len, ITER_ZERO);
}

void iter_advance(struct iov_iter *it, size_t len) {
    uint64_t base;
    size_t n;
    while (len > 0 && iter_segment(it, &base, &n)) {
        n = MIN(n, len);
        iter_step(it, n);
        len -= n;
    }
}

void iter_revert(struct iov_iter *it, size_t len) {
    while (len > 0) {
        if (it->off == 0) {
            if (it->vec == 0) {
                return;
            }
            it->vec--;
            it->off = it->vecs[it->vec].len;
            continue;
        }
        size_t n = MIN(len, it->off);
        it->off -= n;
        it->left += n;
        len -= n;
    }
}

int64_t iter_pin(struct iov_iter *it, size_t len, bool write, struct hal_seg *segs, size_t seg_max,
                 size_t *out_len) {
    struct iov_iter at = *it;
    size_t done = 0, count = 0, n;
    uint64_t base;
    if (it->vecs == &it->single) {
        at.vecs = &at.single;
    }
    len = MIN(len, it->left);
    while (done < len && count < seg_max && iter_segment(&at, &base, &n)) {
        size_t covered = MIN(n, len - done);
        n = covered;
        int64_t got = 1;
        if (at.is_user) {
            got = mm_pin(current->mm, uaddr_of(base), n, write, segs + count, seg_max - count,
                         &covered);
        } else {
            segs[count] = (struct hal_seg){(void *)(uintptr_t)base, n};
        }
        if (got < 0) {
            break;
        }
        count += (size_t)got;
        done += covered;
        iter_step(&at, covered);
        if (covered < n) {
            break;
        }
    }
    *out_len = done;
    return done == 0 && len > 0 ? -EFAULT : (int64_t)count;
}

void iter_unpin(struct iov_iter *it, const struct hal_seg *segs, size_t seg_count) {
    if (it->is_user) {
        mm_unpin(current->mm, segs, seg_count);
    }
}
