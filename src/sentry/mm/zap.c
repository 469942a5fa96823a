/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking pages out of an mm: entries cleared, the space told, frames gathered (or put, when no
 * space maps them).
 *
 * Also the reverse way: mm_unmap_inode takes pages of a file out of every mm that maps them.  It
 * holds the inode's map_list_lock and one pt_lock at a time, never mm->lock, as a truncate already
 * holds locks that come after it.
 */
#include "mm/internal.h"

#include <linux/errno.h>

#include "kernel/task.h"

struct zap {
    struct mm *mm;
    uint32_t mode;
    uint64_t unmap_va, unmap_end; /* mapped by the space and zapped; holes in it do not matter */
    uint64_t pfn, frame_count;    /* run of frames to let go */
    bool frames_mapped, unmapped;
    int64_t removed;
};

uint64_t g_unmap_seq;

static void zap_flush_frames(struct zap *z) {
    if (z->frame_count == 0) {
        return;
    }
    if (z->frames_mapped && (z->mode & ZAP_FINAL) == 0) {
        gather_add(z->mm, z->pfn, z->frame_count);
    } else {
        frame_put_run(z->pfn, z->frame_count);
    }
    z->frame_count = 0;
}

static void zap_flush_unmap(struct zap *z) {
    if (z->unmap_end != 0) {
        order_unmap(z->mm, z->unmap_va, (z->unmap_end - z->unmap_va) >> PAGE_SHIFT);
        z->unmap_end = 0;
        z->unmapped = true;
    }
}

static void zap_entry(struct zap *z, uint64_t va, uint64_t pte) {
    /* A broken mm's space may map frames that the entries do not tell of. */
    bool mapped = (pte & PTE_HOST) != 0 || z->mm->broken;
    if (mapped && (z->mode & ZAP_FINAL) == 0) {
        z->unmap_va = z->unmap_end == 0 ? va : z->unmap_va;
        z->unmap_end = va + PAGE_SIZE;
    }
    if (z->frame_count == 0 || z->pfn + z->frame_count != pte_pfn(pte) ||
        z->frames_mapped != mapped) {
        zap_flush_frames(z);
        z->pfn = pte_pfn(pte);
        z->frames_mapped = mapped;
    }
    z->frame_count++;
    z->removed++;
}

static int visit_zap(struct pt_span *span, void *arg) {
    struct zap *z = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t pte = span->pte[i];
        if (pte == 0) {
            continue;
        }
        uint64_t va = span->va + i * PAGE_SIZE;
        if ((z->mode & ZAP_KEEP_ANON) != 0 && (pte & PTE_ANON) != 0) {
            if ((pte & PTE_HOST) != 0) {
                zap_flush_unmap(z);
            }
            continue;
        }
        span->pte[i] = 0;
        span->live_delta--;
        zap_entry(z, va, pte);
    }
    return 0;
}

/* True when the space was told to unmap something.  Precondition: pt_lock. */
static bool zap_locked(struct mm *mm, uint64_t start, uint64_t end, uint32_t mode) {
    struct zap z = {.mm = mm, .mode = mode};
    (void)pt_walk(mm->pt, start, end, false, visit_zap, &z); /* the visitor never fails */
    zap_flush_unmap(&z);
    zap_flush_frames(&z);
    rss_add(mm, -z.removed);
    return z.unmapped;
}

void mm_zap(struct mm *mm, uint64_t start, uint64_t end, uint32_t mode) {
    spin_lock(&mm->pt_lock);
    (void)zap_locked(mm, start, end, mode); /* the caller's space: its return to user mode looks */
    spin_unlock(&mm->pt_lock);
}

/* ---- the reverse way ---- */

/* Makes a task of every marked mm trap, so that its orders are carried out although it makes no
 * call. */
static bool kick_if_marked(struct task *t) {
    struct mm *mm = task_mm_get(t);
    bool marked = mm != NULL && atomic_exchange(&mm->kick, 0u) != 0;
    if (marked) {
        task_kick(t);
    }
    if (mm != NULL) {
        mm_put(mm);
    }
    return marked;
}

/* A thread that is in the kernel carries them out when it leaves, but may sleep long: every thread
 * of the process is kicked. */
static void kick_process(struct process *p) {
    bool marked = false;
    struct task *t = thread_next(p, 0);
    while (t != NULL) {
        int32_t next = t->tid + 1;
        if (marked) {
            task_kick(t);
        } else {
            marked = kick_if_marked(t);
        }
        task_put(t);
        t = thread_next(p, next);
    }
}

static void kick_marked(void) {
    struct process *p = process_next(0);
    while (p != NULL) {
        int32_t next = p->pid + 1;
        kick_process(p);
        process_put(p);
        p = process_next(next);
    }
}

void mm_unmap_inode(struct inode *inode, uint64_t first_page, uint64_t page_count) {
    (void)atomic_fetch_add(&g_unmap_seq, 1ull); /* faults under way ask the file again */
    uint64_t last;                              /* one past */
    if (ckd_add(&last, first_page, page_count)) {
        last = UINT64_MAX;
    }
    bool kick = false;
    spin_lock(&inode->map_list_lock);
    struct vma *v;
    list_for_each_entry (v, &inode->mappings, inode_link) {
        uint64_t v_last = v->pgoff + (vma_len(v) >> PAGE_SHIFT);
        uint64_t from = MAX(first_page, v->pgoff), to = MIN(last, v_last);
        if (from >= to) {
            continue;
        }
        uint64_t start = v->start + ((from - v->pgoff) << PAGE_SHIFT);
        uint64_t end = v->start + ((to - v->pgoff) << PAGE_SHIFT);
        spin_lock(&v->mm->pt_lock);
        if (zap_locked(v->mm, start, end, ZAP_KEEP_ANON) && v->mm != current->mm) {
            atomic_store(&v->mm->kick, 1u);
            kick = true;
        }
        spin_unlock(&v->mm->pt_lock);
    }
    spin_unlock(&inode->map_list_lock);
    if (kick) {
        kick_marked();
    }
}
