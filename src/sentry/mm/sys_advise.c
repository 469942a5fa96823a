/* SPDX-License-Identifier: Apache-2.0 */
/* madvise, msync, mincore (man pages of section 2). */
#include "mm/callsite.h"
#include "mm/internal.h"

#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/mman.h>

#include "base/string.h"
#include "kernel/task.h"
#include "syscall/syscall.h"

#define FREE_AT_ONCE                                                                               \
    (2 * MIB) /* MADV_FREE of less is left alone: the program is about to reuse it */

/* ---- madvise ---- */

/* Drops the pages: private anonymous ones read as zero afterwards, those of files are asked for
 * anew. */
static int advise_drop(struct mm *mm, uint64_t start, uint64_t end) {
    int err = 0;
    rw_read_lock(&mm->lock);
    for (uint64_t va = start; va < end;) {
        struct vma *v = vma_find(mm, va);
        if (v == NULL || v->start >= end) {
            err = -ENOMEM;
            break;
        }
        err = v->start > va ? -ENOMEM : err;
        if ((v->flags & (VMA_LOCKED | VMA_SPECIAL)) != 0) {
            err = -EINVAL;
            break;
        }
        uint64_t stop = MIN(v->end, end);
        mm_zap(mm, MAX(va, v->start), stop, 0);
        va = stop;
    }
    rw_read_unlock(&mm->lock);
    return err;
}

/* MADV_REMOVE: punches the file under one shared writable area. */
static int advise_remove(struct mm *mm, uint64_t start, uint64_t end) {
    rw_read_lock(&mm->lock);
    struct vma *v = vma_at(mm, start);
    int err = 0;
    struct file *file = NULL;
    uint64_t off = 0;
    if (v == NULL || v->end < end) {
        err = v == NULL ? -ENOMEM : -EINVAL;
    } else if (v->file == NULL || v->file->ops->fallocate == NULL || (v->flags & VMA_LOCKED) != 0) {
        err = -EINVAL;
    } else if ((v->flags & (VMA_SHARED | VMA_WRITE)) != (VMA_SHARED | VMA_WRITE)) {
        err = -EACCES;
    } else {
        file = v->file;
        file_get(file);
        off = vma_page(v, start) << PAGE_SHIFT;
    }
    rw_read_unlock(&mm->lock);
    if (file != NULL) {
        err = file->ops->fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
                                   end - start);
        file_put(file);
    }
    return err;
}

/* Only private anonymous memory may be freed lazily or wiped. */
static int check_all_anon(struct mm *mm, uint64_t start, uint64_t end) {
    int err = 0;
    rw_read_lock(&mm->lock);
    for (uint64_t va = start; va < end && err == 0;) {
        struct vma *v = vma_at(mm, va);
        err = v == NULL ? -ENOMEM : vma_is_anon(v) ? 0 : -EINVAL;
        va = v != NULL ? v->end : end;
    }
    rw_read_unlock(&mm->lock);
    return err;
}

static int check_mapped(struct mm *mm, uint64_t start, uint64_t end) {
    return mm_change_flags(mm, start, end, 0, 0);
}

static int advise(struct mm *mm, uint64_t start, uint64_t end, int advice) {
    int err;
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        return advise_drop(mm, start, end);
    case MADV_FREE:
        err = check_all_anon(mm, start, end);
        return err == 0 && end - start >= FREE_AT_ONCE ? advise_drop(mm, start, end) : err;
    case MADV_REMOVE:
        return advise_remove(mm, start, end);
    case MADV_WILLNEED:
        err = check_mapped(mm, start, end);
        if (err == 0 && mm_populate(mm, start, end, false) != 0) {
            return 0; /* only a wish */
        }
        return err;
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        err = mm_populate(mm, start, end, advice == MADV_POPULATE_WRITE);
        return err == -EIO ? -EFAULT : err;
    case MADV_DONTFORK:
        return mm_change_flags(mm, start, end, VMA_DONTFORK, 0);
    case MADV_DOFORK:
        return mm_change_flags(mm, start, end, 0, VMA_DONTFORK);
    case MADV_WIPEONFORK:
        err = check_all_anon(mm, start, end);
        return err != 0 ? err : mm_change_flags(mm, start, end, VMA_WIPEONFORK, 0);
    case MADV_KEEPONFORK:
        return mm_change_flags(mm, start, end, 0, VMA_WIPEONFORK);
    case MADV_DONTDUMP:
        return mm_change_flags(mm, start, end, VMA_DONTDUMP, 0);
    case MADV_DODUMP:
        return mm_change_flags(mm, start, end, 0, VMA_DONTDUMP);
    default:
        return check_mapped(mm, start, end); /* hints with nothing to do */
    }
}

static bool advice_known(int advice) {
    return (advice >= MADV_NORMAL && advice <= MADV_DONTNEED) ||
           (advice >= MADV_FREE && advice <= MADV_COLLAPSE);
}

int64_t sys_madvise(struct task *t, const struct sysargs *args) {
    uint64_t start = args->a[0], len = ALIGN_UP(args->a[1], PAGE_SIZE);
    int advice = (int)args->a[2];
    if (!advice_known(advice) || !IS_ALIGNED(start, PAGE_SIZE) || (len == 0 && args->a[1] != 0)) {
        return -EINVAL;
    }
    if (len == 0) {
        return 0;
    }
    if (!user_range_ok(start, len)) {
        return -ENOMEM;
    }
    callsite_drop(t->mm, start, len);
    return advise(t->mm, start, start + len, advice);
}

/* ---- msync ---- */

/* The next file to write at or after *inout_va, referenced; *inout_va moves past its area. */
static struct file *next_shared_file(struct mm *mm, uint64_t *inout_va, uint64_t end,
                                     bool invalidate, int *out_error) {
    struct file *file = NULL;
    rw_read_lock(&mm->lock);
    while (*inout_va < end && file == NULL) {
        struct vma *v = vma_find(mm, *inout_va);
        if (v == NULL || v->start >= end) {
            *out_error = -ENOMEM;
            *inout_va = end;
            break;
        }
        if (v->start > *inout_va) {
            *out_error = -ENOMEM;
        }
        if (invalidate && (v->flags & VMA_LOCKED) != 0) {
            *out_error = -EBUSY;
            *inout_va = end;
            break;
        }
        if (!vma_is_private(v) && v->file != NULL && v->file->ops->fsync != NULL) {
            file = v->file;
            file_get(file);
        }
        *inout_va = v->end;
    }
    rw_read_unlock(&mm->lock);
    return file;
}

int64_t sys_msync(struct task *t, const struct sysargs *args) {
    uint64_t start = args->a[0], len = ALIGN_UP(args->a[1], PAGE_SIZE);
    uint32_t flags = (uint32_t)args->a[2];
    if ((flags & ~(uint32_t)(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) != 0 ||
        !IS_ALIGNED(start, PAGE_SIZE) || (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC)) {
        return -EINVAL;
    }
    if (len == 0 && args->a[1] == 0) {
        return 0;
    }
    if (len == 0 || !user_range_ok(start, len)) {
        return -ENOMEM;
    }
    int unmapped = 0;
    for (uint64_t va = start; va < start + len;) {
        struct file *file =
            next_shared_file(t->mm, &va, start + len, (flags & MS_INVALIDATE) != 0, &unmapped);
        if (file == NULL) {
            continue;
        }
        int err = (flags & MS_SYNC) != 0 ? file->ops->fsync(file, true) : 0;
        file_put(file);
        if (err != 0) {
            return err;
        }
    }
    return unmapped;
}

/* ---- mincore ---- */

#define MINCORE_STEP 256u

int64_t sys_mincore(struct task *t, const struct sysargs *args) {
    uint64_t start = args->a[0], len = ALIGN_UP(args->a[1], PAGE_SIZE);
    uint8_t vec[MINCORE_STEP];
    if (!IS_ALIGNED(start, PAGE_SIZE)) {
        return -EINVAL;
    }
    if (!user_range_ok(start, len) || (len == 0 && args->a[1] != 0)) {
        return -ENOMEM;
    }
    int err = len > 0 ? check_mapped(t->mm, start, start + len) : 0;
    for (uint64_t done = 0; err == 0 && done < len >> PAGE_SHIFT;) {
        uint64_t n = MIN(MINCORE_STEP, (len >> PAGE_SHIFT) - done);
        spin_lock(&t->mm->pt_lock);
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t *pte = pt_lookup(t->mm->pt, start + (done + i) * PAGE_SIZE);
            vec[i] = pte != NULL && *pte != 0 ? 1 : 0;
        }
        spin_unlock(&t->mm->pt_lock);
        err = copyout(uaddr_of(args->a[2] + done), vec, n);
        done += n;
    }
    return err;
}
