/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed-size objects of the platform, carved from one reserved region and recycled through free
 * lists, so that nothing allocates through libc after the start.
 */
#include "base/string.h"
#include "platform/systrap/internal.h"

#define POOL_REGION (4ull * GIB)

/* Lies 8 bytes into a free object: the first word of a space is its lock, which a late receiver may
 * still take. */
struct pool_free {
    uint64_t keep;
    struct pool_free *next;
};

struct pool {
    size_t size;
    struct pool_free *free;
};

static struct plock g_pool_lock;
static char *g_pool_next, *g_pool_end; /* guarded by g_pool_lock, as the pools */
static struct pool g_threads = {ALIGN_UP(sizeof(struct platform_thread), 64ul), NULL};
static struct pool g_spaces = {ALIGN_UP(sizeof(struct platform_space), 64ul), NULL};
static struct pool g_pages = {4096, NULL};

static void *pool_carve(size_t size) {
    if (g_pool_next == NULL) {
        g_pool_next = host_reserve(POOL_REGION);
        if (g_pool_next == NULL) {
            return NULL;
        }
        g_pool_end = g_pool_next + POOL_REGION;
    }
    if ((size_t)(g_pool_end - g_pool_next) < size) {
        return NULL;
    }
    void *p = g_pool_next;
    g_pool_next += size;
    return p;
}

static void *pool_get(struct pool *pool) {
    plock_lock(&g_pool_lock);
    struct pool_free *f = pool->free;
    if (f != NULL) {
        pool->free = f->next;
    } else {
        f = pool_carve(pool->size);
    }
    plock_unlock(&g_pool_lock);
    return f;
}

static void pool_put(struct pool *pool, void *p) {
    struct pool_free *f = p;
    plock_lock(&g_pool_lock);
    f->next = pool->free;
    pool->free = f;
    plock_unlock(&g_pool_lock);
}

void *pool_thread_get(void) {
    void *p = pool_get(&g_threads);
    return p == NULL ? NULL : memset(p, 0, sizeof(struct platform_thread));
}

void pool_thread_put(void *t) {
    pool_put(&g_threads, t);
}

/* The lock keeps its word: a receiver may still hold it for the space that was here before
 * (receive.c). */
void *pool_space_get(void) {
    struct platform_space *s = pool_get(&g_spaces);
    if (s != NULL) {
        memset((char *)s + offsetof(struct platform_space, pid), 0,
               sizeof(*s) - offsetof(struct platform_space, pid));
    }
    return s;
}

void pool_space_put(void *s) {
    pool_put(&g_spaces, s);
}

void *pool_page_get(void) {
    return pool_get(&g_pages);
}

void pool_page_put(void *p) {
    pool_put(&g_pages, p);
}
