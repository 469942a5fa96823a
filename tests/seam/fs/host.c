/* SPDX-License-Identifier: Apache-2.0 */
/* The doors of hal.h over libc: memory, windows, donated files.  hal_gofer_call is the real one. */
#include "tests/seam/fs/host.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "hal.h"
#include "tests/seam/fs/kfs.h"

#define FRAMES  (1ull << 18)
#define WINDOWS 4096u

static struct hal_memory g_memory;
static uint64_t g_next_window;
static uint64_t g_window_pages[WINDOWS]; /* by order of opening, for closing */
static uint64_t g_window_pfn[WINDOWS];

noreturn_fn void host_die(const char *file, int line, const char *what) {
    (void)fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    abort();
}

void *host_alloc(size_t size) {
    return malloc(size);
}

void *host_realloc(void *p, size_t size) {
    return realloc(p, size);
}

void host_free(void *p) {
    free(p);
}

void host_init(void) {
    size_t size = 2 * FRAMES * PAGE_SIZE;
    g_memory =
        (struct hal_memory){.frame_count = FRAMES, .window_base = FRAMES, .window_count = FRAMES};
    g_memory.linear = mmap(NULL, size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (g_memory.linear == MAP_FAILED) {
        host_die(__FILE__, __LINE__, "mmap");
    }
    g_next_window = FRAMES;
}

const struct hal_memory *hal_memory(void) {
    return &g_memory;
}

void hal_cpu_set(void *cpu) {
    (void)syscall(SYS_arch_prctl, ARCH_SET_GS, cpu);
}

int hal_copy(void *dst, const void *src, size_t len) {
    memcpy(dst, src, len);
    return 0;
}

int hal_zero(void *dst, size_t len) {
    memset(dst, 0, len);
    return 0;
}

uint64_t hal_clock_ns(enum hal_clock clock) {
    struct timespec ts;
    (void)clock_gettime((clockid_t)clock, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void hal_random(void *buf, size_t len) {
    (void)!getrandom(buf, len, 0);
}

/* ---- messages: counted on their way to the real channel (ld --wrap) ---- */

static uint64_t g_messages;

int64_t __real_hal_gofer_call(uint32_t chan, const struct hal_seg *req, size_t req_count,
                              void *reply, size_t reply_max, int *out_hfd);
int64_t __wrap_hal_gofer_call(uint32_t chan, const struct hal_seg *req, size_t req_count,
                              void *reply, size_t reply_max, int *out_hfd);

int64_t __wrap_hal_gofer_call(uint32_t chan, const struct hal_seg *req, size_t req_count,
                              void *reply, size_t reply_max, int *out_hfd) {
    g_messages++;
    return __real_hal_gofer_call(chan, req, req_count, reply, reply_max, out_hfd);
}

uint64_t kfs_messages(void) {
    return g_messages;
}

/* ---- donated files ---- */

int64_t hal_file_pread(int hfd, const struct hal_seg *segs, size_t count, uint64_t off) {
    ssize_t n = preadv(hfd, (const struct iovec *)(const void *)segs, (int)count, (off_t)off);
    return n < 0 ? -errno : n;
}

int64_t hal_file_pwrite(int hfd, const struct hal_seg *segs, size_t count, uint64_t off) {
    ssize_t n = pwritev(hfd, (const struct iovec *)(const void *)segs, (int)count, (off_t)off);
    return n < 0 ? -errno : n;
}

int hal_file_truncate(int hfd, uint64_t size) {
    return ftruncate(hfd, (off_t)size) == 0 ? 0 : -errno;
}

int hal_file_allocate(int hfd, uint32_t mode, uint64_t off, uint64_t len) {
    return fallocate(hfd, (int)mode, (off_t)off, (off_t)len) == 0 ? 0 : -errno;
}

int hal_file_sync(int hfd, bool data_only) {
    return (data_only ? fdatasync(hfd) : fsync(hfd)) == 0 ? 0 : -errno;
}

int hal_file_stat(int hfd, struct hal_stat *out_stat) {
    struct stat st;
    if (fstat(hfd, &st) != 0) {
        return -errno;
    }
    *out_stat = (struct hal_stat){.mode = st.st_mode,
                                  .size = (uint64_t)st.st_size,
                                  .rdev = st.st_rdev,
                                  .dev = st.st_dev,
                                  .ino = st.st_ino};
    return 0;
}

void hal_file_close(int hfd) {
    if (close(hfd) != 0) {
        host_die(__FILE__, __LINE__, "a donated file is closed twice");
    }
}

int hal_window_open(int hfd, uint64_t size, bool writable, uint64_t *out_pfn) {
    uint64_t pages = (size + PAGE_MASK) >> PAGE_SHIFT;
    uint32_t slot = 0;
    while (slot < WINDOWS && g_window_pages[slot] != 0) {
        slot++;
    }
    if (slot == WINDOWS || pages == 0 || g_next_window + pages > 2 * FRAMES) {
        return -ENOMEM;
    }
    int prot = PROT_READ | (writable ? PROT_WRITE : 0);
    if (mmap(g_memory.linear + g_next_window * PAGE_SIZE, pages * PAGE_SIZE, prot,
             MAP_SHARED | MAP_FIXED, hfd, 0) == MAP_FAILED) {
        return -errno;
    }
    *out_pfn = g_window_pfn[slot] = g_next_window;
    g_window_pages[slot] = pages;
    g_next_window += pages;
    return 0;
}

void hal_window_close(uint64_t pfn) {
    for (uint32_t i = 0; i < WINDOWS; i++) {
        if (g_window_pages[i] != 0 && g_window_pfn[i] == pfn) {
            (void)mmap(g_memory.linear + pfn * PAGE_SIZE, g_window_pages[i] * PAGE_SIZE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
            g_window_pages[i] = 0;
            return;
        }
    }
    host_die(__FILE__, __LINE__, "a window is closed twice");
}

/* libc has none. */
size_t strlcpy(char *dst, const char *src, size_t size);
size_t strlcpy(char *dst, const char *src, size_t size) {
    int len = snprintf(dst, size, "%s", src);
    return len < 0 ? 0 : (size_t)len;
}
