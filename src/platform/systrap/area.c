/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thread areas: the context page and alternate stack of each stub thread, in a memory file of their
 * own that is mapped linearly here and piecewise in the stubs.
 *
 * Boundary: a guest can write all of its threads' areas.  An area is emptied before the next owner
 * gets it.
 */
#include "base/string.h"
#include "platform/systrap/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#define AREA_MAX 65536u

static struct plock g_area_lock;
static uint32_t g_area_next; /* guarded by g_area_lock, as the next two */
static uint32_t g_area_free[AREA_MAX], g_area_free_count;
static struct platform_thread *g_area_owner[AREA_MAX]; /* atomic */

int area_init(void) {
    size_t size = (size_t)AREA_MAX * STUB_AREA_SIZE;
    g_systrap.area_fd = (int)sys2(SYS_memfd_create, (long)"moat-areas", MFD_CLOEXEC);
    if (g_systrap.area_fd < 0) {
        return g_systrap.area_fd;
    }
    long err = sys2(SYS_ftruncate, g_systrap.area_fd, (long)size);
    if (err != 0) {
        return (int)err;
    }
    long at = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                       g_systrap.area_fd, 0);
    g_systrap.areas = (char *)at;
    return sys_failed(at) ? (int)at : 0;
}

must_check int area_get(uint32_t *out_area) {
    int err = 0;
    plock_lock(&g_area_lock);
    if (g_area_free_count != 0) {
        *out_area = g_area_free[--g_area_free_count];
    } else if (g_area_next < AREA_MAX) {
        *out_area = g_area_next++;
    } else {
        err = -ENOMEM;
    }
    plock_unlock(&g_area_lock);
    return err;
}

/* The context page and the top of the stack, where frames lie, are zeroed and kept; the rest, which
 * only a guest that misbehaves ever touches, is given back. */
void area_put(uint32_t area) {
    char *p = (char *)area_ptr(area);
    size_t keep = 2 * 4096;
    off_t off = (off_t)area * STUB_AREA_SIZE;
    memset(p, 0, STUB_CTX_SIZE);
    memset(p + STUB_AREA_SIZE - keep, 0, keep);
    /* without the call the next owner could read what this one left */
    if (sys4(SYS_fallocate, g_systrap.area_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
             (long)off + STUB_CTX_SIZE, (long)(STUB_AREA_SIZE - STUB_CTX_SIZE - keep)) != 0) {
        memset(p + STUB_CTX_SIZE, 0, STUB_AREA_SIZE - STUB_CTX_SIZE - keep);
    }
    area_owner_set(area, NULL);
    plock_lock(&g_area_lock);
    g_area_free[g_area_free_count++] = area;
    plock_unlock(&g_area_lock);
}

void area_owner_set(uint32_t area, struct platform_thread *t) {
    atomic_store(&g_area_owner[area], t);
}

struct platform_thread *area_owner(uint64_t area) {
    return area < AREA_MAX ? atomic_load(&g_area_owner[area]) : NULL;
}
