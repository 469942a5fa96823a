/* SPDX-License-Identifier: Apache-2.0 */
/* mmap, munmap, mprotect, mremap, brk (man pages of section 2): arguments checked, then mm/map.c
 * and its neighbours. */
#include "mm/internal.h"

#include <linux/errno.h>
#include <linux/mman.h>

#include "kernel/task.h"
#include "mm/callsite.h"
#include "syscall/syscall.h"

/* What MAP_SHARED_VALIDATE knows of; other types ignore the rest. */
#define MAP_KNOWN                                                                                  \
    ((uint32_t)(MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE |             \
                MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK |        \
                MAP_STACK | MAP_HUGETLB | MAP_FIXED_NOREPLACE |                                    \
                (MAP_HUGE_MASK << MAP_HUGE_SHIFT)))

int64_t sys_mmap(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[3];
    struct file *file = NULL;
    if (!IS_ALIGNED(args->a[5], PAGE_SIZE)) {
        return -EINVAL;
    }
    if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~MAP_KNOWN) != 0) {
        return -EOPNOTSUPP;
    }
    if ((flags & MAP_ANONYMOUS) == 0) {
        file = fd_get((int)args->a[4], false);
        if (file == NULL) {
            return -EBADF;
        }
    }
    uint64_t off = file != NULL ? args->a[5] : 0;
    if ((flags & MAP_FIXED) != 0) {
        callsite_drop(t->mm, args->a[0], args->a[1]);
    }
    int64_t result = mm_map(t->mm, args->a[0], args->a[1], (uint32_t)args->a[2], flags, file, off);
    if (file != NULL) {
        file_put(file);
    }
    return result;
}

int64_t sys_munmap(struct task *t, const struct sysargs *args) {
    callsite_drop(t->mm, args->a[0], args->a[1]);
    return mm_unmap(t->mm, args->a[0], args->a[1]);
}

int64_t sys_mprotect(struct task *t, const struct sysargs *args) {
    const uint32_t known =
        PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP;
    uint64_t start = args->a[0], len = args->a[1];
    uint32_t prot = (uint32_t)args->a[2];
    if ((prot & ~known) != 0 ||
        (prot & (PROT_GROWSDOWN | PROT_GROWSUP)) == (PROT_GROWSDOWN | PROT_GROWSUP)) {
        return -EINVAL;
    }
    if ((prot & PROT_GROWSDOWN) != 0 && IS_ALIGNED(start, PAGE_SIZE) && user_range_ok(start, len)) {
        /* From the beginning of the growing area on. */
        rw_read_lock(&t->mm->lock);
        const struct vma *v = vma_at(t->mm, start);
        bool grows = v != NULL && (v->flags & VMA_GROWSDOWN) != 0;
        uint64_t area = grows ? v->start : start;
        rw_read_unlock(&t->mm->lock);
        if (!grows) {
            return -EINVAL;
        }
        len += start - area;
        start = area;
    }
    callsite_drop(t->mm, start, len);
    return mm_protect(t->mm, start, len, prot);
}

int64_t sys_mremap(struct task *t, const struct sysargs *args) {
    callsite_drop(t->mm, args->a[0], args->a[1]);
    callsite_drop(t->mm, args->a[4], args->a[2]); /* at worst for nothing */
    return mm_remap(t->mm, args->a[0], args->a[1], args->a[2], (uint32_t)args->a[3], args->a[4]);
}

int64_t sys_brk(struct task *t, const struct sysargs *args) {
    return (int64_t)mm_brk(t->mm, args->a[0]);
}
