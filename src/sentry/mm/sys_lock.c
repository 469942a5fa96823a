/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mlock and its family (mlock(2)).  Guest memory is never paged out by us, so locking means:
 * counted against RLIMIT_MEMLOCK, filled, and kept from MADV_DONTNEED.
 */
#include "mm/internal.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "kernel/task.h"
#include "syscall/syscall.h"

/* Start and end of the pages that [addr, addr + len) touches. */
static int lock_range(const struct sysargs *args, uint64_t *out_start, uint64_t *out_end) {
    uint64_t start = ALIGN_DOWN(args->a[0], PAGE_SIZE), len;
    if (ckd_add(&len, args->a[1], args->a[0] & PAGE_MASK) || len > UINT64_MAX - PAGE_SIZE) {
        return -EINVAL;
    }
    len = ALIGN_UP(len, PAGE_SIZE);
    if (!user_range_ok(start, len)) {
        return -ENOMEM;
    }
    *out_start = start;
    *out_end = start + len;
    return 0;
}

static uint64_t locked_in(struct mm *mm, uint64_t start, uint64_t end) {
    uint64_t pages = 0;
    for (struct vma *v = vma_find(mm, start); v != NULL && v->start < end; v = vma_next(v)) {
        if ((v->flags & VMA_LOCKED) != 0) {
            pages += (MIN(v->end, end) - MAX(v->start, start)) >> PAGE_SHIFT;
        }
    }
    return pages;
}

static int check_limit(struct mm *mm, uint64_t start, uint64_t end) {
    uint64_t limit = rlimit_get(RLIMIT_MEMLOCK);
    if (limit == UINT64_MAX || capable(CAP_IPC_LOCK)) {
        return 0;
    }
    if (limit == 0) {
        return -EPERM;
    }
    rw_read_lock(&mm->lock);
    uint64_t pages = mm->locked_pages + ((end - start) >> PAGE_SHIFT) - locked_in(mm, start, end);
    rw_read_unlock(&mm->lock);
    return pages <= limit >> PAGE_SHIFT ? 0 : -ENOMEM;
}

static int64_t lock_pages(struct mm *mm, const struct sysargs *args, bool fill) {
    uint64_t start, end;
    int err = lock_range(args, &start, &end);
    if (err == 0) {
        err = check_limit(mm, start, end);
    }
    if (err != 0 || start == end) {
        return err;
    }
    err = mm_change_flags(mm, start, end, VMA_LOCKED, 0);
    if (err == 0 && fill) {
        err = mm_populate(mm, start, end, true);
        err = err == -EIO ? -ENOMEM : err;
    }
    return err;
}

int64_t sys_mlock(struct task *t, const struct sysargs *args) {
    return lock_pages(t->mm, args, true);
}

int64_t sys_mlock2(struct task *t, const struct sysargs *args) {
    if ((args->a[2] & ~(uint64_t)MLOCK_ONFAULT) != 0) {
        return -EINVAL;
    }
    return lock_pages(t->mm, args, (args->a[2] & MLOCK_ONFAULT) == 0);
}

int64_t sys_munlock(struct task *t, const struct sysargs *args) {
    uint64_t start, end;
    int err = lock_range(args, &start, &end);
    return err != 0 || start == end ? err : mm_change_flags(t->mm, start, end, 0, VMA_LOCKED);
}

/* Every area; holes do not matter. */
static void change_all(struct mm *mm, uint32_t set, uint32_t clear) {
    for (uint64_t va = 0;;) {
        rw_read_lock(&mm->lock);
        const struct vma *v = vma_find(mm, va);
        uint64_t start = v != NULL ? v->start : 0, end = v != NULL ? v->end : 0;
        rw_read_unlock(&mm->lock);
        if (v == NULL) {
            return;
        }
        if (mm_change_flags(mm, start, end, set, clear) != 0) {
            return; /* another thread changed the areas at the same time */
        }
        va = end;
    }
}

int64_t sys_mlockall(struct task *t, const struct sysargs *args) {
    const uint32_t known = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
    uint32_t flags = (uint32_t)args->a[0];
    struct mm *mm = t->mm;
    if (flags == 0 || (flags & ~known) != 0 || flags == MCL_ONFAULT) {
        return -EINVAL;
    }
    uint64_t limit = rlimit_get(RLIMIT_MEMLOCK);
    bool may = limit == UINT64_MAX || capable(CAP_IPC_LOCK);
    if (!may && limit == 0) {
        return -EPERM;
    }
    if (!may && (flags & MCL_CURRENT) != 0 && mm->total_pages > limit >> PAGE_SHIFT) {
        return -ENOMEM;
    }
    rw_write_lock(&mm->lock);
    mm->future_flags = (flags & MCL_FUTURE) != 0 ? VMA_LOCKED : 0;
    rw_write_unlock(&mm->lock);
    if ((flags & MCL_CURRENT) != 0) {
        change_all(mm, VMA_LOCKED, 0);
    }
    return 0;
}

int64_t sys_munlockall(struct task *t, const struct sysargs *args) {
    rw_write_lock(&t->mm->lock);
    t->mm->future_flags = 0;
    rw_write_unlock(&t->mm->lock);
    change_all(t->mm, 0, VMA_LOCKED);
    return 0;
}
