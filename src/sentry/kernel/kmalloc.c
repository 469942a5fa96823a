/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Size-class allocator over page runs (kpages.c).
 *
 * A request goes to the vCPU's own magazine of its class, which needs no lock because kernel code
 * is never preempted by other kernel code on its vCPU; an empty or full magazine trades half its
 * content with the class's slabs.  Larger requests are page runs. Locks: class lock (RANK_KMALLOC)
 * guards the slabs of a class; then RANK_KPAGES.
 */
#include "kernel/kmalloc.h"

#include "base/atomic.h"
#include "base/string.h"
#include "hal.h"
#include "kernel/cpu.h"
#include "kernel/kpages.h"
#include "kernel/lock.h"
#include "kernel/log.h"

#define CLASS_COUNT   13u
#define CLASS_MAX     2048u
#define MAGAZINE_SIZE 32u

static const uint16_t g_class_size[CLASS_COUNT] = {16,  32,  48,  64,  96,   128, 192,
                                                   256, 384, 512, 768, 1024, 2048};
/* Pages of a slab: such that little is left over and a slab holds at least eight objects. */
static const uint8_t g_class_pages[CLASS_COUNT] = {1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 3, 2, 4};

struct size_class {
    struct spinlock lock;
    struct list partial;  /* slabs with free objects; guarded by lock */
    uint32_t empty_count; /* slabs without any object in use; guarded by lock */
};

struct magazine {
    uint32_t count;
    void *objects[MAGAZINE_SIZE];
};

static uint64_t g_slab_pages; /* atomic */
static struct size_class g_classes[CLASS_COUNT];
static struct magazine g_magazines[MAX_VCPUS][CLASS_COUNT]; /* own, by vCPU */
static int64_t g_small_used[MAX_VCPUS]
                           [8]; /* own, by vCPU, padded to a cache line; bytes, may be negative */

static uint32_t class_of(size_t size) {
    if (size <= 64) {
        return size == 0 ? 0 : (uint32_t)((size - 1) >> 4);
    }
    uint32_t c = 4;
    while (g_class_size[c] < size) {
        c++;
    }
    return c;
}

void kmalloc_init(void) {
    kpages_init();
    for (uint32_t i = 0; i < CLASS_COUNT; i++) {
        spin_init(&g_classes[i].lock, RANK_KMALLOC);
        list_init(&g_classes[i].partial);
    }
}

/* A new slab with all its objects on its free list, in g_classes[cls].partial.  Class lock held. */
static bool slab_add(uint32_t cls) {
    uint32_t pages = g_class_pages[cls], size = g_class_size[cls];
    char *start = kpages_take(pages, false);
    if (start == NULL) {
        return false;
    }
    (void)atomic_fetch_add(&g_slab_pages, pages); /* only the sum is of use */
    struct kpage *slab = kpage_head(start);
    slab->kind = KPAGE_SLAB;
    slab->order = (uint8_t)cls;
    slab->used = 0;
    slab->free_list = NULL;
    for (uint32_t n = (uint32_t)(pages * PAGE_SIZE / size); n > 0; n--) {
        void **object = (void **)(void *)(start + (size_t)(n - 1) * size);
        *object = slab->free_list;
        slab->free_list = object;
    }
    list_push_front(&g_classes[cls].partial, &slab->link);
    g_classes[cls].empty_count++;
    return true;
}

static void magazine_fill(struct magazine *m, uint32_t cls) {
    struct size_class *sc = &g_classes[cls];
    spin_lock(&sc->lock);
    while (m->count < MAGAZINE_SIZE / 2) {
        if (list_empty(&sc->partial) && !slab_add(cls)) {
            break;
        }
        struct kpage *slab = list_first(&sc->partial, struct kpage, link);
        void **object = slab->free_list;
        slab->free_list = *object;
        sc->empty_count -= slab->used == 0;
        slab->used++;
        if (slab->free_list == NULL) {
            list_del_init(&slab->link);
        }
        m->objects[m->count++] = object;
    }
    spin_unlock(&sc->lock);
}

/* Class lock held. */
static void slab_return(struct size_class *sc, void *ptr) {
    struct kpage *slab = kpage_head(ptr);
    void **object = ptr;
    if (slab->free_list == NULL) {
        list_push_back(&sc->partial, &slab->link);
    }
    *object = slab->free_list;
    slab->free_list = object;
    slab->used--;
    if (slab->used == 0 && ++sc->empty_count > 2) {
        sc->empty_count--;
        list_del_init(&slab->link);
        (void)atomic_fetch_sub(&g_slab_pages, slab->count); /* only the sum is of use */
        kpages_give(kpage_start(slab));
    }
}

static void magazine_drain(struct magazine *m, uint32_t cls) {
    struct size_class *sc = &g_classes[cls];
    spin_lock(&sc->lock);
    for (uint32_t i = 0; i < MAGAZINE_SIZE / 2; i++) {
        slab_return(sc, m->objects[i]);
    }
    spin_unlock(&sc->lock);
    m->count -= MAGAZINE_SIZE / 2;
    memmove(m->objects, &m->objects[MAGAZINE_SIZE / 2], m->count * sizeof(void *));
}

void *kmalloc(size_t size) {
    if (unlikely(size > CLASS_MAX)) {
        if (size > SIZE_MAX - PAGE_SIZE) {
            return NULL;
        }
        return kpages_take((size + PAGE_MASK) >> PAGE_SHIFT, false);
    }
    uint32_t cls = class_of(size), cpu = this_cpu()->id;
    struct magazine *m = &g_magazines[cpu][cls];
    if (unlikely(m->count == 0)) {
        magazine_fill(m, cls);
        if (m->count == 0) {
            return NULL;
        }
    }
    atomic_store_relaxed(&g_small_used[cpu][0], g_small_used[cpu][0] + g_class_size[cls]);
    return m->objects[--m->count];
}

void kfree(void *ptr) {
    if (ptr == NULL) {
        return;
    }
    struct kpage *head = kpage_head(ptr);
    if (head->kind == KPAGE_RUN) {
        kpages_give(ptr);
        return;
    }
    kassert(head->kind == KPAGE_SLAB);
    uint32_t cls = head->order, cpu = this_cpu()->id;
    struct magazine *m = &g_magazines[cpu][cls];
    if (unlikely(m->count == MAGAZINE_SIZE)) {
        magazine_drain(m, cls);
    }
    atomic_store_relaxed(&g_small_used[cpu][0], g_small_used[cpu][0] - g_class_size[cls]);
    m->objects[m->count++] = ptr;
}

void *kzalloc(size_t size) {
    if (size > CLASS_MAX) {
        return size > SIZE_MAX - PAGE_SIZE ? NULL
                                           : kpages_take((size + PAGE_MASK) >> PAGE_SHIFT, true);
    }
    void *p = kmalloc(size);
    if (p != NULL) {
        memset(p, 0, size);
    }
    return p;
}

void *kcalloc(size_t count, size_t size) {
    size_t total;
    return ckd_mul(&total, count, size) ? NULL : kzalloc(total);
}

/* Bytes that `ptr` has room for. */
static size_t room_of(const void *ptr) {
    const struct kpage *head = kpage_head(ptr);
    return head->kind == KPAGE_SLAB ? g_class_size[head->order] : (size_t)head->count << PAGE_SHIFT;
}

void *krealloc(void *ptr, size_t size) {
    if (ptr == NULL) {
        return kmalloc(size);
    }
    size_t room = room_of(ptr);
    if (size <= room && size >= room / 4) {
        return ptr;
    }
    void *p = kmalloc(size);
    if (p != NULL) {
        memcpy(p, ptr, MIN(room, size));
        kfree(ptr);
    }
    return p;
}

void *kmemdup(const void *src, size_t len) {
    void *p = kmalloc(len);
    if (p != NULL) {
        memcpy(p, src, len);
    }
    return p;
}

char *kstrdup(const char *s) {
    return kmemdup(s, strlen(s) + 1);
}

void *kpages_alloc(size_t page_count) {
    return kpages_take(page_count, true);
}

void kpages_free(void *ptr, size_t page_count) {
    if (ptr != NULL) {
        kassert(kpage_head(ptr)->count == page_count);
        kpages_give(ptr);
    }
}

/* Slabs count by the objects handed out, not by their pages: so a leak shows as a difference. */
uint64_t kmalloc_used(void) {
    int64_t small = 0;
    for (uint32_t i = 0; i < MAX_VCPUS; i++) {
        small += atomic_load_relaxed(&g_small_used[i][0]);
    }
    uint64_t pages = kpages_used() - atomic_load_relaxed(&g_slab_pages);
    return (uint64_t)small + (pages << PAGE_SHIFT);
}

static void *radix_node_alloc(size_t size) {
    return kzalloc(size);
}

const struct radix_alloc kradix_alloc = {radix_node_alloc, kfree};
