/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces: areas (vma), page tables, faults, copy-on-write, and the door to user memory.
 *
 * Locks: mm->lock (rwmutex, sleeping) guards the area tree: write for changes of its structure,
 * read for faults. mm->pt_lock (spinlock, RANK_MM) guards page table entries and the order of
 * platform orders, and is held while a page is copied in or out.  inode->map_list_lock guards
 * inode->mappings and start, end, pgoff of the areas on it; it is taken before pt_lock, so its rank
 * must be below RANK_MM (RANK_INODE, RANK_FILE).
 *
 * Frames that a space may still map are never freed at once: they go to mm->gather and are released
 * by mm_orders_done once the platform has carried out what was queued.
 */
#ifndef MOAT_SENTRY_MM_H
#define MOAT_SENTRY_MM_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/rbtree.h"
#include "base/types.h"
#include "hal.h"
#include "kernel/lock.h"
#include "platform.h"

struct file;
struct task;
struct mm;
struct iov_iter;

/* ---- frames (mm/frame.c) -------------------------------------------------------------------
 * Physical pages of the guest.  Window frames (pfn >= window_base) need no references:
 * frame_get/put ignore them. */

/* One zeroed frame with one reference; *out_pfn.  -ENOMEM. */
must_check int frame_alloc(uint64_t *out_pfn);
/* `count` contiguous zero-on-touch frames, one reference each (at most FRAME_RUN_MAX). */
must_check int frame_alloc_run(uint64_t count, uint64_t *out_pfn);
/* Likewise with whatever was in them: only for callers that overwrite every byte before anyone else
 * sees it. */
must_check int frame_alloc_run_raw(uint64_t count, uint64_t *out_pfn);
#define FRAME_RUN_MAX (1ull << 18) /* 1 GiB */
void frame_get(uint64_t pfn);
void frame_get_run(uint64_t pfn, uint64_t count);
void frame_put(uint64_t pfn);
void frame_put_run(uint64_t pfn, uint64_t count);
uint32_t frame_refs(uint64_t pfn);
bool frame_is_window(uint64_t pfn);
static inline void *frame_ptr(uint64_t pfn) {
    return hal_memory()->linear + (pfn << PAGE_SHIFT);
}
/* Gives the memory of free frames back to the host. */
void frame_trim(void);
uint64_t frames_used(void);
uint64_t frames_total(void);
void frame_init(void);

/* ---- areas ---- */

enum {
    VMA_READ = 1u << 0,
    VMA_WRITE = 1u << 1,
    VMA_EXEC = 1u << 2,
    VMA_SHARED = 1u << 3,
    VMA_MAY_READ = 1u << 4, /* what mprotect may add */
    VMA_MAY_WRITE = 1u << 5,
    VMA_MAY_EXEC = 1u << 6,
    VMA_GROWSDOWN = 1u << 7,
    VMA_STACK = 1u << 8,
    VMA_HEAP = 1u << 9,
    VMA_DONTFORK = 1u << 10,
    VMA_WIPEONFORK = 1u << 11,
    VMA_NORESERVE = 1u << 12,
    VMA_LOCKED = 1u << 13,
    VMA_DONTDUMP = 1u << 14,
    VMA_SPECIAL = 1u << 15, /* [vdso]: the platform's */
    VMA_LAZY = 1u << 16, /* MAP_STACK: filled in small pieces on fault, however small the area is */
};

struct vma {
    struct rb_node node; /* in mm->vmas by start */
    struct mm *mm;
    uint64_t start, end; /* page-aligned, [start, end) */
    uint32_t flags;      /* VMA_* */
    struct file
        *file;      /* referenced; NULL: anonymous.  file->ops->mmap may set it to NULL (/dev/zero,
                       private):      the area becomes anonymous memory and mm/ drops the reference */
    uint64_t pgoff; /* file offset of start, in pages */
    const char *name;       /* "[heap]" and the like, or NULL */
    struct list inode_link; /* in file->inode->mappings; guarded by its map_list_lock */
};

#define MM_AREAS_MAX 65530u /* areas of one mm (vm.max_map_count of Linux) */

struct mm {
    struct refcount ref; /* holders of the structure */
    uint32_t users;      /* atomic: tasks that run in it; the last one empties it */
    struct rwmutex lock;
    struct rb_tree vmas; /* guarded by lock */
    uint32_t vma_count;
    struct spinlock pt_lock;
    struct page_table *pt; /* guarded by pt_lock */
    struct platform_space *space;
    struct mm_gather
        *gather; /* frames to release once queued orders are carried out; guarded by pt_lock */
    uint64_t brk_start, brk; /* guarded by lock, as the rest */
    uint64_t mmap_base;
    uint64_t stack_top;
    uint64_t arg_start, arg_end, env_start, env_end;
    uint64_t code_start, code_end, data_start, data_end;
    uint64_t total_pages, locked_pages;
    uint64_t rss_pages, hiwater_rss; /* guarded by pt_lock; read racily by /proc */
    struct file *exe;                /* referenced; /proc/self/exe */
    uint8_t auxv[512];
    size_t auxv_len;
    struct vma *find_cache; /* atomic: last area found; cleared when one goes */
    uint64_t gap_hint,
        gap_hole; /* guarded by lock: where the last gap search ended, the largest hole above */
    uint32_t future_flags; /* guarded by lock: VMA_LOCKED after mlockall(MCL_FUTURE) */
    uint32_t fill_faults;  /* guarded by pt_lock: of anonymous memory; sizes the pieces */
    uint32_t cow_faults;   /* guarded by pt_lock: since the last fork; sizes the clusters */
    uint32_t kick;         /* atomic: orders wait that another mm's task queued */
    bool forked;           /* guarded by pt_lock: a fork's child whose space is still to be bound */
    bool reaped;           /* guarded by pt_lock: its memory was taken away, as it ends (mm_reap) */
    bool broken; /* guarded by pt_lock: a revoking order was lost, so frames stay gathered and
                    faults fail */
    struct callsites *callsites; /* atomic: NULL until calls are counted (callsite.c) */
    struct mm_range *deferred;   /* guarded by pt_lock: unmaps for mm_bind_space of a forked mm */
    uint32_t deferred_count, deferred_cap;
};

void mm_init(void);
/* A new, empty mm over `space` (which it owns from then on); one user. */
must_check int mm_create(struct platform_space *space, struct mm **out_mm);
/* execve in two steps: the layout is built in an mm with space == NULL, then bound: queues maps of
 * all populated pages. After fork: gives the child's mm its space (always through this call; never
 * by assignment). */
void mm_bind_space(struct mm *mm, struct platform_space *space);
static inline void mm_get(struct mm *mm) {
    ref_get(&mm->ref);
}
void mm_put(struct mm *mm);
/* A task joins / leaves.  The last mm_leave frees all areas and destroys the space. */
void mm_join(struct mm *mm);
void mm_leave(struct mm *mm);
/*
 * Fork, between mm_fork_begin and mm_fork_end, which hold the parent's lock for writing so that no
 * copy-on-write page is replaced before the platform has duplicated the space: mm_fork copies areas
 * and entries and queues the protects on `parent`'s space; then the caller queues
 * platform_space_fork, has the orders carried out (RESUME_ORDERS), binds the child with
 * mm_bind_space (or, when that failed, drops it with mm_leave), and ends.  May sleep.
 */
void mm_fork_begin(struct mm *parent);
must_check int mm_fork(struct mm *parent, struct mm **out_child);
void mm_fork_end(struct mm *parent);

/* Maps as mmap(2) with MAP_FIXED_NOREPLACE/FIXED/hint semantics; for the loader and mmap.  Takes
 * its own reference on `file`.  Lock: takes mm->lock.  The address or -errno. */
int64_t mm_map(struct mm *mm, uint64_t addr, uint64_t len, uint32_t prot, uint32_t map_flags,
               struct file *file, uint64_t off);
must_check int mm_unmap(struct mm *mm, uint64_t addr, uint64_t len);
must_check int mm_protect(struct mm *mm, uint64_t addr, uint64_t len, uint32_t prot);
must_check int mm_set_brk_start(struct mm *mm, uint64_t addr);
/* A page fault of user code: queues what mends it.  0; -EFAULT (SIGSEGV, *out_code
 * SEGV_MAPERR/ACCERR); -EIO (SIGBUS, BUS_ADRERR); -ENOMEM (SIGBUS / kill). */
must_check int mm_fault(struct mm *mm, uint64_t addr, uint32_t access, int *out_code);
/* The page of addr in the linear map when it is guest memory, no host file's, or NULL. */
const void *mm_frame_at(struct mm *mm, uint64_t addr);
bool mm_is_broken(struct mm *mm);
/* Gives the private memory of an mm whose processes are being killed back to the host at once; its
 * pages read as zero from now on, and it cannot be forked.  Under no spinlock; does not sleep. */
void mm_reap(struct mm *mm);
/* Releases gathered frames; called by the return path when the space's orders have been carried
 * out.  Does nothing while platform_orders_pending(mm->space), so it may be called at any time. */
void mm_orders_done(struct mm *mm);
/* True when so many frames wait for queued orders that the task should not go back to user mode
 * before they are carried out (RESUME_ORDERS); fewer may wait until its next call or fault. */
bool mm_must_wait(const struct mm *mm);
/* Takes [first, first+count) pages of the inode out of every mapping (truncate, hole punch;
 * page_count UINT64_MAX: to the end).  To be called after the size was set and the pages left the
 * page cache: a fault that meets it retries and must then not find them.  Any sleeping
 * lock of the vfs may be held, no spinlock; does not sleep. */
struct inode;
void mm_unmap_inode(struct inode *inode, uint64_t first_page, uint64_t page_count);
/* A file without a name over zeroed shared memory of `len` bytes (MAP_SHARED | MAP_ANONYMOUS,
 * System V shared memory): referenced.  `label` is its path text.  -ENOMEM. */
must_check int mm_shared_file(uint64_t len, const char *label, struct file **out_file);
/* Fills [start, end) as far as areas and limits allow (MAP_POPULATE, mlock); write: makes private
 * pages own.  Takes mm->lock for reading.  0, or the first error (-ENOMEM where nothing is mapped).
 */
must_check int mm_populate(struct mm *mm, uint64_t start, uint64_t end, bool write);
/* Calls fn for each area in order, lock held for reading (maps, smaps). */
void mm_for_each(struct mm *mm, bool (*fn)(struct vma *v, void *arg), void *arg);
/* Pages of [start,end) that have a frame. */
uint64_t mm_resident(struct mm *mm, uint64_t start, uint64_t end);

/* ---- user memory (mm/uaccess.c): may sleep, no spinlock may be held ----------------------------
 */

/* Between user memory of `current` and kernel memory.  0 or -EFAULT. */
must_check int copyin(void *dst, struct uaddr src, size_t len);
must_check int copyout(struct uaddr dst, const void *src, size_t len);
/* The same, but they tell how many bytes were moved before the first that could not be. */
size_t user_copy_in(struct uaddr src, void *dst, size_t len);
size_t user_copy_out(struct uaddr dst, const void *src, size_t len);
size_t user_zero(struct uaddr dst, size_t len);
/* A NUL-terminated string of at most size-1 bytes; its length, -EFAULT, or -ENAMETOOLONG. */
int64_t copyin_str(char *dst, struct uaddr src, size_t size);
/* Of another mm (a reference is held): /proc/pid/mem, process_vm_*, execve arguments.  `force`
 * ignores protection. Bytes copied, or -EFAULT when none could be. */
int64_t mm_read(struct mm *mm, uint64_t addr, void *dst, size_t len, bool force);
int64_t mm_write(struct mm *mm, uint64_t addr, const void *src, size_t len, bool force);

/* Replaces `len` bytes (at most 16, within one page) of code, whatever its protection, when they
 * are `old`; at once for other threads that execute it.  0; -EAGAIN: other bytes are there, or
 * other threads forbid it; -EFAULT. */
must_check int mm_replace_code(struct mm *mm, uint64_t addr, const uint8_t *old,
                               const uint8_t *fresh, size_t len);

/* Pins user pages for direct host I/O: fills segs (kernel pointers of the linear map) for up to
 * `len` bytes; returns how many segs, *out_len the bytes they cover (may be short).  mm_unpin gives
 * them back. */
int64_t mm_pin(struct mm *mm, struct uaddr addr, size_t len, bool write, struct hal_seg *segs,
               size_t seg_max, size_t *out_len);
void mm_unpin(struct mm *mm, const struct hal_seg *segs, size_t seg_count);

/* Futex words.  The key identifies the word across address spaces when the mapping is shared. */
struct futex_key {
    uint64_t a; /* mm pointer, or inode pointer | 1 */
    uint64_t b; /* address, or offset in the file / frame number */
};
must_check int mm_futex_key(struct uaddr addr, bool shared, struct futex_key *out_key);
must_check int user_load_u32(struct uaddr addr, uint32_t *out_value);
must_check int user_cas_u32(struct uaddr addr, uint32_t expected, uint32_t desired,
                            uint32_t *out_seen);

#endif
