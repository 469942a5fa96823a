/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page faults of user code, and of the kernel on behalf of user code.
 *
 * Locks: mm->lock is held for reading while a page is mended, so faults of several threads run side
 * by side; growing a stack takes it for writing.  Whatever another thread did meanwhile shows when
 * the access is tried again.
 */
#include "mm/internal.h"

#include <asm-generic/siginfo.h>
#include <linux/errno.h>
#include <linux/resource.h>

#include "kernel/task.h"

#define STACK_STEP (16 * PAGE_SIZE) /* a stack grows by this at least, where there is room */

/* ---- finding the area ---- */

static bool access_allowed(const struct vma *v, uint32_t access, bool force) {
    uint32_t flags = v->flags;
    if ((flags & VMA_SPECIAL) != 0) {
        return false;
    }
    if (force) {
        if ((access & PROT_BIT_WRITE) != 0) {
            return (flags & VMA_WRITE) != 0 || ((flags & VMA_MAY_WRITE) != 0 && vma_is_private(v));
        }
        return (flags & VMA_MAY_READ) != 0;
    }
    if ((access & PROT_BIT_WRITE) != 0 && (flags & VMA_WRITE) == 0) {
        return false;
    }
    if ((access & PROT_BIT_EXEC) != 0 && (flags & VMA_EXEC) == 0) {
        return false;
    }
    return (flags & VMA_PROT) != 0;
}

/* Extends the growing area above addr down to it.  Precondition: mm->lock write. */
static int grow_stack(struct mm *mm, uint64_t addr) {
    struct vma *v = vma_find(mm, addr);
    if (v == NULL || (v->start > addr && (v->flags & VMA_GROWSDOWN) == 0)) {
        return -EFAULT;
    }
    if (v->start <= addr) {
        return 0;
    }
    const struct vma *prev = vma_prev(v);
    uint64_t floor = g_user_start;
    if (prev != NULL) {
        floor = prev->end + ((prev->flags & VMA_GROWSDOWN) != 0 ? 0 : STACK_GUARD);
    }
    uint64_t limit = rlimit_get(RLIMIT_STACK);
    if (limit < v->end) {
        floor = MAX(floor, v->end - limit);
    }
    uint64_t page = ALIGN_DOWN(addr, PAGE_SIZE);
    uint64_t start = MAX(ALIGN_DOWN(addr, STACK_STEP), ALIGN_UP(floor, PAGE_SIZE));
    if (page < start || !mm_may_grow(mm, (v->start - start) >> PAGE_SHIFT, v->flags)) {
        return -EFAULT;
    }
    vma_resize(v, start, v->end);
    return 0;
}

int fault_begin(struct mm *mm, uint64_t addr, uint32_t access, bool force, struct vma **out_vma,
                int *out_code) {
    *out_code = SEGV_MAPERR;
    if (!user_range_ok(addr, 1)) {
        return -EFAULT;
    }
    for (;;) {
        rw_read_lock(&mm->lock);
        struct vma *v = mm->broken ? NULL : vma_find(mm, addr);
        if (v != NULL && v->start <= addr) {
            if (access_allowed(v, access, force)) {
                *out_vma = v;
                return 0;
            }
            rw_read_unlock(&mm->lock);
            *out_code = SEGV_ACCERR;
            return -EFAULT;
        }
        bool grows = v != NULL && (v->flags & VMA_GROWSDOWN) != 0;
        bool broken = mm->broken;
        rw_read_unlock(&mm->lock);
        if (broken) {
            return -ENOMEM;
        }
        if (!grows) {
            return -EFAULT;
        }
        rw_write_lock(&mm->lock);
        int err = grow_stack(mm, addr);
        rw_write_unlock(&mm->lock);
        if (err != 0) {
            return err;
        }
    }
}

/* ---- mending the page ---- */

/* How many pages next to addr are filled, looking one way and not far. */
static uint64_t filled_beside(struct mm *mm, uint64_t addr, bool below, uint64_t low,
                              uint64_t high) {
    uint64_t n = 0;
    while (n < FILL_LARGE / 2) {
        uint64_t va = below ? addr - (n + 1) * PAGE_SIZE : addr + (n + 1) * PAGE_SIZE;
        if ((below && addr - low < (n + 1) * PAGE_SIZE) || va >= high) {
            break;
        }
        const uint64_t *pte = pt_lookup(mm->pt, va);
        if (pte == NULL || *pte == 0) {
            break;
        }
        n++;
    }
    return n;
}

/*
 * An anonymous page: with it a piece of its 2 MiB block, as large as the filled stretch beside it,
 * twice over, so that a dense area is soon filled by whole blocks and a sparse one stays small.
 * Stacks take a small piece downwards.
 */
static int fault_anon(struct vma *v, uint64_t addr) {
    uint64_t low = MAX(ALIGN_DOWN(addr, 2 * MIB), v->start);
    uint64_t high = MIN(ALIGN_DOWN(addr, 2 * MIB) + 2 * MIB, v->end);
    if ((v->flags & (VMA_GROWSDOWN | VMA_LAZY)) != 0) {
        uint64_t start = addr - MIN((uint64_t)(FILL_SMALL - 1) * PAGE_SIZE, addr - low);
        return fill_anon(v, start, addr + PAGE_SIZE);
    }
    spin_lock(&v->mm->pt_lock);
    /* A piece is a host area, and a space may have some tens of thousands: sparse giants get larger
     * ones. */
    uint32_t faults = v->mm->fill_faults++;
    uint64_t pages = faults < 2048 ? FILL_SMALL : faults < 8192 ? 4 * FILL_SMALL : FILL_LARGE;
    uint64_t below = filled_beside(v->mm, addr, true, low, high);
    uint64_t above = filled_beside(v->mm, addr, false, low, high);
    spin_unlock(&v->mm->pt_lock);
    while (pages < FILL_LARGE && pages < 2 * MAX(below, above)) {
        pages *= 2;
    }
    uint64_t start = ALIGN_DOWN(addr, pages * PAGE_SIZE);
    uint64_t end = MIN(start + pages * PAGE_SIZE, high);
    start = MAX(start, low);
    int err = fill_anon(v, start, end);
    /* Frames may have run out before the one that matters. */
    return err != 0 ? fill_anon(v, addr, addr + PAGE_SIZE) : 0;
}

static bool in_window(struct mm *mm, uint64_t addr) {
    spin_lock(&mm->pt_lock);
    const uint64_t *pte = pt_lookup(mm->pt, addr);
    bool window = pte != NULL && *pte != 0 && frame_is_window(pte_pfn(*pte));
    spin_unlock(&mm->pt_lock);
    return window;
}

/* A file page to be read, with those around it; or written through a shared mapping. */
static int fault_file(struct vma *v, uint64_t addr, bool write) {
    uint64_t start = MAX(ALIGN_DOWN(addr, 16 * PAGE_SIZE), v->start);
    uint64_t end = MIN(start + AROUND_PAGES * PAGE_SIZE, v->end);
    uint64_t filled = start;
    if (vma_is_shared_memory(v)) {
        /* Memory like any other: by whole blocks, writable at once. */
        uint64_t block = ALIGN_DOWN(addr, 2 * MIB);
        start = MAX(block, v->start);
        end = MIN(block + 2 * MIB, v->end);
        int failed = fill_file(v, start, end, true, &filled);
        return failed != 0 || filled <= addr ? fill_file(v, addr, end, true, &filled) : 0;
    }
    if (write) {
        return fill_file(v, addr, MIN(addr + 16 * PAGE_SIZE, v->end), true, &filled);
    }
    int err = fill_file(v, start, end, false, &filled);
    if (err != 0 || filled <= addr) {
        filled = addr;
        err = fill_file(v, addr, end, false, &filled);
    }
    if (err == 0 && filled == end && in_window(v->mm, addr)) {
        /* A window costs nothing: the rest of the block goes into the same order. */
        end = MIN(ALIGN_DOWN(addr, 2 * MIB) + 2 * MIB, v->end);
        if (filled < end && fill_file(v, filled, end, false, &filled) != 0) {
            return 0; /* the file ends there; what was asked for is in */
        }
    }
    return err;
}

static int fault_absent(struct vma *v, uint64_t addr, bool write) {
    if (vma_is_anon(v)) {
        return fault_anon(v, addr);
    }
    if (v->file == NULL || v->file->ops->map_pages == NULL) {
        return -EIO;
    }
    if (!write || !vma_is_private(v)) {
        return fault_file(v, addr, write);
    }
    uint64_t start = MAX(ALIGN_DOWN(addr, FILL_SMALL * PAGE_SIZE), v->start);
    uint64_t end = MIN(ALIGN_DOWN(addr, FILL_SMALL * PAGE_SIZE) + FILL_SMALL * PAGE_SIZE, v->end);
    int err = fill_copy(v, start, end);
    return err != 0 ? fill_copy(v, addr, addr + PAGE_SIZE) : 0;
}

/* Tells the space about a page that is fine: it was not mapped yet, or another thread's order is
 * still queued. */
static void fault_remap(struct mm *mm, uint64_t addr, uint64_t *pte) {
    if (mm->space != NULL && pte_prot(*pte) != 0) {
        struct map_batch b;
        map_batch_init(&b, mm);
        *pte |= PTE_HOST;
        map_batch_add(&b, addr, *pte, 0);
        map_batch_flush(&b);
    }
}

int fault_page(struct vma *v, uint64_t addr, uint32_t access) {
    struct mm *mm = v->mm;
    bool write = (access & PROT_BIT_WRITE) != 0;
    addr = ALIGN_DOWN(addr, PAGE_SIZE);
    spin_lock(&mm->pt_lock);
    uint64_t *pte = pt_lookup(mm->pt, addr);
    bool present = pte != NULL && *pte != 0;
    bool fine = present && (!write || (*pte & PTE_OWN) != 0);
    if (fine) {
        fault_remap(mm, addr, pte);
    }
    spin_unlock(&mm->pt_lock);
    if (fine) {
        return 0;
    }
    if (!present) {
        return fault_absent(v, addr, write);
    }
    return vma_is_private(v) ? cow_break(v, addr) : fault_file(v, addr, true);
}

int mm_fault(struct mm *mm, uint64_t addr, uint32_t access, int *out_code) {
    struct vma *v;
    int err = fault_begin(mm, addr, access, false, &v, out_code);
    if (err != 0) {
        return err;
    }
    err = fault_page(v, addr, access);
    rw_read_unlock(&mm->lock);
    return err;
}

int fault_for_kernel(struct mm *mm, uint64_t addr, uint32_t access, bool force) {
    struct vma *v;
    int code;
    int err = fault_begin(mm, addr, access, force, &v, &code);
    if (err != 0) {
        return err;
    }
    err = fault_page(v, addr, access);
    rw_read_unlock(&mm->lock);
    return err;
}

/* ---- ahead of time ---- */

static int populate_area(struct vma *v, uint64_t start, uint64_t end, bool write) {
    write = write && (v->flags & VMA_WRITE) != 0;
    if ((v->flags & VMA_PROT) == 0 || (v->flags & VMA_SPECIAL) != 0) {
        return 0;
    }
    if (vma_is_anon(v)) {
        int err = fill_anon(v, start, end);
        if (err != 0 || !write) {
            return err;
        }
    }
    for (uint64_t va = start; va < end; va += PAGE_SIZE) {
        spin_lock(&v->mm->pt_lock);
        const uint64_t *pte = pt_lookup(v->mm->pt, va);
        bool fine = pte != NULL && *pte != 0 && (!write || (*pte & PTE_OWN) != 0);
        spin_unlock(&v->mm->pt_lock);
        int err = fine ? 0 : fault_page(v, va, write ? PROT_BIT_WRITE : PROT_BIT_READ);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

int mm_populate(struct mm *mm, uint64_t start, uint64_t end, bool write) {
    int err = 0;
    rw_read_lock(&mm->lock);
    for (uint64_t va = start; va < end && err == 0;) {
        struct vma *v = vma_find(mm, va);
        if (v == NULL || v->start >= end || v->start > va) {
            err = -ENOMEM;
            break;
        }
        uint64_t stop = MIN(v->end, end);
        err = populate_area(v, va, stop, write);
        va = stop;
    }
    rw_read_unlock(&mm->lock);
    return err;
}
