/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Areas: the tree, look-up, cutting and joining, free ranges.
 *
 * Locks: mm->lock guards the tree (write for changes).  Areas over a file are on inode->mappings as
 * well, and change their edges under its map_list_lock, because mm_unmap_inode reads them without
 * mm->lock.
 */
#include "mm/internal.h"

#include <linux/errno.h>

#include "kernel/kmalloc.h"

static struct vma *vma_of(struct rb_node *node) {
    return node != NULL ? rb_entry(node, struct vma, node) : NULL;
}

uint64_t vma_pte(const struct vma *v, uint64_t pfn, uint64_t extra) {
    uint64_t pte = (pfn << PAGE_SHIFT) | PTE_PRESENT | extra;
    if ((v->flags & VMA_PROT) != 0) {
        pte |= PTE_READ; /* this machine cannot write or execute without reading */
    }
    if ((v->flags & VMA_EXEC) != 0) {
        pte |= PTE_EXEC;
    }
    if ((v->flags & VMA_WRITE) != 0 && (extra & PTE_OWN) != 0) {
        pte |= PTE_WRITE;
    }
    return pte;
}

struct vma *vma_find(struct mm *mm, uint64_t addr) {
    struct vma *cached = atomic_load(&mm->find_cache);
    if (cached != NULL && cached->start <= addr && addr < cached->end) {
        return cached;
    }
    struct vma *best = NULL;
    for (struct rb_node *n = mm->vmas.root; n != NULL;) {
        struct vma *v = rb_entry(n, struct vma, node);
        if (addr < v->end) {
            best = v;
            if (addr >= v->start) {
                atomic_store(&mm->find_cache, v);
                break;
            }
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

struct vma *vma_at(struct mm *mm, uint64_t addr) {
    struct vma *v = vma_find(mm, addr);
    return v != NULL && v->start <= addr ? v : NULL;
}

struct vma *vma_next(const struct vma *v) {
    return vma_of(rb_next(&v->node));
}

struct vma *vma_prev(const struct vma *v) {
    return vma_of(rb_prev(&v->node));
}

struct vma *vma_alloc(struct mm *mm, uint64_t start, uint64_t end, uint32_t flags,
                      struct file *file, uint64_t pgoff) {
    struct vma *v = kzalloc(sizeof(*v));
    if (v == NULL) {
        return NULL;
    }
    v->mm = mm;
    v->start = start;
    v->end = end;
    v->flags = flags;
    v->pgoff = pgoff;
    v->file = file;
    if (file != NULL) {
        file_get(file);
    }
    list_init(&v->inode_link);
    return v;
}

void vma_free(struct vma *v) {
    if (v->file != NULL) {
        file_put(v->file);
    }
    kfree(v);
}

void vma_free_list(struct list *gone) {
    struct vma *v, *tmp;
    list_for_each_entry_safe (v, tmp, gone, inode_link) {
        list_del_init(&v->inode_link);
        vma_free(v);
    }
}

/* Adds the area's pages to the mm's counts, or takes them off. */
static void vma_account(struct vma *v, uint64_t len, bool add) {
    uint64_t pages = len >> PAGE_SHIFT;
    uint64_t locked = (v->flags & VMA_LOCKED) != 0 ? pages : 0;
    if (add) {
        v->mm->total_pages += pages;
        v->mm->locked_pages += locked;
    } else {
        v->mm->total_pages -= pages;
        v->mm->locked_pages -= locked;
    }
}

void vma_set_flags(struct vma *v, uint32_t flags) {
    vma_account(v, vma_len(v), false);
    v->flags = flags;
    vma_account(v, vma_len(v), true);
}

static void vma_link_file(struct vma *v, struct vma *after) {
    if (v->file == NULL) {
        return;
    }
    struct inode *inode = v->file->inode;
    spin_lock(&inode->map_list_lock);
    if (after != NULL) {
        list_push_front(&after->inode_link, &v->inode_link); /* right behind it */
    } else {
        list_push_back(&inode->mappings, &v->inode_link);
    }
    spin_unlock(&inode->map_list_lock);
}

static void tree_link(struct mm *mm, struct vma *v) {
    struct rb_node *parent = NULL, **slot = &mm->vmas.root;
    while (*slot != NULL) {
        parent = *slot;
        slot =
            v->start < rb_entry(parent, struct vma, node)->start ? &parent->left : &parent->right;
    }
    rb_insert(&mm->vmas, parent, slot, &v->node);
    mm->vma_count++;
}

void vma_insert(struct mm *mm, struct vma *v) {
    tree_link(mm, v);
    vma_account(v, vma_len(v), true);
    vma_link_file(v, NULL);
}

void vma_insert_behind(struct mm *mm, struct vma *v, struct vma *sibling) {
    tree_link(mm, v);
    vma_account(v, vma_len(v), true);
    vma_link_file(v, v->file != NULL ? sibling : NULL);
}

void vma_remove(struct mm *mm, struct vma *v) {
    atomic_store(&mm->find_cache, NULL);
    rb_erase(&mm->vmas, &v->node);
    mm->vma_count--;
    vma_account(v, vma_len(v), false);
    if (v->file != NULL) {
        struct inode *inode = v->file->inode;
        spin_lock(&inode->map_list_lock);
        list_del_init(&v->inode_link);
        spin_unlock(&inode->map_list_lock);
    }
    /* The next search may use what has become free. */
    if (v->start >= mm->gap_hint) {
        mm->gap_hint = MAX(mm->gap_hint, v->end);
    }
}

/* Changes the edges; the tree's order must not change by it. */
static void set_edges(struct vma *v, uint64_t start, uint64_t end) {
    vma_account(v, vma_len(v), false);
    v->pgoff += (uint64_t)((int64_t)(start - v->start) >> PAGE_SHIFT);
    v->start = start;
    v->end = end;
    vma_account(v, vma_len(v), true);
}

void vma_resize(struct vma *v, uint64_t start, uint64_t end) {
    if (v->file == NULL) {
        set_edges(v, start, end);
        return;
    }
    spin_lock(&v->file->inode->map_list_lock);
    set_edges(v, start, end);
    spin_unlock(&v->file->inode->map_list_lock);
}

int vma_split(struct vma *v, uint64_t addr, struct vma **out_upper) {
    struct mm *mm = v->mm;
    if (mm->vma_count >= MM_AREAS_MAX) {
        return -ENOMEM;
    }
    struct vma *upper = vma_alloc(mm, addr, v->end, v->flags, v->file, vma_page(v, addr));
    if (upper == NULL) {
        return -ENOMEM;
    }
    upper->name = v->name;
    /* The list must never miss a page: the upper part is linked before the lower one gives it up.
     */
    vma_link_file(upper, v->file != NULL ? v : NULL);
    vma_resize(v, v->start, addr);
    tree_link(mm, upper);
    vma_account(upper, vma_len(upper), true);
    *out_upper = upper;
    return 0;
}

static bool can_join(const struct vma *low, const struct vma *high) {
    if (low == NULL || high == NULL || low->end != high->start || low->flags != high->flags ||
        low->file != high->file || low->name != high->name || (low->flags & VMA_SPECIAL) != 0) {
        return false;
    }
    return low->file == NULL || vma_page(low, low->end) == high->pgoff;
}

static struct vma *join(struct vma *low, struct vma *high, struct list *gone) {
    struct mm *mm = low->mm;
    uint64_t end = high->end, hint = mm->gap_hint;
    /* As above: grow first. */
    vma_resize(low, low->start, end);
    vma_remove(mm, high);
    mm->gap_hint = hint;
    list_push_back(gone, &high->inode_link);
    return low;
}

struct vma *vma_merge(struct vma *v, struct list *gone) {
    struct vma *prev = vma_prev(v), *next = vma_next(v);
    if (can_join(prev, v)) {
        v = join(prev, v, gone);
    }
    if (can_join(v, next)) {
        v = join(v, next, gone);
    }
    return v;
}

int vma_isolate(struct mm *mm, uint64_t start, uint64_t end, struct vma **out_first) {
    *out_first = NULL;
    struct vma *v = vma_find(mm, start);
    if (v == NULL || v->start >= end) {
        return 0;
    }
    struct vma *last = vma_at(mm, end - 1);
    uint32_t cuts = (v->start < start ? 1 : 0) + (last != NULL && last->end > end ? 1 : 0);
    if (mm->vma_count + cuts > MM_AREAS_MAX) {
        return -ENOMEM;
    }
    struct vma *upper;
    if (v->start < start) {
        int err = vma_split(v, start, &upper);
        if (err != 0) {
            return err;
        }
        v = upper;
    }
    last = vma_at(mm, end - 1);
    if (last != NULL && last->end > end) {
        int err = vma_split(last, end, &upper);
        if (err != 0) {
            return err;
        }
    }
    *out_first = v;
    return 0;
}

/* ---- free ranges ---- */

/* Where the area begins for its lower neighbour: a growing stack keeps a guard gap. */
static uint64_t guarded_start(const struct vma *v) {
    if ((v->flags & VMA_GROWSDOWN) == 0) {
        return v->start;
    }
    return v->start > STACK_GUARD ? v->start - STACK_GUARD : 0;
}

bool vma_range_free(struct mm *mm, uint64_t start, uint64_t end) {
    struct vma *v = vma_find(mm, start);
    return v == NULL || guarded_start(v) >= end;
}

/* Highest free range of len in [low, high); *out_hole is the largest hole that was too small. */
static uint64_t gap_below(struct mm *mm, uint64_t len, uint64_t low, uint64_t high,
                          uint64_t *out_hole) {
    uint64_t top = high;
    struct vma *v = vma_find(mm, high - 1);
    if (v == NULL) {
        v = vma_of(rb_last(&mm->vmas));
    } else {
        top = MIN(top, guarded_start(v));
        v = vma_prev(v);
    }
    for (;;) {
        uint64_t bottom = MAX(v != NULL ? v->end : low, low);
        if (top > bottom && top - bottom >= len) {
            return top - len;
        }
        if (top > bottom) {
            *out_hole = MAX(*out_hole, top - bottom);
        }
        if (v == NULL || v->end <= low) {
            return 0;
        }
        top = MIN(top, guarded_start(v));
        v = vma_prev(v);
    }
}

uint64_t vma_gap(struct mm *mm, uint64_t len, uint64_t low, uint64_t high) {
    uint64_t hole = 0;
    return high > low && len <= high - low ? gap_below(mm, len, low, high, &hole) : 0;
}

/*
 * Below mmap_base.  The search goes on where the last one ended unless a hole above is known to be
 * large enough, so that a process with tens of thousands of areas does not pass all of them for
 * each new one.
 */
uint64_t vma_gap_top_down(struct mm *mm, uint64_t len) {
    uint64_t base = mm->mmap_base;
    if (mm->gap_hint > g_user_start && mm->gap_hint < base && len > mm->gap_hole) {
        uint64_t at = gap_below(mm, len, g_user_start, mm->gap_hint, &mm->gap_hole);
        if (at != 0) {
            mm->gap_hint = at;
            return at;
        }
    }
    mm->gap_hole = 0;
    uint64_t at =
        len <= base - g_user_start ? gap_below(mm, len, g_user_start, base, &mm->gap_hole) : 0;
    if (at != 0) {
        mm->gap_hint = at;
        return at;
    }
    /* Nothing below the base: take the room between it and the stack. */
    return vma_gap(mm, len, base, g_user_end);
}
