/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling: frames for pages that have none, from zeroed memory or from a file.
 *
 * Frames are got without a lock (that may zero them, or ask the Gofer), and entered under pt_lock;
 * a page that another thread filled meanwhile keeps what it has.  A file page is entered only if no
 * inode unmap ran since the file was asked (g_unmap_seq), so a truncate never leaves a page behind.
 */
#include "mm/internal.h"

#include <linux/errno.h>

#include "kernel/log.h"

#define RETRY_MAX 16
#define EAGER_COPY_PAGES                                                                           \
    32u /* private writable file areas up to this are copied when mapped: .data, .got */
#define EAGER_FILE_RUNS 8
#define EAGER_RUN_MIN   16u

struct enter {
    struct vma *v;
    uint64_t va, pfn, done, count; /* page i of the run goes to va + i pages */
    uint64_t extra;
    bool touched;   /* the frames hold memory: worth populating */
    bool announced; /* shared pages that the file was told will be written: replaces entries without
                       OWN */
    struct map_batch batch;
    int64_t added;
};

static void enter_new(struct enter *e, uint64_t *pte, uint64_t va, uint64_t pfn, uint32_t flags) {
    flags |= e->touched && e->count <= POPULATE_MAX ? PROT_BIT_POPULATE : 0;
    uint64_t entry = vma_pte(e->v, pfn, e->extra);
    if (e->v->mm->space != NULL && pte_prot(entry) != 0) {
        *pte = entry | PTE_HOST;
        map_batch_add(&e->batch, va, entry, flags);
    } else {
        *pte = entry;
    }
}

/* The entry is there already.  The new frame replaces it only to make a shared page writable. */
static void enter_over(struct enter *e, uint64_t *pte, uint64_t va, uint64_t pfn) {
    uint64_t old = *pte;
    if (!e->announced || (old & (PTE_OWN | PTE_ANON)) != 0) {
        frame_put(pfn);
        return;
    }
    enter_new(e, pte, va, pfn, PROT_BIT_REPLACE);
    gather_entry(e->v->mm, old);
}

static int visit_enter(struct pt_span *span, void *arg) {
    struct enter *e = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t va = span->va + i * PAGE_SIZE, pfn = e->pfn + e->done;
        if (span->pte[i] == 0) {
            enter_new(e, &span->pte[i], va, pfn, 0);
            span->live_delta++;
            e->added++;
        } else {
            enter_over(e, &span->pte[i], va, pfn);
        }
        e->done++;
    }
    return 0;
}

/* Enters a run; consumes its references.  Precondition: pt_lock. */
static int enter_run(struct enter *e) {
    struct mm *mm = e->v->mm;
    map_batch_init(&e->batch, mm);
    int err = pt_walk(mm->pt, e->va, e->va + e->count * PAGE_SIZE, true, visit_enter, e);
    map_batch_flush(&e->batch);
    rss_add(mm, e->added);
    if (err != 0) {
        frame_put_run(e->pfn + e->done, e->count - e->done);
    }
    return err;
}

/* As many of `*inout_count` contiguous frames as there are, halving the wish. */
static int alloc_some(uint64_t *inout_count, bool raw, uint64_t *out_pfn, bool *out_touched) {
    uint64_t count = MIN(*inout_count, FRAME_RUN_MAX);
    for (; count > 0; count /= 2) {
        int err = frame_take(count, !raw, out_pfn, out_touched);
        if (err == 0) {
            *inout_count = count;
            return 0;
        }
    }
    return -ENOMEM;
}

int fill_anon(struct vma *v, uint64_t start, uint64_t end) {
    struct mm *mm = v->mm;
    bool any = false;
    for (uint64_t va = start; va < end;) {
        spin_lock(&mm->pt_lock);
        va = pt_next_absent(mm->pt, va, end);
        uint64_t stop = pt_next_present(mm->pt, va, end);
        spin_unlock(&mm->pt_lock);
        if (va >= end) {
            break;
        }
        struct enter e = {.v = v, .va = va, .extra = PTE_OWN | PTE_ANON};
        e.count = (stop - va) >> PAGE_SHIFT;
        int err = alloc_some(&e.count, false, &e.pfn, &e.touched);
        if (err == 0) {
            va += e.count * PAGE_SIZE;
            spin_lock(&mm->pt_lock);
            err = enter_run(&e);
            spin_unlock(&mm->pt_lock);
        }
        if (err != 0) {
            return any ? 0 : err;
        }
        any = true;
    }
    return 0;
}

/* Asks the file for pages: a run of at least one. */
static int ask_file(struct vma *v, uint64_t start, uint64_t end, bool write, uint64_t *out_pfn,
                    uint64_t *out_count) {
    uint64_t want = (end - start) >> PAGE_SHIFT;
    int err = v->file->ops->map_pages(v->file, vma_page(v, start), want, write, out_pfn, out_count);
    if (err != 0) {
        return err == -EFAULT ? -EIO : err;
    }
    kassert(*out_count >= 1 && *out_count <= want);
    return 0;
}

int fill_file(struct vma *v, uint64_t start, uint64_t end, bool write, uint64_t *out_filled_to) {
    struct mm *mm = v->mm;
    bool announced = write && !vma_is_private(v);
    for (int i = 0; i < RETRY_MAX; i++) {
        struct enter e = {
            .v = v, .va = start, .extra = announced ? PTE_OWN : 0, .announced = announced};
        uint64_t seq = atomic_load(&g_unmap_seq);
        int err = ask_file(v, start, end, announced, &e.pfn, &e.count);
        if (err != 0) {
            return err;
        }
        spin_lock(&mm->pt_lock);
        bool valid = atomic_load(&g_unmap_seq) == seq;
        if (valid) {
            err = enter_run(&e);
        }
        spin_unlock(&mm->pt_lock);
        if (valid) {
            *out_filled_to = start + e.count * PAGE_SIZE;
            return err;
        }
        frame_put_run(e.pfn, e.count);
    }
    *out_filled_to = start;
    return 0; /* the access is tried again */
}

/* Private copies of file pages, without mapping the originals first. */
static int fill_copy_run(struct vma *v, uint64_t start, uint64_t end, uint64_t *out_filled_to) {
    struct mm *mm = v->mm;
    uint64_t file_pfn, count;
    uint64_t seq = atomic_load(&g_unmap_seq);
    int err = ask_file(v, start, end, false, &file_pfn, &count);
    if (err != 0) {
        return err;
    }
    struct enter e = {.v = v, .va = start, .extra = PTE_OWN | PTE_ANON, .count = count};
    err = alloc_some(&e.count, true, &e.pfn, &e.touched);
    if (err == 0 && hal_copy(frame_ptr(e.pfn), frame_ptr(file_pfn), e.count * PAGE_SIZE) != 0) {
        frame_put_run(e.pfn, e.count);
        err = -EIO;
    }
    frame_put_run(file_pfn, count);
    if (err != 0) {
        return err;
    }
    e.touched = true; /* by the copy */
    *out_filled_to = start + e.count * PAGE_SIZE;
    spin_lock(&mm->pt_lock);
    bool valid = atomic_load(&g_unmap_seq) == seq;
    if (valid) {
        err = enter_run(&e);
    }
    spin_unlock(&mm->pt_lock);
    if (!valid) {
        frame_put_run(e.pfn, e.count);
        *out_filled_to = start;
    }
    return err;
}

int fill_copy(struct vma *v, uint64_t start, uint64_t end) {
    struct mm *mm = v->mm;
    for (uint64_t va = start; va < end;) {
        spin_lock(&mm->pt_lock);
        va = pt_next_absent(mm->pt, va, end);
        uint64_t stop = pt_next_present(mm->pt, va, end);
        spin_unlock(&mm->pt_lock);
        if (va >= end) {
            break;
        }
        uint64_t filled = va;
        int err = fill_copy_run(v, va, stop, &filled);
        if (err != 0) {
            return err;
        }
        if (filled == va) {
            return 0; /* met an unmap: tried again by the next access */
        }
        va = filled;
    }
    return 0;
}

void mm_fill_eager(struct vma *v, uint64_t start, uint64_t end) {
    uint32_t lazy = VMA_LAZY | VMA_GROWSDOWN;
    if (vma_is_anon(v) && (v->flags & VMA_WRITE) != 0 && (v->flags & lazy) == 0 &&
        end - start <= EAGER_MAX && fill_anon(v, start, end) != 0) {
        return; /* what is missing is filled by faults */
    }
}

void mm_fill_eager_file(struct vma *v, uint64_t start, uint64_t end) {
    if (v->file == NULL || v->file->ops->map_pages == NULL || (v->flags & VMA_PROT) == 0) {
        return;
    }
    bool writable = (v->flags & VMA_WRITE) != 0;
    if (vma_is_private(v) && writable && (end - start) >> PAGE_SHIFT <= EAGER_COPY_PAGES) {
        start = fill_copy(v, start, end) == 0
                    ? end
                    : start; /* or mapped from the file, as far as it goes */
    }
    bool own = vma_is_shared_memory(v);
    if (own && end - start > EAGER_MAX) {
        return;
    }
    end = MIN(end, start + EAGER_MAX);
    for (int i = 0; i < EAGER_FILE_RUNS && start < end; i++) {
        uint64_t filled = start;
        if (fill_file(v, start, end, own, &filled) != 0 ||
            (filled - start) >> PAGE_SHIFT < EAGER_RUN_MIN) {
            return;
        }
        start = filled;
    }
}
