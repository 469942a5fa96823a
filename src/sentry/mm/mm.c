/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an mm: made empty, joined by tasks, bound to a space, emptied by the last that
 * leaves.
 *
 * The users of an mm hold one reference among them.  When the last user leaves, all contexts of the
 * space are gone; the space is destroyed first, and only then are frames put, without any orders.
 */
#include "mm/internal.h"

#include <linux/errno.h>
#include <linux/resource.h>

#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/task.h"
#include "mm/callsite.h"
#include "mm/shm.h"

#define MMAP_RANDOM_BITS 24u /* pages: 64 GiB of spread */
#define STACK_ROOM_MIN   (128ull * MIB)

uint64_t g_user_start, g_user_end;

void mm_init(void) {
    g_user_start = platform_info()->user_start;
    g_user_end = platform_info()->user_end;
    shm_init();
}

/* Where the stack ends and mappings begin: spread at random, with room for the stack's limit
 * between them. */
static void choose_layout(struct mm *mm) {
    uint64_t spread[2];
    hal_random(spread, sizeof(spread));
    uint64_t room = MAX(rlimit_get(RLIMIT_STACK), STACK_ROOM_MIN);
    room = MIN(room, (g_user_end - g_user_start) / 6 * 5);
    uint64_t mask = (1ull << MMAP_RANDOM_BITS) - 1;
    while (mask > 0 && (mask << PAGE_SHIFT) > (g_user_end - g_user_start) / 16) {
        mask >>= 1;
    }
    mm->stack_top = g_user_end - PAGE_SIZE - ((spread[0] & mask) << PAGE_SHIFT);
    mm->mmap_base = ALIGN_DOWN(mm->stack_top - MIN(room, mm->stack_top / 6 * 5), PAGE_SIZE);
    mm->mmap_base -= MIN((spread[1] & mask) << PAGE_SHIFT, mm->mmap_base / 2);
    mm->mmap_base = ALIGN_DOWN(mm->mmap_base, PAGE_SIZE);
    mm->gap_hint = mm->mmap_base;
}

static struct mm *mm_alloc(void) {
    struct mm *mm = kzalloc(sizeof(*mm));
    if (mm == NULL) {
        return NULL;
    }
    mm->gather = kzalloc(sizeof(*mm->gather));
    mm->pt = pt_create();
    if (mm->gather == NULL || mm->pt == NULL) {
        if (mm->pt != NULL) {
            pt_destroy(mm->pt);
        }
        kfree(mm->gather);
        kfree(mm);
        return NULL;
    }
    ref_init(&mm->ref);
    mm->users = 1;
    rw_init(&mm->lock);
    spin_init(&mm->pt_lock, RANK_MM);
    return mm;
}

int mm_create(struct platform_space *space, struct mm **out_mm) {
    struct mm *mm = mm_alloc();
    if (mm == NULL) {
        return -ENOMEM;
    }
    mm->space = space;
    choose_layout(mm);
    *out_mm = mm;
    return 0;
}

struct mm *mm_alloc_like(const struct mm *parent) {
    struct mm *mm = mm_alloc();
    if (mm == NULL) {
        return NULL;
    }
    mm->brk_start = parent->brk_start;
    mm->brk = parent->brk;
    mm->mmap_base = parent->mmap_base;
    mm->stack_top = parent->stack_top;
    mm->arg_start = parent->arg_start;
    mm->arg_end = parent->arg_end;
    mm->env_start = parent->env_start;
    mm->env_end = parent->env_end;
    mm->code_start = parent->code_start;
    mm->code_end = parent->code_end;
    mm->data_start = parent->data_start;
    mm->data_end = parent->data_end;
    mm->gap_hint = parent->gap_hint;
    mm->gap_hole = parent->gap_hole;
    memcpy(mm->auxv, parent->auxv, sizeof(mm->auxv));
    mm->auxv_len = parent->auxv_len;
    mm->exe = parent->exe;
    if (mm->exe != NULL) {
        file_get(mm->exe);
    }
    return mm;
}

void mm_join(struct mm *mm) {
    (void)atomic_fetch_add(&mm->users, 1u); /* the old count is of no use */
}

/* Frees every area and frame.  The space is gone or never was. */
static void mm_empty(struct mm *mm) {
    struct list gone;
    list_init(&gone);
    rw_write_lock(&mm->lock);
    while (mm->vmas.root != NULL) {
        struct vma *v = rb_entry(mm->vmas.root, struct vma, node);
        vma_remove(mm, v);
        list_push_back(&gone, &v->inode_link);
    }
    mm_zap(mm, 0, g_user_end, ZAP_FINAL);
    struct file *exe = mm->exe;
    mm->exe = NULL;
    rw_write_unlock(&mm->lock);
    vma_free_list(&gone);
    if (exe != NULL) {
        file_put(exe);
    }
}

void mm_leave(struct mm *mm) {
    if (atomic_fetch_sub(&mm->users, 1u) != 1) {
        return;
    }
    spin_lock(&mm->pt_lock);
    struct platform_space *space = mm->space;
    mm->space = NULL;
    spin_unlock(&mm->pt_lock);
    if (space != NULL) {
        platform_space_destroy(space);
    }
    spin_lock(&mm->pt_lock);
    struct gather_block *blocks = gather_detach(mm);
    spin_unlock(&mm->pt_lock);
    gather_release(mm, blocks);
    mm_empty(mm);
    mm_put(mm);
}

void mm_put(struct mm *mm) {
    if (!ref_put(&mm->ref)) {
        return;
    }
    kassert(mm->vmas.root == NULL && mm->space == NULL);
    gather_release(mm, gather_detach(mm));
    kfree(mm->gather->spare);
    kfree(mm->gather);
    kfree(mm->deferred);
    callsite_free(mm);
    pt_destroy(mm->pt);
    kfree(mm);
}

static int visit_bind(struct pt_span *span, void *arg) {
    struct map_batch *b = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t pte = span->pte[i];
        if (pte != 0 && (pte & PTE_HOST) == 0 && pte_prot(pte) != 0) {
            span->pte[i] = pte | PTE_HOST;
            map_batch_add(b, span->va + i * PAGE_SIZE, pte, 0);
        }
    }
    return 0;
}

/*
 * A forked child's space holds what the parent's held: only pages taken away since then are
 * unmapped.  Any other mm is mapped as far as it is filled.
 */
void mm_bind_space(struct mm *mm, struct platform_space *space) {
    spin_lock(&mm->pt_lock);
    mm->space = space;
    if (mm->forked) {
        mm->forked = false;
        for (uint32_t i = 0; i < mm->deferred_count; i++) {
            order_unmap(mm, mm->deferred[i].va, mm->deferred[i].page_count);
        }
        mm->deferred_count = 0;
    } else {
        struct map_batch b;
        map_batch_init(&b, mm);
        (void)pt_walk(mm->pt, g_user_start, g_user_end, false, visit_bind, &b);
        map_batch_flush(&b);
    }
    spin_unlock(&mm->pt_lock);
}

int mm_set_brk_start(struct mm *mm, uint64_t addr) {
    if (!IS_ALIGNED(addr, PAGE_SIZE) || !user_range_ok(addr, PAGE_SIZE)) {
        return -EINVAL;
    }
    rw_write_lock(&mm->lock);
    mm->brk_start = addr;
    mm->brk = addr;
    rw_write_unlock(&mm->lock);
    return 0;
}

void mm_for_each(struct mm *mm, bool (*fn)(struct vma *v, void *arg), void *arg) {
    rw_read_lock(&mm->lock);
    struct rb_node *n = rb_first(&mm->vmas);
    while (n != NULL && fn(rb_entry(n, struct vma, node), arg)) {
        n = rb_next(n);
    }
    rw_read_unlock(&mm->lock);
}

static int visit_count(struct pt_span *span, void *arg) {
    uint64_t *count = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        *count += span->pte[i] != 0 ? 1 : 0;
    }
    return 0;
}

uint64_t mm_resident(struct mm *mm, uint64_t start, uint64_t end) {
    uint64_t count = 0;
    spin_lock(&mm->pt_lock);
    (void)pt_walk(mm->pt, start, MIN(end, g_user_end), false, visit_count, &count);
    spin_unlock(&mm->pt_lock);
    return count;
}
