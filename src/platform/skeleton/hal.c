/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HAL of the skeleton: memory, time, entropy and log are real; there is no Gofer, no control
 * channel and no donated file.
 */
#include "platform/skeleton/skeleton.h"

#include <asm/prctl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HEAP_SIZE (64 * MIB)

static struct hal_memory g_memory;
static uint64_t g_punched;

static void *map_memory(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
        perror("skeleton: mmap");
        exit(99);
    }
    return p;
}

void skeleton_init(uint64_t frame_count) {
    g_punched = 0;
    g_memory = (struct hal_memory){
        .frame_count = frame_count,
        .window_base = frame_count,
        .window_count = frame_count,
        .heap_size = HEAP_SIZE,
    };
    g_memory.linear = map_memory(2 * frame_count * PAGE_SIZE);
    g_memory.heap = map_memory(HEAP_SIZE);
}

void skeleton_fini(void) {
    (void)munmap(g_memory.linear,
                 2 * g_memory.frame_count * PAGE_SIZE); /* the program ends or starts anew */
    (void)munmap(g_memory.heap, HEAP_SIZE);
}

/* ---- memory ---- */

const struct hal_memory *hal_memory(void) {
    return &g_memory;
}

void hal_memory_punch(uint64_t pfn, uint64_t count) {
    g_punched += count;
    if (madvise(g_memory.linear + pfn * PAGE_SIZE, count * PAGE_SIZE, MADV_DONTNEED) != 0) {
        memset(g_memory.linear + pfn * PAGE_SIZE, 0, count * PAGE_SIZE);
    }
}

uint64_t skeleton_punched(void) {
    return g_punched;
}

void hal_heap_punch(void *start, size_t len) {
    memset(start, 0, len);
}

uint64_t hal_memory_used(void) {
    static unsigned char present[1 << 16];
    uint64_t pages = 0;
    for (uint64_t i = 0; i < g_memory.frame_count; i += sizeof(present)) {
        uint64_t n = MIN(sizeof(present), g_memory.frame_count - i);
        if (mincore(g_memory.linear + i * PAGE_SIZE, n * PAGE_SIZE, present) != 0) {
            continue;
        }
        for (uint64_t j = 0; j < n; j++) {
            pages += present[j] & 1;
        }
    }
    return pages * PAGE_SIZE;
}

int hal_copy(void *dst, const void *src, size_t len) {
    memcpy(dst, src, len);
    return 0;
}

int hal_zero(void *dst, size_t len) {
    memset(dst, 0, len);
    return 0;
}

int hal_cas_u32(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *out_seen) {
    *out_seen = expected;
    (void)__atomic_compare_exchange_n(word, out_seen, desired, false, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST); /* *out_seen tells */
    return 0;
}

int hal_load_u32(const uint32_t *word, uint32_t *out_value) {
    *out_value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    return 0;
}

/* ---- vCPUs, time, log ---- */

void hal_cpu_set(void *cpu) {
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, cpu) != 0) {
        perror("skeleton: arch_prctl");
        exit(99);
    }
}

void hal_park(uint32_t *word, uint32_t value) {
}

void hal_unpark(uint32_t *word, uint32_t count) {
}

void hal_exit(int status) {
    exit(status);
}

uint64_t hal_clock_ns(enum hal_clock clock) {
    struct timespec ts;
    (void)clock_gettime((clockid_t)clock, &ts); /* the three clocks always exist */
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void hal_random(void *buf, size_t len) {
    if (getrandom(buf, len, 0) != (ssize_t)len) {
        memset(buf, 0x5a, len);
    }
}

void hal_log(enum hal_log_level level, const char *line, size_t len) {
    fprintf(stderr, "%.*s\n", (int)len, line);
}

enum hal_log_level hal_log_level(void) {
    return HAL_LOG_WARN;
}

bool hal_strace_enabled(void) {
    return false;
}

/* ---- what is not there ---- */

int64_t hal_file_pread(int hfd, const struct hal_seg *segs, size_t count, uint64_t off) {
    return -EBADF;
}

int64_t hal_file_pwrite(int hfd, const struct hal_seg *segs, size_t count, uint64_t off) {
    return -EBADF;
}

int hal_file_truncate(int hfd, uint64_t size) {
    return -EBADF;
}

int hal_file_allocate(int hfd, uint32_t mode, uint64_t off, uint64_t len) {
    return -EBADF;
}

int hal_file_sync(int hfd, bool data_only) {
    return -EBADF;
}

int hal_file_stat(int hfd, struct hal_stat *out_stat) {
    return -EBADF;
}

void hal_file_close(int hfd) {
}

int64_t hal_stream_read(int hfd, void *buf, size_t len) {
    return -EBADF;
}

int64_t hal_stream_write(int hfd, const void *buf, size_t len) {
    return -EBADF;
}

int64_t hal_stream_seek(int hfd, int64_t off, int whence) {
    return -EBADF;
}

uint32_t hal_stream_poll(int hfd) {
    return 0;
}

int hal_stream_watch(int hfd, uint32_t events, uint64_t cookie) {
    return -EBADF;
}

int hal_tty_ioctl(int hfd, uint32_t request, void *buf, size_t len) {
    return -ENOTTY;
}

int hal_window_open(int hfd, uint64_t size, bool writable, uint64_t *out_pfn) {
    return -ENOMEM;
}

void hal_window_close(uint64_t pfn) {
}

int64_t hal_gofer_call(uint32_t chan, const struct hal_seg *req, size_t req_count, void *reply,
                       size_t reply_max, int *out_hfd) {
    return -EIO;
}

int64_t hal_control_recv(void *buf, size_t max, int *hfds, uint32_t *inout_hfd_count) {
    return 0;
}

int hal_control_send(const void *buf, size_t len) {
    return 0;
}
