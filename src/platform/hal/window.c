/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: donated regular files mapped behind the guest's frames, 2 MiB granules of address space
 * each. The window keeps a descriptor of its own, so the kernel may close the file while pages of
 * it are mapped in stubs.
 */
#include "platform/hal/host.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GRANULE     (2ull * MIB)
#define GRANULE_MAX (1u << 17)

/* One for each granule; a window is described in its first one, the others say how far back that
 * is. */
struct granule {
    int32_t fd;     /* first granule: descriptor plus one; 0: free */
    uint32_t back;  /* granules back to the first */
    uint32_t count; /* first granule: how many */
    uint32_t pages; /* first granule: of the file */
};

static struct plock g_window_lock;
static struct granule *g_granules; /* guarded by g_window_lock, as the next two */
static uint32_t g_granule_count, g_granule_next;
static char *g_window_base;

void host_window_init(char *base, uint64_t size) {
    g_window_base = base;
    g_granule_count = (uint32_t)MIN(size / GRANULE, (uint64_t)GRANULE_MAX);
    g_granules = host_reserve(g_granule_count * sizeof(struct granule));
    if (g_granules == NULL) {
        host_die("memory: no room for windows");
    }
}

static bool run_free(uint32_t at, uint32_t count, uint32_t *out_next) {
    for (uint32_t i = 0; i < count; i++) {
        const struct granule *g = &g_granules[at + i];
        if (g->fd != 0 || g->back != 0) {
            *out_next = g->fd != 0 ? at + i + g->count : at + i + 1;
            return false;
        }
    }
    return true;
}

/* First fit from where the last one ended, once around.  Index or -1.  Lock held. */
static int64_t find_run(uint32_t count) {
    for (int round = 0; round < 2; round++) {
        uint32_t at = round == 0 ? g_granule_next : 0;
        while (at + count <= g_granule_count) {
            if (run_free(at, count, &at)) {
                return at;
            }
        }
    }
    return -1;
}

static int window_fd(int hfd, uint64_t size) {
    struct stat st;
    if (!host_fd_ok(hfd) || host_fstat(hfd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return -EACCES;
    }
    if (size == 0 || size > GRANULE_MAX * GRANULE) {
        return -EINVAL;
    }
    int fd = (int)sys3(SYS_fcntl, hfd, F_DUPFD_CLOEXEC, 0);
    return fd;
}

must_check int hal_window_open(int hfd, uint64_t size, bool writable, uint64_t *out_pfn) {
    int fd = window_fd(hfd, size);
    if (fd < 0) {
        return fd;
    }
    uint32_t count = (uint32_t)(ALIGN_UP(size, GRANULE) / GRANULE);
    plock_lock(&g_window_lock);
    int64_t at = find_run(count);
    if (at >= 0) {
        g_granules[at] =
            (struct granule){.fd = fd + 1,
                             .count = count,
                             .pages = (uint32_t)(ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE)};
        for (uint32_t i = 1; i < count; i++) {
            g_granules[(uint32_t)at + i].back = i;
        }
        g_granule_next = (uint32_t)at + count;
    }
    plock_unlock(&g_window_lock);
    long err = -ENOMEM;
    if (at >= 0) {
        char *p = g_window_base + (uint64_t)at * GRANULE;
        int prot = PROT_READ | (writable ? PROT_WRITE : 0);
        long got = sys6(SYS_mmap, (long)p, (long)ALIGN_UP(size, PAGE_SIZE), prot,
                        MAP_SHARED | MAP_FIXED, fd, 0);
        *out_pfn = hal_memory()->window_base + (uint64_t)at * (GRANULE / PAGE_SIZE);
        if (got == (long)p) {
            return 0;
        }
        err = got;
        hal_window_close(*out_pfn);
        return (int)err;
    }
    (void)sys_close(fd); /* nothing was written */
    return (int)err;
}

void hal_window_close(uint64_t pfn) {
    uint64_t at = (pfn - hal_memory()->window_base) / (GRANULE / PAGE_SIZE);
    if (pfn < hal_memory()->window_base || at >= g_granule_count) {
        return;
    }
    plock_lock(&g_window_lock);
    struct granule first = g_granules[at];
    plock_unlock(&g_window_lock);
    if (first.fd == 0) {
        return;
    }
    /* the range goes back to what it was: reserved, inaccessible */
    char *p = g_window_base + at * GRANULE;
    if (sys6(SYS_mmap, (long)p, (long)(first.count * GRANULE), PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != (long)p) {
        host_die("memory: cannot close a window");
    }
    plock_lock(&g_window_lock);
    for (uint32_t i = 0; i < first.count; i++) {
        g_granules[at + i] = (struct granule){0};
    }
    plock_unlock(&g_window_lock);
    (void)sys_close(first.fd - 1); /* nothing was written */
}

must_check int host_window_locate(uint64_t pfn, uint64_t count, int *out_fd, uint64_t *out_off) {
    uint64_t base = hal_memory()->window_base;
    uint64_t at = (pfn - base) / (GRANULE / PAGE_SIZE);
    if (pfn < base || at >= g_granule_count) {
        return -EINVAL;
    }
    plock_lock(&g_window_lock);
    at -= g_granules[at].back;
    struct granule first = g_granules[at];
    plock_unlock(&g_window_lock);
    uint64_t page = pfn - base - at * (GRANULE / PAGE_SIZE);
    if (first.fd == 0 || page >= first.pages || count > first.pages - page) {
        return -EINVAL;
    }
    *out_fd = first.fd - 1;
    *out_off = page * PAGE_SIZE;
    return 0;
}
