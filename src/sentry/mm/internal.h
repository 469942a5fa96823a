/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of mm/ share: page table entries, areas, zapping, orders, filling.
 *
 * A page table entry says everything about one page: its frame, what user code may do with it,
 * whether the frame may be written in place, and whether the space maps it with exactly these
 * rights (so that a change of the entry tells which order is due).  "Precondition: pt_lock" and the
 * like name the locks that the caller holds.
 */
#ifndef MOAT_SENTRY_MM_INTERNAL_H
#define MOAT_SENTRY_MM_INTERNAL_H

#include "base/types.h"
#include "fs/vfs.h"
#include "mm/mm.h"

/* ---- page table (pagetable.c) ---- */

#define PTE_PRESENT 1ull
#define PTE_READ    2ull /* user code may read it; READ, WRITE, EXEC are PROT_BIT_* shifted by one */
#define PTE_WRITE   4ull /* user code may write it in place: OWN, and the area allows writing */
#define PTE_EXEC    8ull
#define PTE_OWN                                                                                    \
    16ull /* the frame may be written: private and not shared, or shared and announced to the file \
           */
#define PTE_HOST   32ull /* the space maps it, with the rights above */
#define PTE_ANON   64ull /* private frame: anonymous memory or the private copy of a file page */
#define PTE_RIGHTS (PTE_READ | PTE_WRITE | PTE_EXEC)

static inline uint64_t pte_pfn(uint64_t pte) {
    return pte >> PAGE_SHIFT;
}
static inline uint32_t pte_prot(uint64_t pte) {
    return (uint32_t)(pte & PTE_RIGHTS) >> 1;
}

/* Some entries of one leaf table.  A visitor that fills or clears entries says so in `live_delta`.
 */
struct pt_span {
    uint64_t *pte;
    uint64_t va; /* of pte[0] */
    uint32_t count;
    int32_t live_delta;
};

typedef int pt_visit_fn(struct pt_span *span, void *arg);

must_check struct page_table *pt_create(void);
/* All entries must be zero. */
void pt_destroy(struct page_table *pt);
/* The entry of va, or NULL when its table does not exist. */
uint64_t *pt_lookup(const struct page_table *pt, uint64_t va);
/* Calls fn for the leaf tables of [start, end): existing ones only, or, with `create`, all.  Ends
 * early with fn's first result other than 0; -ENOMEM. */
int pt_walk(struct page_table *pt, uint64_t start, uint64_t end, bool create, pt_visit_fn *fn,
            void *arg);
/* First address in [start, end) whose entry is (not) present, or end. */
uint64_t pt_next_present(struct page_table *pt, uint64_t start, uint64_t end);
uint64_t pt_next_absent(struct page_table *pt, uint64_t start, uint64_t end);

/* ---- frames (frame.c) ---- */

/* What frame_alloc_run (zero) and frame_alloc_run_raw do; *out_touched: the host holds memory for
 * all of them already. */
must_check int frame_take(uint64_t count, bool zero, uint64_t *out_pfn, bool *out_touched);
#define POPULATE_MAX 512u /* pages of an order that are worth entering at once */

/* ---- areas (vma.c) ---- */

#define VMA_PROT     (VMA_READ | VMA_WRITE | VMA_EXEC)
#define VMA_MAY      (VMA_MAY_READ | VMA_MAY_WRITE | VMA_MAY_EXEC)
#define STACK_GUARD  (256ull * PAGE_SIZE) /* kept free below a growing stack, as Linux does */
#define EAGER_MAX    (16ull * MIB) /* anonymous areas up to this are filled when they are made */
#define FILL_SMALL   16u           /* pages of a first fault in an empty neighbourhood */
#define FILL_LARGE   512u          /* pages of a 2 MiB granule */
#define AROUND_PAGES 64u           /* fault-around of file pages */

static inline uint64_t vma_len(const struct vma *v) {
    return v->end - v->start;
}
static inline bool vma_is_private(const struct vma *v) {
    return (v->flags & VMA_SHARED) == 0;
}
/* Private anonymous memory that mm fills with zeroes. */
static inline bool vma_is_anon(const struct vma *v) {
    return v->file == NULL && (v->flags & (VMA_SHARED | VMA_SPECIAL)) == 0;
}
static inline uint64_t vma_page(const struct vma *v, uint64_t va) {
    return v->pgoff + ((va - v->start) >> PAGE_SHIFT);
}
/* The entry of a page of `v` with frame `pfn`; extra: PTE_OWN, PTE_ANON. */
uint64_t vma_pte(const struct vma *v, uint64_t pfn, uint64_t extra);

/* Precondition of all: mm->lock (write for those that change). */
struct vma *vma_find(struct mm *mm, uint64_t addr); /* first with end > addr, or NULL */
struct vma *vma_at(struct mm *mm, uint64_t addr);   /* the one that contains addr, or NULL */
struct vma *vma_next(const struct vma *v);
struct vma *vma_prev(const struct vma *v);
/* An area that is on no list yet, with a reference of its own on `file`; NULL without memory. */
must_check struct vma *vma_alloc(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags,
                                 struct file *file, uint64_t pgoff);
void vma_free(struct vma *v); /* drops the file: not under mm->lock */
void vma_insert(struct mm *mm, struct vma *v);
/* Likewise, right behind another area of the same file in the inode's list (fork). */
void vma_insert_behind(struct mm *mm, struct vma *v, struct vma *sibling);
void vma_remove(struct mm *mm, struct vma *v);
/* Moves an edge; pgoff follows start. */
void vma_resize(struct vma *v, uint64_t start, uint64_t end);
/* Cuts at addr; the upper part is *out_upper.  -ENOMEM. */
must_check int vma_split(struct vma *v, uint64_t addr, struct vma **out_upper);
/* Joins with equal neighbours; the area that now covers v's range.  Merged-away areas go to `gone`.
 */
struct vma *vma_merge(struct vma *v, struct list *gone);
void vma_set_flags(struct vma *v, uint32_t flags);
/* Frees areas that were put on a list by inode_link. */
void vma_free_list(struct list *gone);
/* Highest (or, bottom up, lowest) free range of `len` in [low, high); 0 when there is none. */
uint64_t vma_gap(struct mm *mm, uint64_t len, uint64_t low, uint64_t high);
uint64_t vma_gap_top_down(struct mm *mm, uint64_t len);
bool vma_range_free(struct mm *mm, uint64_t start, uint64_t end);
/* Cuts at both ends so that areas lie wholly in or out.  First area in the range, or NULL. */
must_check int vma_isolate(struct mm *mm, uint64_t start, uint64_t end, struct vma **out_first);

/* ---- gather and orders (orders.c); precondition: pt_lock ---- */

struct mm_range {
    uint64_t va, page_count;
};

struct gather_block;
struct mm_gather {
    struct gather_block *head; /* newest block */
    struct gather_block *spare;
    uint64_t page_count;
};

void gather_add(struct mm *mm, uint64_t pfn, uint64_t count);
/* Lets go of the frame of an entry that was replaced: at once when no space can map it. */
static inline void gather_entry(struct mm *mm, uint64_t pte) {
    if ((pte & PTE_HOST) != 0 || mm->broken) {
        gather_add(mm, pte_pfn(pte), 1);
    } else {
        frame_put(pte_pfn(pte));
    }
}
/* Takes all gathered frames off; gather_release frees them without a lock. */
struct gather_block *gather_detach(struct mm *mm);
void gather_release(struct mm *mm, struct gather_block *blocks);

/* Maps queued in runs: contiguous pages with contiguous frames and equal rights become one order.
 */
struct map_batch {
    struct mm *mm;
    uint64_t va, pfn, page_count;
    uint32_t prot;
};
static inline void map_batch_init(struct map_batch *b, struct mm *mm) {
    *b = (struct map_batch){.mm = mm};
}
/* flags: PROT_BIT_REPLACE when the space maps another frame there.  The page has PTE_HOST set
 * already; it is cleared again where the order could not be queued. */
void map_batch_add(struct map_batch *b, uint64_t va, uint64_t pte, uint32_t flags);
void map_batch_flush(struct map_batch *b);

/* Protects in runs.  Pages without a change join a run, so that it stays one order, but do not end
 * it. */
struct protect_batch {
    struct mm *mm;
    uint64_t va, page_count, needed;
    uint32_t prot;
    bool takes; /* some page loses a right */
    int error;
};
static inline void protect_batch_init(struct protect_batch *b, struct mm *mm) {
    *b = (struct protect_batch){.mm = mm};
}
/* A mapped page that had `old` rights and must have `prot`. */
void protect_batch_add(struct protect_batch *b, uint64_t va, uint32_t old, uint32_t prot);
void protect_batch_flush(struct protect_batch *b);

void order_unmap(struct mm *mm, uint64_t va, uint64_t page_count);
void mm_set_broken(struct mm *mm);
static inline void rss_add(struct mm *mm, int64_t pages) {
    mm->rss_pages += (uint64_t)pages;
    if (mm->rss_pages > mm->hiwater_rss) {
        mm->hiwater_rss = mm->rss_pages;
    }
}

/* ---- taking pages away (zap.c); takes pt_lock ---- */

enum {
    ZAP_KEEP_ANON = 1, /* leave private pages (hole punched in a file) */
    ZAP_FINAL = 2,     /* the space is gone for good: frames are put at once */
};
void mm_zap(struct mm *mm, uint64_t start, uint64_t end, uint32_t mode);

/* The area is over mm_shared_file memory: writing needs no announcement. */
bool vma_is_shared_memory(const struct vma *v);

/* ---- filling (fill.c, fault.c, cow.c); precondition: mm->lock read or write, no spinlock ---- */

/* Frames for all absent pages of [start, end) in an anonymous area.  -ENOMEM when not even the
 * first got one. */
must_check int fill_anon(struct vma *v, uint64_t start, uint64_t end);
/* File pages from `start` on, up to `end`: stops when the file has no more at hand.  -EIO: beyond
 * its end. */
must_check int fill_file(struct vma *v, uint64_t start, uint64_t end, bool write,
                         uint64_t *out_filled_to);
/* Private copies of the absent pages of [start, end), a private file area. */
must_check int fill_copy(struct vma *v, uint64_t start, uint64_t end);
/* Makes the page of addr writable in place, with neighbours that it takes along.  0 also when it
 * changed meanwhile. */
must_check int cow_break(struct vma *v, uint64_t addr);
/* One page ready for `access` (PROT_BIT_*), whatever the area's rights say.  0: look again. */
must_check int fault_page(struct vma *v, uint64_t addr, uint32_t access);
/* Finds the area of addr for an access; grows a stack.  On success mm->lock is held for reading.
 * -EFAULT
 * (*out_code SEGV_*), -ENOMEM.  force: only what the area may ever allow. */
must_check int fault_begin(struct mm *mm, uint64_t addr, uint32_t access, bool force,
                           struct vma **out_vma, int *out_code);
/* All of it for the kernel's own accesses. */
must_check int fault_for_kernel(struct mm *mm, uint64_t addr, uint32_t access, bool force);
/* Counts inode unmaps: a fault that saw it change between asking the file and entering the page
 * asks again. */
extern uint64_t g_unmap_seq;

/* ---- mapping (map.c, mremap.c); takes what it says ---- */

/* Precondition: mm->lock write.  Areas taken out go to `gone`. */
must_check int mm_unmap_locked(struct mm *mm, uint64_t start, uint64_t end, struct list *gone);
/* Whether `pages` more are within RLIMIT_AS (and RLIMIT_DATA for private writable ones). */
must_check bool mm_may_grow(struct mm *mm, uint64_t pages, uint32_t vma_flags);
/* The same for memory that is mapped already and becomes private and writable. */
must_check bool mm_may_write_more(struct mm *mm, uint64_t pages, uint32_t vma_flags);
/* brk(2): the break as it is afterwards. */
uint64_t mm_brk(struct mm *mm, uint64_t brk);
/* mremap(2). */
int64_t mm_remap(struct mm *mm, uint64_t old, uint64_t old_len, uint64_t new_len, uint32_t flags,
                 uint64_t new_addr);
/* Sets and clears area flags of [start, end): 0, -ENOMEM where nothing is mapped (the rest is
 * done). */
must_check int mm_change_flags(struct mm *mm, uint64_t start, uint64_t end, uint32_t set,
                               uint32_t clear);
/* Eager filling of a new or newly writable private area.  Precondition: mm->lock write. */
void mm_fill_eager(struct vma *v, uint64_t start, uint64_t end);
/* Likewise of a new file area, as far as the file's pages are at hand.  Precondition: mm->lock. */
void mm_fill_eager_file(struct vma *v, uint64_t start, uint64_t end);
/* An empty mm with the layout and names of `parent`; NULL without memory. */
must_check struct mm *mm_alloc_like(const struct mm *parent);
/* First and one-past-last address of user space; set by mm_init. */
extern uint64_t g_user_start, g_user_end;
/* True when [addr, addr + len) lies in user space. */
static inline bool user_range_ok(uint64_t addr, uint64_t len) {
    return addr < g_user_end && len <= g_user_end - addr;
}

#endif
