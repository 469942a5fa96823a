/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: one sparse file, mapped linearly, with window space above it; and the kernel's
 * private heap.
 *
 * The file lives in a private tmpfs mounted huge=always when the host side gave one (first touch
 * four times cheaper, design section 2a), else in a memfd.
 */
#include "platform/hal/host.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define HUGE_SIZE     (2ull * MIB)
#define MEMORY_MAX    (1024ull * GIB)
#define MEMORY_FACTOR 4ull
#define WINDOW_SPACE  (256ull * GIB)
#define HEAP_SPACE    (64ull * GIB)

static struct hal_memory g_memory;
static int g_memory_fd = -1;

const struct hal_memory *hal_memory(void) {
    return &g_memory;
}

void *host_reserve(size_t size) {
    long p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return sys_failed(p) ? NULL : (void *)p;
}

/* The directory is not kept: the Sentry holds none. */
static int memory_file(int dir_fd) {
    int fd = -1;
    if (dir_fd >= 0) {
        fd =
            (int)sys4(SYS_openat, dir_fd, (long)".", O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
        (void)sys_close(dir_fd); /* nothing was written */
    }
    return fd >= 0 ? fd : (int)sys2(SYS_memfd_create, (long)"moat-memory", MFD_CLOEXEC);
}

/* Address space for frames and windows, 2 MiB aligned so that huge pages can be mapped as such. */
static char *linear_reserve(uint64_t size) {
    long p = sys_mmap(NULL, size + HUGE_SIZE, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return sys_failed(p) ? NULL : (char *)ALIGN_UP((uintptr_t)p, HUGE_SIZE);
}

/*
 * Keeps the first 2 MiB in small pages: a small guest, such as one that sleeps, then holds what it
 * uses and no huge page.  The host fills a range by a huge page only while none of it is there,
 * whoever touches it, so one page decides; the range may become huge after it was punched.
 */
static long first_pages_small(char *base) {
    long err = sys3(SYS_madvise, (long)base, (long)HUGE_SIZE, MADV_NOHUGEPAGE);
    if (err != 0) {
        return err == -EINVAL ? 0 : err; /* a host without huge pages */
    }
    *(volatile char *)base = 0;
    return 0;
}

int host_memory_init(const struct moat_boot *boot) {
    struct sysinfo si;
    if (sys1(SYS_sysinfo, (long)&si) != 0) {
        return -ENOSYS;
    }
    uint64_t ram = (uint64_t)si.totalram * si.mem_unit;
    uint64_t size = MIN(ALIGN_UP(ram * MEMORY_FACTOR, (uint64_t)GIB), MEMORY_MAX);
    g_memory_fd = memory_file(boot->memory_dir_fd);
    if (g_memory_fd < 0) {
        return g_memory_fd;
    }
    long err = sys2(SYS_ftruncate, g_memory_fd, (long)size);
    if (err != 0) {
        return (int)err;
    }
    char *base = linear_reserve(size + WINDOW_SPACE);
    if (base == NULL ||
        sys_mmap(base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
                 g_memory_fd, 0) != (long)base) {
        return -ENOMEM;
    }
    err = first_pages_small(base);
    if (err != 0) {
        return (int)err;
    }
    char *heap = host_reserve(HEAP_SPACE);
    if (heap == NULL) {
        return -ENOMEM;
    }
    g_memory = (struct hal_memory){
        .linear = base,
        .frame_count = size / PAGE_SIZE,
        .window_base = size / PAGE_SIZE,
        .window_count = WINDOW_SPACE / PAGE_SIZE,
        .heap = heap,
        .heap_size = HEAP_SPACE,
        /* Frames are address space and more than there is memory; programs size themselves by this.
         */
        .limit_bytes = boot->memory_limit != 0 ? MIN(boot->memory_limit, ram) : ram,
    };
    host_window_init(base + size, WINDOW_SPACE);
    return 0;
}

must_check int host_frame_locate(uint64_t pfn, uint64_t count, int *out_fd, uint64_t *out_off) {
    if (pfn < g_memory.frame_count) {
        if (count > g_memory.frame_count - pfn) {
            return -EINVAL;
        }
        *out_fd = g_memory_fd;
        *out_off = pfn * PAGE_SIZE;
        return 0;
    }
    return host_window_locate(pfn, count, out_fd, out_off);
}

void hal_memory_punch(uint64_t pfn, uint64_t count) {
    if (pfn >= g_memory.frame_count || count > g_memory.frame_count - pfn) {
        return;
    }
    long err = sys4(SYS_fallocate, g_memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    (long)(pfn * PAGE_SIZE), (long)(count * PAGE_SIZE));
    if (err != 0) { /* the frames must read as zero all the same; a hole that cannot be made costs
                       only memory */
        if (hal_zero(g_memory.linear + pfn * PAGE_SIZE, count * PAGE_SIZE) != 0) {
            host_die("memory: cannot zero frames");
        }
    }
}

void hal_heap_punch(void *start, size_t len) {
    if (sys3(SYS_madvise, (long)start, (long)len, MADV_DONTNEED) != 0) {
        host_die("memory: madvise on the heap failed");
    }
}

uint64_t hal_memory_used(void) {
    struct stat st;
    return host_fstat(g_memory_fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}
